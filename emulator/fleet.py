"""All miners of a site as arrays: commands in, power segments out.

A row is a miner. Between two events it is one closed form, so nothing is stepped: `advance` jumps each row from one
step of its phase script to the next, and only when somebody asks. It owns the electrical state machine; what a firmware
says on the network is `firmware_mocks/`, which outlet feeds which row is `emulator/site.py`.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from emulator.catalogue import MinerModel, Phase, PhaseFamily, Script, Shape, Step
from emulator.timeline import Floats, SegmentLog
from emulator.wire import Instant

if TYPE_CHECKING:
    from emulator.seed import Seed

Rows = NDArray[np.int64]

NEVER = np.iinfo(np.int64).max
NONE = np.iinfo(np.int64).min

_HASH_EXPONENT = 1.0 / 1.30
"""P is proportional to TH^1.26..1.33 around nominal (M: vendor presets of S19 XP and S19k Pro); 1.30 taken."""
_POWER_SPREAD = 0.0126
"""Relative standard deviation of wall power between units (M: 110 M60S, mean 3394 W, sd 42.6 W)."""
_HASH_SPREAD = 0.012
"""Relative standard deviation of hash rate between units (D: four S19j Pro on one preset, 97.1-100.2 TH/s)."""
_LONGEST_UPTIME_NS = 20 * 86_400 * 1_000_000_000  # estimate: sites reboot their miners about monthly

_BOARD_TAU_S = 60.0
"""Lag of the boards' temperature behind power (M: first-order fits of step traces, 40-85 s)."""
INRUSH_TAU_S = 0.0025
"""Fading of the inrush of a power supply (estimate: the sheet has "under 10 ms", four time constants)."""

_MAINS = ("mains_on", "mains_off")
_PHASES = tuple(Phase)  # in the order of their numbers

CommandHook = Callable[[Instant, Rows, str], None]


@dataclass(frozen=True, slots=True)
class MinerSpec:
    """What stands in one row: the product, its firmware's timing and the name it goes by."""

    id: str
    model: MinerModel
    family: PhaseFamily


