"""The page docs/reference/client-matrix.md: the expected rows as tables for readers.

Made from `expected.toml` alone; tests hold the file and the measurement together, and the page and the file.
"""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path

from firmware_mocks import miners
from tests.clients.client import Client
from tests.clients.expected import Face, tried
from tests.clients.reading import FIELDS
from tests.clients.trials import CONTROLS, capabilities
from tests.clients.verdict import Verdict

FILE = Path(__file__).parents[2] / "docs" / "reference" / "client-matrix.md"
WIDTH = 118
TITLES = {
    "detect": "detection: make, model, firmware",
    **{name: title for name, (title, _) in FIELDS.items()},
    **CONTROLS,
}

HEAD = """\
# What clients make of each face

Measured, not promised: each line is a trial in which a client that others wrote, unchanged, meets the emulated
firmware on the fleet's physics. What it says is compared with what is so. Tests keep this page, its data
(`tests/clients/expected.toml`) and the measurement equal, so a change of behaviour on either side fails them.

* **works**: the client tells what is so, or does what it says.
* **cannot**: it does not tell, or has no such call; nothing goes out for it. The genuine firmware may have nothing
  to tell.
* **differs**: it tells or does something else than is so. Each has its reason below the table. They are behaviour
  of the client against this firmware, and would meet you on the site.

Data fields are read of a miner in its factory state that has hashed for days: hash rates must lie within 8 % of the
true one (four standard deviations where the firmware's own average scatters more), watts within 20 % (firmware
estimates them, partly without the PSU's losses), a power limit between 90 and 120 % of the nameplate; the rest must
agree. *Stop* must bring the chips to rest within two minutes; what is read of the sleeping miner is read nine minutes
after it. *Resume* is asked of the object that stopped, nine minutes later. The *power limit* is three quarters of the
nameplate, and must hold at the wall (4 %) and in the read-back. After a *reboot*, which must restart the control
board, the same miner must be found hashing. *Set pools* sets another first pool, reads it back, and wants the miner
to mine on. What a client sets and cannot read back is taken at its word. Detection is right for 100 miners out of 100
of each face, by subnet scan.

`make matrix` measures anew and writes this page.
"""

FOLLOWS = """\
## How readings follow the physics

Mean delay of what pyasic reads behind the truth after a stop, in virtual time: the area between both over the height
of the step. It is a property of the firmware's averages, measured to within 2 s or 15 %; a reading that strays by more
than 5 % of the step from what was true within five such delays has its reason in the last column. The scatter is the
standard deviation of one reading of the hash rate.
"""


def render(clients: Sequence[Client], faces: Mapping[str, Face]) -> str:
    """The whole page."""
    parts = [HEAD, _follows(faces)]
    for client in clients:
        names = [name for name in faces if client.name in faces[name].rows]
        if names:
            parts.append(_client(client, [faces[name] for name in names]))
    return "\n".join(parts)


def _follows(faces: Mapping[str, Face]) -> str:
    lines = [FOLLOWS, "| firmware | model | watts | hash rate | scatter | why |", "|---|---|---|---|---|---|"]
    for face in faces.values():
        scatter = f"{face.scatter:.0%}".replace("%", " %") if face.scatter else "small"
        shown = [_delay(value) for value in (face.watts_s, face.hash_s)]
        lines.append(f"| {face.firmware} | {face.model} | {shown[0]} | {shown[1]} | {scatter} | {face.why} |")
    return "\n".join([*lines, ""])


def _delay(seconds: float | None) -> str:
    if seconds is None:
        return "–"
    return "does not fall" if seconds == math.inf else f"{seconds:g} s"


def _client(client: Client, faces: Sequence[Face]) -> str:
    lines = [f"## {client.name} {client.version}", ""]
    untried = [name for name in sorted(miners.SHIPPED) if not tried(client, name)]
    if untried:
        lines += [*_wrapped(f"Speaks only the dialect of {' and '.join(face.firmware for face in faces)}."), ""]
    lines += ["| | " + " | ".join(face.firmware for face in faces) + " |", "|---" * (1 + len(faces)) + "|"]
    for name in capabilities(client):
        cells = [str(face.rows[client.name].verdict(name)) for face in faces]
        lines.append(
            f"| {TITLES[name]} | " + " | ".join(f"**{c}**" if c == Verdict.DIFFERS else c for c in cells) + " |"
        )
    for face in faces:
        row = face.rows[client.name]
        reasons = [f"*{TITLES[name]}*: {row.reason(name)}." for name in capabilities(client) if row.reason(name)]
        if reasons:
            lines += ["", f"**{miners.load(face.firmware).title}** (`{face.firmware}`, {face.model}):", ""]
            lines += [line for reason in reasons for line in _wrapped(reason, "* ", "  ")]
    return "\n".join([*lines, ""])


def _wrapped(text: str, first: str = "", others: str = "") -> list[str]:
    return textwrap.wrap(
        text, WIDTH, initial_indent=first, subsequent_indent=others, break_long_words=False, break_on_hyphens=False
    )
