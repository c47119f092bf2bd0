"""What faults do to replies: each a function from the bytes of a reply to other bytes, or to none.

Owns the functions and the one stage that applies them; which reply meets which fault is `emulator/faulty_link.py`'s.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from http import HTTPStatus
from importlib.resources import files
from typing import Any

from emulator import misread
from emulator.envelope import opened, page
from emulator.faults import Dice, Fault
from emulator.misframe import misframed_reply
from emulator.modbus.frames import Framing
from emulator.wire import Close


@dataclass(slots=True)
class Occasion:
    """One reply that meets a fault. `seen` belongs to the fault at this device, `held` to it on this connection."""

    fault: Fault
    dice: Dice
    names: tuple[str, ...]
    seen: dict[str, Any]
    held: dict[str, bytes]
    framing: Framing | None = None
    """How the device frames Modbus; None for another protocol."""
    request: bytes = b""
    """What was asked, as far as it is looked at."""


Edit = Callable[[Occasion, bytes], bytes | Close | None]
"""What comes in the place of a reply: other bytes (none for no reply), an end, or None: neither reply nor end, ever."""


def truncate(occasion: Occasion, data: bytes) -> bytes:
    """The first part of the bytes, whatever they are."""
    return data[: int(len(data) * occasion.fault.number("keep"))]


def garbage(occasion: Occasion, data: bytes) -> bytes:
    """As many random bytes."""
    return occasion.dice.data(len(data))


def late_reply(occasion: Occasion, data: bytes) -> bytes:
    """The reply to the request before."""
    held = occasion.held.get("reply", b"")
    occasion.held["reply"] = data
    return held


# ---- text ------------------------------------------------------------------------------------------------------------


@cache
def malformations() -> Mapping[str, Mapping[str, Any]]:
    """Every damage by name, from its file."""
    return tomllib.loads((files(__package__) / "malformations.toml").read_text(encoding="utf-8"))


def malformed(occasion: Occasion, data: bytes) -> bytes:
    """JSON text with a damage; everything else as it is."""
    envelope, how = opened(data), malformations()[str(occasion.fault.text("how"))]
    if envelope is None or not envelope.body.lstrip().startswith((b"{", b"[")):
        return data
    body = damaged(envelope.body, str(occasion.fault.text("how")), occasion.dice)
    return envelope.sealed(body, length=how.get("length", 0), bare=how.get("bare", False))


def damaged(body: bytes, name: str, dice: Dice) -> bytes:
    """A text with the damage `name` of the file, as far as it is one of the text itself."""
    how = malformations()[name]
    if "find" in how:
        body = _damaged(body.decode("utf-8", "surrogateescape"), how, dice).encode("utf-8", "surrogateescape")
    return body[: int(len(body) * how.get("keep", 1.0))]


def _damaged(text: str, how: Mapping[str, Any], dice: Dice) -> str:
    matches = list(re.finditer(how["find"], text))
    if matches and how["hits"] != "all":
        index = {"first": 0, "last": -1, "one": None}[how["hits"]]
        matches = [matches[int(dice.share() * len(matches)) if index is None else index]]
    pieces, done = [], 0
    for found in matches:
        pieces += [text[done : found.start()], found.expand(how["put"])]
        done = found.end()
    return "".join([*pieces, text[done:]])


def misreads(occasion: Occasion, data: bytes) -> bytes:
    """The same reply with wrong values."""
    envelope = opened(data)
    if envelope is None:
        return data
    text = envelope.body.decode("utf-8", "surrogateescape")
    wrong = misread.misread(text, occasion.fault, occasion.names, occasion.seen.setdefault("values", {}))
    return data if wrong == text else envelope.sealed(wrong.encode("utf-8", "surrogateescape"))


def note_values(occasion: Occasion, data: bytes) -> None:
    """Keep what will be frozen."""
    envelope = opened(data) if occasion.fault.text("how") == "freeze" else None
    if envelope is not None:
        text = envelope.body.decode("utf-8", "surrogateescape")
        misread.note(text, occasion.fault, occasion.names, occasion.seen.setdefault("values", {}))


# ---- whole replies ---------------------------------------------------------------------------------------------------

_BODIES = {
    "html": b"<html><head><title>Error</title></head><body><h1>Error</h1></body></html>\n",
    "empty": b"",
    "connect_failed": b"Socket connect failed: Connection refused\n",  # S: pyasic rpc/base.py knows these words
}
_CONTENT_TYPE = re.compile(rb"(?im)^(content-type:[ \t]*)[^\r\n]*")


def other_body(occasion: Occasion, data: bytes) -> bytes:
    """Another text in the same envelope. What HTTP refuses or redirects stays as it is."""
    envelope, choice = opened(data), str(occasion.fault.text("body"))
    if envelope is None or envelope.status >= 300:
        return data
    body = _BODIES[choice] if choice in _BODIES else str(occasion.fault.text("text")).encode()
    sent = envelope.sealed(body, bare=choice in _BODIES)
    return _CONTENT_TYPE.sub(rb"\1text/html", sent, count=1) if envelope.status and choice == "html" else sent


def http_status(occasion: Occasion, data: bytes) -> bytes:
    """The page of a status; with 401 the challenge that the device gave last, if it gives any."""
    envelope, status = opened(data), occasion.fault.nanoseconds("status")
    note_challenge(occasion, data)
    if envelope is None or envelope.status in (0, status):
        return data
    challenge = occasion.seen.get("challenge", b"")
    headers = [("WWW-Authenticate", challenge)] if status == HTTPStatus.UNAUTHORIZED and challenge else []
    known = {entry.value: entry.phrase for entry in HTTPStatus}
    return page(status, known.get(status, "Error"), headers)


def note_challenge(occasion: Occasion, data: bytes) -> None:
    """Keep the last challenge."""
    envelope = opened(data)
    if envelope is not None and envelope.status == HTTPStatus.UNAUTHORIZED:
        occasion.seen["challenge"] = envelope.field("WWW-Authenticate")


def api_error(occasion: Occasion, data: bytes) -> bytes:
    """An error in the form in which the device has written its reply."""
    envelope = opened(data)
    if envelope is None or envelope.status:
        return data
    try:
        tree = json.loads(envelope.body)
    except ValueError:
        return data
    while isinstance(tree, dict) and "STATUS" not in tree and any(isinstance(slot, list) for slot in tree.values()):
        tree = next((slot[0] for slot in tree.values() if isinstance(slot, list) and slot), None)  # joined
    if not isinstance(tree, dict) or "STATUS" not in tree:
        return data
    listed = isinstance(tree["STATUS"], list) and tree["STATUS"] and isinstance(tree["STATUS"][0], dict)
    said = tree["STATUS"][0] if listed else tree
    error = {key: said[key] for key in ("When", "Description") if key in said}
    error = {"STATUS": "E", **error, "Code": occasion.fault.nanoseconds("code"), "Msg": occasion.fault.text("msg")}
    return envelope.sealed(json.dumps({"STATUS": [error], "id": 1} if listed else error).encode())


def misframed(occasion: Occasion, data: bytes) -> bytes:
    """A Modbus frame with a damage; everything else as it is."""
    if occasion.framing is None:
        return data
    return misframed_reply(data, occasion.framing, str(occasion.fault.text("how")), occasion.request, occasion.dice)


EDITS: dict[str, Edit] = {
    "drop": lambda _occasion, _data: b"",
    "no_answer": lambda _occasion, _data: None,
    "hang_up": lambda _occasion, _data: Close(),
    "truncate": truncate,
    "garbage": garbage,
    "late_reply": late_reply,
    "malformed": malformed,
    "misread": misreads,
    "other_body": other_body,
    "http_status": http_status,
    "api_error": api_error,
    "misframed": misframed,
}
"""Kinds that turn each reply they hit into another; a new one is a function and a line here."""

NOTES: dict[str, Callable[[Occasion, bytes], None]] = {"misread": note_values, "http_status": note_challenge}
"""What a kind looks at while it does not strike, for the time when it does."""