class Fleet:
    """Every miner of a site. Rows are in the order of `specs`; instants are integer nanoseconds.

    At instant 0 every miner hashes at its set-point. `on_command` is called with (instant, rows, script) whenever a
    script or a mains change takes effect.
    """

    def __init__(self, specs: Sequence[MinerSpec], seed: Seed, on_command: CommandHook | None = None) -> None:
        if not specs:
            raise ValueError("a fleet needs at least one miner")
        self.specs = tuple(specs)
        self.log = SegmentLog(len(specs), capacity=16 * len(specs))  # pages are touched only when used
        self._seed = seed / "fleet"
        self._on_command = on_command
        self._rows = rows = np.arange(len(specs), dtype=np.int64)
        self.nominal_w: Floats = np.array([s.model.nominal_w for s in specs])
        self.nominal_ths: Floats = np.array([s.model.nominal_ths for s in specs])
        self._sleep_w: Floats = np.array([s.model.sleep_w for s in specs])
        draws = rows.astype(np.uint64)
        self._power_gain = 1.0 + _POWER_SPREAD * (self._seed / "power").normals_at(draws)
        self._hash_ratio: Floats = np.ones(rows.size)
        self._hash_gain = 1.0 + _HASH_SPREAD * (self._seed / "hash").normals_at(draws)
        self.setpoint: Floats = np.ones(rows.size)
        """Share of nominal power each row is set to."""
        self._lasting: Floats = self.setpoint.copy()
        self.mains: NDArray[np.bool_] = np.ones(rows.size, dtype=np.bool_)
        self._asleep: NDArray[np.bool_] = np.zeros(rows.size, dtype=np.bool_)
        uptime = ((self._seed / "uptime").uniforms_at(draws) * _LONGEST_UPTIME_NS).astype(np.int64)
        self.powered_since: NDArray[np.int64] = -uptime
        self.api_since: NDArray[np.int64] = -uptime
        self.mining_since: NDArray[np.int64] = -uptime
        self.inrush_w: Floats = np.zeros(rows.size)
        """What a row's power supply draws besides at the instant it gets its mains; fades with `INRUSH_TAU_S`."""
        self._script_table(specs)
        self._step: NDArray[np.int64] = np.zeros(rows.size, dtype=np.int64)
        self._next_ns: NDArray[np.int64] = np.full(rows.size, NEVER, dtype=np.int64)
        self._draws: NDArray[np.uint64] = np.zeros(rows.size, dtype=np.uint64)
        self._soonest = NEVER
        self._pending: list[tuple[Instant, int, Rows, str, float | None, float | None]] = []
        self._sequence = 0
        zero = np.zeros(rows.size)
        self.log.append(
            rows, t0_ns=0, base_w=self._setpoint_w(rows), slope_w=zero, amp_w=zero, tau_s=1.0,
            base_ths=self._setpoint_ths(rows), slope_ths=zero, amp_ths=zero, joules=zero, work=zero,
            phase=Phase.HASHING,
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.specs)

    # ---- commands -------------------------------------------------------------------------------------------------

    def run(
        self,
        rows: Rows,
        script: str,
        at: Instant,
        *,
        setpoint: float | None = None,
        hash_share: float | None = None,
    ) -> None:
        """Start a phase script on `rows` at `at`, which may lie ahead; `setpoint` is the new share of nominal power.

        `hash_share` is the share of nominal hash rate at that power, for a miner whose clock and voltage are set
        apart; without it the vendors' presets tell (power goes with hash rate to the 1.30).
        Rows without mains at that instant only remember it for their next boot.
        Raises KeyError when a row's family has no such script.
        """
        for code in np.unique(self._family[rows]).tolist():
            if (code, script) not in self._script_start:
                known = sorted(name for of, name in self._script_start if of == code)
                family = self._family_ids[code]
                raise KeyError(f"phase family {family!r} has no script {script!r}; it has {', '.join(known)}")
        self._schedule(at, rows, script, setpoint, hash_share)

    def settle(self, rows: Rows, asleep: bool) -> None:
        """Whether the next boot of `rows` goes to sleep, whatever script ran last."""
        self._asleep[rows] = asleep

    def forget_mains(self, groups: Sequence[Rows], start: Instant) -> None:
        """Drop the mains changes planned for any of these very arrays for `start` or later."""
        wanted = {id(rows) for rows in groups}
        kept = [p for p in self._pending if p[0] < start or p[3] not in _MAINS or id(p[2]) not in wanted]
        if len(kept) != len(self._pending):
            self._pending = kept
            heapq.heapify(self._pending)

    def switch_mains(self, rows: Rows, closed: bool, at: Instant) -> None:
        """Give or take the mains voltage of `rows` at `at`, which may lie ahead.

        Changes planned for these same rows (the same array) for later than `at` are dropped.
        """
        later = [p for p in self._pending if p[0] > at and p[2] is rows and p[3] in _MAINS]
        if later:
            self._pending = [p for p in self._pending if not any(p is dropped for dropped in later)]
            heapq.heapify(self._pending)
        self._schedule(at, rows, "mains_on" if closed else "mains_off", None)

    def _schedule(
        self, at: Instant, rows: Rows, name: str, setpoint: float | None, hash_share: float | None = None
    ) -> None:
        self._sequence += 1
        which = np.asarray(rows, dtype=np.int64)
        heapq.heappush(self._pending, (at, self._sequence, which, name, setpoint, hash_share))

    # ---- time -----------------------------------------------------------------------------------------------------

    def advance(self, now: Instant) -> None:
        """Bring every row up to `now`: carry out commands and enter the steps that are due, each at its instant."""
        while self._pending and self._pending[0][0] <= now:
            at, _, rows, name, setpoint, hash_share = heapq.heappop(self._pending)
            self._run_due(at - 1)
            if setpoint is not None:
                self._hash_ratio[rows] = 1.0 if hash_share is None else hash_share / setpoint**_HASH_EXPONENT
            self._carry_out(at, rows, name, setpoint)
        if self._soonest <= now:
            self._run_due(now)

    def _all_of(self, at: Instant, name: str, rows: Rows) -> Rows:
        """`rows` and those whose mains change alike at the same instant: a breaker takes a whole feeder in one go."""
        groups = [rows]
        while self._pending and self._pending[0][0] == at and self._pending[0][3] == name:
            groups.append(heapq.heappop(self._pending)[2])
        return rows if len(groups) == 1 else np.unique(np.concatenate(groups))

    def _run_due(self, until: Instant) -> None:
        while self._soonest <= until:
            due = np.flatnonzero(self._next_ns <= until)
            self._enter(due, self._step[due] + 1, self._next_ns[due])

    def _carry_out(self, at: Instant, rows: Rows, name: str, setpoint: float | None) -> None:
        if name == "mains_off":
            rows = self._all_of(at, name, rows)
            rows = rows[self.mains[rows]]
            self.mains[rows] = False
            self.powered_since[rows] = self.api_since[rows] = self.mining_since[rows] = NONE
            self._enter(rows, np.zeros(rows.size, dtype=np.int64), np.full(rows.size, at))
        elif name == "mains_on":
            rows = self._all_of(at, name, rows)
            rows = rows[~self.mains[rows]]
            self.mains[rows] = True
            self.powered_since[rows] = at
            self._start(rows, "boot", at)
        else:
            if setpoint is not None:
                self.setpoint[rows] = setpoint
                lasts = [self._script_start[code, name][1].lasting for code in self._family[rows].tolist()]
                self._lasting[rows[lasts]] = setpoint
            self._remember(rows[~self.mains[rows]], name)
            rows = rows[self.mains[rows]]
            if name == "retune":  # before the chips hash, the running script aims at the new goal by itself
                rows = rows[np.isin(self.log.column("phase")[self.log.latest[rows]], (Phase.HASHING, Phase.RETUNE))]
            self._start(rows, name, at)
        if self._on_command is not None and rows.size:
            self._on_command(at, rows, name)

    def _remember(self, rows: Rows, name: str) -> None:
        """A command accepted just before the mains went is in the configuration: the next boot obeys it."""
        for code in np.unique(self._family[rows]).tolist():
            asleep = self._script_start[code, name][1].asleep
            if asleep is not None:
                self._asleep[rows[self._family[rows] == code]] = asleep

    def _start(self, rows: Rows, name: str, at: Instant) -> None:
        families = self._family[rows]
        for family in np.unique(families).tolist():
            mine = rows[families == family]
            for part, asleep in ((mine[~self._asleep[mine]], False), (mine[self._asleep[mine]], True)):
                if not part.size:
                    continue
                sleeping = f"{name}_asleep"
                chosen = sleeping if asleep and (family, sleeping) in self._script_start else name
                start, script = self._script_start[family, chosen]
                if script.asleep is not None:
                    self._asleep[part] = script.asleep
                if script.api_after_ns is not None:
                    self.api_since[part] = at + script.api_after_ns
                    self.setpoint[part] = self._lasting[part]
                self._enter(part, np.full(part.size, start), np.full(part.size, at))

    def _enter(self, rows: Rows, steps: NDArray[np.int64], at: NDArray[np.int64]) -> None:
        """Begin a step in each row at its own instant: close the running segment, append the next one."""
        while rows.size:
            mine = steps == steps[0]
            if mine.all():
                self._begin(rows, int(steps[0]), at)
                break
            self._begin(rows[mine], int(steps[0]), at[mine])
            rows, steps, at = rows[~mine], steps[~mine], at[~mine]
        self._soonest = int(self._next_ns.min())

    def _begin(self, rows: Rows, index: int, at: NDArray[np.int64]) -> None:
        step = self._steps[index]
        entries = self.log.latest[rows]
        old_phase = self.log.column("phase")[entries]
        power = self.log.evaluate(entries, at, "w")
        hashing = self.log.evaluate(entries, at, "ths")
        duration = self._durations(rows, step)
        goal_w, goal_ths = self._goal_w(rows, step), step.hash_share * self._setpoint_ths(rows)
        ramps = step.shape in (Shape.HOLD, Shape.LINEAR)
        decays = step.shape is Shape.EXPONENTIAL
        per_s = 1e9 / duration if step.shape is Shape.LINEAR else 0.0
        tau_s, amp_w = step.tau_s, power - goal_w if decays else np.zeros(rows.size)
        if not decays and step.phase is not Phase.OFF and (old_phase == Phase.OFF).any():
            # the bulk capacitors charge while the first step of the boot begins
            tau_s, amp_w = INRUSH_TAU_S, np.where(old_phase == Phase.OFF, self.inrush_w[rows], 0.0)
        self.log.append(
            rows, t0_ns=at, tau_s=tau_s, phase=step.phase,
            base_w=power if ramps else goal_w, slope_w=(goal_w - power) * per_s if ramps else 0.0,
            amp_w=amp_w, joules=self.log.total(entries, at, "w"),
            base_ths=hashing if ramps else goal_ths, slope_ths=(goal_ths - hashing) * per_s if ramps else 0.0,
            amp_ths=hashing - goal_ths if decays else 0.0, work=self.log.total(entries, at, "ths"),
        )  # fmt: skip
        if step.phase is Phase.HASHING:
            begins = (old_phase != Phase.HASHING) & (old_phase != Phase.RETUNE)
            self.mining_since[rows[begins]] = at[begins]
        elif step.phase not in (Phase.RETUNE, Phase.STOPPING):
            self.mining_since[rows] = NONE
        self._step[rows] = index
        self._next_ns[rows] = NEVER if step.duration_ns is None else at + duration

    def _goal_w(self, rows: Rows, step: Step) -> Floats:
        if step.power_share is not None:
            return step.power_share * self._setpoint_w(rows)
        return self._sleep_w[rows] if step.power_w is None else np.full(rows.size, step.power_w)

    def _durations(self, rows: Rows, step: Step) -> NDArray[np.int64]:
        """How long the step lasts in each row this time; meaningless for a step without an end."""
        mean_ns = step.duration_ns or 0
        if step.spread == 0.0 or mean_ns == 0:
            return np.full(rows.size, mean_ns, dtype=np.int64)
        index = rows.astype(np.uint64) * np.uint64(1 << 24) + self._draws[rows]
        self._draws[rows] += np.uint64(1)
        factor = np.maximum(0.2, 1.0 + step.spread * (self._seed / "duration").normals_at(index))
        drawn: NDArray[np.int64] = np.rint(mean_ns * factor).astype(np.int64)
        return drawn

    # ---- reading --------------------------------------------------------------------------------------------------

    def power_w(self, at: Instant, rows: slice | Rows = slice(None)) -> Floats:
        """Wall power of `rows` at `at`, watts, shape (len(rows),). `at` may lie in the past."""
        return self.log.evaluate(self._entries(rows, at), at, "w")

    def hash_ths(self, at: Instant, rows: slice | Rows = slice(None)) -> Floats:
        """True hash rate of `rows` at `at`, TH/s."""
        return self.log.evaluate(self._entries(rows, at), at, "ths")

    def energy_j(self, at: Instant, rows: slice | Rows = slice(None)) -> Floats:
        """Energy each of `rows` has taken from instant 0 until `at`, joules; negative before instant 0."""
        return self.log.total(self._entries(rows, at), at, "w")

    def work_th(self, at: Instant, rows: slice | Rows = slice(None)) -> Floats:
        """Hashes each of `rows` has made from instant 0 until `at`, in units of 10^12."""
        return self.log.total(self._entries(rows, at), at, "ths")

    def phases(self, at: Instant, rows: slice | Rows = slice(None)) -> NDArray[np.int8]:
        """Phase of `rows` at `at`."""
        entries = self._entries(rows, at)  # may append, so the column is taken afterwards
        phases: NDArray[np.int8] = self.log.column("phase")[entries].astype(np.int8)
        return phases

    def _entries(self, rows: slice | Rows, at: Instant) -> NDArray[np.int64]:
        self.advance(at)
        return self.log.entries_at(self._rows[rows], at)

    # ---- scripts --------------------------------------------------------------------------------------------------

    def _script_table(self, specs: Sequence[MinerSpec]) -> None:
        """Lay all steps of all scripts in one row; step 0 is `off`, a script's steps are consecutive."""
        families = {spec.family.id: spec.family for spec in specs}
        self._family_ids = list(families)
        codes = {name: code for code, name in enumerate(self._family_ids)}
        self._family = np.array([codes[spec.family.id] for spec in specs], dtype=np.int8)
        off = Step(Phase.OFF, None, 0.0, 0.0, None, Shape.STEP, 1.0, 0.0, "no mains", "D", "open contact")
        steps = [off]
        self._script_start: dict[tuple[int, str], tuple[int, Script]] = {}
        for family in families.values():
            for script in family.scripts.values():
                self._script_start[codes[family.id], script.name] = (len(steps), script)
                steps.extend(script.steps)
        self._steps = tuple(steps)

    def _setpoint_w(self, rows: Rows) -> Floats:
        watts: Floats = self.nominal_w[rows] * self._power_gain[rows] * self.setpoint[rows]
        return watts

    def _setpoint_ths(self, rows: Rows) -> Floats:
        ths: Floats = self.nominal_ths[rows] * self._hash_gain[rows] * self.setpoint[rows] ** _HASH_EXPONENT
        return ths * self._hash_ratio[rows]


