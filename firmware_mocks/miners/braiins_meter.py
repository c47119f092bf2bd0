"""What BOSminer measures: its state, rates over ten windows, and the tuner's estimate of the watts.

Owns how these lag and err; what is shown beside them is `braiins_readings.py`, figures with sources in `braiins.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from emulator.wire import SECOND, Instant
from firmware_mocks.miners.braiins_conf import FIGURES, board_ids, target_w
from firmware_mocks.miners.lazy import cached_property
from firmware_mocks.miners.protobuf import Tree
from firmware_mocks.miners.readings import HASH_EXPONENT, Readings, Window
from firmware_mocks.miners.replies import values

if TYPE_CHECKING:
    from firmware_mocks.miners.braiins import BraiinsDevice

IMAGE = values(FIGURES, "image")
METER = values(FIGURES, "meter")
SPANS_S = {
    "5s": 5, "15s": 15, "30s": 30, "1m": 60, "5m": 300, "15m": 900, "30m": 1800, "1h": 3600, "24h": 86400,
}  # fmt: skip
NOT_STARTED, NORMAL, PAUSED = 1, 2, 3
_NONCES_PER_S = 99.2  # M, S19 Pro, as in `readings.py`


class BraiinsMeter(Readings):
    """What BOSminer and BOSer show at one instant."""

    device: BraiinsDevice
    windows: ClassVar[Mapping[str, Window]] = {name: Window(s * SECOND) for name, s in SPANS_S.items()} | {
        "av": Window(None)
    }
    noises = (*SPANS_S, "power")

    @cached_property
    def figures(self) -> dict[str, Any]:
        """Plain words of the image and of the model."""
        return IMAGE | values(FIGURES, self.model.id)

    @property
    def ours(self) -> str:
        """Hardware address in lower case."""
        return self.host.mac.lower()

    @property
    def hostname(self) -> str:
        """Host name, as configured or as the rig says."""
        return self.device.saved.hostname or self.host.hostname

    @property
    def uid(self) -> str:
        """Id of the miner."""
        return f"{(self.device.seed / 'uid').key:016x}"

    # ---- time and state -------------------------------------------------------------------------------------------

    @cached_property
    def is_running(self) -> bool:
        """Whether the BOSminer process is there."""
        return self.device.process_since_ns(self.now) is not None

    @property
    def elapsed_s(self) -> int:
        """Age of BOSminer; 0 while it does not run."""
        return (self.now - self.since_ns) // SECOND if self.is_running else 0

    @property
    def system_uptime_s(self) -> int:
        """Age of the system."""
        since = self.unit.powered_since_ns(self.now)
        up_ns = self.device.boot_ns
        born = up_ns if since is None else since if up_ns is None else max(since, min(up_ns, self.now))
        return 0 if born is None else max(0, self.now - born) // SECOND

    @property
    def is_counting(self) -> bool:
        """A process that does not run counts nothing."""
        return self.is_running

    @cached_property
    def is_paused(self) -> bool:
        """Whether a pause has been commanded and not taken back."""
        since = self.device.paused_ns
        return since is not None and self.now >= since

    @cached_property
    def has_settled(self) -> bool:
        """Whether the tuner has noticed the pause."""
        since = self.device.paused_ns
        return since is not None and self.now >= since + self.device.knobs.pause_settles_ns

    @property
    def is_frozen(self) -> bool:
        """The habit of 23.02: after a pause everything stays as it was."""
        return self.is_paused and self.is_running and self.device.knobs.paused_style == "frozen"

    @cached_property
    def before_pause(self) -> BraiinsMeter:
        """The last look before the pause."""
        paused_ns = self.device.paused_ns
        return type(self)(self.device, self.now if paused_ns is None else paused_ns - 1)

    @property
    def status(self) -> int:
        """MinerStatus: paused as soon as the boards are off."""
        if not self.is_running:
            return NOT_STARTED
        return PAUSED if self.is_paused and not self.is_hashing else NORMAL

    @property
    def enabled(self) -> list[str]:
        """Ids of the boards that are on."""
        return [board for board in board_ids(self.model) if board not in self.device.conf.boards_off]

    # ---- hash rate ------------------------------------------------------------------------------------------------

    @cached_property
    def rates_ths(self) -> dict[str, float]:
        """Every window in TH/s, renewed each second."""
        if self.is_frozen:
            return self.before_pause.rates_ths
        if not self.is_counting:
            return dict.fromkeys(self.windows, 0.0)
        tick = max(0, self.now - self.since_ns) // SECOND
        key = (self.since_ns, tick)
        if self.device.rates is None or self.device.rates[0] != key:
            self.device.rates = (key, self._measure(self.since_ns + tick * SECOND, tick))
        measured: dict[str, float] = self.device.rates[1]
        return measured

    def _measure(self, as_of: Instant, tick: int) -> dict[str, float]:
        measured = {"av": self._mean(as_of, None)}
        mining = self.unit.mining_since_ns(as_of)
        origin = self.since_ns if mining is None else max(self.since_ns, mining)
        now_ths = self.unit.hash_ths(as_of)
        steady = abs(self._mean(as_of, as_of - origin) - now_ths) <= 1e-9 * now_ths
        for name, span_s in SPANS_S.items():
            depth = (_NONCES_PER_S * span_s) ** -0.5
            mean = self._interpolated(as_of, origin, span_s * SECOND, now_ths if steady else None)
            measured[name] = max(0.0, mean * (1.0 + depth * self.noise(name, tick)))
        return measured

    def _interpolated(self, as_of: Instant, origin: Instant, span_ns: int, steady_ths: float | None) -> float:
        """BOSminer's approximate mean (S, its open statistics crate): this window, and of the last one what is left.

        Windows stand end to end from the start of mining, `origin`; in the first one it is the plain mean since then,
        and after a break the last window is empty, so that an average climbs over its whole span. A rate that has not
        moved since the origin is every window's mean.
        """
        count, inside_ns = divmod(as_of - origin, span_ns)
        start, part = as_of - inside_ns, inside_ns / span_ns

        def mean(begin: Instant, end: Instant) -> float:
            return self.unit.mean_hash_ths(begin, end) if steady_ths is None else steady_ths

        here = mean(start, as_of) if inside_ns > 0 else 0.0
        if count == 0 and origin == self.since_ns:
            return here
        before = mean(start - span_ns, start) if count > 0 else 0.0
        return here * part + before * (1.0 - part)

    @property
    def real_hashrate(self) -> Tree:
        """RealHashrate of the miner."""
        return self.real(1.0)

    def real(self, share: float) -> Tree:
        """RealHashrate of a part of the miner."""
        rates = self.rates_ths
        shown = {f"last_{name}": {"gigahash_per_second": rates[name] * 1e3 * share} for name in SPANS_S}
        return shown | {"since_restart": {"gigahash_per_second": rates["av"] * 1e3 * share}}

    @cached_property
    def mhs(self) -> dict[str, float]:
        """Every window in MH/s."""
        return {name: round(ths * 1e6, 2) for name, ths in self.rates_ths.items()}

    @cached_property
    def clock_share(self) -> float:
        """Chip clock as a share of nominal: the set-point's, spread over the boards that are on."""
        enabled = len(self.enabled)
        return float((max(0.0, self.unit.setpoint(self.now)) * self.model.boards / enabled) ** HASH_EXPONENT)

    @property
    def frequency_mhz(self) -> int:
        """Chip clock; a paused miner shows the clock at which it was parked."""
        return int(METER["paused_mhz"]) if self.is_paused or not self.is_running else super().frequency_mhz

    @property
    def ideal_ghs(self) -> float:
        """Rate of the clock on the boards that are on; 0 while nothing runs."""
        if not self.is_running or self.is_paused:
            return 0.0
        return round(self.model.nominal_ths * 1e3 * self.clock_share * len(self.enabled) / self.model.boards, 2)

    # ---- power ----------------------------------------------------------------------------------------------------

    @cached_property
    def watts(self) -> int | None:
        """The tuner's estimate. After a pause it stays until the tuner has noticed, then there is none."""
        if not self.is_running:
            return None
        if self.is_paused and (self.is_frozen or not self.has_settled):
            return self.before_pause.estimate_w
        return None if self.is_paused else self.estimate_w

    @cached_property
    def estimate_w(self) -> int:
        """The estimate as it was renewed last, whatever the miner does."""
        refresh_ns: int = METER["power_refresh_ns"]
        return round(self.modelled_w(max(0, self.now - self.now % refresh_ns), refresh_ns, METER["power_noise"]))

    @property
    def consumption(self) -> Tree | None:
        """The estimate as Power."""
        return None if self.watts is None else {"watt": self.watts}

    @property
    def efficiency(self) -> Tree | None:
        """Joules a terahash, of the estimate and the expected rate."""
        if not self.watts or not self.ideal_ghs:
            return None
        return {"joule_per_terahash": self.watts * 1e3 / self.ideal_ghs}

    @property
    def watts_number(self) -> int:
        """The estimate where a number has to stand."""
        return self.watts or 0

    @property
    def chain_watts(self) -> int:
        """What of it the boards take: 96 % (D: worked reply, 3120 of 3255 W)."""
        return round(self.watts_number * 0.9585)

    @property
    def limit_w(self) -> int:
        """Power target."""
        return target_w(self.device.conf, self.model)
