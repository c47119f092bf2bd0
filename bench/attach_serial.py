"""A controller on a serial line: an embedded board or a PLC, with an outlet of the rig as its power switch.

Owns its cold start, when it counts as ready, planned losses of its supply, and its end; the line is the rig's, what the
bench asks a controller that is a slave is `bench/serial_master.py`'s.
"""

from __future__ import annotations

import asyncio
import json
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from bench.attach import Adapter, Context, Readiness, at, first_sign
from bench.serial_tables import SerialSut
from bench.ways import serial_format
from emulator.network import NetworkError
from emulator.wire import SECOND, Instant

if TYPE_CHECKING:
    from bench.rig import Rig
    from bench.serial_tables import PowerRestartTable
    from emulator.modbus.serial_bus import SerialBus

FILE = "line.json"
"""In `sut/` of the run folder: what a program opens to get at the line."""
_LONGEST_NS = 10**9 * SECOND
"""Longer than any run."""


class _Role(ABC):
    """The controller on the line, as far as the bench can tell."""

    sign: str
    """By what it is known ready."""

    @abstractmethod
    def start(self) -> asyncio.Future[Instant]:
        """It has been switched on: done with its next sign of life."""

    @abstractmethod
    def pause(self) -> None:
        """It is being switched off."""

    @abstractmethod
    def why_not(self) -> str:
        """What is known of a controller that gave no sign."""

    @abstractmethod
    def evidence(self) -> dict[str, object]:
        """What the run folder keeps of it."""

    async def close(self) -> None:
        """Leave the line."""
        return

    @property
    def answers(self) -> int:
        """How often it answered the bench."""
        return 0


class _Master(_Role):
    """It asks, the devices of the rig on its line answer."""

    def __init__(self, bus: SerialBus, name: str, where: str) -> None:
        self.sign = f"request on line {name}"
        self._bus, self._where = bus, where
        self._waiting: list[asyncio.Future[Instant]] = []
        bus.on_request = self._heard

    def start(self) -> asyncio.Future[Instant]:
        sign: asyncio.Future[Instant] = asyncio.get_running_loop().create_future()
        self._waiting.append(sign)
        return sign

    def pause(self) -> None:
        return

    def _heard(self, now: Instant) -> None:
        for sign in self._waiting:
            if not sign.done():
                sign.set_result(now)
        self._waiting.clear()

    def why_not(self) -> str:
        heard, units = self._bus.hearing, sorted({slave.unit for slave in self._bus.slaves})
        if heard.strangers:
            asked = ", ".join(f"{unit} ({count})" for unit, count in sorted(heard.strangers.items())[:8])
            return f"on {self._where} it asked for unit {asked}; the line has {', '.join(map(str, units))}"
        if heard.characters:
            return (
                f"{heard.characters} characters came on {self._where} and no sound frame among them; compare baud, "
                "parity, stop bits and framing"
            )
        return f"nothing was heard on {self._where}; check its supply, the cable, and A and B"

    def evidence(self) -> dict[str, object]:
        heard = self._bus.hearing
        return {
            "characters": heard.characters,
            "requests": heard.requests,
            "requests_for_others": {str(unit): count for unit, count in sorted(heard.strangers.items())},
            "last_request_ns": heard.last_ns,
        }

    async def close(self) -> None:
        for sign in self._waiting:
            sign.cancel()
        self._bus.on_request = None


class _Slave(_Role):
    """The bench asks, it answers."""

    sign = "answer to a whole poll"

    def __init__(self, table: SerialSut, rig: Rig, context: Context, adapter: SerialAdapter) -> None:
        from bench.serial_master import LineMaster

        modem = rig.wiring.null_modem
        assert modem is not None  # noqa: S101 the rig was built with this line for the bench
        line = next(line for line in rig.file.line if line.id == table.line)
        self._master = LineMaster(table, line, rig, modem, context.tell, adapter.lost)
        self._master.check(rig.published)

    def start(self) -> asyncio.Future[Instant]:
        return self._master.start()

    def pause(self) -> None:
        self._master.pause()

    def why_not(self) -> str:
        return f"{self._master.where} gave no good answer to a whole poll; last, {self._master.problem}"

    async def close(self) -> None:
        await self._master.close()

    @property
    def answers(self) -> int:
        return self._master.answers

    def evidence(self) -> dict[str, object]:
        master = self._master
        return {"answers": master.answers, "polls_failed": master.failures, "polls_missed": master.turns_missed}


