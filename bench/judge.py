"""From facts and rules to a verdict: was it an experiment, what came out, and is that inside the limits.

Owns validity gates and the decision rule. It measures nothing (`bench/measure.py`), knows no market figure
(`bench/services/`), and is a pure function: the same facts and services give the same verdict.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Literal

import numpy as np

from bench.facts import LATENESS_BUDGET_NS, ProfileEvent, RunFacts
from bench.services.checks import FORMULAS, moved
from bench.services.deployment import Deployment, find
from bench.services.finding import Arguments, Finding, Skip
from bench.services.model import Check, Figure, Service
from bench.verdict import (
    CaseVerdict,
    CheckResult,
    Gate,
    Limit,
    Measured,
    NotComputable,
    NotReached,
    Outcome,
    Quantity,
    Validity,
)

Rule = Literal["guarded", "simple"]

COVERAGE = 2.0
"""Standard uncertainties on either side of a value that the guarded rule respects: about 95 % of cases."""
STEADY, UNSTEADY = 0.02, 0.05
"""Baseline's standard deviation as a share of what was asked: suspect from the one, void from the other (estimate)."""
GAP_NS, DEAD_NS = 10**9, 5 * 10**9
"""Longest gap in the meter's record: suspect from the one, void from the other (estimate)."""
LATE = 10
"""A bench this many times later than its budget, or that stood still once for this many times longer, has run no
experiment (estimate); the budget is 2 ms, so that is a freeze of 200 ms, most of the tightest rule."""
_FUZZ = 1e-9
_DUST = 1e-7
"""What is smaller is the rounding of sums of watts, in whatever unit it is told."""


def judge(facts: RunFacts, services: Sequence[Service], *, rule: Rule = "guarded") -> CaseVerdict:
    """The verdict on one run under these services.

    Void is what took no place: no stimulus, no controller, dead meter, unfinished recording, nothing judged. A
    controller that ended before the run did has failed, whatever else could be measured.
    """
    deployments: list[Deployment] = []
    checks: list[CheckResult] = []
    not_judged: list[str] = []
    gates = list(_run_gates(facts))
    for service in services if facts.complete else ():
        found, reasons = _deployments(facts, service)
        gates += _stimulus_gates(facts, service, found, reasons)
        deployments += found.values()
        checks += _checks(facts, service, found, rule, not_judged)
        not_judged += [f"{service.id} on {reason}" for reason in reasons]
        not_judged += [f"{service.id}: {text}" for text in service.not_judged]
    gates += _answer_gates(deployments, checks)
    if facts.sut_exit:
        gates = [_excused(gate) for gate in gates]
    outcome = max((check.outcome for check in checks), default=Outcome.DONE)
    if not facts.complete:
        outcome = max(outcome, Outcome.ABORTED)
    if facts.sut_exit:
        outcome = max(outcome, Outcome.FAIL)
    return CaseVerdict(
        id=facts.run_id,
        title=facts.title,
        outcome=outcome,
        validity=max((gate.validity for gate in gates), default=Validity.VALID),
        gates=tuple(gates),
        checks=tuple(checks),
        reasons=tuple(_reasons(facts, gates, checks)),
        not_judged=tuple(dict.fromkeys(not_judged)),
        expected=_expected(facts.expected),
        seed=facts.seed,
        trace_sha256=facts.trace_sha256,
    )


def decide(measured: Measured, limit: Limit, rule: Rule = "guarded", doubtful: bool = False) -> Outcome:
    """What a measured value means for a limit.

    guarded: PASS if value and twice its uncertainty are inside, FAIL if outside by more than that, else INCONCLUSIVE.
    simple: the value alone decides. A value on the limit is inside. What never came fails; what is unknown decides
    nothing (DONE, and the case is void).
    """
    if isinstance(measured, NotComputable):
        return Outcome.DONE
    if isinstance(measured, NotReached):
        return Outcome.INCONCLUSIVE if doubtful and rule == "guarded" else Outcome.FAIL
    margin = limit.margin(measured.value)
    if not np.isfinite(margin):
        return Outcome.FAIL
    guard = COVERAGE * measured.u if rule == "guarded" else 0.0
    fuzz = _FUZZ * max(abs(measured.value), abs(limit.low or 0.0), abs(limit.high or 0.0))
    if margin >= guard - fuzz:
        return Outcome.PASS
    return Outcome.FAIL if margin < -guard - fuzz or guard == 0.0 else Outcome.INCONCLUSIVE


