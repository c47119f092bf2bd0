"""What the matrix asks of a client: to find a miner and, with what it found, to read and to command it.

An adapter translates and does nothing else: it repairs nothing, tries nothing twice and knows no firmware.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection
from typing import Protocol

from firmware_mocks.miners.base import Credentials
from tests.clients.reading import Reading


class Handle(Protocol):
    """A miner as the client found it. Commands return what the client says of their success; None: it says nothing."""

    @property
    def identity(self) -> tuple[str, str, str]:
        """Make, model and firmware by the client's names."""
        ...

    async def read(self, only: Collection[str] = ()) -> Reading:
        """Everything the client can read; a slow client may leave out what is not in `only`, unless that is empty."""
        ...

    async def levels(self) -> tuple[float | None, float | None]:
        """Watts and TH/s, asked for alone."""
        ...

    async def stop(self) -> bool | None:
        """Mine no more."""
        ...

    async def resume(self) -> bool | None:
        """Mine again."""
        ...

    async def limit(self, watts: int) -> bool | None:
        """Draw no more than `watts`."""
        ...

    async def reboot(self) -> bool | None:
        """Restart the control board."""
        ...

    async def restart(self) -> bool | None:
        """Restart the mining process."""
        ...

    async def light(self, on: bool) -> bool | None:
        """Switch the fault light."""
        ...

    async def pool_setter(self, url: str) -> Callable[[], Awaitable[bool | None]]:
        """Read what is needed to set another first pool, and give back the call that sets it."""
        ...


class Client(Protocol):
    """A client library."""

    name: str
    """As its distribution is called."""
    version: str
    """Of the distribution that is installed."""
    fields: frozenset[str]
    """Data fields that its data model has at all, of `reading.FIELDS`."""
    controls: frozenset[str]
    """Commands that it has at all, of `trials.CONTROLS`."""
    speaks: frozenset[str] | None
    """Firmwares it is made for; None: for any."""

    def model_name(self, name: str) -> str:
        """What it calls the model that the catalogue calls `name`."""
        ...

    async def find(self, address: str, credentials: Credentials) -> Handle | None:
        """Look for a miner. The credentials are for a client that has to be given them."""
        ...


class Scanner(Client, Protocol):
    """A client that searches a whole subnet."""

    async def scan(self, subnet: str) -> dict[str, tuple[str, str, str]]:
        """The identity of every miner of a subnet, by address."""
        ...