class SerialAdapter(Adapter):
    """Gives the controller its supply, if the bench has the switch, and knows it by what it says on its line."""

    def __init__(self, table: SerialSut) -> None:
        super().__init__()
        if table.role == "slave":
            import bench.serial_master  # noqa: F401 pymodbus takes its time, and here no clock runs yet
        self._table = table
        self._context: Context
        self._rig: Rig
        self._role: _Role | None = None
        self._where = ""
        self._sign: asyncio.Future[Instant]
        self._schedule: asyncio.Task[None] | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._watches: list[asyncio.Task[None]] = []
        self._restarts = 0
        self._powered = False
        self._stopping = asyncio.Event()

    @property
    def switching_ns(self) -> Instant:
        return self._table.switching_ns

    async def start(self, context: Context) -> None:
        """Raises ConfigError for a signal that does not fit its register, NetworkError for a supply that cannot be
        switched."""
        if context.rig is None:
            raise RuntimeError("a controller on a serial line needs a rig that is up")
        table, self._context, self._rig = self._table, context, context.rig
        line = next(line for line in self._rig.file.line if line.id == table.line)
        path, form = self._rig.wiring.paths[table.line], serial_format(line)
        self._where = f"line {line.id} ({path}, {line.kind} {form.text})"
        if table.role == "master":
            self._role = _Master(self._rig.wiring.buses[table.line], line.id, self._where)
        else:
            self._role = _Slave(table, self._rig, context, self)
        if table.power is not None:
            if self._rig.site.outlets[table.power].closed(context.clock.now()):
                await self._power(False)
                await context.clock.sleep(table.cold)
            await self._power(True)
        self._sign = self._role.start()
        told = {
            "line": line.id, "path": path, "kind": line.kind, "baud": line.baud, "parity": line.parity,
            "data_bits": line.data_bits, "stop_bits": line.stop_bits, "role": table.role,
            "unit": table.unit if table.role == "slave" else None,
        }  # fmt: skip
        part = context.folder / f"{FILE}.part"  # whoever waits for the file never reads half of it
        part.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
        part.replace(context.folder / FILE)
        if table.restart:
            self._schedule = asyncio.create_task(self._keep_schedule(), name="losses of the controller's supply")

    async def ready(self, timeout_ns: Instant) -> Readiness:
        role = self._role
        if role is None:
            return Readiness(False, "it was never started")
        limit_ns = timeout_ns if self._table.ready_within is None else min(timeout_ns, self._table.ready_within)
        found = await first_sign(self._context.clock, limit_ns, {role.sign: self._sign}, self)
        return found if found.ok else Readiness(False, f"{found.reason}: {role.why_not()}")

    def lost(self, reason: str, since: Instant) -> None:
        """It has stopped answering since an instant."""
        if not self.exit:
            self.exit = f"controller {reason}; its last good answer came {at(since)}"
            self.exited_ns = since

    # ---- its supply ------------------------------------------------------------------------------------------------

    async def _power(self, closed: bool) -> None:
        """Raises NetworkError where the outlet, a real one, does not obey."""
        outlet = self._table.power
        assert outlet is not None  # noqa: S101 the table holds one where there is something to switch
        await self._rig.switch(outlet, closed)
        self._powered = closed
        self._context.tell("sut_power", f"{outlet} is switched {'on' if closed else 'off'}")

    async def _keep_schedule(self) -> None:
        for restart in sorted(self._table.restart, key=lambda one: one.at):
            await self._context.clock.sleep_until(self._context.armed_ns + restart.at)
            if self.exit:
                return
            self._restarting = asyncio.create_task(self._restart(restart), name="a loss of the controller's supply")
            await asyncio.shield(self._restarting)  # one that has begun is carried through

    async def _restart(self, restart: PowerRestartTable) -> None:
        role, clock = self._role, self._context.clock
        assert role is not None  # noqa: S101 there is a schedule only after the start
        self._context.tell("sut_restart", f"planned: supply off for {restart.down / SECOND:g} s {at(clock.now())}")
        role.pause()
        try:
            await self._power(False)
            stop = asyncio.ensure_future(self._stopping.wait())
            await first_sign(clock, restart.down, {"stop": stop}, self)
            stop.cancel()
            if self._stopping.is_set():
                return
            await self._power(True)
        except NetworkError as error:
            self.stubborn = f"could not be restarted: {error}"
        sign = role.start()
        self._restarts += 1
        # what came of it is taken down; the next restart does not wait for it
        self._watches.append(asyncio.create_task(self._tell_ready(role, sign, clock.now())))

    async def _tell_ready(self, role: _Role, sign: asyncio.Future[Instant], began_ns: Instant) -> None:
        limit_ns, clock = self._table.ready_within, self._context.clock
        found = await first_sign(clock, _LONGEST_NS if limit_ns is None else limit_ns, {role.sign: sign}, self)
        if found.ok:
            took_s = (clock.now() - began_ns) / SECOND
            self._context.tell("sut_ready_again", f"{found.reason}, {took_s:.3f} s after it was switched on")
        elif not self.exit:
            self.exit = f"controller did not come back after its supply had: {role.why_not()}"
            self.exited_ns = began_ns

    # ---- the end ---------------------------------------------------------------------------------------------------

    async def stop(self) -> None:
        if self._stopping.is_set() or self._role is None:
            return
        self._stopping.set()
        for task in filter(None, (self._schedule, *self._watches)):
            task.cancel()
        if self._restarting is not None:
            await self._restarting
        self._role.pause()
        await self._role.close()
        if self._powered:
            try:
                await self._power(False)
            except NetworkError as error:
                self.stubborn = f"was not switched off at the end: {error}"

    @property
    def contacts(self) -> dict[str, int]:
        answers = 0 if self._role is None else self._role.answers
        return {"answers": answers} if answers else {}

    def evidence(self) -> dict[str, object]:
        table = self._table
        return {
            "kind": "serial", "role": table.role, "line": self._where, "power": table.power,
            "restarts": self._restarts, **({} if self._role is None else self._role.evidence()), **super().evidence(),
        }  # fmt: skip
