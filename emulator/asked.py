"""What a request asks for, told from its bytes alone: the names and numbers by which faults pick the requests they hit.

Knows the outsides of the protocols miners speak (HTTP, JSON and text commands) and the frames of Modbus; what a request
means is the device's.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase

from emulator.faults import KINDS, Fault
from emulator.modbus.frames import Frame, Framing, opened

_HTTP = re.compile(rb"(?:\A|\n)([A-Z]{3,8}) (\S{1,512}) HTTP/\d")
_COMMAND = re.compile(rb'"(?:command|cmd|method)"\s*:\s*"([^"]{1,256})"')
_PARAMETER = re.compile(rb'"parameter"\s*:\s*"?([^"}]{1,256})')
_TEXT = re.compile(rb"\s*([A-Za-z][\w+-]{0,63})(?:\|([^\x00\r\n]{0,256}))?[\s|\x00]*\Z")
_SIGNED = re.compile(rb"(?i)\nauthorization:")
_ENVELOPE = re.compile(rb'"enc"\s*:\s*1\b')

MOST_BYTES = 8192
"""As much of a request as is looked at."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `names` are those of text protocols, `frame` is there for Modbus."""

    data: bytes = b""
    names: tuple[str, ...] = ()
    frame: Frame | None = None

    @classmethod
    def of(cls, data: bytes, framing: Framing | None) -> Asked:
        """A request to a device that speaks Modbus in this framing, or something else (None)."""
        return cls(data, names_of(data)) if framing is None else cls(data, (), opened(data, framing))


NOTHING = Asked()
"""What was asked where a device speaks by itself."""


def is_meant(fault: Fault, asked: Asked) -> bool:
    """Whether the fault's `requests`, `functions`, `registers` and `units` let it hit this request."""
    if fault.lets_by("requests", asked.names):
        return False
    parameters, frame = KINDS[fault.kind].parameters, asked.frame
    for name in ("functions", "units", "registers"):
        wanted = fault.spans(name) if name in parameters else ()
        if wanted and (frame is None or not _touches(wanted, _numbers(frame, name))):
            return False
    return True


def _numbers(frame: Frame, name: str) -> Iterable[range]:
    if name == "registers":
        return frame.touched
    number = frame.function if name == "functions" else frame.unit
    return (range(number, number + 1),)


def _touches(wanted: Iterable[range], touched: Iterable[range]) -> bool:
    return any(a.start < b.stop and b.start < a.stop for a in wanted for b in touched)


def names_of(data: bytes) -> tuple[str, ...]:
    """All names of the requests in `data`, none where it is in no protocol known here.

    HTTP: path, and method with path (`POST/cgi-bin/blink.cgi`), with `signed:` before it where it carries credentials,
    so that a challenge can be told from what follows it. A command (keys `command`, `cmd`, `method`, or text):
    its name, the parts of a joined one, and name|parameter (`curtail|sid,sleep`). An encrypted WhatsMiner write: `enc`.
    A blank is `_`.
    """
    data = data[:MOST_BYTES]
    names: list[str] = []
    for method, target in _HTTP.findall(data):
        path = target.partition(b"?")[0]
        names += [_plain(path), _plain(method + path)]
        if _SIGNED.search(data):
            names.append(_plain(b"signed:" + method + path))
    commands = _COMMAND.findall(data)
    parameter = _PARAMETER.search(data)
    said = parameter[1] if parameter else b""
    text = _TEXT.match(data)
    if text and not names:
        commands, said = [text[1]], text[2] or b""
    for command in commands:
        names += [_plain(command), *(_plain(part) for part in command.split(b"+") if b"+" in command)]
        if said:
            names.append(_plain(command + b"|" + said))
    if _ENVELOPE.search(data):
        names.append("enc")
    return tuple(filter(None, names))


def page_of(names: tuple[str, ...]) -> str:
    """The path among the names of an HTTP request; empty for another one."""
    return next((name for name in names if name.startswith("/")), "")


def named(name: str, globs: tuple[str, ...]) -> bool:
    """Whether one of the globs matches `name`, a blank being `_`."""
    return any(fnmatchcase(name, glob) for glob in globs)


def _plain(raw: bytes) -> str:
    return "_".join(raw.decode("latin-1").split())
