"""What a rig file may say of the operator's interfaces besides the dispatch block: `[[signal]]`.

Owns the form of these tables; where each interface stands is `bench/layout.py`'s, bringing it to life
`bench/interfaces.py`'s.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, model_validator

from bench.config import DurationNs, Table, positive
from bench.rig_network import Address
from bench.rig_wires import Id, PortNumber
from emulator import units
from emulator.grid import CHANNELS
from emulator.signals.contact import PICKUP_NS
from emulator.signals.notices import INTERVAL_NS
from emulator.wire import SECOND

Told: TypeAlias = Literal["dispatch", "price", "recall", "frequency", "voltage"]


class AccountTable(Table):
    """A user name (a client id) and a password (a client secret)."""

    username: Annotated[str, Field(min_length=1)]
    password: Annotated[str, Field(min_length=1)]


class InterfaceTable(Table):
    """What every interface has. Without an `id` it is called by its kind."""

    id: Id | None = None
    address: Address | None = None


class SpokenTable(InterfaceTable):
    """An interface that tells messages: how long ahead, whether an order's end is told, the market's interval."""

    ahead: DurationNs = 0
    tells_end: bool = False
    interval: Annotated[DurationNs, positive] = INTERVAL_NS


class RestTable(SpokenTable):
    """The price and dispatch feed over HTTP."""

    kind: Literal["rest"]
    port: PortNumber = 8080
    channels: tuple[Told, ...] = Field(default=("dispatch", "price", "recall", "frequency", "voltage"), min_length=1)
    account: AccountTable | None = None
    period: Annotated[DurationNs, positive] = SECOND


class MqttTable(SpokenTable):
    """The MQTT broker."""

    kind: Literal["mqtt"]
    port: PortNumber = 1883
    channels: tuple[Told, ...] = Field(default=("dispatch", "price", "recall", "frequency", "voltage"), min_length=1)
    account: AccountTable | None = None
    period: Annotated[DurationNs, positive] = SECOND
    base: Annotated[str, Field(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$")] = "ramprig"


class OpenAdr3Table(SpokenTable):
    """The OpenADR 3.1 VTN; `client` is the controller's, `operator` that of whoever wants to play business logic."""

    kind: Literal["openadr3"]
    port: PortNumber = 8081
    channels: tuple[Literal["dispatch", "price"], ...] = Field(default=("dispatch", "price"), min_length=1)
    client: AccountTable = AccountTable(username="site", password="site-secret")  # noqa: S106 - no secret
    operator: AccountTable | None = None

    @model_validator(mode="after")
    def _two_clients(self) -> Self:
        if self.operator is not None and self.operator.username == self.client.username:
            raise ValueError(f"client and operator are both {self.client.username!r}; give them different names")
        return self


class OpenAdr2Table(SpokenTable):
    """The OpenADR 2.0b VTN, in real time; `ven` is the name under which the controller registers."""

    kind: Literal["openadr2"]
    port: PortNumber = 8082
    channels: tuple[Literal["dispatch", "price"], ...] = Field(default=("dispatch",), min_length=1)
    ven: Id = "site"
    poll: Annotated[DurationNs, positive] = 10 * SECOND


class InputTable(Table):
    """One input of a contact module: closed while `channel` is below `below`, or above `above`, by a relay."""

    channel: Literal["dispatch", "frequency", "voltage", "price"]
    below: str | None = None
    above: str | None = None
    pickup: DurationNs | None = None
    dropout: DurationNs = 0

    @model_validator(mode="after")
    def _threshold(self) -> Self:
        if self.below is None and self.above is None and self.channel != "dispatch":
            raise ValueError(f'an input on {self.channel} needs a threshold; write for example below = "59.7 Hz"')
        for key in ("below", "above"):
            self.limit(key)
        return self

    def limit(self, key: str) -> float | None:
        """A threshold in the channel's unit. Raises ValueError (UnitError) for another unit."""
        text: str | None = getattr(self, key)
        return None if text is None else units.parse(text, CHANNELS[self.channel])

    @property
    def pickup_ns(self) -> int:
        """As given; an order closes its contact at once, a relay takes its time."""
        if self.pickup is not None:
            return self.pickup
        return 0 if self.channel in ("dispatch", "price") else PICKUP_NS


class ContactTable(InterfaceTable):
    """Relay contacts on an I/O module."""

    kind: Literal["contact"]
    port: PortNumber = 502
    unit: int = Field(default=1, ge=1, le=247)
    input: tuple[InputTable, ...] = Field(default=(InputTable(channel="dispatch"),), min_length=1, max_length=64)


AnySignal: TypeAlias = RestTable | MqttTable | OpenAdr3Table | OpenAdr2Table | ContactTable
SignalTable = Annotated[AnySignal, Field(discriminator="kind")]


def name_of(table: AnySignal) -> str:
    """The id of an interface."""
    return table.kind if table.id is None else table.id
