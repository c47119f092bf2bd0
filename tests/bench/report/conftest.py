"""A made-up site of 200 miners that sheds on a frequency dip, and verdicts on it: what the report tests render."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from bench.facts import HeatMap, Occurrence, ProfileEvent, RunFacts, Series
from bench.verdict import (
    Band,
    CaseVerdict,
    CheckResult,
    Gate,
    Level,
    Limit,
    Measured,
    NotComputable,
    NotReached,
    Outcome,
    Quantity,
    Source,
    Validity,
    Verdict,
)
from emulator.seed import Seed
from emulator.timeline import Signal

S = 1_000_000_000
NOMINAL_W = 650_000.0
SHED_W = 585_000.0
ARMED, DIP, RECALL, STOP = 60 * S, 90 * S, 390 * S, 660 * S


def site_run(shed_after_s: float = 0.3, *, dispatch: bool = False) -> RunFacts:
    """Ten minutes at 1 kHz: a dip at 30 s of the profile, a shed, and a return in ten stages after the recall."""
    t_ns = np.arange(0, STOP, S // 1000, dtype=np.int64)
    shed_ns = DIP + int(shed_after_s * S)
    power = Signal(
        [0, shed_ns - 80_000_000, shed_ns, RECALL]
        + [RECALL + k * 20 * S + d for k in range(1, 11) for d in (0, 4 * S)],
        [NOMINAL_W, NOMINAL_W, NOMINAL_W - SHED_W - 9000, NOMINAL_W - SHED_W - 9000]
        + [NOMINAL_W - SHED_W * (10 - k - d) / 10 - 9000 * (k < 10) for k in range(1, 11) for d in (-1, 0)],
    )
    draw = Seed(7) / "report"
    noise = 1500 * draw.normals_at(np.arange(t_ns.size, dtype=np.uint64))
    miners = tuple(f"m-{number:03d}" for number in range(1, 201))
    edges = np.linspace(0, STOP, 241).astype(np.int64)
    site = np.array([power.mean(a, b) for a, b in pairwise(edges.tolist())]) / NOMINAL_W
    rank = np.arange(200)[:, np.newaxis] / 200
    spread = 0.02 * (draw / "miner").normals_at(np.arange(200, dtype=np.uint64))[:, np.newaxis]
    share = np.where(rank < site[np.newaxis, :], 1.0 + spread, 0.02)
    signals = {
        "frequency": Signal(
            [0, DIP - S, DIP + S, DIP + 8 * S, DIP + 60 * S, RECALL - 60 * S], [60.0, 60.0, 59.78, 59.74, 59.86, 60.0]
        ),
        "recall": Signal.steps([(0, 0.0), (RECALL, 1.0)]),
        "voltage": Signal.constant(1.0),
    }
    if dispatch:
        signals["dispatch"] = Signal.steps([(0, NOMINAL_W), (DIP, NOMINAL_W - SHED_W), (RECALL, NOMINAL_W)])
    return RunFacts(
        run_id="2026-01-01T00-00-00_ffr",
        title="Dip",
        power=Series(t_ns, power.sample(t_ns) + noise, window_ns=20_000_000, u=200.0),
        signals=signals,
        events=(
            ProfileEvent("dip", "disturbance", DIP, RECALL, "frequency dip to 59.74 Hz"),
            ProfileEvent("return", "return", RECALL, STOP, "recall"),
        ),
        armed_ns=ARMED,
        stop_ns=STOP,
        nominal_hz=60.0,
        nominal_w=NOMINAL_W,
        commitment_w=SHED_W,
        complete=True,
        seed=17,
        contacts={"meter": 12_000, "pdu": 41, "miner": 600},
        occurrences=(
            Occurrence(DIP + 40 * S, "fault", {"label": "link of feeder 2 down", "stop_ns": DIP + 70 * S}),
            *(Occurrence(DIP + k * 2_000_000, "miners", {"script": "sleep", "count": 1}) for k in range(120)),
        ),
        trace_sha256="ab" * 32,
        heat=HeatMap(edges[:-1], miners, np.clip(share, 0, 1.2).astype(np.float32)),
        info={"versions": {"ramprig": "0.1.0", "numpy": "2.4"}, "rig": "yard", "profile": "dip", "controller": ["ref"]},
    )


def check(
    name: str, title: str, measured: Measured, limit: Limit, outcome: Outcome, grade: str = "S", *bands: Band
) -> CheckResult:
    """One check; the margin follows from the value."""
    margin = limit.margin(measured.value) if isinstance(measured, Quantity) else None
    source = Source("ERCOT Nodal Protocols 8.1.1.4.2", grade)
    sentence = "The resource shall have delivered its response by then."
    return CheckResult(
        name, "ercot_rrs_ffr", title, "dip", measured, limit, outcome, margin, source, sentence, tuple(bands)
    )


def site_case(name: str = "ffr_pdu", reach_s: float = 0.213) -> CaseVerdict:
    """A verdict on the made-up run: pass when the shed was in time, else fail."""
    came = Outcome.PASS if reach_s <= 0.25 else Outcome.FAIL
    after = Band("full response", DIP + S // 4, RECALL, high_w=NOMINAL_W - SHED_W)
    before = Band("no early reaction", DIP - 30 * S, DIP, low_w=0.95 * NOMINAL_W, high_w=1.05 * NOMINAL_W)
    ramp = Band("return ramp", RECALL, STOP, high_w=1.02 * NOMINAL_W)
    pu = NOMINAL_W - SHED_W
    return CaseVerdict(
        id=name,
        title="Shed on a frequency dip",
        outcome=came,
        validity=Validity.VALID,
        levels=(Level("dip", DIP, NOMINAL_W, SHED_W),),
        gates=(
            Gate("complete", "The recording is complete", "stop document found", "present", Validity.VALID),
            Gate("stimulus", "The stimulus took place", "59.74 Hz", "at or below 59.85 Hz", Validity.VALID),
            Gate("lateness", "The bench was in time (99 %)", "0.0 ms", "≤ 2 ms", Validity.VALID),
        ),
        checks=(
            check(
                "reach", "Time to full response", Quantity(reach_s, "s", 0.004), Limit("s", high=0.25), came, "S", after
            ),
            check(
                "hold",
                "Response held",
                Quantity(1.015, "fraction", 4e-4),
                Limit("fraction", 0.95, 1.5),
                Outcome.PASS,
                "S2",
                after,
            ),
            check(
                "early",
                "Power before the event",
                Quantity(650_112, "W", 60),
                Limit("W", 617_500, 682_500),
                Outcome.PASS,
                "D",
                before,
            ),
            check(
                "return",
                "Steepest return",
                Quantity(14.6, "kW/s", 0.4),
                Limit("kW/s", high=20),
                Outcome.PASS,
                "estimate",
                ramp,
            ),
            check("overshoot", "Overshoot on return", Quantity(0.0, "W"), Limit("W", high=0), Outcome.PASS, "GK", ramp),
        ),
        not_judged=(f"telemetry accuracy at {pu:g} W (R9): needs a second meter", "reserve restoration after 180 min"),
        seed=17,
        trace_sha256="ab" * 32,
        folder=f"runs/2026-01-01T00-00-00_{name}",
    )


def void_case() -> CaseVerdict:
    """A run on which the controller never appeared."""
    return replace(
        site_case("no_controller"),
        outcome=Outcome.DONE,
        validity=Validity.VOID,
        title="Controller that never connects",
        reasons=("no request reached any device: the controller never connected",),
        gates=(Gate("contact", "The controller spoke to the site", "0 requests", "at least 1", Validity.VOID),),
        checks=(
            check(
                "reach",
                "Time to full response",
                NotReached("power stayed at 650 kW"),
                Limit("s", high=0.25),
                Outcome.FAIL,
            ),
            check(
                "hold", "Response held", NotComputable("no response to hold"), Limit("fraction", low=0.95), Outcome.DONE
            ),
        ),
        not_judged=(),
    )


@pytest.fixture(name="run", scope="session")
def _run() -> RunFacts:
    return site_run(0.2, dispatch=True)


@pytest.fixture
def make_run() -> Callable[..., RunFacts]:
    return site_run


@pytest.fixture
def make_case() -> Callable[..., CaseVerdict]:
    return site_case


@pytest.fixture
def suite() -> Verdict:
    """Four cases: one pass, one fail, one fail that was declared, one void."""
    slow = site_case("ffr_api", 2.84)
    declared = replace(slow, id="ffr_api_declared", expected=Outcome.FAIL)
    return Verdict("FFR at the yard", (site_case(), slow, declared, void_case()))


@pytest.fixture
def void() -> CaseVerdict:
    return void_case()
