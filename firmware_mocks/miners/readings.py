"""What a firmware believes about the miner it runs on, at one instant: averaged, biased, rounded, late.

Owns the measurements that all faces share (hash-rate windows, shares, temperatures, fans) and the small differences
between units; which of them a vendor shows, and under which name, stands in the face's templates.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from math import exp
from typing import Any, ClassVar

from emulator.catalogue import Phase
from emulator.seed import Normals, Seed
from emulator.wire import SECOND, Instant
from firmware_mocks.miners.base import MinerDevice, MinerUnit
from firmware_mocks.miners.lazy import cached_property

HASH_EXPONENT = 1.0 / 1.30
"""Clock goes with power to this exponent (M: vendor presets of S19 XP and S19k Pro)."""
TICK_NS = 5 * SECOND
"""The cgminer family renews its averages every 5 s (S: hashmeter of cgminer 4.11)."""
_NONCES_PER_S = 99.2
"""Nonces a unit returns each second (M: S19 Pro); their Poisson noise is the noise of the short average."""
_KERNEL_EDGES = (0.0, 0.5, 1.0, 1.75, 3.0, 5.0)
"""Pieces of an exponential average in time constants; in each the exact mean is taken."""


@dataclass(frozen=True, slots=True)
class Character:
    """How one unit differs from its product: share and heat of its boards, fan tolerance, error of a power model."""

    board_share: tuple[float, ...]
    board_heat: tuple[float, ...]
    fan_gain: tuple[float, ...]
    watts_gain: float


@dataclass(frozen=True, slots=True)
class Window:
    """One average a firmware shows: an exponential one of time constant `span_ns`, or a plain mean over it.

    `span_ns` None is the mean since the mining process started.
    """

    span_ns: int | None
    exponential: bool = False


def character(seed: Seed, boards: int, fans: int) -> Character:
    """The character of the unit that `seed` belongs to; boards 0.5 %, heat 6 %, fans 1 %, watts 3 % (estimates)."""
    normals = Normals([seed / "board", seed / "fan", seed / "watts"])
    share = [1.0 + 0.005 * normals.draw(0, board) for board in range(boards)]
    cooler = [(seed / "heat").uniform(board) for board in range(boards)]
    heat = [1.0 - 0.06 * drawn for drawn in cooler]
    heat[cooler.index(min(cooler))] = 1.0
    gain = tuple(1.0 + 0.01 * normals.draw(1, fan) for fan in range(max(1, fans)))
    whole = sum(share)
    return Character(tuple(part / whole for part in share), tuple(heat), gain, 1.0 + 0.03 * normals.draw(2, 0))


class Readings:
    """One look of the firmware at its miner. Templates name its attributes; a face derives from it and adds its own."""

    windows: ClassVar[Mapping[str, Window]] = {}
    tick_ns: ClassVar[int] = TICK_NS
    """How often the firmware renews its averages."""
    noises: ClassVar[tuple[str, ...]] = ()
    """What else the face draws noise for, each a child of the device's seed."""
    _places: ClassVar[Mapping[str, int]] = {}
    _reach_ns: ClassVar[int] = 0
    """How far back the longest exponential average reaches; 0 where there is none."""
    share_difficulty: float = 262_144.0
    reject_share: float = 0.0015
    sensor_rise: ClassVar[tuple[float, ...]] = (0.55, 0.65, 0.94, 1.0)
    """Rise of a board's sensors over the inlet, as a share of the hottest one's (D: worked S19j Pro reply at 25 °C)."""
    pcb_k: ClassVar[int] = 0
    chip_k: ClassVar[int] = 0
    """What the firmware adds to a sensor to show a board and a chip temperature, kelvin."""
    chip_group: ClassVar[int] = 3

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        names = [*(name for name, window in cls.windows.items() if window.exponential), *cls.noises]
        cls._places = {name: place for place, name in enumerate(names)}
        spans = [window.span_ns or 0 for window in cls.windows.values() if window.exponential]
        cls._reach_ns = round(_KERNEL_EDGES[-1] * max(spans, default=0))

    def __init__(self, device: MinerDevice, now: Instant) -> None:
        self.device = device
        self.unit: MinerUnit = device.unit
        self.model = device.unit.model
        self.host = device.host
        self.now = now

    @property
    def mac(self) -> str:
        """Hardware address in capitals."""
        return self.host.mac.upper()

    @property
    def gateway(self) -> str:
        """Router, and name server, of the rig's /16."""
        return ".".join([*self.host.address.split(".")[:2], "0", "1"])

    # ---- time -----------------------------------------------------------------------------------------------------

    @cached_property
    def when(self) -> int:
        """Seconds since 1970."""
        return self.host.unix_s(self.now)

    @cached_property
    def since_ns(self) -> Instant:
        """Start of the mining process; `now` itself while it is being restarted."""
        since = self.device.process_since_ns(self.now)
        return self.now if since is None else min(since, self.now)

    @cached_property
    def elapsed_s(self) -> int:
        """Age of the mining process."""
        return (self.now - self.since_ns) // SECOND

    def renewed(self, every_ns: int) -> Instant:
        """The last instant of this boot at which something was renewed that is every `every_ns`."""
        tick = self.now - self.now % every_ns
        return tick if self.device.boot_ns is None else max(self.device.boot_ns, tick)

    @cached_property
    def is_hashing(self) -> bool:
        """Whether chips make hashes."""
        return self.unit.mining_since_ns(self.now) is not None

    @cached_property
    def phase(self) -> Phase:
        """What the miner is doing."""
        return self.unit.phase(self.now)

    @property
    def is_ramping(self) -> bool:
        """Whether clock and voltage are on their way."""
        return self.phase in (Phase.WAKE, Phase.RETUNE)

    @property
    def is_counting(self) -> bool:
        """Whether the mining process counts nonces; one that was started asleep does not."""
        return True

    # ---- hash rate ------------------------------------------------------------------------------------------------

    @cached_property
    def rates_ths(self) -> dict[str, float]:
        """Every window of the face in TH/s, as of the last tick of the firmware's meter."""
        if not self.is_counting:
            return dict.fromkeys(self.windows, 0.0)
        tick = (self.now - self.since_ns) // self.tick_ns
        kept = self.device.rates
        if kept is None or kept[:2] != (self.since_ns, tick):
            measured = self._measure(self.since_ns + tick * self.tick_ns, tick)
            self.device.rates = (self.since_ns, tick, *measured.values())
            return measured
        return dict(zip(self.windows, kept[2:], strict=True))

    @cached_property
    def ghs(self) -> dict[str, float]:
        """Every window in GH/s, two decimals."""
        return {name: round(ths * 1e3, 2) for name, ths in self.rates_ths.items()}

    def _measure(self, as_of: Instant, tick: int) -> dict[str, float]:
        measured = {}
        steady = self._steady(as_of, self._reach_ns) if self._reach_ns else None
        for name, window in self.windows.items():
            if window.exponential and window.span_ns is not None:
                noise = self.noise(name, tick)
                depth = (2.0 * self.nonces_per_s * window.span_ns / SECOND) ** -0.5
                mean = self._exponential(as_of, window.span_ns) if steady is None else steady
                measured[name] = max(0.0, mean * (1.0 + depth * noise))
            else:
                measured[name] = self._mean(as_of, window.span_ns)
        return measured

    def noise(self, name: str, tick: int) -> float:
        """A standard normal draw for a window or one of `noises`, the same whenever `tick` is looked at."""
        draws = self.device.draws
        if draws is None:
            meter = self.device.seed / "meter"
            seeds = [self.device.seed / of if of in self.noises else meter / of for of in self._places]
            draws = self.device.draws = Normals(seeds)
        return draws.draw(self._places[name], tick)

    def _mean(self, as_of: Instant, span_ns: int | None) -> float:
        start = self.since_ns if span_ns is None else max(self.since_ns, as_of - span_ns)
        return self.unit.mean_hash_ths(start, as_of) if as_of > start else 0.0

    def _steady(self, as_of: Instant, reach_ns: int) -> float | None:
        """The rate, where it has not moved for `reach_ns` within this mining process."""
        if as_of - reach_ns < self.since_ns:
            return None
        mean = self.unit.mean_hash_ths(as_of - reach_ns, as_of)
        return mean if abs(mean - self.unit.hash_ths(as_of)) <= 1e-9 * mean else None

    def _exponential(self, as_of: Instant, tau_ns: int) -> float:
        if as_of <= self.since_ns:
            return 0.0
        steady = self._steady(as_of, round(_KERNEL_EDGES[-1] * tau_ns))
        if steady is not None:
            return steady
        total = 0.0
        for near, far in pairwise(_KERNEL_EDGES):
            start, stop = max(self.since_ns, as_of - round(far * tau_ns)), as_of - round(near * tau_ns)
            if stop > start:
                weight = exp(-near) - exp(-(as_of - start) / tau_ns)
                total += weight * self.unit.mean_hash_ths(start, stop)
        return total / (1.0 - exp(-_KERNEL_EDGES[-1]))

    @property
    def nonces_per_s(self) -> float:
        """Nonces whose Poisson noise is the noise of the exponential averages."""
        return _NONCES_PER_S

    @cached_property
    def clock_share(self) -> float:
        """Chip clock as a share of nominal, from the set-point."""
        return float(max(0.0, self.unit.setpoint(self.now)) ** HASH_EXPONENT)

    @property
    def ideal_ghs(self) -> float:
        """Rate the firmware expects of its clock, GH/s."""
        return round(self.model.nominal_ths * 1e3 * self.clock_share, 2)

    @property
    def frequency_mhz(self) -> int:
        """Chip clock."""
        return round(self.model.frequency_mhz * self.clock_share)

    # ---- shares ---------------------------------------------------------------------------------------------------

    @cached_property
    def _shares(self) -> float:
        if not self.is_counting:
            return 0.0
        # not by way of a mean, whose rounding would let a counter of a miner that stands still step back
        return self.unit.work_th(self.since_ns, self.now) * 1e12 / (self.share_difficulty * 2.0**32)

    @cached_property
    def accepted(self) -> int:
        """Shares the pool took since the process started."""
        return int(self._shares) - self.rejected

    @cached_property
    def rejected(self) -> int:
        """Shares the pool refused."""
        return int(self._shares * self.reject_share)

    @property
    def difficulty_accepted(self) -> float:
        """Accepted work in shares of difficulty 1."""
        return self.accepted * self.share_difficulty

    @property
    def difficulty_rejected(self) -> float:
        """Refused work in shares of difficulty 1."""
        return self.rejected * self.share_difficulty

    @cached_property
    def rejected_percent(self) -> float:
        """Refused share of all work."""
        shares = self.accepted + self.rejected
        return round(100.0 * self.rejected / shares, 4) if shares else 0.0

    @cached_property
    def shares_per_min(self) -> float:
        """Accepted shares a minute since the process started."""
        return round(self.accepted * 60.0 / max(1, self.elapsed_s), 2)

    @property
    def total_mh(self) -> float:
        """All work since the process started, in 10^6 hashes."""
        return round(self._shares * self.share_difficulty * 2.0**32 / 1e6, 4)

    @property
    def diff1_work(self) -> int:
        """All work in shares of difficulty 1."""
        return int(self._shares * self.share_difficulty)

    @property
    def best_share(self) -> int:
        """Best share so far: the expected one for the work done."""
        return int(self._shares * self.share_difficulty * 1.4)

    @property
    def hardware_errors(self) -> int:
        """Wrong nonces: a hundredth of a percent of the nonces returned (M: 0 to 2.7 % between products)."""
        return int(self._shares * self.share_difficulty / 256.0 * 1e-4)

    @property
    def last_share_s(self) -> int | None:
        """Age of the last share; None before the first one or when nothing is known of it."""
        if not self.accepted or not self.is_hashing:
            return None
        per_share_s = self.share_difficulty * 2.0**32 / (max(self.unit.hash_ths(self.now), 1e-6) * 1e12)
        return int((self._shares % 1.0) * per_share_s)

    @property
    def getworks(self) -> int:
        """Jobs the pool sent: one in 28 s (D: worked reply)."""
        return self.elapsed_s // 28

    @property
    def discarded(self) -> int:
        """Work thrown away on new jobs: 36 a second (D: worked reply)."""
        return self.elapsed_s * 36

    @property
    def local_work(self) -> int:
        """Work generated by the miner itself."""
        return self.discarded + self.accepted

    @property
    def network_blocks(self) -> int:
        """Blocks seen: one in ten minutes."""
        return self.elapsed_s // 600

    @property
    def work_utility(self) -> float:
        """Difficulty-1 shares a minute."""
        return round(self.diff1_work * 60.0 / max(1, self.elapsed_s), 2)

    # ---- power ----------------------------------------------------------------------------------------------------

    def modelled_w(self, as_of: Instant, every_ns: int, scatter: float) -> float:
        """Wall power by a firmware that measures none: the truth at `as_of` with the unit's error and the noise
        "power", of relative size `scatter` and drawn anew every `every_ns`."""
        noise = self.noise("power", max(0, as_of // every_ns))
        return self.unit.power_w(as_of) * (self.character.watts_gain * (1.0 + scatter * noise))

    # ---- boards and fans ------------------------------------------------------------------------------------------

    @cached_property
    def character(self) -> Character:
        """How this unit differs from its product."""
        found: Character | None = self.device.character
        if found is None:
            found = self.device.character = character(self.device.seed, self.model.boards, self.model.fans)
        return found

    def board_mhz(self, board: int) -> int:
        """Chip clock of one board."""
        return self.frequency_mhz

    def sensors_c(self, board: int) -> list[int]:
        """Readings of a board's four sensors, whole degrees."""
        inlet, hottest = self._air_and_board_c
        rise = (hottest - inlet) * self.character.board_heat[board]
        return [round(inlet + rise * share) for share in self.sensor_rise]

    @cached_property
    def _air_and_board_c(self) -> tuple[float, float]:
        return self.unit.inlet_c(self.now), self.unit.temperature_c(self.now)

    def four_slots(self, empty_rate: str) -> list[dict[str, Any]]:
        """The four board connectors; an empty one has zeros and the rate that the firmware writes there."""
        none: Any = "0-0-0-0"
        empty = dict.fromkeys(("pic_text", "pcb_text", "chip_text"), none) | {"chips": 0, "hw": 0, "mhz": 0}
        empty |= {"marks": "", "rate_text": empty_rate}
        return self.board_list + [empty | {"n": n} for n in range(self.model.boards + 1, 5)]

    @cached_property
    def board_list(self) -> list[dict[str, Any]]:
        """One row a hash board. Reported temperatures are the sensor's plus a constant while the chips work."""
        chips, total = self.model.chips_per_board, self.rates_ths["5s"] * 1e3
        ideal = round(self.ideal_ghs / self.model.boards, 2)
        errors = self.hardware_errors // self.model.boards
        pcb_k, chip_k = (self.pcb_k, self.chip_k) if self.is_hashing else (0, 0)
        rows = []
        for index, share in enumerate(self.character.board_share):
            pic = self.sensors_c(index)
            pcb, chip = [degrees + pcb_k for degrees in pic], [degrees + chip_k for degrees in pic]
            rate = round(total * share, 2)
            rows.append({
                "id": index, "n": index + 1, "pic": pic, "pcb": pcb, "chip": chip, "share": share,
                "pic_text": joined(pic), "pcb_text": joined(pcb), "chip_text": joined(chip),
                "pcb_max": max(pcb), "chip_max": max(chip), "chips": chips, "marks": chip_marks(chips, self.chip_group),
                "rate": rate, "rate_text": f"{rate:.2f}", "ideal": ideal,
                "mhz": self.board_mhz(index), "hw": errors,
                "sn": f"{self.host.serial}B{index + 1}",
            })  # fmt: skip
        return rows

    @property
    def all_chips(self) -> int:
        """Chips on all boards."""
        return self.model.boards * self.model.chips_per_board

    @property
    def chip_max_all(self) -> int:
        """Hottest chip as reported."""
        return int(max(row["chip_max"] for row in self.board_list))

    def fan_rows(self, full_rpm: Sequence[float], idle_rpm: float = 0.0) -> list[dict[str, Any]]:
        """One row a fan: `n` from 1, `id` from 0, `rpm` in steps of 30; `full_rpm` is repeated over the fans."""
        share = self.unit.fan_share(self.now)
        rows = []
        for index in range(self.model.fans):
            full = full_rpm[index % len(full_rpm)] * self.character.fan_gain[index]
            rpm = max(idle_rpm, share * full)
            rows.append({"n": index + 1, "id": index, "rpm": 30 * round(rpm / 30.0)})
        return rows


@lru_cache(maxsize=64)
def chip_marks(chips: int, group: int) -> str:
    """One `o` a chip, a space before each group."""
    return "".join(" " + "o" * min(group, chips - start) for start in range(0, chips, group))


def joined(degrees: Sequence[int]) -> str:
    """Temperatures the way these firmwares print them: "52-55-64-66"."""
    return "-".join(map(str, degrees))


def clock_text(age_s: int | None) -> str:
    """An age as "0:00:07"; "0" where there is none."""
    return "0" if age_s is None else f"{age_s // 3600}:{age_s // 60 % 60:02}:{age_s % 60:02}"
