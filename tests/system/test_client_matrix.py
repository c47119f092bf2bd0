"""The clients that bring sockets of their own, on every face: what they do, and whom a scan finds."""

from __future__ import annotations

import time

import pytest

from emulator import clock
from emulator.clock import Clock
from emulator.network import PortInUseError, PortPermissionError
from firmware_mocks import miners
from tests.clients.client import Client
from tests.clients.every import PYASIC_RS, REAL, faces
from tests.clients.site import Site, many
from tests.clients.test_matrix import assert_as_expected

pytestmark = [
    pytest.mark.system,
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # whatsminer asks passlib in an old way
]


@pytest.fixture(autouse=True)
def _ports() -> None:
    """The vendors' ports, for which tests in real time have to queue up."""

    async def main(running: Clock) -> None:
        async with Site(running, [(name, min(miners.load(name).models)) for name in sorted(miners.SHIPPED)]):
            pass

    end_s = time.monotonic() + 30
    while True:
        try:
            return clock.run(main, mode="real")
        except PortPermissionError as error:
            pytest.skip(f"the vendors' ports cannot be bound here: {error}")
        except PortInUseError as error:
            if time.monotonic() > end_s:
                pytest.skip(f"the vendors' ports are taken: {error}")
            time.sleep(0.2)


@pytest.mark.parametrize("client", REAL, ids=lambda client: client.name)
def test_a_client_on_real_sockets_does_on_every_face_what_is_written_of_it(client: Client) -> None:
    assert_as_expected(client)


@pytest.mark.parametrize("name", sorted(miners.SHIPPED))
def test_a_scan_by_pyasic_rs_is_right_for_a_hundred_miners_out_of_a_hundred(name: str) -> None:
    async def main(running: Clock) -> dict[str, tuple[str, str, str]]:
        async with Site(running, many(name, 100)):
            return await PYASIC_RS.scan("127.9.1.0/25")

    face, stand = faces()[name], many(name, 100)
    expected = {f"127.9.1.{n}": face.identity(PYASIC_RS, model) for n, (_, model) in enumerate(stand, start=1)}
    assert clock.run(main, mode="real") == expected
