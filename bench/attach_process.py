"""A controller as a program of its own, in real time.

Owns the process group, its output with bench time stamps, and that nothing of it stays behind; the interface is
`attach.py`'s.
"""

from __future__ import annotations

import asyncio
import contextlib
import difflib
import functools
import os
import re
import secrets
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

from bench.attach import FIRST_REQUEST, Adapter, Context, Readiness, SubprocessSut, at, first_sign, path_from
from bench.config import ConfigError
from bench.inventory import VARIABLE
from emulator.clock import Clock
from emulator.wire import MILLISECOND, SECOND, Instant

MARK = "RAMPRIG_SUT"
"""Environment variable by which processes of a controller are found again after they have left its group."""
MOST_OUTPUT_BYTES = 8 << 20
"""Of each stream; what comes after is read and counted, not kept."""
LONGEST_LINE_BYTES = 1 << 16
_PORT_PERIOD_NS = 50 * MILLISECOND
_HUNTS = 100
_HUNT_PERIOD_NS = 10 * MILLISECOND
_LAST_WORDS_NS = 200 * MILLISECOND
_PLACEHOLDER = re.compile(r"\{(\w+)\}")
_PLACEHOLDERS = ("inventory", "config", "python")


class ProcessAdapter(Adapter):
    """Starts the command in a session of its own, reads its output, and ends its whole group."""

    def __init__(self, table: SubprocessSut, base: Path) -> None:
        super().__init__()
        self._table = table
        self._cwd = path_from(base, table.cwd, "sut.cwd")
        self._config = None if table.config is None else path_from(base, table.config, "sut.config")
        for key, text in _texts(table):
            for name in _PLACEHOLDER.findall(text):
                if name not in _PLACEHOLDERS:
                    near = difflib.get_close_matches(name, _PLACEHOLDERS, n=1)
                    hint = f"did you mean {{{near[0]}}}?" if near else f"known are {', '.join(_PLACEHOLDERS)}"
                    raise ConfigError(f"sut.{key}: {text!r}: unknown placeholder {{{name}}}; {hint}")
                if name == "config" and self._config is None:
                    raise ConfigError(f"sut.{key}: {text!r}: {{config}} needs the key sut.config, the path of a file")
        self._mark = secrets.token_hex(16)
        self._clock: Clock
        self._gone: asyncio.Future[None]
        self._contact: asyncio.Future[object]
        self._exit_fd = -1
        self._process: subprocess.Popen[bytes] | None = None
        self._streams: list[_Stream] = []
        self._notes: list[asyncio.Task[None]] = []
        self._stopping = False

    async def start(self, context: Context) -> None:
        loop = context.clock.loop
        self._clock = context.clock
        self._gone = loop.create_future()
        self._contact = asyncio.ensure_future(context.first_contact())
        try:
            self._process = self._spawn(context)
        except OSError as error:
            self._end(f"controller could not be started: {self._table.command}: {error.strerror}", self._clock.now())
            return
        text = self._table.ready.log if self._table.ready is not None else None
        for name, pipe in (("stdout", self._process.stdout), ("stderr", self._process.stderr)):
            stream = _Stream(name, self._clock, context.folder, text)
            await loop.connect_read_pipe(functools.partial(_same, stream), pipe)
            self._streams.append(stream)
        self._exit_fd = os.pidfd_open(self._process.pid)
        loop.add_reader(self._exit_fd, self._exited)

    def _spawn(self, context: Context) -> subprocess.Popen[bytes]:
        values = {"inventory": str(context.inventory_path), "config": str(self._config), "python": sys.executable}

        def filled(text: str) -> str:
            return _PLACEHOLDER.sub(lambda found: values[found[1]], text)

        given = {VARIABLE: values["inventory"], "PYTHONUNBUFFERED": "1", MARK: self._mark}
        own = {key: filled(value) for key, value in self._table.env.items()}
        return subprocess.Popen(
            [filled(self._table.command), *map(filled, self._table.args)],
            bufsize=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=self._cwd,
            env={**os.environ, **given, **own},
            start_new_session=True,
        )

    async def ready(self, timeout_ns: Instant) -> Readiness:
        if self.exit:
            return Readiness(False, self.exit)
        sign = self._table.ready
        opened: asyncio.Task[None] | None = None
        signs: dict[str, asyncio.Future[Any]] = {FIRST_REQUEST: self._contact}
        if sign is not None and sign.log is not None:
            signs = {f"{sign.log!r} on {stream.name}": stream.seen for stream in self._streams}
        elif sign is not None and sign.port is not None:
            opened = asyncio.create_task(_until_open(self._clock, sign.host, sign.port))
            signs = {f"listener on {sign.host} port {sign.port}": opened}
        try:
            return await first_sign(self._clock, timeout_ns, signs, self, self._gone)
        finally:
            if opened is not None:
                opened.cancel()

    def _exited(self) -> None:
        """The process has ended. It is not reaped yet: its number, and its group's, stay ours until stop()."""
        self._clock.loop.remove_reader(self._exit_fd)
        os.close(self._exit_fd)
        if self._stopping:
            self._gone.set_result(None)
        else:
            self._notes.append(asyncio.create_task(self._take_note(self._clock.now())))

    async def _take_note(self, now: Instant) -> None:
        """Why it ended. What it said last may still be on its way; a grandchild may hold the pipe open for ever."""
        last_words = asyncio.ensure_future(self._clock.sleep(_LAST_WORDS_NS))
        waited: list[asyncio.Future[Any]] = [last_words, asyncio.gather(*(stream.over for stream in self._streams))]
        await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        last_words.cancel()
        self._end(f"controller {self._how()} {at(now)}", now)
        self._gone.set_result(None)

    def _how(self) -> str:
        outcome = None if self._process is None else os.waitid(os.P_PID, self._process.pid, os.WEXITED | os.WNOWAIT)
        if outcome is None:
            return "ended"
        if outcome.si_code == os.CLD_EXITED:
            return f"exited with {outcome.si_status}"
        return f"was ended by {signal.Signals(outcome.si_status).name}"

    def _end(self, reason: str, now: Instant) -> None:
        said = next((stream.last for stream in reversed(self._streams) if stream.last), "")
        self.exit = f"{reason}: {said}" if said else reason
        self.exited_ns = now

    async def stop(self) -> None:
        if self._process is None or self._stopping:
            return
        self._stopping = True
        self._contact.cancel()
        if not self._gone.done():
            _signal_group(self._process.pid, signal.SIGTERM)
            if not (await first_sign(self._clock, self._table.stop_within, {"end": self._gone}, self)).ok:
                self.stubborn = f"ignored SIGTERM for {self._table.stop_within / SECOND:g} s and was killed"
        _signal_group(self._process.pid, signal.SIGKILL)
        await self._gone
        self._process.wait()
        await asyncio.gather(*self._notes)
        for stream in self._streams:
            stream.close()
        for _ in range(_HUNTS):
            if not _kill_marked(self._mark):
                return
            await self._clock.sleep(_HUNT_PERIOD_NS)
        self.stubborn = "left processes behind that cannot be killed"

    def evidence(self) -> dict[str, object]:
        return {
            "kind": "subprocess",
            "command": [self._table.command, *self._table.args],
            "output_bytes": [stream.total for stream in self._streams],
            **super().evidence(),
        }