# -------------------------------------------------------------------------------------------------------------- checks


def _deployments(facts: RunFacts, service: Service) -> tuple[dict[tuple[str, str], Deployment], list[str]]:
    """The events that called the service, by check and event, and why the others of its kinds did not."""
    found: dict[tuple[str, str], Deployment] = {}
    reasons: list[str] = []
    for check in service.checks:
        for event in facts.events:
            if event.kind not in check.kinds:
                continue
            one = find(facts, check.clock, event)
            if isinstance(one, str):
                reasons.append(f"{event.id}: {one}")
            else:
                found[check.id, event.id] = one
    return found, list(dict.fromkeys(reasons))


def _checks(
    facts: RunFacts, service: Service, found: dict[tuple[str, str], Deployment], rule: Rule, not_judged: list[str]
) -> Iterator[CheckResult]:
    for event in facts.events:
        for check in service.checks:
            deployment = found.get((check.id, event.id))
            if deployment is None:
                continue
            where = f"{service.id}.{check.id} on {event.id}"
            finding = FORMULAS[check.formula].run(deployment, _arguments(check))
            if isinstance(finding, Skip):
                not_judged.append(f"{where}: {finding.reason}")
                continue
            if finding.unproven:
                not_judged.append(f"{where}: {finding.unproven}")
            yield _result(service, check, event, finding, rule)


def _result(service: Service, check: Check, event: ProfileEvent, finding: Finding, rule: Rule) -> CheckResult:
    shown = check.low or check.high
    assert shown is not None  # noqa: S101 the file reader gives every check a limit
    limit = Limit(shown.shown_unit, _bound(check.low), _bound(check.high))
    measured = _shown(finding.measured, shown)
    margin = limit.margin(measured.value) if isinstance(measured, Quantity) else None
    return CheckResult(
        id=check.id,
        service=service.id,
        title=check.title,
        event=event.id,
        measured=measured,
        limit=limit,
        outcome=decide(measured, limit, rule, finding.doubtful),
        margin=margin,
        source=check.source,
        sentence=f"{check.sentence} {finding.note}".strip(),
        bands=tuple(replace(band, label=f"{check.title}: {band.label}") for band in finding.bands),
    )


def _arguments(check: Check) -> Arguments:
    return Arguments(
        {name: figure.value for name, figure in check.figures.items()},
        None if check.low is None else check.low.value,
        None if check.high is None else check.high.value,
    )


def _bound(figure: Figure | None) -> float | None:
    return None if figure is None else figure.shown


def _shown(measured: Measured, figure: Figure) -> Measured:
    """A quantity in the unit in which the limit is written."""
    if not isinstance(measured, Quantity):
        return measured
    return Quantity(measured.value / figure.factor, figure.shown_unit, measured.u / figure.factor)


# --------------------------------------------------------------------------------------------------------------- gates


