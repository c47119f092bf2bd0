"""What every miner firmware face is made of: the miner it runs on, the host it lives in, and how a face is declared.

Owns the border between firmware and physics (`MinerUnit`), the life of a face (power, boot, process restart) and the
queueing of its servers; it knows no command and no reply of any vendor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from functools import lru_cache
from heapq import heappush, heapreplace
from typing import Any, Protocol

from emulator.catalogue import MinerModel, Phase
from emulator.seed import Normals, Seed
from emulator.wire import SECOND, Action, Close, Conversation, Device, Instant, Reach

API = "api"
WEB = "web"
WEB_PORT = 80
BOOT_ORDER_NS = 5 * SECOND
"""By how much the web may come back before or after the other ports when a board boots. estimate"""


class MinerUnit(Protocol):
    """One miner as its firmware sees it; `emulator/fleet.py` has the real one."""

    @property
    def index(self) -> int:
        """Row of the miner in the fleet."""
        ...

    @property
    def id(self) -> str:
        """Name of the miner in the rig."""
        ...

    @property
    def model(self) -> MinerModel:
        """The product."""
        ...

    def phase(self, now: Instant) -> Phase:
        """What the miner is doing."""
        ...

    def power_w(self, now: Instant) -> float:
        """True power at the wall in watts."""
        ...

    def hash_ths(self, now: Instant) -> float:
        """True instantaneous hash rate in TH/s."""
        ...

    def mean_hash_ths(self, start_ns: Instant, stop_ns: Instant) -> float:
        """Exact mean hash rate over an interval in TH/s."""
        ...

    def work_th(self, start_ns: Instant, stop_ns: Instant) -> float:
        """Hashes made over an interval, in units of 10^12."""
        ...

    def energy_j(self, start_ns: Instant, stop_ns: Instant) -> float:
        """Energy at the wall over an interval in joules."""
        ...

    def powered_since_ns(self, now: Instant) -> Instant | None:
        """When the control board got power; None while the outlet is open."""
        ...

    def api_since_ns(self, now: Instant) -> Instant | None:
        """When the network API came, or will come, up after power-on or reboot; None while unpowered."""
        ...

    def mining_since_ns(self, now: Instant) -> Instant | None:
        """When the present mining began; None while not hashing."""
        ...

    def setpoint(self, now: Instant) -> float:
        """Share of nominal power the miner is told to draw."""
        ...

    def temperature_c(self, now: Instant) -> float:
        """Hottest board sensor in degrees Celsius."""
        ...

    def inlet_c(self, now: Instant) -> float:
        """Inlet air in degrees Celsius."""
        ...

    def fan_share(self, now: Instant) -> float:
        """Fan speed, 0 to 1."""
        ...

    def run(self, script: str, now: Instant, *, setpoint: float | None = None, hash_share: float | None = None) -> None:
        """Start a phase script at `now` (this instant or a later one).

        `setpoint` is a new share of nominal power; `hash_share` the share of nominal hash rate that goes with it, where
        clock and voltage are set apart.
        """
        ...


@lru_cache(maxsize=4)  # a reply asks more than once
def _unix_s(wall: Callable[[Instant], datetime], now: Instant) -> int:
    return int(wall(now).timestamp())


@dataclass(frozen=True, slots=True)
class HostInfo:
    """The control board as a network host. `wall` gives the UTC time of an instant."""

    address: str
    mac: str
    hostname: str
    serial: str
    wall: Callable[[Instant], datetime]

    def unix_s(self, now: Instant) -> int:
        """Seconds since 1970 on the miner's clock."""
        return _unix_s(self.wall, now)


@dataclass(frozen=True, slots=True)
class Credentials:
    """Factory user name and password; empty where the firmware asks for none."""

    username: str = ""
    password: str = ""


@dataclass(frozen=True, slots=True)
class Firmware:
    """One firmware product: on what it runs, where it answers, and how a face of it is started.

    `phases` names the family of phase scripts in `emulator/catalogue/phases`; `ports` maps the inventory's port names
    to numbers; `knobs` is a frozen dataclass of the face's parameters, changed with `tuned`.
    """

    name: str
    title: str
    make: str
    models: frozenset[str]
    phases: str
    ports: dict[str, int]
    credentials: Credentials
    start: Callable[[MinerUnit, HostInfo, Seed, Any], Device] = field(repr=False)
    knobs: Any = None

    def runs_on(self, model: MinerModel) -> bool:
        """Whether the vendor offers this firmware for `model`."""
        return model.make == self.make and model.id in self.models

    def tuned(self, **changes: Any) -> Firmware:
        """The same firmware with some knobs set otherwise. Raises TypeError for a knob it does not have."""
        return replace(self, knobs=replace(self.knobs, **changes))

    def boot(self, unit: MinerUnit, host: HostInfo, seed: Seed) -> Device:
        """A face for one miner. Raises ValueError when the firmware does not run on the miner's model."""
        if not self.runs_on(unit.model):
            known = ", ".join(sorted(self.models))
            raise ValueError(f"{unit.id}: firmware {self.name!r} does not run on {unit.model.id!r}; it runs on {known}")
        return self.start(unit, host, seed, self.knobs)


