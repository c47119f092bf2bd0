"""Real devices in the slots of a rig: meters are read and relays are watched over TCP or a serial port.

Owns links, polling and time stamps, in real time only; what a sample is worth is `bench/real_samples.py`'s, what the
controller does to these devices is its own business.
"""

from __future__ import annotations

import asyncio
import math
from typing import TYPE_CHECKING, Any, Protocol

from bench.real_samples import Samples, Slot
from bench.ways import spoken
from emulator.meters.reading import POWER, MeterReading
from emulator.network import NetworkError
from firmware_mocks.controllers.drivers import DeviceError, ModbusUnit
from firmware_mocks.controllers.modbus_link import Links

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from bench.places import MeterPlace, PduPlace
    from bench.rig_wires import RealTable
    from bench.ways import Way
    from emulator.clock import Clock
    from emulator.site import OutletPort
    from emulator.wire import Instant

    Hook = Callable[[Instant, str, dict[str, Any]], None]


class _Polled(Protocol):
    """A real device as its poller sees it."""

    slot: Slot

    async def poll(self) -> None:
        """Read it once and take down what it says. Raises DeviceError."""
        ...


class RealSlots:
    """All real devices of one rig. `on_event` hears (instant, kind, data): `outlet`, `real_silent`, `real_back`.

    A device that does not answer when the rig opens is an error of the rig; one that falls silent later leaves a gap in
    its samples, and is asked again at every poll.
    """

    def __init__(self, clock: Clock) -> None:
        self.on_event: Hook | None = None
        self.samples = Samples()
        self._clock = clock
        self._links: dict[str, Links] = {}
        self._polled: list[_Polled] = []
        self._units: list[ModbusUnit] = []
        self._coils: dict[str, tuple[ModbusUnit, int]] = {}
        """Outlet -> its PDU, and the coil of its relay."""
        self._tasks: list[asyncio.Task[None]] = []
        self._closing = False

    def add_meter(self, place: MeterPlace, table: RealTable) -> None:
        """Read a meter: power, and the frequency where it shows it."""
        reading = MeterReading(place.product, place.unit, place.base, place.settings, place.refresh)
        refresh = reading.power_refresh
        slot = Slot(
            id=place.id,
            product=place.product.id,
            way=_shown(place.way),
            measures=place.measures,
            poll_ns=table.poll,
            lag_ns=(refresh.period_ns + refresh.window_ns) // 2 if table.lag is None else table.lag,
            tolerance_ns=refresh.period_ns // 2 if table.lag_tolerance is None else table.lag_tolerance,
            window_ns=refresh.window_ns,
            limit=place.product.accuracy.power_limit,
            quantum_w=reading.power_quantum_w,
        )
        self._add(_RealMeter(slot, reading, self._unit(place.way, table), self))

    def add_pdu(self, place: PduPlace, table: RealTable, outlets: Sequence[OutletPort]) -> None:
        """Watch the relays of a PDU; what the rig has behind `outlets` follows them."""
        slot = Slot(place.id, place.product.id, _shown(place.way), "", table.poll, 0, 0, 0, 0.0, 0.0)
        unit, first = self._unit(place.way, table), place.product.coils.first_output
        self._add(_RealPdu(slot, first, outlets, unit, self))
        self._coils |= {outlet.id: (unit, first + index) for index, outlet in enumerate(outlets)}

    @property
    def tail_ns(self) -> int:
        """How long after an instant the last sample of it has come, if every device answers."""
        return max((polled.slot.lag_ns + 2 * polled.slot.poll_ns for polled in self._polled), default=0)

    @property
    def switching_ns(self) -> int:
        """How much later than a real relay what hangs behind it in the rig may move; 0 without real PDUs."""
        return max((polled.slot.poll_ns for polled in self._polled if not polled.slot.measures), default=0)

    async def open(self) -> None:
        """Read every device once, then go on polling. Raises NetworkError for one that does not answer."""
        if self._polled and self._clock.mode != "real":
            raise NetworkError(f"{self._polled[0].slot.id} is a real device; it needs real time")
        try:
            for polled in self._polled:
                try:
                    await polled.poll()
                except DeviceError as error:
                    slot = polled.slot
                    raise NetworkError(
                        f"{slot.id}: the real {slot.product} at {slot.way} does not answer: {error}; check its power, "
                        "its cable, and address, port, unit and serial settings in the rig"
                    ) from None
        except BaseException:
            await self.close()
            raise
        self._tasks = [asyncio.create_task(self._keep_polling(polled)) for polled in self._polled]

    async def switch(self, outlet: str, closed: bool) -> None:
        """Switch an outlet of a real PDU for the bench. Raises NetworkError where the PDU does not take it."""
        unit, coil = self._coils[outlet]
        try:
            await unit.ask(lambda client, number: client.write_coil(coil, closed, device_id=number))
        except DeviceError as error:
            wanted = "on" if closed else "off"
            raise NetworkError(f"{outlet}: the real PDU did not switch it {wanted}: {error}") from None

    async def close(self) -> None:
        """Stop polling and give ports and connections back. Raises what a poller has died of."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        ended = await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks = []
        for unit in self._units:
            unit.close()
        for result in ended:
            if isinstance(result, Exception):
                raise result

    def heard(self, kind: str, **data: Any) -> None:
        """Tell whoever listens."""
        if self.on_event is not None:
            self.on_event(self._clock.now(), kind, data)

    def now(self) -> Instant:
        """The present instant."""
        return self._clock.now()

    async def _keep_polling(self, polled: _Polled) -> None:
        slot, silent = polled.slot, False
        start, turn = self._clock.now(), 0
        while not self._closing:  # Python 3.11's wait_for may lose a cancellation to the reply that comes with it
            # a turn that is missed is left out: asking twice in a row would only shift the next ones
            turn = max(turn + 1, (self._clock.now() - start) // slot.poll_ns)
            await self._clock.sleep_until(start + turn * slot.poll_ns)
            try:
                await polled.poll()
            except DeviceError as error:
                if not silent:
                    self.heard("real_silent", device=slot.id, reason=str(error))
                silent = True
                continue
            if silent:
                self.heard("real_back", device=slot.id)
            silent = False

    def _add(self, polled: _Polled) -> None:
        self._polled.append(polled)
        self.samples.slots[polled.slot.id] = polled.slot

    def _unit(self, way: Way, table: RealTable) -> ModbusUnit:
        """The device on its link; those on one serial port share it."""
        timeout_s = table.timeout * 1e-9
        links = self._links.setdefault(way.bus or f"{timeout_s:g} s", Links(timeout_s))
        unit = ModbusUnit(links.to(_entry(way, table)), way.unit)
        self._units.append(unit)
        return unit


class _RealMeter:
    def __init__(self, slot: Slot, reading: MeterReading, unit: ModbusUnit, slots: RealSlots) -> None:
        self.slot = slot
        self._reading, self._unit, self._slots = reading, unit, slots

    async def poll(self) -> None:
        sent = self._slots.now()
        replies = [await self._unit.registers(one.function, one.address, one.count) for one in self._reading.requests]
        received = self._slots.now()
        values = self._reading.values(replies)
        if not math.isfinite(values[POWER]):
            raise DeviceError(f"{self._unit.name}: it shows no power")
        for quantity, value in values.items():
            if math.isfinite(value):
                self._slots.samples.add(self.slot.id, quantity, value, sent, received)


class _RealPdu:
    def __init__(
        self, slot: Slot, first: int, outlets: Sequence[OutletPort], unit: ModbusUnit, slots: RealSlots
    ) -> None:
        self.slot = slot
        self._first, self._outlets, self._unit, self._slots = first, outlets, unit, slots
        self._states: tuple[bool, ...] = ()

    async def poll(self) -> None:
        count, sent = len(self._outlets), self._slots.now()
        reply = await self._unit.ask(lambda client, unit: client.read_coils(self._first, count=count, device_id=unit))
        received = self._slots.now()
        states = tuple(reply.bits[:count])
        if len(states) != count:
            raise DeviceError(f"{self._unit.name}: {len(states)} relays came, {count} were asked for")
        before = self._states or (None,) * count
        for outlet, was, state in zip(self._outlets, before, states, strict=True):
            if state == was:
                continue
            self._slots.samples.add(outlet.id, "closed", float(state), sent, received)
            if outlet.closed(received) != state:
                outlet.switch(state, received)
            if was is not None or not state:
                self._slots.heard("outlet", outlet=outlet.id, closed=state, sent_ns=sent, received_ns=received)
        self._states = states


def _shown(way: Way) -> str:
    where, how = spoken(way, {})
    return f"{where}, {how}" if way.serial else f"{where}:{way.port} ({way.transport}, unit {way.unit})"


def _entry(way: Way, table: RealTable) -> dict[str, Any]:
    """The device as an entry of an inventory, which is what links are made from."""
    line = {
        "path": way.bus,
        "baud": table.baud,
        "parity": table.parity,
        "data_bits": table.data_bits,
        "stop_bits": table.stop_bits,
    }
    return {
        "transport": way.transport,
        "address": way.address,
        "port": way.port,
        "line": line if way.serial else None,
    }
