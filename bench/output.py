"""What a program under test says: line by line into a file, each with the instant it came.

Owns the file, its bounds and the text that is waited for; the pipe it comes through ends with the process, the file
lives as long as the run.
"""

from __future__ import annotations

import asyncio
from typing import IO, TYPE_CHECKING

from emulator.wire import SECOND

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.clock import Clock

MOST_OUTPUT_BYTES = 8 << 20
"""Of each stream; what comes after is read and counted, not kept."""
LONGEST_LINE_BYTES = 1 << 16


class Output:
    """One stream of the controller, over all its starts, in `NAME.log`."""

    def __init__(self, name: str, clock: Clock, folder: Path, awaited: str | None) -> None:
        self.name = name
        self._clock, self._awaited = clock, awaited
        self._file: IO[str] = (folder / f"{name}.log").open("w", encoding="utf-8")
        self.total = 0
        """Bytes that have come, kept or not."""
        self.last = ""
        """The last line that was not blank."""
        self.seen: asyncio.Future[None]
        """Done when the awaited text has been seen since the last start."""
        self.begin()

    def begin(self) -> None:
        """A process starts: its last words and its sign of readiness are still to come."""
        self.last = ""
        self.seen = self._clock.loop.create_future()

    @property
    def flooded(self) -> bool:
        """Whether more came than is kept."""
        return self.total > MOST_OUTPUT_BYTES

    def take(self, line: bytes) -> None:
        """Keep one line."""
        text = line.decode("utf-8", "replace").rstrip("\r")
        self._file.write(f"{self._clock.now() / SECOND:14.6f} {text}\n")
        self.last = text.strip() or self.last
        if self._awaited is not None and self._awaited in text and not self.seen.done():
            self.seen.set_result(None)

    def flush(self) -> None:
        """What was taken can be read in the file."""
        self._file.flush()

    def close(self) -> None:
        """The file is complete."""
        self._file.close()


class Pipe(asyncio.Protocol):
    """The pipe of one process into an output."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._partial = b""
        self._transport: asyncio.ReadTransport | None = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when nobody holds the pipe any more."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.ReadTransport)  # noqa: S101 - a pipe that is read
        self._transport = transport

    @property
    def descriptor(self) -> int:
        """The pipe's end here, -1 when it is closed."""
        pipe = None if self._transport is None else self._transport.get_extra_info("pipe")
        return -1 if pipe is None or pipe.closed else int(pipe.fileno())

    def data_received(self, data: bytes) -> None:
        output = self._output
        flooded = output.flooded
        output.total += len(data)
        if flooded:
            return
        *lines, self._partial = (self._partial + data).split(b"\n")
        for line in lines:
            output.take(line)
        while len(self._partial) > LONGEST_LINE_BYTES:
            output.take(self._partial[:LONGEST_LINE_BYTES])
            self._partial = self._partial[LONGEST_LINE_BYTES:]
        if output.flooded:
            output.take(f"[ramprig keeps {MOST_OUTPUT_BYTES} bytes; the rest is read and thrown away]".encode())
        output.flush()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._partial:
            self._output.take(self._partial)
            self._partial = b""
        if not self.over.done():
            self.over.set_result(None)

    def close(self) -> None:
        """Stop reading."""
        if self._transport is not None:
            self._transport.close()
        self.connection_lost(None)