class MinerUnit:
    """One row of the fleet as its firmware sees it."""

    __slots__ = ("_fleet", "_row", "id", "index", "model")

    def __init__(self, fleet: Fleet, index: int) -> None:
        self._fleet = fleet
        self._row = np.array([index], dtype=np.int64)
        self.index = index
        self.id = fleet.specs[index].id
        self.model = fleet.specs[index].model

    def run(self, script: str, now: Instant, *, setpoint: float | None = None, hash_share: float | None = None) -> None:
        """Start a phase script of the unit's family at `now`, which may lie ahead."""
        self._fleet.run(self._row, script, now, setpoint=setpoint, hash_share=hash_share)

    def phase(self, now: Instant) -> Phase:
        """What the unit is doing."""
        self._fleet.advance(now)
        return _PHASES[self._fleet.log.phase(self.index, now)]

    def power_w(self, now: Instant) -> float:
        """True wall power, watts."""
        self._fleet.advance(now)
        return self._fleet.log.power.value(self.index, now)

    def hash_ths(self, now: Instant) -> float:
        """True hash rate, TH/s."""
        self._fleet.advance(now)
        return self._fleet.log.hash_rate.value(self.index, now)

    def mean_hash_ths(self, start: Instant, stop: Instant) -> float:
        """Mean hash rate over [start, stop], TH/s; the rate itself where the two coincide."""
        if stop <= start:
            return self.hash_ths(stop)
        return self.work_th(start, stop) / ((stop - start) * 1e-9)

    def work_th(self, start: Instant, stop: Instant) -> float:
        """Hashes made over [start, stop], in units of 10^12."""
        self._fleet.advance(stop)
        return self._fleet.log.hash_rate.between(self.index, start, stop)

    def energy_j(self, start: Instant, stop: Instant) -> float:
        """Energy taken over [start, stop], joules."""
        self._fleet.advance(stop)
        return self._fleet.log.power.between(self.index, start, stop)

    def powered_since_ns(self, now: Instant) -> Instant | None:
        """When the control board got its mains; None without mains."""
        return self._since(self._fleet.powered_since, now)

    def api_since_ns(self, now: Instant) -> Instant | None:
        """When the network API came, or comes, up; None without mains."""
        return self._since(self._fleet.api_since, now)

    def mining_since_ns(self, now: Instant) -> Instant | None:
        """When the present mining process began to hash; None while it does not."""
        return self._since(self._fleet.mining_since, now)

    def setpoint(self, now: Instant) -> float:
        """Share of nominal power the unit is set to."""
        self._fleet.advance(now)
        return float(self._fleet.setpoint.item(self.index))

    def inlet_c(self, now: Instant) -> float:
        """Air at the inlet, degrees Celsius (estimate: a mild day)."""
        return 25.0

    def temperature_c(self, now: Instant) -> float:
        """Hottest board sensor, degrees Celsius: 38 K above the inlet at nominal power, behind a first-order lag.

        The rise is an estimate within the 51-79 degrees S19j Pro report.
        """
        self._fleet.advance(now)
        share = self._fleet.log.power.lagged(self.index, now, _BOARD_TAU_S) / self.model.nominal_w
        return self.inlet_c(now) + 38.0 * share

    def fan_share(self, now: Instant) -> float:
        """Fan speed as a share of full speed: idle in sleep, linear in board temperature otherwise (estimate)."""
        if not self._fleet.mains[self.index]:
            return 0.0
        return min(1.0, max(0.15, (self.temperature_c(now) - 20.0) / 55.0))

    def _since(self, column: NDArray[np.int64], now: Instant) -> Instant | None:
        self._fleet.advance(now)
        value: int = column.item(self.index)
        return None if value == NONE else value
