"""A controller as a program of its own, in real time or in step with virtual time.

Owns when it is started, restarted and ended, and by what it is known ready; the process is `bench/program.py`'s, the
interface `attach.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import shutil
import signal
from typing import TYPE_CHECKING, Any

from bench import templates
from bench.attach import FIRST_REQUEST, Adapter, Context, Readiness, SubprocessSut, at, first_sign, path_from
from bench.config import ConfigError
from bench.inventory import VARIABLE
from bench.lockstep.peer import CHILD, Lockstep
from bench.output import MOST_OUTPUT_BYTES, Output
from bench.program import Program
from bench.signs import until_fine, until_open
from emulator.wire import SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

    from bench.attach import ProgramRestartTable, ReadyTable
    from emulator.clock import Clock

_LONGEST_NS = 10**9 * SECOND
"""Longer than any run."""


class ProcessAdapter(Adapter):
    """Starts the command in a session of its own, reads its output, and ends its whole group."""

    def __init__(
        self, table: SubprocessSut, base: Path, inventory: Callable[[], Mapping[str, Any]] | None = None
    ) -> None:
        super().__init__()
        self._table = table
        self._cwd = path_from(base, table.cwd, "sut.cwd")
        self._config = None if table.config is None else path_from(base, table.config, "sut.config")
        templates.check(_texts(table), self._config is not None, inventory)
        _look_for_program(table, self._cwd)
        self._mark = secrets.token_hex(16)
        self._clock: Clock
        self._context: Context
        self._contact: asyncio.Future[object]
        self._outputs: list[Output] = []
        self._program: Program | None = None
        self._lockstep: Lockstep | None = None
        self._impatience = ""
        self._schedule: asyncio.Task[None] | None = None
        self._restarting: asyncio.Task[None] | None = None
        self._watches: list[asyncio.Task[None]] = []
        self._restarts = 0
        self._ending = False
        self._stopping = asyncio.Event()

    async def start(self, context: Context) -> None:
        self._clock, self._context = context.clock, context
        self._contact = asyncio.ensure_future(context.first_contact())
        awaited = self._table.ready.log if self._table.ready is not None else None
        self._outputs = [Output(name, context.clock, context.folder, awaited) for name in ("stdout", "stderr")]
        if context.clock.mode == "virtual":
            self._lockstep = Lockstep(context.clock, context.patience_ns, self._descriptors, self._out_of_patience)
        await self._launch()
        if self._table.restart:
            self._schedule = asyncio.create_task(self._keep_schedule(), name="restarts of the controller")

    async def _launch(self) -> None:
        """Start a process; one that cannot be started is an outcome."""
        table, context = self._table, self._context
        program = self._program = Program(self._clock, self._outputs, self._mark, self._lockstep)
        program.gone.add_done_callback(lambda _: self._gone(program))
        self._ending = False
        try:
            filled = templates.filler(
                context.inventory_path, self._config, context.folder, context.seed, context.inventory
            )
            given = {
                VARIABLE: str(context.inventory_path), "RAMPRIG_SPEED": f"{self._clock.speed:g}",
                "PYTHONUNBUFFERED": "1",
            }  # fmt: skip
            if self._lockstep is not None:
                paths = filter(None, (os.environ.get("PYTHONPATH"), str(CHILD.parent)))
                given |= {**self._lockstep.environment, "PYTHONPATH": os.pathsep.join(paths)}
            given |= {key: filled(value) for key, value in table.env.items()}
            await program.start([filled(table.command), *map(filled, table.args)], self._cwd, given)
        except (OSError, ValueError) as error:
            told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
            self.exit = f"controller could not be started: {table.command}: {told}"
            self.exited_ns = self._clock.now()

    def _descriptors(self) -> Iterable[int]:
        return () if self._program is None else self._program.descriptors()

    def _out_of_patience(self, reason: str) -> None:
        """It keeps virtual time from moving: it is ended."""
        self._impatience = f"{reason}, {at(self._clock.now())}"
        if self._program is not None:
            self._program.kill()

    def _gone(self, program: Program) -> None:
        """A process has ended: by itself, unless it is being stopped or restarted."""
        if self._ending or self.exit:
            return
        gone_ns = self._clock.now() if program.gone_ns is None else program.gone_ns
        said = next((output.last for output in reversed(self._outputs) if output.last), "")
        reason = self._impatience or f"{program.how} {at(gone_ns)}"
        self.exit = f"controller {reason}: {said}" if said else f"controller {reason}"
        self.exited_ns = gone_ns

    # ---- ready -----------------------------------------------------------------------------------------------------

    async def ready(self, timeout_ns: Instant) -> Readiness:
        found = await self._ready(timeout_ns, self._contact)
        spoke = self._contact.result() if self._contact.done() and not self._contact.cancelled() else None
        if found.ok or not isinstance(spoke, int):
            return found
        return Readiness(False, f"{found.reason}; it spoke to the rig {at(spoke)} already")

    async def _ready(self, timeout_ns: Instant, contact: asyncio.Future[object]) -> Readiness:
        program = self._program
        if program is None or self.exit:
            return Readiness(False, self.exit)
        asking, sign = None, self._table.ready
        signs: dict[str, asyncio.Future[Any]] = {FIRST_REQUEST: contact}
        if sign is not None and sign.log is not None:
            signs = {f"{sign.log!r} on {output.name}": output.seen for output in self._outputs}
        elif sign is not None:
            name, asking = self._asking(sign)
            signs = {name: asking}
        try:
            return await first_sign(self._clock, timeout_ns, signs, self, program.gone)
        finally:
            if asking is not None:
                asking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asking

    def _asking(self, sign: ReadyTable) -> tuple[str, asyncio.Task[None]]:
        if sign.http is not None:
            return f"good answer from {sign.http}", asyncio.create_task(until_fine(self._clock, sign.http))
        assert sign.port is not None  # noqa: S101 - the table holds one sign
        name = f"listener on {sign.host} port {sign.port}"
        return name, asyncio.create_task(until_open(self._clock, sign.host, sign.port))

    # ---- restarts and the end --------------------------------------------------------------------------------------

    async def _keep_schedule(self) -> None:
        for restart in sorted(self._table.restart, key=lambda one: one.at):
            await self._clock.sleep_until(self._context.armed_ns + restart.at)
            if self.exit:
                return
            self._restarting = asyncio.create_task(self._restart(restart), name="a restart of the controller")
            await asyncio.shield(self._restarting)  # one that has begun is carried through

    async def _restart(self, restart: ProgramRestartTable) -> None:
        how = signal.SIGKILL if restart.how == "kill" else signal.SIGTERM
        self._context.tell("sut_restart", f"planned: {how.name} {at(self._clock.now())}")
        await self._end(how)
        stop = asyncio.ensure_future(self._stopping.wait())
        await first_sign(self._clock, restart.down, {"stop": stop}, self)
        stop.cancel()
        if self._stopping.is_set():
            return
        contact = asyncio.ensure_future(self._context.first_contact())
        await self._launch()
        self._restarts += 1
        # whether it is ready again only the record wants to know; the next restart does not wait for it
        self._watches.append(asyncio.create_task(self._tell_ready(contact, self._clock.now())))

    async def _tell_ready(self, contact: asyncio.Future[object], began_ns: Instant) -> None:
        try:
            found = await self._ready(_LONGEST_NS, contact)
        finally:
            contact.cancel()
        if found.ok:
            took_s = (self._clock.now() - began_ns) / SECOND
            self._context.tell("sut_ready_again", f"{found.reason}, {took_s:.3f} s after it was started anew")

    async def _end(self, how: signal.Signals) -> None:
        """End the process; that is no exit of its own."""
        if self._program is None:
            return
        self._ending = True
        within_ns = self._table.stop_within
        took = await self._program.end(how, self._clock.of_wall(within_ns))
        if took.startswith("and"):
            took = f"ignored {how.name} for {within_ns / SECOND:g} s {took}"
        if not self.exit:
            took = self._impatience or took
        self.stubborn = took or self.stubborn

    async def stop(self) -> None:
        if self._stopping.is_set() or not self._outputs:
            return
        self._stopping.set()
        self._contact.cancel()
        for task in filter(None, (self._schedule, *self._watches)):
            task.cancel()
        if self._restarting is not None:
            await self._restarting
        await self._end(signal.SIGTERM)
        for output in self._outputs:
            output.close()
        if self._lockstep is not None:
            self._lockstep.close()

    def notes(self) -> list[str]:
        floods = [
            f"wrote {output.total / 1e6:.1f} MB to {output.name}, of which {MOST_OUTPUT_BYTES / 1e6:.1f} MB are kept"
            for output in self._outputs
            if output.flooded
        ]
        return [*super().notes(), *floods]

    def evidence(self) -> dict[str, object]:
        return {
            "kind": "subprocess",
            "command": [self._table.command, *self._table.args],
            "output_bytes": [output.total for output in self._outputs],
            "restarts": self._restarts,
            **super().evidence(),
        }


def _look_for_program(table: SubprocessSut, cwd: Path) -> None:
    """Raises ConfigError for a command, or a script for Python, that is not there; what cannot be told is let by."""
    command, words = table.command, [word for word in table.args if word != "{lockstep}"]
    if "{" not in command and "/" in command:
        if not (cwd / command).is_file():
            raise ConfigError(f"sut.command: {command!r}: no such program; the path counts from {cwd} (sut.cwd)")
        if not os.access(cwd / command, os.X_OK):
            raise ConfigError(f"sut.command: {command!r} is not executable; chmod +x {cwd / command}")
    elif "{" not in command and "PATH" not in table.env and shutil.which(command) is None:
        raise ConfigError(f"sut.command: {command!r}: no such program on the PATH; install it, or write its path")
    script = words[0] if command == "{python}" and words else ""
    if script.endswith(".py") and "{" not in script and not (cwd / script).is_file():
        raise ConfigError(f"sut.args: {script!r}: no such file; the path counts from {cwd} (sut.cwd)")


def _texts(table: SubprocessSut) -> list[tuple[str, str]]:
    """The keys whose texts may hold placeholders."""
    numbered = [(f"sut.args[{index}]", text) for index, text in enumerate(table.args)]
    named = [(f"sut.env.{key}", text) for key, text in table.env.items()]
    return [("sut.command", table.command), *numbered, *named]
