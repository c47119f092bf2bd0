"""One process of a controller, from its start to its end: its group, its pipes, and how it ended.

Owns that nothing of it stays behind, however its children left its group; why it is started and ended is the adapter's
business (`bench/attach_process.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import os
import select
import signal
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.descriptors import as_given
from bench.output import Output, Pipe
from emulator.wire import MILLISECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from bench.lockstep.peer import Lockstep
    from emulator.clock import Clock

MARK = "RAMPRIG_SUT"
"""Environment variable by which processes of a controller are found again after they have left its group."""
_HUNTS = 100
_HUNT_PERIOD_S = 0.01
_LAST_WORDS_NS = 200 * MILLISECOND


class Program:
    """A process in a session of its own, with `outputs` for its stdout and stderr."""

    def __init__(self, clock: Clock, outputs: Sequence[Output], mark: str, lockstep: Lockstep | None = None) -> None:
        self._clock, self._outputs, self._mark, self._lockstep = clock, outputs, mark, lockstep
        self.gone: asyncio.Future[None] = clock.loop.create_future()
        """Done when it has ended, and its last words have been heard."""
        self.gone_ns: Instant | None = None
        self.how = ""
        """How it ended: code or signal."""
        self._process: subprocess.Popen[bytes] | None = None
        self._exit_fd = -1
        self._pipes: list[Pipe] = []
        self._note: asyncio.Task[None] | None = None

    async def start(self, command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> None:
        """Raises OSError where the command cannot be started, ValueError where a text cannot be handed over."""
        for output in self._outputs:
            output.begin()
        process = self._process = self._spawn(command, cwd, environment)
        as_given(process.pid)
        for output, pipe in zip(self._outputs, (process.stdout, process.stderr), strict=True):
            protocol = Pipe(output)
            self._pipes.append(protocol)
            await self._clock.loop.connect_read_pipe(functools.partial(_same, protocol), pipe)
        if self._lockstep is not None:
            self._lockstep.begin()
        self._exit_fd = os.pidfd_open(process.pid)
        self._clock.loop.add_reader(self._exit_fd, self._exited)

    def _spawn(self, command: Sequence[str], cwd: Path, environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            command,
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=cwd,
            env={**os.environ, **environment, MARK: self._mark},
            start_new_session=True,
        )

    def descriptors(self) -> Iterator[int]:
        """What must be served while it works and the bench waits for it: else it blocks on a full pipe, or is dead."""
        for descriptor in (self._exit_fd, *(pipe.descriptor for pipe in self._pipes)):
            if descriptor >= 0:
                yield descriptor

    def _exited(self) -> None:
        """The process has ended. It is not reaped yet: its number, and its group's, stay ours until end()."""
        self._clock.loop.remove_reader(self._exit_fd)
        os.close(self._exit_fd)
        self._exit_fd = -1
        self.gone_ns = self._clock.now()
        if self._lockstep is not None:
            self._lockstep.gone()
        self._note = asyncio.create_task(self._take_note())

    async def _take_note(self) -> None:
        """How it ended. What it said last may still be on its way; a grandchild may hold the pipe open for ever."""
        last_words = asyncio.ensure_future(self._clock.sleep(self._clock.of_wall(_LAST_WORDS_NS)))
        waited: list[asyncio.Future[Any]] = [last_words, asyncio.gather(*(pipe.over for pipe in self._pipes))]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        last_words.cancel()
        self.how = self._how()
        self.gone.set_result(None)

    def _how(self) -> str:
        outcome = None if self._process is None else os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        if outcome is None:
            return "ended"
        if outcome.si_code == os.CLD_EXITED:
            return f"exited with {outcome.si_status}"
        return f"was ended by {signal.Signals(outcome.si_status).name}"

    def kill(self) -> None:
        """SIGKILL to the whole group, at once."""
        if self._process is not None and self._process.returncode is None:
            _signal_group(self._process.pid, signal.SIGKILL)

    async def end(self, number: signal.Signals, within_ns: Instant) -> str:
        """Ask its group with `number` to end and, where it has not `within_ns` later, end it; leave nothing behind.

        Returns what it took beyond asking, "" for nothing; of one that never started, or was ended, nothing is left.
        """
        if self._process is None or self._process.returncode is not None:
            return ""
        stubborn = ""
        if not self.gone.done() and number != signal.SIGKILL:
            _signal_group(self._process.pid, number)
            timer = asyncio.ensure_future(self._clock.sleep(within_ns))
            await asyncio.wait([self.gone, timer], return_when=asyncio.FIRST_COMPLETED)
            timer.cancel()
            if not self.gone.done():
                stubborn = "and was killed"
        if self._lockstep is not None and self.gone_ns is None:
            self._lockstep.ending()
        _signal_group(self._process.pid, signal.SIGKILL)
        await self.gone
        self._process.wait()
        for pipe in self._pipes:
            pipe.close()
        # in a thread: to look through all processes of a machine takes milliseconds
        if not await self._clock.loop.run_in_executor(None, sweep, self._mark):
            return "left processes behind that cannot be killed"
        return stubborn


def sweep(mark: str) -> bool:
    """Kill whatever carries `mark`, for about a second at most; whether nothing of it is left. Blocks."""
    for _ in range(_HUNTS):
        found = _kill_marked(mark)
        if not found:
            return True
        try:
            select.select(found, [], [], _HUNT_PERIOD_S)
        finally:
            for descriptor in found:
                os.close(descriptor)
    return False


def _same(pipe: Pipe) -> Pipe:
    return pipe


def _signal_group(leader_pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader_pid, number)


def _kill_marked(mark: str) -> list[int]:
    """Kill every process with the mark in its environment, however it left its group; their descriptors."""
    needle = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if needle not in (entry / "environ").read_bytes():
                continue
            descriptor = os.pidfd_open(int(entry.name))
        except OSError:  # gone, or somebody else's
            continue
        found.append(descriptor)
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(descriptor, signal.SIGKILL)
    return found
