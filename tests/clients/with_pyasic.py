"""pyasic, unchanged, in virtual time."""

from __future__ import annotations

import ipaddress
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from importlib.metadata import version
from typing import Any

import pyasic
from pyasic.data import MinerData

from firmware_mocks.miners.base import Credentials
from tests.clients.reading import FIELDS, Board, PoolSeen, Reading
from tests.clients.trials import CONTROLS

LEVELS = ["hashrate", "hashboards", "wattage"]
_LACKS = {
    "control_board", "state", "board_expected_hash_rate", "board_frequency", "each_chip", "fluid_temperature",
    "outlet_fluid_temperature", "tuning_target", "tuning_percent", "tuning_range", "dev_fee", "best_share",
    "session_best_share",
}  # fmt: skip


class Pyasic:
    """The adapter."""

    name = "pyasic"
    version = version("pyasic")
    fields = frozenset(FIELDS) - _LACKS
    controls = frozenset(CONTROLS)
    speaks: frozenset[str] | None = None

    def model_name(self, name: str) -> str:
        """As the catalogue has it."""
        return name

    async def find(self, address: str, credentials: Credentials) -> Found | None:
        """`pyasic.get_miner`; its own default passwords are the factory's."""
        miner = await pyasic.get_miner(address)
        return None if miner is None else Found(miner)

    async def scan(self, subnet: str) -> dict[str, tuple[str, str, str]]:
        """The identity of every miner of a subnet, by address."""
        hosts = [host for host in ipaddress.ip_network(subnet).hosts() if isinstance(host, ipaddress.IPv4Address)]
        return {str(miner.ip): Found(miner).identity for miner in await pyasic.MinerNetwork(hosts).scan()}


class Found:
    """A miner of pyasic."""

    def __init__(self, miner: Any) -> None:
        self._miner = miner

    @property
    def identity(self) -> tuple[str, str, str]:
        """As `get_data` tells them."""
        info = self._miner.device_info
        return (str(info.make), str(info.model), str(info.firmware))

    async def read(self, only: Collection[str] = ()) -> Reading:
        """`get_data`."""
        return _reading(await self._miner.get_data())

    async def levels(self) -> tuple[float | None, float | None]:
        """`get_data`, of hash rate, boards and watts only."""
        data = await self._miner.get_data(include=LEVELS)
        return data.wattage, _ths(data.hashrate)

    async def stop(self) -> bool | None:
        """`stop_mining`."""
        return await _said(self._miner.stop_mining())

    async def resume(self) -> bool | None:
        """`resume_mining`."""
        return await _said(self._miner.resume_mining())

    async def limit(self, watts: int) -> bool | None:
        """`set_power_limit`."""
        return await _said(self._miner.set_power_limit(watts))

    async def reboot(self) -> bool | None:
        """`reboot`."""
        return await _said(self._miner.reboot())

    async def restart(self) -> bool | None:
        """`restart_backend`."""
        return await _said(self._miner.restart_backend())

    async def light(self, on: bool) -> bool | None:
        """`fault_light_on`, `fault_light_off`."""
        return await _said(self._miner.fault_light_on() if on else self._miner.fault_light_off())

    async def pool_setter(self, url: str) -> Callable[[], Awaitable[None]]:
        """The first pool of `get_config` changed, to be sent with `send_config`, which says nothing."""
        config = await self._miner.get_config()
        config.pools.groups[0].pools[0].url = url
        return partial(self._miner.send_config, config)


async def _said(call: Awaitable[Any]) -> bool | None:
    """What the client says, for a type checker to whom it is untyped."""
    said: bool | None = await call
    return said


def _ths(rate: Any) -> float | None:
    return None if rate is None else float(rate.into(rate.unit.TH)) if hasattr(rate, "into") else float(rate)


def _reading(data: MinerData) -> Reading:
    mode = None if data.config is None else str(data.config.mining_mode.mode)
    return Reading(
        ip=data.ip,
        mac=data.mac,
        serial_number=data.serial_number,
        psu_serial_number=data.psu_serial_number,
        hostname=data.hostname,
        api_version=data.api_ver,
        firmware_version=data.fw_ver,
        uptime_s=data.uptime,
        is_mining=data.is_mining,
        hash_ths=_ths(data.hashrate),
        expected_ths=_ths(data.expected_hashrate),
        sticker_ths=_ths(data.sticker_hashrate),
        boards=[
            Board(
                hash_ths=_ths(board.hashrate),
                chips=board.chips,
                expected_chips=board.expected_chips,
                board_c=board.temp,
                chip_c=board.chip_temp,
                serial=board.serial_number,
                voltage_v=board.voltage,
                tuned=board.tuned,
                active=False if board.missing else board.active,
            )
            for board in data.hashboards
        ],
        expected_boards=data.expected_hashboards,
        total_chips=data.total_chips,
        temperature_c=data.temperature_avg,
        inlet_c=data.env_temp,
        watts=data.wattage,
        limit_w=data.wattage_limit,
        efficiency_j_th=data.efficiency_fract,
        psu_voltage_v=data.voltage,
        fans_rpm=[fan.speed or 0 for fan in data.fans],
        expected_fans=data.expected_fans,
        psu_fan_rpm=data.fan_psu,
        pools=[
            PoolSeen(str(pool.url), pool.user, pool.accepted, pool.rejected, pool.active, pool.alive)
            for pool in data.pools
        ],
        errors=[str(error) for error in data.errors],
        light=data.fault_light,
        settings=mode,
    )
