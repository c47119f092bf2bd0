"""What the reference controller decides: from what it has seen, how many watts the site has to stay down.

Pure: instants and readings in, watts out, no I/O and no clock. Which outlets and miners make up those watts is
`Roster`'s business, how they are reached is `drivers.py`'s.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any, Generic, Protocol, TypeVar

from firmware_mocks.controllers.settings import Settings


@dataclass(frozen=True, slots=True)
class Seen:
    """What is known at `now_s`. None: never heard, or too old to be believed."""

    now_s: float
    frequency_hz: float | None = None
    power_w: float | None = None
    """Consumption at the point of interconnection."""
    setpoint_w: float | None = None
    """Consumption the dispatch allows."""
    recall: int | None = None
    """Counter of recall messages; wraps."""


@dataclass(frozen=True, slots=True)
class Want:
    """Reduction the site has to hold, watts, by the service that asks for it. The two add up."""

    frequency_w: float
    dispatch_w: float


class State(Enum):
    """Where a frequency service stands."""

    READY = "ready"
    HOLDING = "holding"
    RETURNING = "returning"


class FrequencyService:
    """Sheds by local frequency, checks by the meter that it was enough, returns in stages when it may.

    A single threshold is the staircase with one step. While load is off the staircase only goes down: a static
    provider must not follow the frequency back up.
    """

    def __init__(self, settings: Settings, commitment_w: float, nominal_w: float, verify_after_s: float) -> None:
        self.state = State.READY
        self._rule, self._back = settings.frequency, settings.back
        self._commitment_w, self._nominal_w = commitment_w, nominal_w
        self._target_w = commitment_w * settings.commitment.target_share
        self._stages = Stages(self._back.stage_share * commitment_w, self._back.stage_interval_s)
        self._proof = Proof(verify_after_s)
        self._share = 0.0
        self._extra_w = 0.0
        self._reduction_w = 0.0
        self._baseline_w: float | None = None
        self._recall: int | None = None
        self._shed_s = 0.0
        self._recovered_s: float | None = None
        self._low_readings = 0

    def kept(self) -> dict[str, Any]:
        """What must outlive a restart."""
        return {
            "state": self.state.value, "share": self._share, "extra_w": self._extra_w,
            "reduction_w": self._reduction_w, "baseline_w": self._baseline_w, "recall": self._recall,
        }  # fmt: skip

    def take_up(self, kept: Mapping[str, Any], now_s: float) -> None:
        """Go on from what was kept; times begin anew."""
        self.state = State(kept["state"])
        self._share, self._extra_w, self._reduction_w = kept["share"], kept["extra_w"], kept["reduction_w"]
        self._baseline_w, self._recall = kept["baseline_w"], kept["recall"]
        self._shed_s = now_s
        self._proof.begin(now_s)
        self._stages.begin(now_s)

    def step(self, seen: Seen, baseline_w: float | None) -> float:
        """Reduction to hold, watts. Without a frequency nothing changes: neither shed nor return blind."""
        if not self._rule.follow or seen.frequency_hz is None:
            return self._reduction_w
        asked = self._asked_share(seen.frequency_hz)
        self._low_readings = self._low_readings + 1 if self._is_deeper(asked) else 0
        if self._low_readings >= self._rule.confirm_readings:
            self._shed(asked, seen, baseline_w)
        elif self.state is State.HOLDING:
            if self._may_return(seen, seen.frequency_hz):
                self.state = State.RETURNING
                self._stages.begin(seen.now_s)
            else:
                self._verify(seen)
        elif self.state is State.RETURNING:
            self._return(seen.now_s, seen.frequency_hz, asked)
        return self._reduction_w

    def _asked_share(self, frequency_hz: float) -> float:
        """Share of the commitment the rule asks for at this frequency."""
        rule = self._rule
        if rule.full_hz is None or rule.full_hz == rule.trip_hz:
            return 1.0 if frequency_hz <= rule.trip_hz else 0.0
        depth = (rule.trip_hz - frequency_hz) / (rule.trip_hz - rule.full_hz)
        return min(max(math.floor(depth * rule.steps + 0.5) / rule.steps, 0.0), 1.0)

    def _is_deeper(self, asked: float) -> bool:
        """Whether the rule asks for more than is held; a return is also broken off for what it has just reached."""
        if self.state is State.RETURNING:
            return 0.0 < asked * self._target_w >= min(self._reduction_w, self._target_w)
        return asked > self._share

    def _shed(self, share: float, seen: Seen, baseline_w: float | None) -> None:
        if self.state is State.READY:
            self._baseline_w = baseline_w
        if self.state is not State.HOLDING:
            self._recall, self._shed_s, self._extra_w = seen.recall, seen.now_s, 0.0
        self.state = State.HOLDING
        self._share = share
        self._reduction_w = max(self._reduction_w, share * self._target_w + self._extra_w)
        self._proof.begin(seen.now_s)
        self._recovered_s = None

    def _may_return(self, seen: Seen, frequency_hz: float) -> bool:
        if frequency_hz < self._back.above_hz:
            self._recovered_s = None
        elif self._recovered_s is None:
            self._recovered_s = seen.now_s
        if self._recall is None:
            self._recall = seen.recall
        if self._recovered_s is None or seen.now_s - self._shed_s < self._back.min_shed_s:
            return False
        if self._back.on == "recall":
            return seen.recall is not None and seen.recall != self._recall
        return seen.now_s - self._recovered_s >= self._back.hold_off_s

    def _verify(self, seen: Seen) -> None:
        """Believe the meter, not the acknowledgements: what is missing is shed on top."""
        power_w = self._proof.power_w(seen)
        if power_w is None or self._baseline_w is None:
            return
        missing_w = power_w - (self._baseline_w - self._share * self._commitment_w)
        if missing_w > 0.0:
            self._extra_w += missing_w + (self._target_w - self._commitment_w) * self._share
            self._reduction_w = min(self._share * self._target_w + self._extra_w, self._nominal_w)
            self._proof.begin(seen.now_s)

    def _return(self, now_s: float, frequency_hz: float, asked: float) -> None:
        if self._back.pause_hz is not None and frequency_hz <= self._back.pause_hz:
            self._stages.begin(now_s)
            return
        self._reduction_w = self._stages.lower(now_s, self._reduction_w, asked * self._target_w)
        if self._reduction_w == 0.0:
            self.state, self._share, self._baseline_w = State.READY, 0.0, None


class DispatchService:
    """Keeps consumption at or below the set-point, and gives load back in stages when the set-point rises.

    It works from the consumption the site would have undisturbed, last seen when nothing was shed, because the meter
    says little while miners boot; what that estimate misses, the meter corrects.
    """

    def __init__(self, settings: Settings, commitment_w: float, nominal_w: float, verify_after_s: float) -> None:
        self._rule, self._nominal_w = settings.dispatch, nominal_w
        self._margin_w = self._rule.margin_share * nominal_w
        self._stages = Stages(settings.back.stage_share * commitment_w, settings.back.stage_interval_s)
        self._proof = Proof(verify_after_s)
        self._undisturbed_w: float | None = None
        self._reduction_w = 0.0
        self._extra_w = 0.0
        self._settled_s = -math.inf

    def kept(self) -> dict[str, Any]:
        """What must outlive a restart."""
        return {"reduction_w": self._reduction_w, "extra_w": self._extra_w, "undisturbed_w": self._undisturbed_w}

    def take_up(self, kept: Mapping[str, Any], now_s: float) -> None:
        """Go on from what was kept; times begin anew."""
        self._reduction_w, self._extra_w = kept["reduction_w"], kept["extra_w"]
        self._undisturbed_w = kept["undisturbed_w"]
        self._settled_s = now_s + self._rule.settle_s
        self._proof.begin(now_s)

    def step(self, seen: Seen, recent_w: float | None, frequency_w: float, frequency_ready: bool) -> float:
        """Reduction to hold beside `frequency_w`, watts. Nothing is given back before the other service is ready."""
        if not frequency_ready:
            self._settled_s = seen.now_s + self._rule.settle_s
        elif self._reduction_w == 0.0 and seen.now_s >= self._settled_s:
            self._undisturbed_w = recent_w
        if not self._rule.follow or seen.setpoint_w is None or self._undisturbed_w is None:
            return self._reduction_w
        needed_w = self._needed_w(self._undisturbed_w - frequency_w, seen.setpoint_w)
        if needed_w > self._reduction_w:
            self._reduction_w = needed_w
            self._proof.begin(seen.now_s)
        elif needed_w < self._reduction_w and frequency_ready:
            self._give_back(seen.now_s, needed_w)
        elif self._reduction_w > 0.0 and (power_w := self._proof.power_w(seen)) is not None:
            missing_w = power_w - seen.setpoint_w
            self._extra_w += missing_w + self._margin_w if missing_w > 0.0 else 0.0
        return self._reduction_w

    def _needed_w(self, undisturbed_w: float, setpoint_w: float) -> float:
        """The margin is kept by a site that has to shed, not by one that is under the set-point anyway."""
        if undisturbed_w <= setpoint_w and not self._extra_w:
            return 0.0
        return min(max(0.0, undisturbed_w - setpoint_w + self._margin_w + self._extra_w), self._nominal_w)

    def _give_back(self, now_s: float, needed_w: float) -> None:
        self._reduction_w = self._stages.lower(now_s, self._reduction_w, needed_w)
        self._proof.begin(now_s)
        if self._reduction_w == 0.0:
            self._extra_w = 0.0
            self._settled_s = now_s + self._rule.settle_s


class Decider:
    """Both services of a site and the memory they share."""

    def __init__(
        self, settings: Settings, commitment_w: float, nominal_w: float,
        frequency: type[FrequencyService] = FrequencyService, dispatch: type[DispatchService] = DispatchService,
    ) -> None:  # fmt: skip
        verify_s = {"contactor": settings.verify.contactor_s, "firmware": settings.verify.firmware_s}
        frequency_verify_s = verify_s[settings.paths.for_deadline(settings.frequency.full_within_s)]
        dispatch_verify_s = verify_s[settings.paths.for_deadline(settings.dispatch.full_within_s)]
        self.recent = RecentMean(settings.poll.baseline_s)
        self.frequency = frequency(settings, commitment_w, nominal_w, frequency_verify_s)
        self.dispatch = dispatch(settings, commitment_w, nominal_w, dispatch_verify_s)

    def kept(self) -> dict[str, Any]:
        """What must outlive a restart, fit for JSON."""
        return {"frequency": self.frequency.kept(), "dispatch": self.dispatch.kept()}

    def take_up(self, kept: Mapping[str, Any], now_s: float) -> Want:
        """Go on from what was kept; what it asks for at once."""
        self.frequency.take_up(kept["frequency"], now_s)
        self.dispatch.take_up(kept["dispatch"], now_s)
        return Want(kept["frequency"]["reduction_w"], kept["dispatch"]["reduction_w"])

    def step(self, seen: Seen) -> Want:
        """Take in what was seen and say what has to be held from now on."""
        frequency_w = self.frequency.step(seen, self.recent.mean)
        ready = self.frequency.state is State.READY
        dispatch_w = self.dispatch.step(seen, self.recent.mean, frequency_w, ready)
        if seen.power_w is not None:
            self.recent.add(seen.now_s, seen.power_w)
        return Want(frequency_w, dispatch_w)


class Stages:
    """Lowers a reduction by `stage_w` every `interval_s`, however often it is asked."""

    def __init__(self, stage_w: float, interval_s: float) -> None:
        self._stage_w, self._interval_s = stage_w, interval_s
        self._next_s = -math.inf

    def begin(self, now_s: float) -> None:
        """The next stage is one interval away."""
        self._next_s = now_s + self._interval_s

    def lower(self, now_s: float, reduction_w: float, floor_w: float) -> float:
        """The reduction after the stage that is due now, if one is."""
        if now_s < self._next_s:
            return reduction_w
        self._next_s += self._interval_s
        if self._next_s <= now_s:
            self.begin(now_s)
        lowered_w = max(floor_w, reduction_w - self._stage_w)
        return lowered_w if lowered_w > 1e-6 * self._stage_w else 0.0


class Proof:
    """What the meter shows once a change must have come through: the mean over the second half of the waiting time."""

    def __init__(self, after_s: float) -> None:
        self._after_s = after_s
        self._late = RecentMean(after_s / 2.0)
        self._since_s = 0.0

    def begin(self, now_s: float) -> None:
        """Something has been changed; wait."""
        self._since_s = now_s

    def power_w(self, seen: Seen) -> float | None:
        """Mean power, or None while it is too early or nothing is measured. To be asked at every reading."""
        if seen.power_w is None:
            return None
        self._late.add(seen.now_s, seen.power_w)
        return self._late.mean if seen.now_s - self._since_s >= self._after_s else None


class RecentMean:
    """Mean of the readings of the last `window_s`; None before the first."""

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self._times_s: deque[float] = deque()
        self._values: deque[float] = deque()

    def add(self, now_s: float, value: float) -> None:
        self._times_s.append(now_s)
        self._values.append(value)
        while self._times_s[0] < now_s - self._window_s:
            self._times_s.popleft()
            self._values.popleft()

    @property
    def mean(self) -> float | None:
        return math.fsum(self._values) / len(self._values) if self._values else None


class Unit(Protocol):
    """What is switched as one: an outlet, or a miner."""

    id: str
    held_w: float
    """What it took off the site when it went; 0 while it is on."""

    def watts(self) -> float:
        """What it would take off the site now; 0 when it cannot be chosen."""
        ...


U = TypeVar("U", bound=Unit)
_ROUNDING_W = 1e-3


class Roster(Generic[U]):
    """Which units make up a reduction. Least recently shed goes first, so wear is spread; first out is first back."""

    def __init__(self, units: Iterable[U]) -> None:
        self._free: deque[U] = deque(units)
        self._held: deque[U] = deque()

    def hold(self, reduction_w: float) -> tuple[list[U], list[U], float]:
        """Units to take off now, units to bring back now, and the watts no unit was left for."""
        shed: list[U] = []
        back: list[U] = []
        passed: list[U] = []
        held_w = math.fsum(unit.held_w for unit in self._held)
        while self._free and held_w < reduction_w - _ROUNDING_W:
            unit = self._free.popleft()
            unit.held_w = unit.watts()
            if unit.held_w <= 0.0:
                passed.append(unit)
                continue
            held_w += unit.held_w
            self._held.append(unit)
            shed.append(unit)
        self._free.extendleft(reversed(passed))
        while not shed and self._held and held_w - self._held[0].held_w >= reduction_w - _ROUNDING_W:
            unit = self._held.popleft()
            held_w -= unit.held_w
            unit.held_w = 0.0
            self._free.append(unit)
            back.append(unit)
        return shed, back, max(0.0, reduction_w - held_w)

    def kept(self) -> dict[str, float]:
        """Held units with their watts, first out first."""
        return {unit.id: unit.held_w for unit in self._held}

    def take_up(self, kept: Mapping[str, float]) -> list[U]:
        """Hold again what was kept; the units that are to be off."""
        for unit in [unit for unit in self._free if unit.id in kept]:
            unit.held_w = kept[unit.id]
            self._free.remove(unit)
            self._held.append(unit)
        order = list(kept)
        self._held = deque(sorted(self._held, key=lambda unit: order.index(unit.id)))
        return list(self._held)

    def drop(self, unit: U) -> bool:
        """A held unit does not obey: it no longer counts and is chosen last. False if it was not held."""
        if unit not in self._held:
            return False
        self._held.remove(unit)
        unit.held_w = 0.0
        self._free.append(unit)
        return True
