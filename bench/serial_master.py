"""The bench as the master of a line on which the controller under test is the slave.

Owns the polling: signals of the grid go into the controller's registers, its bits go to outlets of the rig. How values
stand in registers is `bench/serial_map.py`'s, the controller's start and end `bench/attach_serial.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.pdu import ModbusPDU

from bench.config import ConfigError
from bench.facts import LINE_LOST
from bench.serial_map import Outbox, decode, limits
from bench.serial_tables import HEARTBEAT
from bench.watchdog import under_test
from bench.ways import serial_format
from emulator.network import NetworkError
from emulator.wire import MILLISECOND, SECOND, Instant
from firmware_mocks.controllers.drivers import DeviceError, ModbusUnit
from firmware_mocks.controllers.modbus_link import Link

if TYPE_CHECKING:
    from bench.rig import Rig
    from bench.rig_wires import LineTable
    from bench.serial_map import Write
    from bench.serial_tables import ReadTable, SerialSut
    from emulator.grid import Grid
    from emulator.null_modem import NullModem

CONTROLLER = "controller"
"""What the controller is called among the frames of a run."""
_READS: dict[str, Callable[..., Awaitable[ModbusPDU]]] = {
    "coil": ModbusBaseClient.read_coils,
    "discrete-input": ModbusBaseClient.read_discrete_inputs,
    "holding-register": ModbusBaseClient.read_holding_registers,
    "input-register": ModbusBaseClient.read_input_registers,
}
_NO_ANSWER = "No response received"
"""How pymodbus begins to say that its time-out is over."""
_NO_CONNECTION = "no connection"
"""How `ModbusUnit` says that there is no port."""
_WRAP = 0x8000
"""The heartbeat begins anew here, so that every type holds it."""


class _PortGoneError(DeviceError):
    """The bench has no port to ask through: nothing is known of the controller."""


class LineMaster:
    """Asks one slave at each poll: first what is due is written, then its bits are read and the outlets follow.

    A poll ends with the first answer that is not good, and whatever it left out is due at the next one. `tell` takes
    down what happens (kind, reason); `lost` hears when the controller has stopped answering, once. A port that is gone
    is no silence of the controller's: it is taken down as `line_lost`, which voids the run.
    """

    def __init__(
        self, table: SerialSut, line: LineTable, rig: Rig, modem: NullModem, tell: Callable[[str, str], object],
        lost: Callable[[str, Instant], object],
    ) -> None:  # fmt: skip
        self.where = f"unit {table.unit} on line {line.id} ({modem.far}, {line.kind} {serial_format(line).text})"
        self.answers = self.failures = self.turns_missed = 0
        self.problem = "it was not asked yet"
        """Why the last poll failed."""
        self._table, self._rig, self._clock = table, rig, rig.clock
        self._tell, self._lost = tell, lost
        self._silence_ns = serial_format(line).t35_ns
        self._outbox = Outbox(table.write)
        self._applied: dict[str, bool] = {}
        client = AsyncModbusSerialClient(
            modem.near, framer=FramerType(line.kind), baudrate=line.baud, bytesize=line.data_bits,
            parity=line.parity[0].upper(), stopbits=line.stop_bits, timeout=table.timeout * 1e-9, retries=0,
            reconnect_delay=0, trace_packet=self._trace,
        )  # fmt: skip
        self._path = modem.near
        self._unit = ModbusUnit(Link(client, modem.near), table.unit)
        self._came = b""
        self._came_ns: Instant = 0
        self._free_ns: Instant = 0
        """The line has been silent for long enough from then on."""
        self._polling: asyncio.Task[None] | None = None
        self._paused = self._closing = False
        self._good_ns: Instant | None = None
        """When the last good poll ended since the controller was started; None: it has not answered yet."""
        self._silent = self._is_lost = self._is_gone = False
        self._signs: list[asyncio.Future[Instant]] = []

    def check(self, grid: Grid) -> None:
        """Raises ConfigError where a signal of this run does not fit its registers."""
        for number, write in enumerate(self._table.write):
            low, high = limits(write)
            values = [0.0] if write.signal == HEARTBEAT else grid.signals[write.signal].value.tolist()
            for value in (min(values), max(values)):
                if not low <= value <= high:
                    raise ConfigError(
                        f"sut.write[{number}]: {write.signal} of {value:g} in this run does not fit a {write.type} "
                        f"with scale = {write.scale:g}, which holds {low:g} to {high:g}; write another scale, or a "
                        "wider type"
                    )

    # ---- life ------------------------------------------------------------------------------------------------------

    def start(self) -> asyncio.Future[Instant]:
        """Begin to ask, or go on after a pause; done with the instant of the first good poll."""
        sign: asyncio.Future[Instant] = self._clock.loop.create_future()
        self._signs.append(sign)
        self._paused, self._good_ns, self._silent = False, None, False
        self._outbox.forget()
        if self._polling is None:
            self._polling = asyncio.create_task(self._keep_polling(), name="polls of the controller")
        return sign

    def pause(self) -> None:
        """Ask nothing: the controller is off."""
        self._paused = True

    async def close(self) -> None:
        """Stop asking and give the port back. May be called at any time, also twice. Raises what the polls died of."""
        self._closing = True
        for sign in self._signs:
            sign.cancel()
        polling, self._polling = self._polling, None
        try:
            if polling is not None:
                polling.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await polling
        finally:
            self._unit.close()

    async def _keep_polling(self) -> None:
        under_test.set(True)  # what pymodbus logs of the controller's failings is no word of the bench
        start, turn, poll_ns = self._clock.now(), -1, self._table.poll
        while not self._closing:  # Python 3.11's wait_for may lose a cancellation to the reply that comes with it
            # a turn that is missed is left out: asking twice in a row would only shift the next ones
            due = turn + 1
            turn = max(due, -(-(self._clock.now() - start) // poll_ns))
            self.turns_missed += 0 if self._paused else turn - due
            await self._clock.sleep_until(start + turn * poll_ns)
            if self._paused:
                continue
            try:
                await self._poll()
            except _PortGoneError as error:
                self.failures, self.problem = self.failures + 1, str(error)
                if not self._is_gone:
                    self._is_gone = True
                    self._tell(LINE_LOST, f"{self.where}: {error}")
            except DeviceError as error:
                self._failed(str(error))
            else:
                self._answered()

    def _answered(self) -> None:
        self._good_ns = self._clock.now()
        if self._silent:
            self._tell("sut_back", f"{self.where} answers again")
        self._silent = False
        for sign in self._signs:
            if not sign.done():
                sign.set_result(self._good_ns)
        self._signs.clear()

    def _failed(self, reason: str) -> None:
        """A poll went wrong. While the controller is off, or has not answered since, that is no news."""
        if self._paused or self._closing:
            return
        self.failures += 1
        self.problem = reason
        if self._good_ns is None:
            return
        if not self._silent:
            self._silent = True
            self._tell("sut_silent", f"{self.where}: {reason}")
        if not self._is_lost and self._clock.now() - self._good_ns >= self._table.lost_after:
            self._is_lost = True
            self._lost(f"stopped answering as {self.where}: {reason}", self._good_ns)

    # ---- one poll --------------------------------------------------------------------------------------------------

    async def _poll(self) -> None:
        now = self._clock.now()
        for write in self._outbox.due(self._values(now), now):
            await self._write(write)
            self._outbox.acknowledged(write, now)
        for read in self._table.read:
            await self._follow(read)

    def _values(self, now: Instant) -> dict[str, float]:
        """What the rig publishes of the grid, in Hz, per unit, W, messages and USD/MWh."""
        grid = self._rig.published
        return {
            "frequency": grid.frequency_hz(now), "voltage": grid.voltage_pu(now), "dispatch": grid.dispatch_w(now),
            "recall": float(grid.recall(now)), "price": grid.price(now), HEARTBEAT: float(now // SECOND % _WRAP),
        }  # fmt: skip

    async def _write(self, write: Write) -> None:
        """One register by function 6, several by function 16. Raises DeviceError."""
        first, words = write.address, list(write.words)
        last = f" to {first + len(words) - 1}" if len(words) > 1 else ""
        what = f"writing {write.signals} to register{'s' if last else ''} {first}{last}"
        if len(words) == 1:
            await self._ask(what, lambda client, unit: client.write_register(first, words[0], device_id=unit))
        else:
            await self._ask(what, lambda client, unit: client.write_registers(first, words, device_id=unit))

    async def _follow(self, read: ReadTable) -> None:
        """Read the bits of some outlets and switch those that are to move. Raises DeviceError."""
        count, first = read.count, read.address
        what = f"reading {read.table} {first}" + (f" to {first + count - 1}" if count > 1 else "")
        call = _READS[read.table]
        reply = await self._ask(what, lambda client, unit: call(client, first, count=count, device_id=unit))
        try:
            wanted = decode(read, reply.bits or reply.registers)
        except ValueError as error:
            raise DeviceError(f"{what}: {error}") from None
        for outlet, closed in wanted.items():
            await self._command(outlet, closed)

    async def _command(self, outlet: str, closed: bool) -> None:
        before = self._applied.get(outlet)
        if before is closed or (before is None and self._rig.site.outlets[outlet].closed(self._clock.now()) is closed):
            self._applied[outlet] = closed
            return
        try:
            await self._rig.switch(outlet, closed)
        except NetworkError as error:
            self._tell("sut_outlet", str(error))
            return
        self._applied[outlet] = closed
        self._tell("sut_outlet", f"{'closes' if closed else 'opens'} {outlet}")

    async def _ask(
        self, what: str, send: Callable[[ModbusBaseClient, int], Awaitable[ModbusPDU]]
    ) -> Any:  # the shapes of answers differ by function
        await self._clock.sleep_until(self._free_ns)
        self._came = b""
        try:
            reply = await self._unit.ask(send)
        except DeviceError as error:
            if _NO_CONNECTION in str(error):
                raise _PortGoneError(f"{self._path} cannot be opened any more; is the adapter plugged in?") from None
            raise DeviceError(f"{what}: {self._told(str(error))}") from None
        finally:
            self._free_ns = self._clock.now() + self._silence_ns
            if self._came:
                self._rig.traffic.overhear(self._came_ns, CONTROLLER, 0, "in", self._came)
        self.answers += 1
        return reply

    def _told(self, error: str) -> str:
        """What went wrong, in words of the line rather than of the library."""
        if _NO_ANSWER not in error:
            return error.removeprefix(f"{self._unit.name}: ")
        within = f"no answer within {self._table.timeout / MILLISECOND:g} ms"
        return f"{within}, but {len(self._came)} bytes that are none" if self._came else within

    def _trace(self, sending: bool, data: bytes) -> bytes:
        now = self._clock.now()
        if sending:
            self._rig.traffic.overhear(now, CONTROLLER, 0, "out", data)
        else:  # what has come so far of an answer, from its beginning
            self._came, self._came_ns = data, now
        return data