class Lanes:
    """`count` workers that serve first come, first served: one for cgminer's accept loop, a few for a web server."""

    __slots__ = ("_busy_until_ns", "count")

    def __init__(self, count: int) -> None:
        self.count = count
        self._busy_until_ns: list[Instant] = []

    def serve(self, now: Instant, takes_ns: int) -> Instant:
        """Take a request that came at `now`; return the instant it is done."""
        if len(self._busy_until_ns) < self.count:
            heappush(self._busy_until_ns, now + takes_ns)
            return now + takes_ns
        done = max(now, self._busy_until_ns[0]) + takes_ns
        heapreplace(self._busy_until_ns, done)
        return done


class MinerDevice:
    """A control board on the network: unreachable without power, refusing while it boots, one mining process.

    A face derives from it, opens conversations in `_open` and forgets what does not survive a boot in `_booted`.
    """

    __slots__ = (
        "_ends_ns",
        "_others_ns",
        "_since_ns",
        "_was_ns",
        "_web_ns",
        "api_lane",
        "boot_ns",
        "character",
        "draws",
        "host",
        "ports",
        "rates",
        "seed",
        "unit",
        "web_lanes",
    )

    api_port = 4028

    def __init__(
        self, unit: MinerUnit, host: HostInfo, seed: Seed, ports: tuple[int, ...], web_workers: int = 1
    ) -> None:
        self.unit = unit
        self.host = host
        self.seed = seed
        self.ports = ports
        self.boot_ns: Instant | None = None
        self.api_lane = Lanes(1)
        self.web_lanes = Lanes(web_workers)
        self.rates: tuple[Any, ...] | None = None
        """What the readings measured last, in their own form."""
        self.character: Any = None
        """How the unit differs from its product, once the readings have asked."""
        self.draws: Normals | None = None
        """Where the readings draw their noise."""
        self._was_ns = self._ends_ns = self._since_ns = self._web_ns = self._others_ns = 0

    def reach(self, port: int, now: Instant) -> Reach:
        """SILENT without power, REFUSES while booting, on a closed port, or on the API while the process restarts.

        On a board that boots during the run, the web opens up to `BOOT_ORDER_NS` before or after the other ports.
        """
        up_ns = self.unit.api_since_ns(now)
        if up_ns is None:
            return Reach.SILENT if self.unit.powered_since_ns(now) is None else Reach.REFUSES
        if up_ns > now or port not in self.ports:
            return Reach.REFUSES
        self._notice_boot(up_ns)
        if now < (self._web_ns if port == WEB_PORT else self._others_ns):
            return Reach.REFUSES
        if port == self.api_port and self.process_since_ns(now) is None:
            return Reach.REFUSES
        return Reach.ANSWERS

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        """Begin a conversation; on a port that does not answer it ends at once."""
        if self.reach(port, now) is not Reach.ANSWERS:
            return Hangup()
        return self._open(port, peer, now)

    def gone(self, port: int, boot_ns: Instant | None, now: Instant) -> list[Action] | None:
        """What an old conversation on `port` meets when the host it began with is no longer there; None if it is."""
        reach = self.reach(port, now)
        if reach is Reach.SILENT:
            return []
        return None if reach is Reach.ANSWERS and boot_ns == self.boot_ns else [Close(reset=True)]

    def process_since_ns(self, now: Instant) -> Instant | None:
        """When the mining process that runs at `now` was started; None while it is being restarted."""
        if now < self._ends_ns:
            return self._was_ns
        return self._since_ns if now >= self._since_ns else None

    def restart_process(self, ends_ns: Instant, since_ns: Instant, now: Instant) -> None:
        """Let the present mining process end at `ends_ns` and a new one start at `since_ns`."""
        present = self.process_since_ns(now)
        self._was_ns = self._since_ns if present is None else present
        self._ends_ns, self._since_ns = ends_ns, since_ns

    def _notice_boot(self, up_ns: Instant) -> None:
        if up_ns != self.boot_ns:
            first, self.boot_ns = self.boot_ns is None, up_ns
            self._web_ns = self._others_ns = up_ns
            if up_ns > 0 and WEB_PORT in self.ports and len(self.ports) > 1:  # one up before the run has long settled
                order_ns = round((2.0 * (self.seed / "boot order" / up_ns).uniform() - 1.0) * BOOT_ORDER_NS)
                self._web_ns += max(-order_ns, 0)
                self._others_ns += max(order_ns, 0)
            self._was_ns = self._ends_ns = up_ns
            self._since_ns = self._others_ns if self.api_port in self.ports else up_ns
            if not first:
                self._booted()

    def _open(self, port: int, peer: str, now: Instant) -> Conversation:
        """The conversation a caller gets on an open port."""
        raise TypeError(f"{type(self).__name__} opens no conversation on port {port}")

    def _booted(self) -> None:
        """The control board has started anew: forget what was only in memory."""


class Hangup:
    """A conversation that is over before it began."""

    idle_timeout_ns: int | None = 0

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Reset, whatever was said."""
        return [Close(reset=True)]

    def ended(self, now: Instant) -> Sequence[Action]:
        """Nothing is owed."""
        return [Close(reset=True)]
