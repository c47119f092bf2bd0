"""A protection relay at work: it watches the grid by itself, opens its feeder's breaker, and tells of it over Modbus.

Owns elements, trip logic, commands and registers of one relay; the breaker and what hangs behind it are the site's. It
has no timer: it says when it wants to be woken (`wake_ns`), and works out whatever was due when it is asked anything.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeVar

from emulator.modbus.pdu import ExceptionCode, ModbusError, Model, coil_state, pack_bits
from emulator.modbus.registers import Ticks
from emulator.modbus.tcp import PORT, ModbusTcpDevice
from emulator.protection.frequency import FrequencyElement, voltage_there
from emulator.wire import SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from emulator.breaker import Breaker
    from emulator.grid import Grid
    from emulator.protection.product import RelayProduct

Result = TypeVar("Result")

_LOGIC_COMMAND, _RESET_COMMAND = 0x2000, 0x2001
_CLOSE, _OPEN = 0x0001, 0x0002
_RESET_TARGETS, _RESET_SETTINGS, _RESET_COUNTERS, _RESET_ENERGY = 0x0001, 0x0002, 0x0010, 0x0040
_RESERVED_RESETS = 0xFC20
_DIAGNOSTIC = 0x08
_OUT_CLOSE, _OUT_TRIP = 1, 2
_STATUS_ROWS = 62
_JOULES_PER_WH = 3600.0


class Protected(Protocol):
    """A feeder as its relay sees it: what flows at its head, and the breaker."""

    breaker: Breaker

    def power_w(self, at: Instant) -> float:
        """Power, watts."""
        ...

    def energy_j(self, start: Instant, stop: Instant) -> float:
        """Energy over [start, stop], joules."""
        ...

    def voltage_v(self, at: Instant) -> float:
        """Line-to-neutral voltage above the breaker, volts."""
        ...


@dataclass(frozen=True, slots=True)
class ElementSetting:
    """What one frequency element is set to; an element without a setting is off."""

    level_hz: float
    delay_ns: int


@dataclass(frozen=True, slots=True)
class Trip:
    """One trip: when, by what (`81D1`, `remote`), and when the breaker's contacts parted (None: it stood open)."""

    at_ns: Instant
    cause: str
    parts_ns: Instant | None
    picked_up_ns: Instant | None = None
    """When the first of the elements that tripped was picked up; None for a command."""


