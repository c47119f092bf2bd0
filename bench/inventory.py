"""What a controller may know of the site: the inventory file, its model, its checks and its published schema.

Owns the format named by `RAMPRIG_INVENTORY`, so that a controller in any language can be attached; where the facts come
from (rig, address plan) is the engine's business. `docs/reference/inventory.md` explains it to users.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from bench.config import ConfigError, Document, Table, validate

VARIABLE = "RAMPRIG_INVENTORY"
"""Name of the environment variable that holds the path of the file."""

Id = Annotated[str, Field(min_length=1)]
Port = Annotated[int, Field(ge=1, le=65535)]
UnitId = Annotated[int, Field(ge=0, le=255, description="Modbus unit id.")]
PositiveW = Annotated[float, Field(gt=0)]


class Site(Table):
    """The site as a whole."""

    name: str
    nominal_w: PositiveW = Field(description="Consumption at the point of interconnection with every miner hashing, W.")
    nominal_hz: float = Field(gt=0, description="Nominal grid frequency, Hz.")
    commitment_w: float = Field(ge=0, description="Reduction the site has sold, W.")


class Credentials(Table):
    """Login of a miner."""

    username: str
    password: str


class Miner(Table):
    """One miner: where it answers, what it is, and which outlet feeds it."""

    id: Id
    address: str
    ports: dict[str, Port] = Field(
        description='TCP ports by face: "api" the cgminer-style socket (HTTP on ePIC), "web" HTTP, '
        '"rest" HTTP elsewhere, "grpc" gRPC, "v3" WhatsMiner API V3.'
    )
    make: str
    model: str
    firmware: str = Field(description="Firmware face, for example antminer-stock or luxos.")
    credentials: Credentials
    feeder: Id
    pdu: Id | None = Field(description="PDU that switches it; null when none does.")
    outlet: Id | None = Field(description="Outlet that feeds it; null when none does.")
    nominal_w: PositiveW = Field(description="Nameplate power, W.")
    nominal_ths: float = Field(gt=0, description="Nameplate hash rate, TH/s.")


class SerialLine(Table):
    """A serial line."""

    id: Id
    path: str = Field(description="What a program opens: a device file, or ramprig://LINE in virtual time.")
    baud: int = Field(ge=1)
    parity: Literal["none", "even", "odd"]
    data_bits: Literal[7, 8]
    stop_bits: Literal[1, 2]


class ModbusDevice(Table):
    """Anything that speaks Modbus: on an address and a port, or as a slave on a line."""

    id: Id
    product: str = Field(description="Register map it follows, for example eastron_sdm630.")
    transport: Literal["tcp", "tls", "udp", "rtu-over-tcp", "ascii-over-tcp", "rtu", "ascii"] = Field(
        description='How it is spoken to; "rtu" and "ascii" on a serial line.'
    )
    address: str | None = Field(description="IP address; null on a serial line.")
    port: Port | None = Field(description="Port of TCP or UDP; null on a serial line.")
    unit: UnitId
    line: SerialLine | None = Field(description="The serial line it hangs on; null for one with an address.")

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        serial = self.transport in ("rtu", "ascii")
        if serial != (self.line is not None) or serial != (self.address is None) or serial != (self.port is None):
            raise ValueError(
                f'device {self.id!r}: transport = "{self.transport}" has '
                + ("a line and neither address nor port" if serial else "an address and a port, and no line")
            )
        return self


class Meter(ModbusDevice):
    """A power meter."""

    measures: Id = Field(description='"poi" for the point of interconnection, or the id of a feeder.')


class Load(Table):
    """A load that is no miner behind an outlet."""

    id: Id
    kind: Literal["house", "ai_training", "solar", "wind"]
    nominal_w: float = Field(description="Highest consumption, W; negative feeds in.")


class Outlet(Table):
    """One output of a PDU and what it switches."""

    id: Id
    index: int = Field(ge=1, description="Number of the output on the device, from 1.")
    miners: tuple[Id, ...]
    loads: tuple[Load, ...] = Field(description="Loads besides miners, the AI cluster for example.")


class Pdu(ModbusDevice):
    """A switched PDU."""

    outlets: tuple[Outlet, ...]


class Relay(ModbusDevice):
    """A protection relay, which opens a feeder by itself."""

    protects: Id = Field(description="Id of the feeder whose breaker it opens.")


class Signal(ModbusDevice):
    """Something the grid tells the site."""

    kind: Literal["dispatch"]


class ContactInput(Table):
    """One input of a contact module."""

    index: int = Field(ge=0, description="Wire address of the discrete input.")
    channel: Id
    below: float | None = Field(description="Closed while the channel is below this (Hz, pu, W, USD/MWh).")
    above: float | None = Field(description="Closed while the channel is above this.")


class Contacts(Table):
    """Relay contacts on an I/O module, Modbus TCP, function 02. With neither limit an input closes with an order."""

    id: Id
    kind: Literal["contact"]
    product: str
    address: str
    port: Port
    unit: UnitId
    inputs: tuple[ContactInput, ...]


class Interface(Table):
    """An interface that tells messages."""

    id: Id
    kind: Literal["rest", "mqtt", "openadr3", "openadr2"]
    product: str = Field(description="Contract it follows: ramprig_feed, ramprig_mqtt, openadr_3_1, openadr_2_0b.")
    address: str
    port: Port
    url: str = Field(description="Where a client begins.")
    resources: dict[str, str] = Field(description="By channel: path, topic, name of the program or of the signal.")
    credentials: Credentials = Field(description="Empty where none are needed; of OpenADR 3, client id and secret.")


class Inventory(Document):
    """The whole file."""

    site: Site
    miners: tuple[Miner, ...]
    meters: tuple[Meter, ...]
    pdus: tuple[Pdu, ...]
    relays: tuple[Relay, ...]
    signals: tuple[Annotated[Signal | Interface | Contacts, Field(discriminator="kind")], ...]

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        _unique("miners", (miner.id for miner in self.miners))
        _unique("devices", (device.id for device in (*self.meters, *self.pdus, *self.relays, *self.signals)))
        _unique("outlets", (outlet.id for pdu in self.pdus for outlet in pdu.outlets))
        _unique("miners of outlets", (miner for pdu in self.pdus for outlet in pdu.outlets for miner in outlet.miners))
        feeds = {miner: (pdu.id, outlet.id) for pdu in self.pdus for outlet in pdu.outlets for miner in outlet.miners}
        for miner in self.miners:
            if feeds.pop(miner.id, (None, None)) != (miner.pdu, miner.outlet):
                raise ValueError(
                    f"miner {miner.id!r}: its outlet {miner.outlet!r} does not list it in pdus[].outlets[]"
                )
        if feeds:
            raise ValueError(f"pdus: miner {next(iter(feeds))!r} of an outlet is not among miners")
        for pdu in self.pdus:
            _unique(f"outlet indices of {pdu.id}", (str(outlet.index) for outlet in pdu.outlets))
        return self


def _unique(what: str, ids: Iterable[str]) -> None:
    seen: set[str] = set()
    for one in ids:
        if one in seen:
            raise ValueError(f"{what}: {one!r} stands twice")
        seen.add(one)


def parse(table: Mapping[str, Any], origin: str = "inventory") -> Inventory:
    """Check a parsed inventory. Raises ConfigError naming `origin`, key, value and remedy."""
    return validate(table, Inventory, origin)


def read(path: Path) -> Inventory:
    """Read and check an inventory file. Raises ConfigError."""
    try:
        table = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON: {error}") from None
    if not isinstance(table, dict):
        raise ConfigError(f"{path}: is no JSON object")
    return parse(table, str(path))


def as_table(inventory: Inventory) -> dict[str, Any]:
    """The inventory as the plain dictionary a controller gets, with the key names of the file."""
    return inventory.model_dump(mode="json", by_alias=True)


def write(inventory: Inventory, path: Path) -> None:
    """Write the file. It appears whole or not at all: readers may be waiting for it."""
    partial = path.with_name(path.name + ".part")
    partial.write_text(json.dumps(as_table(inventory), indent=1) + "\n", encoding="utf-8")
    partial.replace(path)


def schema() -> dict[str, Any]:
    """The JSON schema (draft 2020-12) of the file. No key is ever left out; what has no value is null."""
    described = Inventory.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described, "title": "ramprig inventory"}


def schema_text() -> str:
    """The schema as the published file holds it."""
    return json.dumps(schema(), indent=2) + "\n"
