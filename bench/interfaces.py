"""The operator's interfaces of a rig: where each stands, what a controller is told of it, and its life in a run.

Owns the way from a `[[signal]]` table to a device with its messages, its faults and its entry in the inventory; what an
interface says is `emulator/signals/`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from bench.config import ConfigError
from bench.rig_signals import ContactTable, MqttTable, OpenAdr2Table, OpenAdr3Table, RestTable
from emulator.faults import FaultError
from emulator.faulty_notices import EDITS, delivered
from emulator.faulty_readings import published
from emulator.grid import Grid
from emulator.signals.contact import PRODUCT as CONTACTS
from emulator.signals.contact import Contact, ContactModule, Input
from emulator.signals.mqtt import MqttBroker
from emulator.signals.notices import Bulletin, Terms, notices
from emulator.signals.openadr2 import PATH, SIGNALS, MissingExtraError, Vtn2
from emulator.signals.openadr3 import BASE, Vtn
from emulator.signals.openadr3_store import BL_SCOPES, VEN_SCOPES
from emulator.signals.rest import RestFeed
from emulator.signals.webhooks import Courier, allows
from emulator.wire import MINUTE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from bench.rig_signals import AccountTable, AnySignal
    from emulator.clock import Clock
    from emulator.faults import FaultPlan
    from emulator.seed import Seed
    from emulator.wire import Device, Instant

BEYOND_NS = 7 * 24 * 60 * MINUTE
"""Prices are told for so long after the last change of a signal. estimate: longer than any run"""
PRODUCTS = {
    "rest": "ramprig_feed",
    "mqtt": "ramprig_mqtt",
    "openadr3": "openadr_3_1",
    "openadr2": "openadr_2_0b",
    "contact": CONTACTS,
}


@dataclass(frozen=True, slots=True)
class SignalPlace:
    """One interface with its id and its address."""

    id: str
    address: str
    table: AnySignal

    @property
    def product(self) -> str:
        """Which contract it follows."""
        return PRODUCTS[self.table.kind]

    @property
    def url(self) -> str:
        """Where a client begins."""
        match self.table:
            case MqttTable():
                return f"mqtt://{self.address}:{self.table.port}"
            case OpenAdr3Table():
                return f"http://{self.address}:{self.table.port}{BASE}"
            case OpenAdr2Table():
                return f"http://{self.address}:{self.table.port}{PATH}"
            case _:
                return f"http://{self.address}:{self.table.port}"

    def entry(self) -> dict[str, Any]:
        """The interface as a controller learns of it (docs/reference/inventory.md)."""
        table = self.table
        common = {"id": self.id, "kind": table.kind, "product": self.product, "address": self.address,
                  "port": table.port}  # fmt: skip
        if isinstance(table, ContactTable):
            inputs = [{"index": index, "channel": one.channel, "below": one.limit("below"), "above": one.limit("above")}
                      for index, one in enumerate(table.input)]  # fmt: skip
            return {**common, "unit": table.unit, "inputs": inputs}
        return {**common, "url": self.url, "resources": self._resources(), "credentials": self._credentials()}

    def _resources(self) -> dict[str, str]:
        """Where each channel is found: path, topic, name of a program, name of a signal."""
        match self.table:
            case RestTable():
                return RestFeed.paths(self.table.channels)
            case MqttTable():
                return MqttBroker.topics(self.table.base, self.table.channels)
            case OpenAdr2Table():
                return {channel: SIGNALS[channel][0] for channel in self.table.channels}
            case OpenAdr3Table():
                return {channel: channel for channel in self.table.channels}
            case _:
                return {}

    def _credentials(self) -> dict[str, str]:
        account: AccountTable | None = None
        match self.table:
            case RestTable() | MqttTable():
                account = self.table.account
            case OpenAdr3Table():
                account = self.table.client
            case OpenAdr2Table():
                return {"username": self.table.ven, "password": ""}
        return {"username": account.username if account else "", "password": account.password if account else ""}


class Speaking(Protocol):
    """An interface that tells messages."""

    def publish(self, bulletin: Bulletin) -> None:
        """Take the messages of a run."""
        ...


class Living(Protocol):
    """Something with tasks of its own."""

    async def close(self) -> None:
        """End them."""
        ...


class Interfaces:
    """The interfaces of one rig. `devices` are to be put on the network, `play` gives them a profile.

    `networks` are those besides the loopback that a webhook may call.

    Raises ConfigError where one cannot run in this time.
    """

    def __init__(
        self,
        places: tuple[SignalPlace, ...],
        clock: Clock,
        seed: Seed,
        faults: FaultPlan,
        grid: Grid,
        public: Grid,
        nominal_w: float,
        site: str,
        origin: str,
        networks: tuple[str, ...] = (),
    ) -> None:
        self._places = places
        self._clock = clock
        self._seed = seed
        self._faults = faults
        self._grid = grid
        self._public = public
        self._nominal_w = nominal_w
        self._site = site
        self._origin = origin
        self._networks = networks
        self._speaking: list[tuple[SignalPlace, Speaking]] = []
        self._views: list[tuple[str, Grid]] = []
        self._couriers: list[Courier] = []
        self._wall_bound: list[Vtn2] = []
        self.devices: list[tuple[str, str, Device]] = [
            (place.id, place.address, self._made(place, number)) for number, place in enumerate(places)
        ]
        self.play()

    def view(self, interface: str) -> Grid:
        """The grid as a register block or a contact shows it: with the faults aimed at that very interface."""
        if not any(f.kind in EDITS for f, _ in self._faults.aimed(interface, "signal")):
            return self._public
        view = Grid(self._grid.nominal_hz, self._nominal_w)
        view.join(self._grid)
        self._views.append((interface, view))
        self._show(interface, view)
        return view

    def play(self) -> None:
        """Tell the signals that the grid has now."""
        for interface, view in self._views:
            self._show(interface, view)
        last = max(int(signal.t_ns[-1]) for signal in self._grid.signals.values())
        stop: Instant = last + BEYOND_NS
        for place, device in self._speaking:
            table = place.table
            if isinstance(table, ContactTable):
                continue
            terms = Terms(table.ahead, table.tells_end, table.interval)
            told = notices(self._grid.signals, self._nominal_w, terms, stop, self._clock.wall(0))
            told = [notice for notice in told if notice.channel in table.channels]
            texts = isinstance(table, MqttTable | OpenAdr2Table)
            device.publish(Bulletin(delivered(self._faults, place.id, told, texts=texts)))

    async def open(self) -> None:
        """Begin to speak."""
        for courier in self._couriers:
            courier.start()
        for vtn in self._wall_bound:
            await vtn.start()

    async def close(self) -> None:
        """Fall silent."""
        living: list[Living] = [*self._couriers, *self._wall_bound]
        for one in living:
            await one.close()

    # ---- making ----------------------------------------------------------------------------------------------------

    def _made(self, place: SignalPlace, number: int) -> Device:
        table, wall = place.table, self._clock.wall
        match table:
            case RestTable():
                feed = RestFeed(
                    wall, self._public, self._nominal_w, table.port, site=self._site, account=_pair(table.account),
                    period_ns=table.period, interval_ns=table.interval,
                )  # fmt: skip
                self._speaking.append((place, feed))
                return feed
            case MqttTable():
                measured = any(channel in ("frequency", "voltage") for channel in table.channels)
                broker = MqttBroker(
                    wall, self._public, table.port, base=table.base, account=_pair(table.account), telemetry=measured,
                    period_ns=table.period, hangs_up=self._clock.mode == "real",
                )  # fmt: skip
                self._speaking.append((place, broker))
                return broker
            case OpenAdr3Table():
                clients = {table.client.username: (table.client.password, VEN_SCOPES)}
                if table.operator is not None:
                    clients[table.operator.username] = (table.operator.password, BL_SCOPES)
                vtn = Vtn(
                    wall, self._seed / "signal" / place.id, table.port, url=place.url, clients=clients,
                    channels=table.channels, is_allowed=lambda url: allows(url, self._networks),
                )  # fmt: skip
                self._speaking.append((place, vtn))
                self._couriers.append(Courier(vtn, self._clock))
                return vtn
            case OpenAdr2Table():
                return self._wall_clock_vtn(place, table, number)
            case _:
                return self._contacts(place, table)

    def _wall_clock_vtn(self, place: SignalPlace, table: OpenAdr2Table, number: int) -> Device:
        if self._clock.mode != "real":
            raise ConfigError(
                f"{self._origin}: signal[{number}].kind: openadr2 reads the clock on the wall; "
                'set time = "real" in the case, or take openadr3'
            )
        try:
            vtn = Vtn2(
                self._clock, place.address, table.port, ven_name=table.ven, poll_s=table.poll * 1e-9,
                channels=table.channels,
            )  # fmt: skip
        except MissingExtraError as error:
            raise ConfigError(f"{self._origin}: signal[{number}].kind: {error}") from None
        self._speaking.append((place, vtn))
        self._wall_bound.append(vtn)
        return vtn.device

    def _contacts(self, place: SignalPlace, table: ContactTable) -> Device:
        view = self.view(place.id)
        contacts = []
        for one in table.input:
            below, above = one.limit("below"), one.limit("above")
            if below is None and above is None:
                below = self._nominal_w - 0.5  # an order is what asks for less than nominal
            what = Input(one.channel, below, above, one.pickup_ns, one.dropout)
            faults = self._faults.aimed(f"signal:{one.channel}", "signal") + self._faults.aimed(place.id, "signal")
            contacts.append(Contact(what, view, faults))
        return ContactModule(contacts, table.unit).device(table.port)

    def _show(self, interface: str, view: Grid) -> None:
        signals = self._grid.signals
        shown = {
            name: published(self._faults, name, signal, interface=interface, nominal=self._orders_below(name))
            for name, signal in signals.items()
        }
        view.play(shown, 0)

    def _orders_below(self, channel: str) -> float | None:
        return self._nominal_w if channel == "dispatch" else None


def check_faults(plan: FaultPlan, places: tuple[SignalPlace, ...], channels: Iterable[str], block: str) -> None:
    """Raises FaultError for a fault of messages that hits nothing but interfaces which cannot have it."""
    cannot = {place.id: _CANNOT.get(place.table.kind, frozenset()) for place in places}
    cannot[block] = _CANNOT["registers"]
    told = [f"signal:{channel}" for channel in channels]
    for number, fault in enumerate(plan.faults):
        struck = [name for name in cannot if fault.hits(name)]
        if fault.kind in EDITS and struck and not any(fault.hits(name) for name in told) and all(
            fault.kind in cannot[name] for name in struck
        ):  # fmt: skip
            raise FaultError(
                f"faults[{number}]: {struck[0]!r} cannot have {fault.kind!r}: it shows a state and sends no messages; "
                "docs/reference/signals.md has a table of what each interface can have"
            )


_CANNOT: Mapping[str, frozenset[str]] = {
    "registers": frozenset({"duplicate", "malformed"}),
    "contact": frozenset({"malformed"}),
    "openadr2": frozenset({"malformed"}),
}
"""By kind of interface, faults of messages that mean nothing there."""


def _pair(account: AccountTable | None) -> tuple[str, str] | None:
    return None if account is None else (account.username, account.password)