def _run_gates(facts: RunFacts) -> Iterator[Gate]:
    """Conditions of the run as a whole."""
    yield _gate(
        "recording", "Recording complete", "complete" if facts.complete else "breaks off", "has its end",
        Validity.VALID if facts.complete else Validity.VOID,
    )  # fmt: skip
    yield _gate(
        "controller", "Controller ready", "ready" if facts.sut_ready else _never_ready(facts),
        "ready before the profile",
        Validity.VALID if facts.sut_ready else Validity.VOID,
    )  # fmt: skip
    yield _gate(
        "alive", "Controller alive to the end", facts.sut_exit or "alive", "alive",
        Validity.SUSPECT if facts.sut_exit else Validity.VALID,
    )  # fmt: skip
    yield _gate(
        "manners", "Controller fit to be tried", "; ".join(facts.sut_notes) or "nothing odd",
        "ends when asked, says and calls what can be taken",
        Validity.SUSPECT if facts.sut_notes else Validity.VALID,
    )  # fmt: skip
    kinds = ", ".join(f"{number} {kind}" for kind, number in sorted(facts.contacts.items()) if number)
    yield _gate(
        "contact", "Controller spoke to the site", kinds or "no request", "at least one request",
        Validity.VALID if kinds else Validity.VOID,
    )  # fmt: skip
    meter = f"{facts.judged_by}: " if facts.judged_by else ""
    finite = int(np.count_nonzero(np.isfinite(facts.power.value)))
    yield _gate(
        "meter", "Meter alive",
        f"{meter}{finite} samples, longest gap {facts.meter_gap_ns / 1e9:g} s",
        f"samples, no gap over {GAP_NS / 1e9:g} s", _graded(facts.meter_gap_ns, GAP_NS, DEAD_NS, dead=finite == 0),
    )  # fmt: skip
    yield from punctuality(facts.lateness_p99_ns, facts.lateness_max_ns, facts.lateness_budget_ns)
    yield _gate(
        "devices", "Emulated devices sound", f"{facts.device_defects} errors of their own",
        "none (bench.log tells them)",
        Validity.SUSPECT if facts.device_defects else Validity.VALID,
    )  # fmt: skip


def punctuality(p99_ns: int, max_ns: int, budget_ns: int = LATENESS_BUDGET_NS) -> tuple[Gate, Gate]:
    """What the lateness of a bench makes of a run on it: of its usual timers, and of the longest standstill."""
    late = _gate(
        "lateness", "Bench on time", f"99 % within {p99_ns / 1e6:.3g} ms", f"within {budget_ns / 1e6:g} ms",
        _graded(p99_ns, budget_ns, LATE * budget_ns),
    )  # fmt: skip
    freeze = _gate(
        "freeze", "Bench never stood still", f"{max_ns / 1e6:.3g} ms at the longest",
        f"within {LATE * budget_ns / 1e6:g} ms", _graded(max_ns, LATE * budget_ns, LATE**2 * budget_ns),
    )  # fmt: skip
    return late, freeze


def _never_ready(facts: RunFacts) -> str:
    """In whose words it was not ready, where they were taken down."""
    why = next((str(o.data.get("reason", "")) for o in facts.occurrences if o.kind == "sut_not_ready"), "")
    return f"never ready: {why}" if why else "never ready"


def _stimulus_gates(
    facts: RunFacts, service: Service, found: dict[tuple[str, str], Deployment], reasons: Sequence[str]
) -> Iterator[Gate]:
    """Whether the grid did what calls this service, on the system it is a service of."""
    if service.nominal_hz is not None:
        yield _gate(
            f"system:{service.id}", f"System of {service.id}", f"{facts.nominal_hz:g} Hz", f"{service.nominal_hz:g} Hz",
            Validity.VALID if service.nominal_hz == facts.nominal_hz else Validity.VOID,
        )  # fmt: skip
    called = sorted({event for _, event in found})
    kinds = sorted({kind for check in service.checks for kind in check.kinds})
    yield _gate(
        f"stimulus:{service.id}", f"Stimulus of {service.id} delivered",
        ", ".join(called) or "; ".join(reasons) or "no event of its kind",
        f"an event of kind {' or '.join(kinds)} that calls it", Validity.VALID if called else Validity.VOID,
    )  # fmt: skip