class _Stream(asyncio.Protocol):
    """One output of the controller, line by line into a file with the instant each line came."""

    def __init__(self, name: str, clock: Clock, folder: Path, awaited: str | None) -> None:
        self.name = name
        self._clock, self._awaited = clock, awaited
        self._file: IO[str] = (folder / f"{name}.log").open("w", encoding="utf-8")
        self._partial = b""
        self.total = 0
        self.last = ""
        """The last line that was not blank."""
        self.seen: asyncio.Future[None] = clock.loop.create_future()
        """Done when the awaited text has been seen."""
        self.over: asyncio.Future[None] = clock.loop.create_future()
        """Done when nobody holds the pipe any more."""
        self._transport: asyncio.BaseTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self.total > MOST_OUTPUT_BYTES:
            self.total += len(data)
            return
        self.total += len(data)
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            self._take(line)
        while len(self._partial) > LONGEST_LINE_BYTES:
            self._take(self._partial[:LONGEST_LINE_BYTES])
            self._partial = self._partial[LONGEST_LINE_BYTES:]
        if self.total > MOST_OUTPUT_BYTES:
            self._take(f"[ramprig keeps {MOST_OUTPUT_BYTES} bytes; the rest is read and thrown away]".encode())
        self._file.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._partial:
            self._take(self._partial)
            self._partial = b""
        if not self.over.done():
            self.over.set_result(None)

    def _take(self, line: bytes) -> None:
        text = line.decode("utf-8", "replace").rstrip("\r")
        self._file.write(f"{self._clock.now() / SECOND:14.6f} {text}\n")
        self.last = text.strip() or self.last
        if self._awaited is not None and self._awaited in text and not self.seen.done():
            self.seen.set_result(None)

    def close(self) -> None:
        """Stop reading; the file is complete."""
        if self._transport is not None:
            self._transport.close()
        self.connection_lost(None)
        self._file.close()


def _same(stream: _Stream) -> _Stream:
    return stream


async def _until_open(clock: Clock, host: str, port: int) -> None:
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await clock.sleep(_PORT_PERIOD_NS)
        else:
            writer.close()
            return


def _signal_group(leader_pid: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(leader_pid, number)


def _kill_marked(mark: str) -> int:
    """Kill every process that carries the mark in its environment, however it left its group; how many there were."""
    needle = f"{MARK}={mark}".encode()
    found = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            environment = (entry / "environ").read_bytes()
        except OSError:  # gone, or somebody else's
            continue
        if needle in environment:
            found += 1
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(entry.name), signal.SIGKILL)
    return found


def _texts(table: SubprocessSut) -> list[tuple[str, str]]:
    numbered = [(f"args[{index}]", text) for index, text in enumerate(table.args)]
    return [("command", table.command), *numbered, *((f"env.{key}", text) for key, text in table.env.items())]