class FeederRelay(Model):
    """One relay on one feeder. `settings` go to its elements in order; it watches from instant 0.

    Raises ValueError when there are more settings than elements.
    """

    def __init__(
        self, product: RelayProduct, feeder: Protected, grid: Grid, settings: Sequence[ElementSetting], unit: int = 1
    ) -> None:
        if len(settings) > product.elements:
            raise ValueError(f"{product.make} {product.model} has {product.elements} elements, {len(settings)} are set")
        self.product = product
        self.unit = unit
        self.functions = product.functions
        self.trips: list[Trip] = []
        """What it did, in order."""
        self.on_change: Callable[[], None] | None = None
        """Called when `wake_ns` may have changed."""
        self._feeder = feeder
        self._grid = grid
        self._cycle_ns = SECOND / grid.nominal_hz
        self._window_ns = round(product.frequency_cycles * self._cycle_ns)
        self._given = tuple(settings)
        self._elements = [
            FrequencyElement(grid.nominal_hz, self._window_ns, product.default_level_hz, 0, enabled=False)
            for _ in range(product.elements)
        ]
        self._restore(0)
        for element, setting in zip(self._elements, settings, strict=False):
            element.set(0, level_hz=setting.level_hz, delay_ns=setting.delay_ns, enabled=True)
        self._min_trip_ns = product.min_trip_ns
        self._known: Instant = 0
        """Until when the grid has been looked at, where its signals do not say it all."""
        self._stale: Instant | None = 0
        """From when on what is known of the grid is out of date."""
        self._done: Instant = -1
        """Timeouts up to here have been acted on."""
        self._trip_ns: Instant | None = None
        self._targets = 0
        """Elements that tripped since the last reset of targets, one bit each."""
        self._pulses: list[Instant | None] = [None] * product.outputs
        self._counters = dict.fromkeys(("messages", "invalid_address", "illegal_register", "illegal_write"), 0)
        self._energy_since: Instant = 0
        self._ticks = Ticks(product.period_ns)

    def device(self, port: int = PORT) -> ModbusTcpDevice:
        """The relay on TCP."""
        return ModbusTcpDevice({self.unit: self}, self.product.link, port)

    # By itself -------------------------------------------------------------------------------------------------------

    def foresee(self, now: Instant) -> None:
        """The grid's signals are others from `now` on."""
        self._stale = now if self._stale is None else min(self._stale, now)
        self._changed()

    def wake_ns(self) -> Instant | None:
        """When it next has something to do or to look at; None when it has not."""
        self._look(self._known)
        step_ns = self._grid.step_ns
        following = None if step_ns is None else (self._known // step_ns + 1) * step_ns
        dues = (next(element.timeouts(self._done), None) for element in self._elements)
        return min((at for at in (following, *dues) if at is not None), default=None)

    def woken(self, now: Instant) -> None:
        """Do whatever has come due until `now`, each at its own instant."""
        self._look(now)
        while True:
            dues = [(due, n) for n, e in enumerate(self._elements) if (due := next(e.timeouts(self._done), None))]
            if not dues or min(dues)[0] > now:
                return
            at = min(dues)[0]
            self._done = at
            numbers = [number for due, number in dues if due == at]
            for number in numbers:
                self._targets |= 1 << number
            # only a bench that is late itself asks for a trip in the past
            picked_up = min(at - self._elements[number].delay_ns for number in numbers)
            self._trip("+".join(f"81D{number + 1}" for number in numbers), at, now, picked_up)

    def tripping(self, now: Instant) -> bool:
        """Whether TRIP is asserted: for its minimum time, then until the elements dropped out and the breaker opened.

        While it is, the breaker cannot be closed.
        """
        if self._trip_ns is None:
            return False
        at, contacts = self._trip_ns + self._min_trip_ns, self._feeder.breaker.contacts
        while at <= now:
            ends = [element.picked_up.next(at) for element in self._elements if element.timed_out(at)]
            if contacts.at(at):
                ends.append(contacts.next(at))
            if not ends:
                return False
            if None in ends:
                return True
            at = max(end for end in ends if end is not None)
        return True

    def _trip(self, cause: str, at: Instant, now: Instant, picked_up: Instant | None = None) -> None:
        self._trip_ns = at
        open_ns = self._feeder.breaker.spec.open_ns
        self.trips.append(Trip(at, cause, self._feeder.breaker.trip(max(at, now - open_ns)), picked_up))

    def _look(self, now: Instant) -> None:
        """Bring the elements up to date with what is known of the grid at `now`."""
        grid, step_ns = self._grid, self._grid.step_ns
        voltage = grid.signals["voltage"]
        if step_ns is None:
            if self._stale is None:
                return
            start, frequency = self._stale, grid.signals["frequency"]
            stop = max(start, int(frequency.t_ns[-1]), int(voltage.t_ns[-1])) + self._window_ns + 1
        else:
            stop = now // step_ns * step_ns
            start = self._known if self._stale is None else min(self._stale, self._known)
            if stop <= start:
                return
            frequency = grid.frequency_over(start - self._window_ns, stop)
            self._known = stop
        supervised = voltage_there(voltage, self.product.supervision_pu, start, stop)
        for element in self._elements:
            element.look(frequency, supervised, start, stop)
        self._stale = None

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()

    # On command ------------------------------------------------------------------------------------------------------

    def _command(self, word: int, now: Instant) -> None:
        """The logic command register: bit 0 closes the breaker, bit 1 opens it; the others reach no logic here."""
        if word & _OPEN:
            self._trip("remote", now, now)
        elif word & _CLOSE:
            self._close(now)

    def _close(self, now: Instant) -> None:
        """Close the breaker, which does not take it while TRIP is asserted."""
        if not self.tripping(now):
            self._feeder.breaker.close(now)

    def _reset(self, word: int, now: Instant) -> None:
        if word & _RESERVED_RESETS:
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
        if word & _RESET_TARGETS:
            self._targets = 0
        if word & _RESET_SETTINGS:
            self._restore(now)
        if word & _RESET_COUNTERS:
            self._counters = dict.fromkeys(self._counters, 0)
        if word & _RESET_ENERGY:
            self._energy_since = self._ticks.last(now)

    def _restore(self, now: Instant) -> None:
        """Factory settings: every element is off."""
        product = self.product
        for element in self._elements:
            element.set(now, level_hz=product.default_level_hz, delay_ns=product.default_delay_ns, enabled=False)
        self._min_trip_ns = product.min_trip_ns

    def _set(self, quantity: str, word: int, now: Instant) -> None:
        name, _, number = quantity.partition(":")
        if name == "min_trip_s":
            self._min_trip_ns = word * self.product.delay_step_ns
            return
        element = self._elements[int(number) - 1]
        level_hz, delay_ns, enabled = element.level_hz, element.delay_ns, element.enabled
        if name == "level_hz":
            level_hz = word / 100.0
        elif name == "delay_s":
            delay_ns = word * self.product.delay_step_ns
        else:
            enabled = bool(word)
        element.set(now, level_hz=level_hz, delay_ns=delay_ns, enabled=enabled)
        self._done = max(self._done, now - 1)  # what was not over under the old setting is not over under the new one
        self._stale = now if self._stale is None else min(self._stale, now)

    # What the registers read and do (DataModel) ----------------------------------------------------------------------

    def read_coils(self, address: int, count: int, now: Instant) -> bytes:
        """Output contacts that are being pulsed."""

        def states() -> bytes:
            if address + count > self.product.outputs:
                raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
            asked = self._pulses[address : address + count]
            return pack_bits(tuple(at is not None and now < at + self.product.pulse_ns for at in asked))

        return self._served(states, now)

    def read_discrete_inputs(self, address: int, count: int, now: Instant) -> bytes:
        """The relay word: row n is inputs 8 n to 8 n + 7, its bit 0 first."""

        def states() -> bytes:
            if address + count > 8 * _STATUS_ROWS:
                raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
            return pack_bits(tuple(bool(self._row(n // 8, now) >> n % 8 & 1) for n in range(address, address + count)))

        return self._served(states, now)

    def read_holding_registers(self, address: int, count: int, now: Instant) -> bytes:
        """Settings, measured values and states."""

        def words() -> bytes:
            if address + count > self.product.last_register + 1:
                raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
            return self.product.registers.read(address, count, lambda quantity: self.value(quantity, now))

        return self._served(words, now)

    def read_input_registers(self, address: int, count: int, now: Instant) -> bytes:
        """The same registers."""
        return self.read_holding_registers(address, count, now)

    def write_coil(self, address: int, word: int, now: Instant) -> None:
        """Pulse an output contact for a second; OUT102 closes the breaker, OUT103 trips it."""

        def pulse() -> None:
            if address >= self.product.outputs:
                raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
            if not coil_state(word):
                return
            self._pulses[address] = now
            if address == _OUT_TRIP:
                self._feeder.breaker.trip(now)
            elif address == _OUT_CLOSE:
                self._close(now)

        self._served(pulse, now, write=True)

    def write_register(self, address: int, word: int, now: Instant) -> None:
        """Set something, or give a command."""
        self._served(functools.partial(self._write, address, (word,), now), now, write=True)

    def write_registers(self, address: int, words: bytes, now: Instant) -> None:
        """As function 6, several at once: all are checked before the first is taken."""
        asked = tuple(int.from_bytes(words[i : i + 2], "big") for i in range(0, len(words), 2))
        self._served(functools.partial(self._write, address, asked, now), now, write=True)

    def other(self, pdu: bytes, now: Instant) -> bytes:
        """Function 8, subfunction 0: the message comes back."""

        def echo() -> bytes:
            if pdu[0] != _DIAGNOSTIC or len(pdu) != 5 or pdu[1:3] != b"\x00\x00":
                raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
            return pdu

        return self._served(echo, now)

    def _write(self, address: int, words: Sequence[int], now: Instant) -> None:
        if len(words) > self.product.max_write:
            raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
        for at, word in enumerate(words, start=address):
            if at not in (_LOGIC_COMMAND, _RESET_COMMAND):
                low, high = self.product.bounds.get(at, (0, -1))
                if high < low:
                    raise ModbusError(ExceptionCode.ILLEGAL_DATA_ADDRESS)
                if not low <= word <= high:
                    raise ModbusError(ExceptionCode.ILLEGAL_DATA_VALUE)
        for at, word in enumerate(words, start=address):
            row = self.product.registers.row_at(at)
            if at == _LOGIC_COMMAND:
                self._command(word, now)
            elif at == _RESET_COMMAND:
                self._reset(word, now)
            elif row is not None:
                self._set(row.quantity, word, now)
        self._changed()

    def _served(self, answer: Callable[[], Result], now: Instant, *, write: bool = False) -> Result:
        """Answer a request after whatever was due before it, and count it."""
        self.woken(now)
        self._count("messages")
        try:
            return answer()
        except ModbusError as error:
            self._count("invalid_address" if error.code == ExceptionCode.ILLEGAL_DATA_ADDRESS else "illegal_register")
            if write:
                self._count("illegal_write")
            raise

    def _count(self, name: str) -> None:
        self._counters[name] = (self._counters[name] + 1) & 0xFFFF

    # What it shows ---------------------------------------------------------------------------------------------------

    def value(self, quantity: str, now: Instant) -> float:
        """What the relay shows of a quantity of its map (`frequency_hz`, `level_hz:1`) at `now`, not yet encoded."""
        name, _, argument = quantity.partition(":")
        match name:
            case "enabled":
                return float(self._elements[int(argument) - 1].enabled)
            case "level_hz":
                return self._elements[int(argument) - 1].level_hz
            case "delay_s":
                return self._elements[int(argument) - 1].delay_ns / SECOND
            case "min_trip_s":
                return self._min_trip_ns / SECOND
            case "row":
                return float(self._row(int(argument), now))
            case "trip_status_high":
                return float((self._targets & 0b11) << 1)
            case "warn_status_high":
                return float((self._targets >> 2 & 0b11) << 8)
            case "counter":
                return float(self._counters[argument])
        return self._measured(name, float(argument or 0.0), self._ticks.last(now))

    def _row(self, number: int, now: Instant) -> int:
        """One row of the relay word, as far as this relay has elements for it."""
        if number == 0:
            return 0x80 | (0x40 if self.tripping(now) else 0)
        if number == 1:
            return int(self._feeder.breaker.closed(now))
        if number == 11:
            return sum(1 << (7 - n) for n, element in enumerate(self._elements) if element.timed_out(now))
        return 0

    def _measured(self, name: str, argument: float, tick: Instant) -> float:
        factor = self.product.power_factor
        angle_deg = math.degrees(math.acos(factor))
        match name:
            case "frequency_hz":
                start = max(0, tick - self._window_ns)
                return self._grid.mean_frequency_hz(start, tick) if tick > start else self._grid.frequency_hz(0)
            case "voltage_v":
                return self._feeder.voltage_v(max(0, tick))
            case "line_voltage_v":
                return math.sqrt(3.0) * self._feeder.voltage_v(max(0, tick))
            case "angle_deg":
                return argument
            case "energy_in_wh":
                return max(0.0, -self._energy_wh(tick))
            case "energy_out_wh":
                return max(0.0, self._energy_wh(tick))
            case "reactive_energy_out_varh":
                return max(0.0, self._energy_wh(tick)) * math.tan(math.acos(factor))
            case "apparent_energy_vah":
                return abs(self._energy_wh(tick)) / factor
        power_w = self._power_w(tick)
        match name:
            case "power_w":
                return power_w
            case "reactive_var":
                return power_w * math.tan(math.acos(factor))
            case "apparent_va":
                return abs(power_w) / factor
            case "power_factor":
                return factor if power_w else 0.0
            case "current_angle_deg":
                return (argument - angle_deg + 180.0) % 360.0 - 180.0 if power_w else 0.0
        voltage_v = self._feeder.voltage_v(max(0, tick))
        return abs(power_w) / (3.0 * voltage_v * factor) if voltage_v > 0.0 else 0.0

    def _power_w(self, tick: Instant) -> float:
        """Mean over the filter's window before `tick`."""
        start = max(0, tick - round(self.product.power_cycles * self._cycle_ns))
        if tick <= start:
            return self._feeder.power_w(0)
        return self._feeder.energy_j(start, tick) * SECOND / (tick - start)

    def _energy_wh(self, tick: Instant) -> float:
        """Net energy since the start of the run or the last reset; positive towards the load."""
        start = self._energy_since
        return self._feeder.energy_j(start, tick) / _JOULES_PER_WH if tick > start else 0.0
