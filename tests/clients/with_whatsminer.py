"""whatsminer, a blocking client of WhatsMiner's API V2, in threads on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from importlib.metadata import version
from typing import Any

from whatsminer import WhatsminerAccessToken, WhatsminerAPI

from firmware_mocks.miners.base import Credentials
from tests.clients.reading import Board, PoolSeen, Reading
from tests.clients.trials import CONTROLS

ADMIN = "admin"
"""The factory password of API V2, also on firmware whose own accounts are those of V3."""


class Whatsminer:
    """The adapter."""

    name = "whatsminer"
    version = version("whatsminer")
    fields = frozenset({
        "ip", "mac", "serial_number", "psu_serial_number", "hostname", "api_version", "firmware_version", "uptime",
        "is_mining", "hash_rate", "expected_hash_rate", "boards", "board_hash_rate", "board_chips",
        "board_temperature", "chip_temperature", "board_serial_number", "board_frequency", "total_chips",
        "temperature", "inlet_temperature", "watts", "power_limit_shown", "efficiency", "fans", "psu_fan", "pools",
        "errors", "fault_light",
    })  # fmt: skip
    controls = frozenset(CONTROLS)
    speaks: frozenset[str] | None = frozenset({"whatsminer", "whatsminer-v3"})

    def model_name(self, name: str) -> str:
        """As the catalogue has it."""
        return name

    async def find(self, address: str, credentials: Credentials) -> Found | None:
        """The library looks for nobody: a token is asked for, and `devdetails` tells the model."""

        def ask() -> Found:
            reader = WhatsminerAccessToken(ip_address=address)
            model = WhatsminerAPI.get_read_only_info(reader, "devdetails")["DEVDETAILS"][0]["Model"]
            return Found(WhatsminerAccessToken(ip_address=address, admin_password=ADMIN), ("", model, ""))

        return await asyncio.to_thread(ask)


class Found:
    """A miner for which the library holds a token."""

    def __init__(self, token: Any, identity: tuple[str, str, str]) -> None:
        self._token = token
        self.identity = identity

    async def read(self, only: Collection[str] = ()) -> Reading:
        """`summary`, `devs`, `pools`, `status`, `get_version`, `get_psu`, `get_miner_info`, `get_error_code`."""
        summary = (await self._ask("summary"))["SUMMARY"][0]
        devs = (await self._ask("devs"))["DEVS"]
        pools = (await self._ask("pools"))["POOLS"]
        status, version, psu, info, errors = [
            (await self._ask(command))["Msg"]
            for command in ("status", "get_version", "get_psu", "get_miner_info", "get_error_code")
        ]
        boards = [
            Board(
                hash_ths=_ths(dev),
                chips=dev.get("Effective Chips"),
                board_c=dev.get("Temperature"),
                chip_c=dev.get("Chip Temp Avg"),
                serial=dev.get("PCB SN"),
                frequency_mhz=dev.get("Chip Frequency"),
                active=dev.get("Status") == "Alive",
            )
            for dev in devs
        ]
        return Reading(
            ip=info.get("ip"),
            mac=info.get("mac"),
            serial_number=info.get("minersn"),
            psu_serial_number=psu.get("serial_no"),
            hostname=info.get("hostname"),
            api_version=version.get("api_ver"),
            firmware_version=version.get("fw_ver"),
            uptime_s=summary.get("Uptime"),
            is_mining=None if "mineroff" not in status else status["mineroff"] == "false",
            hash_ths=_ths(summary),
            expected_ths=None if "Factory GHS" not in summary else summary["Factory GHS"] / 1e3,
            boards=boards,
            total_chips=sum(board.chips or 0 for board in boards),
            temperature_c=summary.get("Temperature"),
            inlet_c=summary.get("Env Temp"),
            watts=summary.get("Power"),
            limit_w=summary.get("Power Limit"),
            efficiency_j_th=summary.get("Power Rate"),
            fans_rpm=[summary.get("Fan Speed In") or 0, summary.get("Fan Speed Out") or 0],
            psu_fan_rpm=summary.get("Power Fanspeed"),
            pools=[
                PoolSeen(
                    pool["URL"], pool["User"], pool["Accepted"], pool["Rejected"], pool["Stratum Active"],
                    pool["Status"] == "Alive",
                )
                for pool in pools
            ],
            errors=[str(error) for error in errors["error_code"]],
            light=None if "ledstat" not in info else info["ledstat"] != "auto",
        )  # fmt: skip

    async def levels(self) -> tuple[float | None, float | None]:
        """`summary`."""
        summary = (await self._ask("summary"))["SUMMARY"][0]
        return summary.get("Power"), _ths(summary)

    async def stop(self) -> bool | None:
        """`power_off`, answered first."""
        return await self._done("power_off", {"respbefore": "true"})

    async def resume(self) -> bool | None:
        """`power_on`."""
        return await self._done("power_on")

    async def limit(self, watts: int) -> bool | None:
        """`adjust_power_limit`."""
        return await self._done("adjust_power_limit", {"power_limit": str(watts)})

    async def reboot(self) -> bool | None:
        """`reboot`."""
        return await self._done("reboot")

    async def restart(self) -> bool | None:
        """`restart_btminer`."""
        return await self._done("restart_btminer")

    async def light(self, on: bool) -> bool | None:
        """`set_led`, red or by itself."""
        red = {"color": "red", "period": 60, "duration": 20, "start": 0}
        return await self._done("set_led", red if on else {"param": "auto"})

    async def pool_setter(self, url: str) -> Callable[[], Awaitable[bool]]:
        """`update_pools`, with all three."""
        pools = (await self._ask("pools"))["POOLS"]
        given = {f"pool{n}": pool["URL"] for n, pool in enumerate(pools[:3], start=1)}
        given |= {f"worker{n}": pool["User"] for n, pool in enumerate(pools[:3], start=1)}
        given |= {f"passwd{n}": "x" for n in range(1, 1 + len(pools[:3]))}
        return lambda: self._done("update_pools", given | {"pool1": url})

    async def _ask(self, command: str) -> dict[str, Any]:
        return await asyncio.to_thread(WhatsminerAPI.get_read_only_info, self._token, command)

    async def _done(self, command: str, parameters: dict[str, Any] | None = None) -> bool:
        answer = await asyncio.to_thread(WhatsminerAPI.exec_command, self._token, command, parameters)
        return bool(answer["STATUS"] == "S" and answer["Code"] == 131)


def _ths(row: dict[str, Any]) -> float | None:
    """The average of a minute where the firmware has it, of five seconds elsewhere."""
    mhs = row.get("MHS 1m", row.get("MHS 5s"))
    return None if mhs is None else mhs / 1e6
