"""luxos, the vendor's own library, in virtual time: it sends commands, so the adapter sends those of the manual."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from dataclasses import replace
from importlib.metadata import version
from typing import Any

from luxos import asyncops

from firmware_mocks.miners.base import Credentials
from tests.clients.reading import Board, PoolSeen, Reading
from tests.clients.trials import CONTROLS

PORT = 4028


class Luxos:
    """The adapter."""

    name = "luxos"
    version = version("luxos")
    fields = frozenset({
        "mac", "serial_number", "hostname", "api_version", "firmware_version", "control_board", "uptime", "is_mining",
        "hash_rate", "expected_hash_rate", "boards", "board_hash_rate", "board_expected_hash_rate", "board_chips",
        "board_temperature", "board_serial_number", "board_frequency", "board_voltage", "total_chips",
        "watts", "power_limit_shown", "fans", "pools", "fault_light", "tuning_target",
    })  # fmt: skip
    controls = frozenset(CONTROLS)
    speaks: frozenset[str] | None = frozenset({"luxos"})

    def model_name(self, name: str) -> str:
        """As the catalogue has it."""
        return name

    async def find(self, address: str, credentials: Credentials) -> Found | None:
        """The library looks for nobody: `version` is asked, and tells."""
        version = await _ask(address, "version", "VERSION")
        make, _, model = version["Type"].partition(" ")
        return Found(address, (make, model, "LuxOS" if "LUXminer" in version else ""))


class Found:
    """The address of a miner that speaks LuxOS."""

    def __init__(self, address: str, identity: tuple[str, str, str]) -> None:
        self._address = address
        self.identity = identity

    async def read(self, only: Collection[str] = ()) -> Reading:
        """The reports of the manual, one after another; the short ones alone where they tell enough."""
        address = self._address
        if only and set(only) <= {"watts", "hash_rate", "is_mining", "fault_light", "pools"}:
            return await self._short()
        version, config = await _ask(address, "version", "VERSION"), await _ask(address, "config", "CONFIG")
        devs = asyncops.validate(await asyncops.rexec(address, PORT, "devs"), "DEVS", 1, None)
        temps = asyncops.validate(await asyncops.rexec(address, PORT, "temps"), "TEMPS", 1, None)
        stats = (await asyncops.rexec(address, PORT, "stats"))["STATS"][1]
        short = await self._short()
        profiles = asyncops.validate(await asyncops.rexec(address, PORT, "profiles"), "PROFILES", 1, None)
        boards = []
        for n, dev in enumerate(devs):
            volts = await _ask(address, "voltageget", "VOLTAGE", str(n))
            boards.append(
                Board(
                    hash_ths=dev["MHS 5s"] / 1e6,
                    expected_ths=dev["Nominal MHS"] / 1e6,
                    chips=int(stats[f"chain_acn{n + 1}"]),
                    board_c=max(value for key, value in temps[n].items() if key.endswith(("Left", "Right"))),
                    serial=dev["SerialNumber"],
                    frequency_mhz=stats[f"freq{n + 1}"],
                    voltage_v=volts["Voltage"],
                )
            )
        return replace(
            short,
            mac=config["MACAddr"],
            serial_number=config["SerialNumber"],
            hostname=config["Hostname"],
            api_version=version["API"],
            firmware_version=version["Miner"],
            control_board=config["ControlBoardType"],
            uptime_s=stats["Elapsed"],
            expected_ths=stats["total_rateideal"] / 1e3,
            boards=boards,
            total_chips=sum(board.chips or 0 for board in boards),
            limit_w=next(row["Watts"] for row in profiles if row["Profile Name"] == config["Profile"]),
            fans_rpm=[fan["RPM"] for fan in (await asyncops.rexec(address, PORT, "fans"))["FANS"]],
            tuning_target=config["Profile"],
        )

    async def _short(self) -> Reading:
        config = await _ask(self._address, "config", "CONFIG")
        pools = asyncops.validate(await asyncops.rexec(self._address, PORT, "pools"), "POOLS", 1, None)
        watts, ths = await self.levels()
        return Reading(
            is_mining=config["CurtailMode"] == "None",
            hash_ths=ths,
            watts=watts,
            pools=[
                PoolSeen(
                    pool["URL"], pool["User"], pool["Accepted"], pool["Rejected"], pool["Stratum Active"],
                    pool["Status"] == "Alive",
                )
                for pool in pools
            ],
            light=config["RedLed"] in ("on", "blink"),
        )  # fmt: skip

    async def levels(self) -> tuple[float | None, float | None]:
        """`power` and `summary`."""
        power, summary = await _ask(self._address, "power", "POWER"), await _ask(self._address, "summary", "SUMMARY")
        return power["Watts"], summary["GHS 5s"] / 1e3

    async def stop(self) -> bool | None:
        """`curtail sleep`."""
        return await self._done("curtail", ["sleep"])

    async def resume(self) -> bool | None:
        """`curtail wakeup`."""
        return await self._done("curtail", ["wakeup"])

    async def limit(self, watts: int) -> bool | None:
        """`profileset` by watts."""
        return await self._done("profileset", [f"{watts}W"])

    async def reboot(self) -> bool | None:
        """`rebootdevice`."""
        return await self._done("rebootdevice")

    async def restart(self) -> bool | None:
        """`resetminer`."""
        return await self._done("resetminer")

    async def light(self, on: bool) -> bool | None:
        """`ledset red blink`, `ledset red auto`."""
        return await self._done("ledset", ["red", "blink" if on else "auto"])

    async def pool_setter(self, url: str) -> Callable[[], Awaitable[bool]]:
        """The first group with its pools taken away, and built anew."""

        async def send() -> bool:
            steps = (("removegroup", ["0"]), ("addgroup", ["all", "1"]), ("addpool", [url, "farm.rig", "x", "0"]))
            return all([await self._done(command, given) for command, given in steps])

        return send

    async def _done(self, command: str, parameters: list[str] | None = None) -> bool:
        answer = await asyncops.rexec(self._address, PORT, command, parameters)
        return bool(answer["STATUS"][0]["STATUS"] == "S")


async def _ask(address: str, command: str, section: str, parameter: str | None = None) -> dict[str, Any]:
    """The one row of a report."""
    row: dict[str, Any] = asyncops.validate(await asyncops.rexec(address, PORT, command, parameter), section, 1, 1)
    return row
