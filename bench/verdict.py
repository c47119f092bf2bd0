"""What a run is worth: outcomes, validity, limits, check results and the verdict tree.

Owns the values and their order; it computes no measurement (`bench/measure.py`) and takes no decision
(`bench/judge.py`). Console, JSON, JUnit, HTML and the exit code are renderings of these objects and of nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import IntEnum
from typing import TypeAlias


class Outcome(IntEnum):
    """How a check, a case or a suite came out. Ordered: combine with max(), a verdict is only ever raised."""

    DONE = 0
    """Nothing was judged. At the top this counts as void, never as success."""
    PASS = 1
    """Every judged quantity is inside its limit, uncertainty included."""
    INCONCLUSIVE = 2
    """The uncertainty of a quantity straddles its limit."""
    FAIL = 3
    """A quantity is outside its limit by more than its uncertainty, or never came."""
    ABORTED = 4
    """The run was stopped before its end."""
    ERROR = 5
    """The bench itself broke; nothing is said about the controller."""


class Validity(IntEnum):
    """Whether the experiment took place. Ordered: combine with max()."""

    VALID = 0
    SUSPECT = 1
    """It took place, but a condition was outside its budget: read the reason before you believe the verdict."""
    VOID = 2
    """It did not take place: no stimulus, dead meter, no controller, an unfinished recording."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """A measured value with its unit and its standard uncertainty `u` (k = 1), same unit."""

    value: float
    unit: str
    u: float = 0.0


@dataclass(frozen=True, slots=True)
class NotReached:
    """What was waited for never came. A value of its own: never a number, never None. It fails any limit."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotComputable:
    """The recording does not allow the measurement (window outside the run, no samples). It makes a check void."""

    reason: str


Measured: TypeAlias = Quantity | NotReached | NotComputable


@dataclass(frozen=True, slots=True)
class Source:
    """Where a figure comes from.

    `grade`: S source found, S2 secondary, GK general knowledge, D derived, T tested here, M measured, estimate.
    """

    text: str
    grade: str


@dataclass(frozen=True, slots=True)
class Limit:
    """A closed interval in `unit`; an open side is None. Zero is a legal limit. Prints itself as an inequality."""

    unit: str
    low: float | None = None
    high: float | None = None

    def __post_init__(self) -> None:
        if self.low is None and self.high is None:
            raise ValueError("a limit without a bound judges nothing; give low, high or both")
        if self.low is not None and self.high is not None and self.low > self.high:
            raise ValueError(f"limit low {self.low} is above high {self.high}")

    def margin(self, value: float) -> float:
        """Distance from `value` to the nearest bound, positive inside, in `unit`."""
        sides = []
        if self.low is not None:
            sides.append(value - self.low)
        if self.high is not None:
            sides.append(self.high - value)
        return min(sides)

    def __str__(self) -> str:
        left = "" if self.low is None else f"{self.low:.9g} {self.unit} <= "
        right = "" if self.high is None else f" <= {self.high:.9g} {self.unit}"
        return f"{left}x{right}"


@dataclass(frozen=True, slots=True)
class Band:
    """What a check draws into the power plot: the site's power must stay within [low_w, high_w] from start to stop."""

    label: str
    start_ns: int
    stop_ns: int
    low_w: float | None = None
    high_w: float | None = None


@dataclass(frozen=True, slots=True)
class CheckResult:
    """One judged quantity. `margin` is in the limit's unit, positive inside; None where no number was measured."""

    id: str
    service: str
    title: str
    event: str
    measured: Measured
    limit: Limit
    outcome: Outcome
    margin: float | None
    source: Source
    sentence: str = ""
    bands: tuple[Band, ...] = ()


@dataclass(frozen=True, slots=True)
class Gate:
    """One condition of a valid experiment, with its number even when it holds."""

    id: str
    title: str
    value: str
    requirement: str
    validity: Validity


@dataclass(frozen=True, slots=True)
class Level:
    """What the checks of an event measured from: the mean power before `at_ns`, and how much less was asked for."""

    event: str
    at_ns: int
    baseline_w: float
    asked_w: float


@dataclass(frozen=True, slots=True)
class CaseVerdict:
    """The verdict on one run."""

    id: str
    title: str
    outcome: Outcome
    validity: Validity
    gates: tuple[Gate, ...] = ()
    checks: tuple[CheckResult, ...] = ()
    reasons: tuple[str, ...] = ()
    not_judged: tuple[str, ...] = ()
    levels: tuple[Level, ...] = ()
    """For each event of which something was asked; several where its services differ."""
    expected: Outcome | None = None
    seed: int = 0
    trace_sha256: str = ""
    folder: str = ""

    @property
    def as_expected(self) -> bool:
        """True when the case was declared to end like this, on a valid run."""
        return self.expected is not None and self.validity < Validity.VOID and self.outcome == self.expected


@dataclass(frozen=True, slots=True)
class Verdict:
    """The verdict on a case or a suite: the object every report renders."""

    title: str
    cases: tuple[CaseVerdict, ...] = field(default=())

    @property
    def outcome(self) -> Outcome:
        """The worst case; one that ended as declared (`expected`) counts as a pass, one that did not, as a fail."""
        return max((_weight(case) for case in self.cases), default=Outcome.DONE)

    @property
    def validity(self) -> Validity:
        return max((case.validity for case in self.cases), default=Validity.VOID)

    @property
    def exit_code(self) -> int:
        """0 pass, 1 fail, 3 void or inconclusive, 4 bench error."""
        if self.outcome is Outcome.ERROR:
            return 4
        if self.validity is Validity.VOID or self.outcome in (Outcome.DONE, Outcome.INCONCLUSIVE):
            return 3
        return 0 if self.outcome is Outcome.PASS else 1


def _weight(case: CaseVerdict) -> Outcome:
    if case.expected is None:
        return case.outcome
    if case.as_expected:
        return Outcome.PASS
    return case.outcome if case.outcome >= Outcome.ABORTED else Outcome.FAIL
