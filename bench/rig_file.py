"""What a rig file may say: network, site, feeders with their meters, PDUs and miners, loads, analyser.

Owns the form of the file and the checks that need only the file; building the live rig from it is `bench/rig.py`.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from bench import library
from bench.config import (
    DampingWHz,
    Document,
    DurationNs,
    EnergyWs,
    FrequencyHz,
    PowerW,
    Share,
    Table,
    VoltageV,
    load_toml,
    not_negative,
    positive,
)

if TYPE_CHECKING:
    from pathlib import Path

_LOOPBACK = ipaddress.IPv4Network("127.0.0.0/8")


def _on_loopback(text: str) -> str:
    """The address as it is written canonically. Raises ValueError where it is none, or not on the loopback."""
    try:
        address = ipaddress.IPv4Address(text)
    except ValueError:
        raise ValueError(f"{text!r} is no IPv4 address; write for example 127.20.1.1") from None
    if address not in _LOOPBACK:
        raise ValueError(f"{text!r} is not on the loopback interface; take an address inside {_LOOPBACK}")
    return str(address)


Address = Annotated[str, AfterValidator(_on_loopback)]
Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
_SHORTEST_ITERATION_NS = 500_000_000
"""A quarter of an iteration is pause, and longer than its edge of 100 ms (`emulator/loads.py`)."""


class NetworkTable(Table):
    """Where the rig's devices live. Miners count up from .1.1, meters stand at .250, PDUs at .251, signals at .252."""

    subnet: str = "127.20.0.0/16"

    @model_validator(mode="after")
    def _loopback(self) -> Self:
        try:
            net = ipaddress.IPv4Network(self.subnet)
        except ValueError as error:
            raise ValueError(f"subnet {self.subnet!r}: {error}; write for example 127.20.0.0/16") from None
        if not net.subnet_of(_LOOPBACK):
            raise ValueError(f"subnet {self.subnet!r} is not on the loopback interface; take one inside {_LOOPBACK}")
        if net.prefixlen > 16:
            raise ValueError(f"subnet {self.subnet!r} is too small; the address plan needs a /16 or larger")
        return self


class SiteTable(Table):
    """The electrical side. Losses are shares of throughput."""

    nominal_voltage: Annotated[VoltageV, positive] = 240.0
    transformer_loss: Share = 0.01
    idle: Annotated[PowerW, not_negative] = 0.0


class AnalyserTable(Table):
    """The instrument at the point of interconnection that the verdict rests on (not the controller's meter)."""

    rate: Annotated[FrequencyHz, positive] = 1000.0
    window: DurationNs = 10_000_000
    accuracy: Share = 0.0
    """Relative standard uncertainty of a reading; 0 in pure emulation, where power is known exactly."""


class RefreshTable(Table):
    """Update period, and averaging window as long, of a meter's groups of values; absent: as its product says."""

    frequency: Annotated[DurationNs, positive] | None = None
    power: Annotated[DurationNs, positive] | None = None
    energy: Annotated[DurationNs, positive] | None = None


class MeterTable(Table):
    """A meter the controller can read."""

    product: str = "eastron_sdm630"
    address: Address | None = None
    unit: int = Field(default=1, ge=1, le=247)
    refresh: RefreshTable = RefreshTable()


class SystemTable(Table):
    """A power system so small that the site moves its frequency (swing equation, `emulator/grid.py`)."""

    kinetic_energy: Annotated[EnergyWs, positive]
    """Of all rotating machines, for example 5 GWs."""
    damping: Annotated[DampingWHz, positive]
    """Load damping plus primary response, for example 20 MW/Hz."""


class PduTable(Table):
    """`count` PDUs of one product; with `drives = "contactor"` their outlets drive contactor coils."""

    product: str = "netio_powerpdu_4ps"
    count: int = Field(ge=1)
    drives: Literal["contactor", "load"] = "contactor"
    open: DurationNs = 25_000_000
    close: DurationNs = 35_000_000
    address: Address | None = None
    unit: int = Field(default=1, ge=1, le=247)


class MinersTable(Table):
    """`count` miners of one model with one firmware. `firmware = "mute"` has no network face; it needs `phases`."""

    model: str
    firmware: str
    count: int = Field(ge=1)
    phases: str | None = None
    address: Address | None = None


class LoadTable(Table):
    """A load that is no miner, at the point of interconnection or on a feeder; `solar` and `wind` feed in."""

    id: Id
    kind: Literal["house", "ai_training", "solar", "wind"]
    power: Annotated[PowerW, not_negative]
    at: str = "poi"
    outlet: str | None = None
    """The outlet of a PDU that switches it; nothing does where it is left out."""
    points: tuple[tuple[DurationNs, PowerW], ...] = ()
    """Of a house load that varies: (time since the start of the run, power), straight lines between."""
    iteration: DurationNs = 2_000_000_000
    duration: Annotated[DurationNs, positive] = 3_600_000_000_000

    @model_validator(mode="after")
    def _long_enough(self) -> Self:
        if self.iteration < _SHORTEST_ITERATION_NS:
            raise ValueError(f"iteration of {self.iteration / 1e9:g} s is too short; write 0.5 s or more")
        return self

    @model_validator(mode="after")
    def _rising(self) -> Self:
        instants = [instant for instant, _ in self.points]
        if self.points and self.kind != "house":
            raise ValueError(f'points: only a house load takes them; remove them from the load of kind "{self.kind}"')
        if sorted(instants) != instants:
            raise ValueError("points: an instant lies before the one above it; sort them")
        return self


class FeederTable(Table):
    """One feeder with what hangs on it; miners are dealt over the outlets of its PDUs in order."""

    id: Id
    loss: Share = 0.015
    meter: MeterTable | None = MeterTable()
    pdu: PduTable
    miners: tuple[MinersTable, ...] = Field(min_length=1)


class RigFile(Document):
    """A whole rig."""

    name: str
    title: str = ""
    commitment: Annotated[PowerW, positive]
    """The reduction the site has sold."""
    network: NetworkTable = NetworkTable()
    site: SiteTable = SiteTable()
    analyser: AnalyserTable = AnalyserTable()
    meter: MeterTable = MeterTable()
    dispatch: bool = True
    system: SystemTable | None = None
    pool: bool = False
    """Whether a mining pool counts the miners' shares and answers on the rig."""
    feeder: tuple[FeederTable, ...] = Field(min_length=1)
    load: tuple[LoadTable, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = [feeder.id for feeder in self.feeder] + [load.id for load in self.load]
        for name in ids:
            if ids.count(name) > 1:
                raise ValueError(f"the id {name!r} is used twice; ids of feeders and loads are unique")
        if "poi" in ids:
            raise ValueError('the id "poi" is taken by the point of interconnection; choose another')
        for load in self.load:
            if load.at != "poi" and load.at not in {feeder.id for feeder in self.feeder}:
                raise ValueError(f'load {load.id!r}: at = {load.at!r} is neither "poi" nor the id of a feeder')
        return self


def load_rig(reference: str, base: Path | None = None) -> tuple[RigFile, Path]:
    """Read the rig that `reference` (`rig:yard` or a path) names. Raises ConfigError."""
    path = library.resolve("rig", reference, base)
    return load_toml(path, RigFile), path