def _answer_gates(deployments: Sequence[Deployment], checks: Sequence[CheckResult]) -> Iterator[Gate]:
    """Conditions on the events that were judged."""
    by_event = {deployment.event.id: deployment for deployment in deployments}
    for name, one in by_event.items():
        unsteady = one.unsteadiness.value / one.asked_w if one.asked_w > 0 else np.inf
        yield _gate(
            f"baseline:{name}", f"Baseline steady before {name}", f"{unsteady:.2%} of the commitment",
            f"at most {STEADY:.0%}", _graded(unsteady, STEADY, UNSTEADY),
        )  # fmt: skip
    called = {name: one for name, one in by_event.items() if one.event.kind not in ("quiet", "return")}
    for name, one in called.items():
        enough = one.p0.value >= one.asked_w * (1 - STEADY)
        yield _gate(
            f"headroom:{name}", f"Enough load before {name}", f"{one.p0.value / 1e3:.1f} kW",
            f"at least the {one.asked_w / 1e3:.1f} kW asked for", Validity.VALID if enough else Validity.VOID,
        )  # fmt: skip
    if called:
        answered = [name for name, one in called.items() if moved(one)]
        # a site that stood still has failed where a check says so; where none does, nothing was seen
        still = Validity.SUSPECT if any(check.outcome is Outcome.FAIL for check in checks) else Validity.VOID
        yield _gate(
            "movement", "The site moved when asked", ", ".join(answered) or "it did not move", "a change of power",
            Validity.VALID if answered else still,
        )  # fmt: skip
    unknown = [check for check in checks if isinstance(check.measured, NotComputable)]
    for check in unknown:
        reason = check.measured.reason if isinstance(check.measured, NotComputable) else ""
        yield _gate(
            f"computable:{check.service}.{check.id}:{check.event}", f"{check.title} computable", reason,
            "the recording tells it", Validity.VOID,
        )  # fmt: skip
    judged = len(checks) - len(unknown)
    yield _gate(
        "judged", "Something was judged", f"{judged} check{'' if judged == 1 else 's'}", "at least one check",
        Validity.VALID if judged else Validity.VOID,
    )  # fmt: skip


def _gate(id: str, title: str, value: str, requirement: str, validity: Validity) -> Gate:  # noqa: A002 the field's name
    return Gate(id, title, value, requirement, validity)


def _graded(value: float, suspect: float, void: float, *, dead: bool = False) -> Validity:
    if dead or value > void:
        return Validity.VOID
    return Validity.SUSPECT if value > suspect else Validity.VALID


def _excused(gate: Gate) -> Gate:
    """After a controller has ended, what its end prevented does not void its failure; a broken recording does."""
    if gate.id == "recording" or gate.validity is not Validity.VOID:
        return gate
    return replace(gate, validity=Validity.SUSPECT)


def _reasons(facts: RunFacts, gates: Iterable[Gate], checks: Iterable[CheckResult]) -> Iterator[str]:
    """Why the verdict is not a plain pass, the gravest first."""
    if facts.sut_exit:
        yield f"the controller ended before the run did: {facts.sut_exit}"
    for validity in (Validity.VOID, Validity.SUSPECT):
        for gate in gates:
            if gate.validity is validity and gate.id != "alive":
                yield f"{validity.name.lower()}: {gate.title}: {gate.value}; required: {gate.requirement}"
    for check in checks:
        if check.outcome in (Outcome.FAIL, Outcome.INCONCLUSIVE):
            yield f"{check.outcome.name}: {check.service}.{check.id} on {check.event}: {_told(check)}"


def _told(check: CheckResult) -> str:
    measured, limit = check.measured, check.limit
    if not isinstance(measured, Quantity):
        return f"{measured.reason}; limit {limit}"
    value = 0.0 if abs(measured.value) < _DUST and measured.u < _DUST else measured.value
    plus = f" ± {COVERAGE * measured.u:.2g}" if measured.u > max(1e-6 * abs(value), _DUST) else ""
    return f"{value:.4g}{plus} {measured.unit}; limit {limit}"


def _expected(text: str) -> Outcome | None:
    return Outcome[text.upper()] if text.upper() in Outcome.__members__ else None
