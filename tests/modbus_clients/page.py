"""The page docs/reference/modbus-clients.md: what every client reads of every product over every way.

Owns the measurement's table and its words; the trial itself is `every.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from emulator.meters import product as meters
from emulator.pdus import product as pdus
from tests.modbus_clients.every import Client
from tests.modbus_clients.site import TITLES, WAYS, Device

FILE = Path(__file__).parents[2] / "docs" / "reference" / "modbus-clients.md"
NONE, READS = "–", "reads"
VERSIONS = "The clients, by the versions they give: "

HEAD = """\
# What Modbus clients read

Measured, not promised: clients that others wrote, unchanged, meet every product that ships on every
[way](modbus-transports.md). Each sends one request that stands for the product: of a [meter](meters.md) the registers
with its power, of a [PDU](pdus.md) the coils of its relays, of a [feeder relay](feeder-relay.md) its first element. A
test keeps this page and the measurement equal.

{versions}

* **reads**: the answer is the same to the last bit as that of every other client, and decodes to the same value.
* **–**: the client has no such way, or (pysunspec2) no request for coils.

`make matrix` measures anew and writes this page.
"""


class DifferentError(AssertionError):
    """Two clients read two things of one device."""


def measure(clients: Sequence[Client], devices: Sequence[Device]) -> dict[tuple[str, str], dict[str, str]]:
    """(product, way) -> client -> cell. Raises DifferentError where two clients do not read the same."""
    cells: dict[tuple[str, str], dict[str, str]] = {}
    for device in devices:
        row = cells.setdefault((device.product, device.way), {})
        answers: dict[str, tuple[int, ...]] = {}
        for client in clients:
            row[client.name] = NONE
            if client.can(device):
                answers[client.name] = client.ask(device)
                row[client.name] = READS
        values = {name: device.value(answer) for name, answer in answers.items()}
        if len(set(answers.values())) != 1 or len(set(values.values())) != 1:
            raise DifferentError(f"{device.entry['id']}: {answers} decode to {values}")
    return cells


def render(clients: Sequence[Client], cells: dict[tuple[str, str], dict[str, str]]) -> str:
    """The whole page: a table for each way."""
    parts = [HEAD.format(versions=VERSIONS + ", ".join(f"{client.name} {client.version}" for client in clients) + ".")]
    for way in WAYS:
        names = [client.name for client in clients if way in client.ways]
        parts.append(f"## {TITLES[way]}\n\n| product | " + " | ".join(names) + " |\n|---" + "|---" * len(names) + "|")
        rows = sorted((_sort(product), product) for product, on in cells if on == way)
        parts += [
            f"| {product} | " + " | ".join(cells[product, way][name] for name in names) + " |" for _, product in rows
        ]
        parts.append("")
    return "\n".join(parts)


def _sort(product: str) -> int:
    """Meters first, then PDUs, then relays."""
    return 0 if product in meters.list_products() else 1 if product in pdus.list_products() else 2
