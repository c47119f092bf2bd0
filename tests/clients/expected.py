"""What is expected of each client on each face: the rows of `expected.toml`, checked.

Owns reading the file and the words for a face that is missing from it; the measurement is `trials.py`'s.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from emulator import catalogue
from firmware_mocks import miners
from tests.clients.client import Client
from tests.clients.trials import Findings, capabilities
from tests.clients.verdict import Verdict

FILE = Path(__file__).with_name("expected.toml")
STRAY = 0.05
"""The farthest a reading may lie outside of what was true within five mean delays, as a share of the step."""
_FACE = ("model", "scatter", "follows")
_FOLLOWS = ("watts_s", "hash_s", "stray", "why")
_ROW = ("shows", "models", "cannot", "differs", "notes")


class ExpectedError(ValueError):
    """A row that cannot be used; names file, key and remedy."""


@dataclass(frozen=True, slots=True)
class Row:
    """One client on one firmware."""

    make: str
    firmware: str
    models: Mapping[str, str]
    cannot: frozenset[str]
    differs: Mapping[str, str]
    notes: Mapping[str, str]

    def verdict(self, capability: str) -> Verdict:
        """What is expected of one capability."""
        if capability in self.differs:
            return Verdict.DIFFERS
        return Verdict.CANNOT if capability in self.cannot else Verdict.WORKS

    def reason(self, capability: str) -> str:
        """Why it is so; empty where it works, or goes without saying."""
        return self.differs.get(capability, "") or self.notes.get(capability, "")


@dataclass(frozen=True, slots=True)
class Face:
    """One firmware: the model that stands for it, how readings follow, and what each client makes of it."""

    firmware: str
    model: str
    scatter: float
    watts_s: float | None
    hash_s: float | None
    stray: float
    why: str
    rows: Mapping[str, Row]

    def identity(self, client: Client, model_id: str) -> tuple[str, str, str]:
        """Make, model and firmware as `client` shows them."""
        row = self.rows[client.name]
        return row.make, row.models.get(model_id) or client.model_name(catalogue.model(model_id).name), row.firmware


def load(clients: Iterable[Client], file: Path = FILE) -> dict[str, Face]:
    """Every face of the file. Raises ExpectedError."""
    by_name = {client.name: client for client in clients}
    table = tomllib.loads(file.read_text(encoding="utf-8"))
    return {name: _face(file.name, name, raw, by_name) for name, raw in table.items()}


def _face(file: str, name: str, raw: dict[str, Any], clients: Mapping[str, Client]) -> Face:
    if name not in miners.SHIPPED:
        raise ExpectedError(f"{file}: {name}: no such firmware ships{_near(name, miners.SHIPPED)}")
    firmware = miners.load(name)
    for key in raw:
        if key not in (*_FACE, *clients):
            raise ExpectedError(f"{file}: {name}.{key}: neither a key nor a client{_near(key, (*_FACE, *clients))}")
    model = raw.get("model", "")
    if model not in firmware.models:
        raise ExpectedError(
            f"{file}: {name}.model: {model!r} is none of its models, {', '.join(sorted(firmware.models))}"
        )
    follows = raw.get("follows", {})
    for key in follows:
        if key not in _FOLLOWS:
            raise ExpectedError(f"{file}: {name}.follows.{key}: unknown key{_near(key, _FOLLOWS)}")
    rows = {key: _row(f"{file}: {name}.{key}", raw[key], clients[key]) for key in raw if key in clients}
    return Face(
        name, model, raw.get("scatter", 0.0), follows.get("watts_s"), follows.get("hash_s"),
        follows.get("stray", STRAY), follows.get("why", ""), rows,
    )  # fmt: skip


def _row(where: str, raw: dict[str, Any], client: Client) -> Row:
    for key in raw:
        if key not in _ROW:
            raise ExpectedError(f"{where}.{key}: unknown key{_near(key, _ROW)}")
    cannot, differs, notes = raw.get("cannot", []), raw.get("differs", {}), raw.get("notes", {})
    known = capabilities(client)
    for name in (*cannot, *differs, *notes):
        if name not in known:
            raise ExpectedError(f"{where}: {name!r} is not tried with {client.name}{_near(name, known)}")
    for name in notes:
        if name not in cannot:
            raise ExpectedError(f"{where}.notes.{name}: only what stands in `cannot` has a note; give it in `differs`")
    both = sorted(set(cannot) & set(differs))
    if both or not all(differs.values()):
        raise ExpectedError(f"{where}: {both or 'a difference'} has no place in both, or no reason")
    shows = raw.get("shows", {})
    return Row(
        shows.get("make", ""), shows.get("firmware", ""), raw.get("models", {}), frozenset(cannot), differs, notes
    )


def tried(client: Client, name: str) -> bool:
    """Whether a client is tried on a firmware."""
    return client.speaks is None or name in client.speaks


def departures(client: Client, face: Face, findings: Findings) -> list[str]:
    """Where a measurement departs from the file, a line each."""
    row = face.rows[client.name]
    wrong = [name for name in capabilities(client) if findings[name].verdict != row.verdict(name)]
    return [
        f"{face.firmware}, {client.name}: {name} is expected to be `{row.verdict(name)}` "
        f"and is `{findings[name].verdict}`: {findings[name].seen}"
        for name in wrong
    ]


def draft(client: Client, name: str, model: str, findings: Findings) -> str:
    """Rows for a face that has none, as measured; what was seen stands where the reason must."""
    cannot = [key for key in capabilities(client) if findings[key].verdict is Verdict.CANNOT]
    wrong = {key: findings[key].seen for key in capabilities(client) if findings[key].verdict is Verdict.DIFFERS}
    lines = [f"[{name}]", f'model = "{model}"', "", f"[{name}.{client.name}]", f"cannot = {cannot}".replace("'", '"')]
    if wrong:
        lines += ["", f"[{name}.{client.name}.differs]", *(f"{key} = {seen!r}" for key, seen in wrong.items())]
    return "\n".join(lines)


def _near(word: str, known: Iterable[str]) -> str:
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else ""
