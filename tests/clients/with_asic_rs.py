"""pyasic-rs, unchanged: it brings sockets and a scheduler of its own, so it meets the faces on real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection
from functools import partial
from importlib.metadata import version
from typing import Any

import pyasic_rs

from firmware_mocks.miners.base import Credentials
from tests.clients.reading import FIELDS, Board, PoolSeen, Reading
from tests.clients.trials import CONTROLS

AT_ONCE = 8
"""It gives probes a third of a second to contradict each other, which a busy machine may need for its own work."""
PATIENCE_S = 60
_LACKS = {"psu_serial_number", "sticker_hash_rate", "inlet_temperature", "psu_voltage", "settings"}


class AsicRs:
    """The adapter."""

    name = "pyasic-rs"
    version = version("pyasic-rs")
    fields = frozenset(FIELDS) - _LACKS
    controls = frozenset(CONTROLS) - {"restart"}
    speaks: frozenset[str] | None = None

    def __init__(self) -> None:
        self._few = asyncio.Semaphore(AT_ONCE)

    def model_name(self, name: str) -> str:
        """As the catalogue has it, without spaces; one it writes in its own way."""
        return {"S19k Pro": "S19KPro"}.get(name, name.replace(" ", ""))

    async def find(self, address: str, credentials: Credentials) -> Found | None:
        """`MinerFactory.get_miner`, a few at a time; its own default passwords are the factory's."""
        async with self._few:
            miner = await pyasic_rs.MinerFactory().with_identification_timeout_secs(PATIENCE_S).get_miner(address)
        return None if miner is None else Found(miner)

    async def scan(self, subnet: str) -> dict[str, tuple[str, str, str]]:
        """The identity of every miner of a subnet, by address; few at a time, and with patience for a busy machine."""
        factory = pyasic_rs.MinerFactory.from_subnet(subnet)
        miners = await factory.with_concurrent_limit(AT_ONCE).with_identification_timeout_secs(PATIENCE_S).scan()
        return {str(miner.ip): Found(miner).identity for miner in miners}


class Found:
    """A miner of pyasic-rs."""

    def __init__(self, miner: Any) -> None:
        self._miner = miner

    @property
    def identity(self) -> tuple[str, str, str]:
        """As the object tells them."""
        return (self._miner.make, self._miner.model, self._miner.firmware)

    async def read(self, only: Collection[str] = ()) -> Reading:
        """`get_data`."""
        return _reading(await self._miner.get_data())

    async def levels(self) -> tuple[float | None, float | None]:
        """`get_wattage` and `get_hashrate`."""
        watts, rate = await self._miner.get_wattage(), await self._miner.get_hashrate()
        return watts, _ths(rate)

    async def stop(self) -> bool | None:
        """`pause`."""
        return await _said(self._miner.pause())

    async def resume(self) -> bool | None:
        """`resume`."""
        return await _said(self._miner.resume())

    async def limit(self, watts: int) -> bool | None:
        """`set_power_limit`."""
        return await _said(self._miner.set_power_limit(watts))

    async def reboot(self) -> bool | None:
        """`restart`, which restarts the control board where the firmware can."""
        return await _said(self._miner.restart())

    async def restart(self) -> bool | None:
        """There is no such call."""
        raise NotImplementedError

    async def light(self, on: bool) -> bool | None:
        """`set_fault_light`."""
        return await _said(self._miner.set_fault_light(on))

    async def pool_setter(self, url: str) -> Callable[[], Awaitable[bool]]:
        """The first pool of `get_pools_config` changed, to be sent with `set_pools_config`."""
        groups = await self._miner.get_pools_config()
        if not groups:
            return partial(self._miner.set_pools_config, [])
        first = groups[0].pools[0]
        pools = [pyasic_rs.Pool(url=url, username=first.username, password=first.password), *groups[0].pools[1:]]
        group = pyasic_rs.PoolGroup(name=groups[0].name, quota=groups[0].quota, pools=pools)
        return partial(self._miner.set_pools_config, [group, *groups[1:]])


async def _said(call: Awaitable[Any]) -> bool | None:
    """What the client says, for a type checker to whom it is untyped."""
    said: bool | None = await call
    return said


def _ths(rate: Any) -> float | None:
    return None if rate is None else float(rate.as_unit(type(rate.unit).TH).value)


def _mean(one: float | None, other: float | None) -> float | None:
    return one if other is None else other if one is None else max(one, other)


def _pool_url(url: Any) -> str | None:
    return None if url is None else str(url.model_dump()) if hasattr(url, "model_dump") else str(url)


def _reading(data: Any) -> Reading:
    boards = [
        Board(
            hash_ths=_ths(board.hashrate),
            expected_ths=_ths(board.expected_hashrate),
            chips=board.working_chips,
            expected_chips=board.expected_chips,
            board_c=board.board_temperature,
            chip_c=_mean(board.inlet_chip_temperature, board.outlet_chip_temperature),
            serial=board.serial_number,
            frequency_mhz=board.frequency,
            voltage_v=board.voltage,
            tuned=board.tuned,
            active=board.active,
        )
        for board in data.hashboards
    ]
    target = data.tuning_target
    return Reading(
        ip=str(data.ip),
        mac=data.mac,
        serial_number=data.serial_number,
        hostname=data.hostname,
        api_version=data.api_version,
        firmware_version=data.firmware_version,
        control_board=None if data.control_board_version is None else data.control_board_version.name,
        uptime_s=None if data.uptime is None else data.uptime.total_seconds(),
        is_mining=data.is_mining,
        state=None if data.operating_state is None else str(data.operating_state),
        hash_ths=_ths(data.hashrate),
        expected_ths=_ths(data.expected_hashrate),
        boards=boards,
        expected_boards=data.expected_hashboards,
        total_chips=data.total_chips,
        chip_count=sum(len(board.chips) for board in data.hashboards),
        temperature_c=data.average_temperature,
        fluid_c=data.fluid_temperature,
        outlet_fluid_c=data.outlet_fluid_temperature,
        watts=data.wattage,
        limit_w=_power(target),
        efficiency_j_th=data.efficiency,
        fans_rpm=[fan.rpm or 0 for fan in data.fans],
        expected_fans=data.expected_fans,
        psu_fan_rpm=data.psu_fans[0].rpm if data.psu_fans else None,
        pools=[
            PoolSeen(
                _pool_url(pool.url), pool.user, pool.accepted_shares, pool.rejected_shares, pool.active, pool.alive
            )
            for group in data.pools
            for pool in group.pools
        ],
        errors=[message.message for message in data.messages],
        light=data.light_flashing,
        tuning_target=None if target is None else str(target),
        tuning_percent=data.tuning_percent,
        tuning_range=None if data.tuning_capabilities is None else str(data.tuning_capabilities),
        dev_fee=data.devfee_connected,
        best_share=data.best_share,
        session_best_share=data.session_best_share,
    )


def _power(target: Any) -> float | None:
    """Watts of a tuning target that is one of power."""
    return target.watts if isinstance(target, pyasic_rs.TuningTarget.Power) else None
