"""What a rig file may say: network, site, feeders with their meters, PDUs and miners, loads, analyser.

Owns the form of the file and the checks that need only the file; the ways to Modbus devices have their tables in
`bench/rig_wires.py`, building the live rig is `bench/rig.py`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Annotated, Literal, Self

from pydantic import Discriminator, Field, Tag, model_validator

from bench import library
from bench.config import (
    CurrentA,
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
from bench.rig_network import Address, NetworkTable
from bench.rig_signals import SignalTable, name_of
from bench.rig_wires import DispatchTable, GatewayTable, Id, LineTable, TlsTable, WireTable

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_SHORTEST_ITERATION_NS = 500_000_000
"""A quarter of an iteration is pause, and longer than its edge of 100 ms (`emulator/loads.py`)."""


class SiteTable(Table):
    """The electrical side. Losses are shares of throughput."""

    nominal_voltage: Annotated[VoltageV, positive] = 240.0
    transformer_loss: Share = 0.01
    idle: Annotated[PowerW, not_negative] = 0.0
    inrush: Annotated[CurrentA, not_negative] = 45.0
    """Peak inrush of each cold power supply (estimate: 30 to 60 A)."""


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


class MeterTable(WireTable):
    """A meter the controller can read."""

    product: str = "eastron_sdm630"
    refresh: RefreshTable = RefreshTable()
    base: int | None = None
    """Address its map begins at, where the product leaves a choice (SunSpec)."""
    settings: dict[str, float] = Field(default_factory=dict)
    """Parameters as the installer left them, by the names of the product's file: transformer ratios, for example."""


class SubmeterTable(MeterTable):
    """A further meter, at the point of interconnection or at the head of a feeder."""

    id: Id
    at: str = "poi"


class SystemTable(Table):
    """A power system so small that the site moves its frequency (swing equation, `emulator/grid.py`)."""

    kinetic_energy: Annotated[EnergyWs, positive]
    """Of all rotating machines, for example 5 GWs."""
    damping: Annotated[DampingWHz, positive]
    """Load damping plus primary response, for example 20 MW/Hz."""


class PduTable(WireTable):
    """`count` PDUs of one product; with `drives = "contactor"` their outlets drive contactor coils.

    On a line or behind a gateway they have consecutive unit ids from `unit` on.
    """

    product: str = "netio_powerpdu_4ps"
    count: int = Field(ge=1)
    drives: Literal["contactor", "load"] = "contactor"
    open: DurationNs = 25_000_000
    close: DurationNs = 35_000_000
    return_delay: DurationNs = 0
    """After a return of the feeder's mains the outlets stay open for so long, each for `return_step` longer than the
    one before it; with both 0 they have kept their state."""
    return_step: DurationNs = 0

    @model_validator(mode="after")
    def _one_real(self) -> Self:
        if self.provider is not None and self.count != 1:
            raise ValueError(f"count = {self.count}: a real PDU is one device; write count = 1 and a feeder for each")
        return self


class BreakerTable(Table):
    """The breaker at the head of a feeder: trip coil to contacts apart, closing coil to contacts together."""

    open: DurationNs = 50_000_000
    close: DurationNs = 80_000_000


class ElementTable(Table):
    """One frequency element of a relay; under-frequency below the nominal frequency, over-frequency above it."""

    pickup: Annotated[FrequencyHz, positive]
    delay: DurationNs


class RelayTable(Table):
    """A protection relay that opens the feeder's breaker by itself; `further` are its elements besides the first."""

    product: str = "sel_751a"
    pickup: Annotated[FrequencyHz, positive]
    delay: DurationNs
    further: tuple[ElementTable, ...] = ()
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
    breaker: BreakerTable = BreakerTable()
    relay: RelayTable | None = None
    pdu: PduTable
    miners: tuple[MinersTable, ...] = Field(min_length=1)


def _form(value: object) -> str:
    """Which form a `dispatch` key has."""
    return "table" if isinstance(value, Mapping | DispatchTable) else "switch"


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
    dispatch: Annotated[
        Annotated[bool, Tag("switch")] | Annotated[DispatchTable, Tag("table")], Discriminator(_form)
    ] = True
    """Whether the operator's register block is served; a table says where."""
    signal: tuple[SignalTable, ...] = ()
    """Further interfaces of the operator."""
    system: SystemTable | None = None
    pool: bool = False
    """Whether a mining pool counts the miners' shares and answers on the rig."""
    feeder: tuple[FeederTable, ...] = Field(min_length=1)
    submeter: tuple[SubmeterTable, ...] = ()
    line: tuple[LineTable, ...] = ()
    gateway: tuple[GatewayTable, ...] = ()
    tls: TlsTable | None = None
    load: tuple[LoadTable, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        ids = [feeder.id for feeder in self.feeder] + [load.id for load in self.load]
        for name in ids:
            if ids.count(name) > 1:
                raise ValueError(f"the id {name!r} is used twice; ids of feeders and loads are unique")
        if "poi" in ids:
            raise ValueError('the id "poi" is taken by the point of interconnection; choose another')
        buses = [line.id for line in self.line] + [gateway.id for gateway in self.gateway]
        for name in buses:
            if buses.count(name) > 1:
                raise ValueError(f"the id {name!r} is used twice; ids of lines and gateways are unique")
        for submeter in self.submeter:
            if submeter.at != "poi" and submeter.at not in {feeder.id for feeder in self.feeder}:
                raise ValueError(
                    f'submeter {submeter.id!r}: at = {submeter.at!r} is neither "poi" nor the id of a feeder'
                )
        signals = [name_of(signal) for signal in self.signal]
        for name in signals:
            if signals.count(name) > 1:
                raise ValueError(f"the signal id {name!r} is used twice; give each [[signal]] an id of its own")
        for load in self.load:
            if load.at != "poi" and load.at not in {feeder.id for feeder in self.feeder}:
                raise ValueError(f'load {load.id!r}: at = {load.at!r} is neither "poi" nor the id of a feeder')
        self.network.check(self._addresses())
        return self

    def _addresses(self) -> Iterator[tuple[str, str | None]]:
        """(key, address as given) of everything that may be given one."""
        yield "meter.address", self.meter.address
        if isinstance(self.dispatch, DispatchTable):
            yield "dispatch.address", self.dispatch.address
        for number, feeder in enumerate(self.feeder):
            if feeder.meter is not None:
                yield f"feeder[{number}].meter.address", feeder.meter.address
            yield f"feeder[{number}].pdu.address", feeder.pdu.address
            if feeder.relay is not None:
                yield f"feeder[{number}].relay.address", feeder.relay.address
            for place, group in enumerate(feeder.miners):
                yield f"feeder[{number}].miners[{place}].address", group.address
        for number, submeter in enumerate(self.submeter):
            yield f"submeter[{number}].address", submeter.address
        for number, gateway in enumerate(self.gateway):
            yield f"gateway[{number}].address", gateway.address
        for number, signal in enumerate(self.signal):
            yield f"signal[{number}].address", signal.address


def load_rig(reference: str, base: Path | None = None) -> tuple[RigFile, Path]:
    """Read the rig that `reference` (`rig:yard` or a path) names. Raises ConfigError."""
    path = library.resolve("rig", reference, base)
    return load_toml(path, RigFile, partial(library.expect, "rig")), path
