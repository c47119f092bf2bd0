"""Every client, and the measurement of one of them on every face that ships.

Owns which clients run in virtual time and which need real sockets.
"""

from __future__ import annotations

from collections.abc import Sequence

from emulator import clock
from emulator.clock import Clock
from firmware_mocks import miners
from tests.clients.client import Client
from tests.clients.expected import Face, load, tried
from tests.clients.site import Site
from tests.clients.trials import Findings, measure
from tests.clients.with_asic_rs import AsicRs
from tests.clients.with_luxos import Luxos
from tests.clients.with_pyasic import Pyasic
from tests.clients.with_whatsminer import Whatsminer

PYASIC, PYASIC_RS, LUXOS, WHATSMINER = Pyasic(), AsicRs(), Luxos(), Whatsminer()
VIRTUAL: Sequence[Client] = (PYASIC, LUXOS)
REAL: Sequence[Client] = (PYASIC_RS, WHATSMINER)
CLIENTS: Sequence[Client] = (PYASIC, PYASIC_RS, LUXOS, WHATSMINER)
"""In the order of the page."""


def faces() -> dict[str, Face]:
    """What is expected."""
    return load(CLIENTS)


def measured(client: Client, expected: dict[str, Face]) -> dict[str, Findings]:
    """Findings by firmware, for every shipped one that the client is tried on; faces without rows are tried, too."""
    mode = "virtual" if client in VIRTUAL else "real"
    units = {}
    for name in sorted(miners.SHIPPED):
        if tried(client, name):
            face = expected.get(name)
            model = face.model if face else min(miners.load(name).models)
            known = face is not None and client.name in face.rows
            units[name] = (model, face.identity(client, model) if face and known else ("?", "?", "?"))
    if not units:
        return {}

    async def main(time: Clock) -> dict[str, Findings]:
        scatter = {name: face.scatter for name, face in expected.items()}
        return await measure(client, lambda stand: Site(time, stand, scatter), units)

    return clock.run(main, mode=mode)
