"""The vocabulary of the Braiins OS public API: messages, methods, REST routes, and what a method gives or refuses.

Owns no behaviour; `braiins_calls.py` and `braiins_settings.py` have the methods, `braiins_api.toml` the tables.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import TYPE_CHECKING

from emulator.catalogue import MinerModel
from emulator.wire import Instant
from firmware_mocks.miners.braiins_readings import BraiinsReadings
from firmware_mocks.miners.grpc import Status
from firmware_mocks.miners.protobuf import Messages, Tree

if TYPE_CHECKING:
    from firmware_mocks.miners.braiins import BraiinsDevice, Then

_TABLES = tomllib.loads((files(__package__) / "braiins_api.toml").read_text(encoding="utf-8"))
MESSAGES = Messages(_TABLES["message"])
REST: Mapping[str, str] = _TABLES["rest"]


@dataclass(frozen=True, slots=True)
class Method:
    """One method: its path, the messages it takes and gives, and whether it gives a stream of them."""

    path: str
    asks: str
    gives: str
    streams: bool


METHODS = {
    f"/{service}/{name}": Method(f"/{service}/{name}", *(text.split()[0], text.split()[-1]), "stream" in text)
    for service, rpcs in _TABLES["service"].items()
    for name, text in rpcs.items()
}


class CallError(Exception):
    """A call that is refused, with its gRPC status and the text the caller gets."""

    def __init__(self, status: Status, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Answer:
    """What a method gives. `then` begins at the reply; `token` travels in the initial metadata of a login."""

    tree: Tree = field(default_factory=dict)
    then: Then | None = None
    token: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """A request at its miner: `tree` is the whole message, unset fields None or their default."""

    device: BraiinsDevice
    tree: Tree
    now: Instant

    @property
    def model(self) -> MinerModel:
        """The product."""
        return self.device.unit.model

    @property
    def seen(self) -> BraiinsReadings:
        """What the firmware believes about the miner now."""
        return BraiinsReadings(self.device, self.now)


Run = Callable[[Ask], Answer]
