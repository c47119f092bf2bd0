"""Services: what the files say is what is judged, and every check fails for the defect it is there for."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from bench import library
from bench.config import ConfigError
from bench.facts import RunFacts
from bench.judge import judge
from bench.profile import Timeline, load_profile
from bench.services import list_services, load_service
from bench.services.checks import FORMULAS
from bench.services.model import STRENGTH, weakest
from bench.services.reference import services_markdown
from bench.services.treatment import TREATMENT
from bench.verdict import Outcome, Validity
from emulator.seed import Seed
from tests.bench.site import COMMITMENT_W, NOMINAL_W, Points, S, facts

REPOSITORY = Path(__file__).resolve().parents[2]


def failed(profile: str, service: str, response: Points, hz: float = 60.0) -> set[str]:
    """The checks of the service that this response fails, on a valid run."""
    verdict = judge(facts(profile, response, hz=hz), [load_service(service)])
    assert verdict.validity <= Validity.SUSPECT, verdict.reasons
    assert verdict.checks
    return {check.id for check in verdict.checks if check.outcome is not Outcome.PASS}


def timeline(profile: str) -> Timeline:
    return load_profile(profile).expand(NOMINAL_W, Seed(1))


def at(profile: str, event: int = 0) -> tuple[float, float]:
    one = timeline(profile).events[event]
    return one.start_ns / S, one.stop_ns / S


# --------------------------------------------------------------------------------------------- every check has its prey

FFR, UFR, NORDIC, STATIC = "ercot_rrs_ffr_short", "ercot_rrs_ufr_short", "nordic_ffr_1_3", "nordic_static_fcrd_up"


def steps(profile: str, *moves: tuple[float, float], back: float | None = 5.0, ramp: float = 60.0) -> Points:
    """Levels reached by steps at seconds after the event's start, then the return `back` seconds after its stop."""
    start, stop = at(profile)
    points: list[tuple[float, float]] = [(0, 0)]
    for after, share in moves:
        points += [(start + after, points[-1][1]), (start + after, share)]
    if back is not None:
        points += [(stop + back, points[-1][1]), (stop + back + ramp, 0)]
    return points


GOOD: dict[str, tuple[str, Points, float]] = {
    "ercot_rrs_ffr": (FFR, steps(FFR, (0.2, 1.0)), 60),
    "ercot_rrs_ufr": (UFR, steps(UFR, (0.4, 1.2)), 60),
    "nordic_ffr_1_3": (NORDIC, steps(NORDIC, (1.1, 1.05)), 50),
    "nordic_ffr_1_0": ("nordic_ffr_1_0", steps("nordic_ffr_1_0", (0.9, 1.05)), 50),
    "nordic_ffr_0_7": ("nordic_ffr_0_7", steps("nordic_ffr_0_7", (0.6, 1.05)), 50),
    "nordic_fcrd_static": (STATIC, steps(STATIC, (2.0, 1.0), back=65, ramp=120), 50),
    "ercot_ecrs": ("ercot_ecrs_short", steps("ercot_ecrs_short", (540, 0.975)), 60),
    "return_ramp": (UFR, steps(UFR, (0.4, 1.0)), 60),
    "return_ramp_ieso": (UFR, steps(UFR, (0.4, 1.0)), 60),
    "return_ramp_aeso": (UFR, steps(UFR, (0.4, 1.0)), 60),
    "return_ramp_clr": (UFR, steps(UFR, (0.4, 1.0), ramp=240), 60),
    "return_ramp_nprr_1191": (UFR, steps(UFR, (0.4, 0.2), ramp=280), 60),
    "no_uncommanded_step": ("quiet", [(0, 0)], 50),
}


ELSEWHERE = {
    "ai_last", "ercot_4cp", "ercot_lel_ride_through", "failsafe_limit", "neso_static_ffr", "site_conduct",
}  # fmt: skip
"""Services whose checks look at more than this page's power: tried in test_boundary.py and test_treatment.py."""


def test_every_service_that_ships_is_tried() -> None:
    assert set(GOOD) | ELSEWHERE == set(list_services())


@pytest.mark.parametrize("service", sorted(GOOD))
def test_a_good_response_passes_every_service(service: str) -> None:
    profile, response, hz = GOOD[service]
    if service == "return_ramp_nprr_1191":
        assert failed(profile, service, response, hz) == {"share_ramp"}  # 2 % in a minute: this takes half an hour
        return
    assert failed(profile, service, response, hz) == set()


EARLY_REST = steps(NORDIC, (1.0, 1.05), (40.0, -0.1), (60.0, 0.0), back=None)
DEEP_RECOVERY = steps(NORDIC, (1.0, 1.05), (40.0, 0.0), (55.0, -0.3), (60.0, 0.0), back=None)
LONG_AFTER = at(STATIC)[1] + 65
FIVE_BLOCKS: Points = [
    *steps(STATIC, (2.0, 1.0), back=None),
    *((LONG_AFTER + 12 * (i // 2), 1 - 0.21 * min(4.76, (i + 1) // 2)) for i in range(10)),
]
ABOVE: Points = [*steps(UFR, (0.4, 1.0), ramp=240), (at(UFR)[1] + 250, 0), (at(UFR)[1] + 251, -0.05)]

DEFECTS: list[tuple[str, str, Points, set[str]]] = [
    ("late by 10 ms", "ercot_rrs_ffr", steps(FFR, (0.26, 1.0)), {"reach"}),
    ("by way of the miners' network", "ercot_rrs_ffr", steps(FFR, (3.0, 1.0)), {"reach"}),
    ("back after half a minute", "ercot_rrs_ffr", steps(FFR, (0.2, 1.0), (30, 0.0)), {"hold"}),
    ("one miner returns", "ercot_rrs_ffr", steps(FFR, (0.2, 1.0), (30, 0.94)), {"hold"}),
    ("too deep", "ercot_rrs_ffr", steps(FFR, (0.2, 1.11)), {"over_delivery"}),
    ("too little", "ercot_rrs_ffr", steps(FFR, (0.2, 0.94)), {"reach", "hold"}),
    ("nothing at all", "ercot_rrs_ffr", [(0, 0)], {"reach", "hold"}),
    ("late", "ercot_rrs_ufr", steps(UFR, (0.51, 1.0)), {"reach"}),
    ("back with the frequency, not with the recall", "ercot_rrs_ufr", steps(UFR, (0.4, 1.0), (61, 0.0)), {"stay_off"}),
    ("the whole site trips", "ercot_rrs_ufr", steps(UFR, (0.4, 1.6)), {"over_delivery"}),
    ("late", "nordic_ffr_1_3", steps(NORDIC, (1.31, 1.05)), {"reach"}),
    ("gives up", "nordic_ffr_1_3", steps(NORDIC, (1.0, 1.05), (5.0, 0.6), (5.5, 0.0)), {"support", "support_fast"}),
    ("returns at once after 10 s", "nordic_ffr_1_3", steps(NORDIC, (1.0, 1.05), (11.0, 0.0)), {"support_fast"}),
    ("too deep", "nordic_ffr_1_3", steps(NORDIC, (1.0, 1.4)), {"over_delivery"}),
    ("draws more at once on return", "nordic_ffr_1_3", EARLY_REST, {"rest"}),
    ("draws far more, later", "nordic_ffr_1_3", DEEP_RECOVERY, {"recovery"}),
    ("settles too high", "nordic_fcrd_static", steps(STATIC, (2.0, 1.12), back=65, ramp=120), {"R1"}),
    ("steps in two parts", "nordic_fcrd_static", steps(STATIC, (2.0, 0.8), (9.0, 1.0), back=65, ramp=120), {"R2"}),
    ("starts late", "nordic_fcrd_static", steps(STATIC, (2.6, 1.0), back=65, ramp=120), {"R5b"}),
    ("little until 5 s", "nordic_fcrd_static", steps(STATIC, (2.0, 0.1), (5.0, 1.0), back=65, ramp=120), {"R3"}),
    ("sags", "nordic_fcrd_static", steps(STATIC, (2.0, 1.03), (20.0, 1.0), back=65, ramp=120), {"R3_stay"}),
    ("overshoots", "nordic_fcrd_static", steps(STATIC, (1.0, 1.21), (3.0, 1.0), back=65, ramp=120), {"R5a"}),
    ("back with the frequency", "nordic_fcrd_static", steps(STATIC, (2.0, 1.0), back=10, ramp=120), {"R6_wait"}),
    ("never comes back", "nordic_fcrd_static", steps(STATIC, (2.0, 1.0), back=None), {"R6"}),
    ("back in half a minute", "nordic_fcrd_static", steps(STATIC, (2.0, 1.0), back=65, ramp=30), {"R7"}),
    ("back in five blocks", "nordic_fcrd_static", FIVE_BLOCKS, {"R7_step"}),
    ("ten minutes and five seconds", "ercot_ecrs", steps("ercot_ecrs_short", (605, 0.975)), {"reach"}),
    ("does not sustain", "ercot_ecrs", steps("ercot_ecrs_short", (500, 0.975), (700, 0.5)), {"hold"}),
    ("the whole site", "ercot_ecrs", steps("ercot_ecrs_short", (500, 1.625)), {"over_delivery"}),
    ("all at once", "return_ramp_clr", steps(UFR, (0.4, 1.0), ramp=1), {"share_ramp"}),
    ("slowly, then above", "return_ramp_clr", ABOVE, {"rebound"}),
]
PROFILE_OF = {name: profile for name, (profile, _, _) in GOOD.items()}


@pytest.mark.parametrize(("defect", "service", "response", "killers"), DEFECTS, ids=[f"{d[1]}-{d[0]}" for d in DEFECTS])
def test_a_defect_fails_the_checks_that_are_there_for_it(
    defect: str, service: str, response: Points, killers: set[str]
) -> None:
    assert failed(PROFILE_OF[service], service, response, GOOD[service][2]) == killers


def test_a_site_that_moves_unasked_fails() -> None:
    assert failed("quiet", "no_uncommanded_step", [(0, 0), (300, 0), (300, 0.1)], 50) == {"still"}


def test_a_ramp_limit_in_megawatts_binds_on_a_large_site() -> None:
    plain = facts(UFR, steps(UFR, (0.4, 1.0), ramp=30))
    large = _scaled(plain, 100.0)
    verdict = judge(large, [load_service("return_ramp_ieso"), load_service("return_ramp_aeso")])
    failing = {(c.service, c.id): c.measured for c in verdict.checks if c.outcome is Outcome.FAIL}
    assert set(failing) == {
        ("return_ramp_ieso", "ramp"), ("return_ramp_ieso", "short_ramp"), ("return_ramp_aeso", "ramp"),
    }  # fmt: skip
    assert failing["return_ramp_ieso", "short_ramp"].value == pytest.approx(COMMITMENT_W * 100 / 1e6 / 2)  # type: ignore[union-attr]


def test_staying_away_for_more_than_an_hour_is_no_way_to_keep_a_ramp_limit(tmp_path: Path) -> None:
    (tmp_path / "long.toml").write_text(
        'schema = 1\ntitle = "long"\nsource = { text = "ours", grade = "estimate" }\nduration = "5000 s"\n'
        '[[event]]\nid = "e"\nkind = "deployment"\nstart = "30 s"\nstop = "60 s"\n'
    )
    long = load_profile(tmp_path / "long.toml").expand(NOMINAL_W, Seed(1))
    response = [(0, 0), (30, 0), (30, 1), (100, 1), (100, 0.5)]
    verdict = judge(facts(long, response), [load_service("return_ramp_clr")])
    assert {check.id for check in verdict.checks if check.outcome is Outcome.FAIL} == {"share_ramp", "returned"}


def _scaled(one: RunFacts, by: float) -> RunFacts:
    power = replace(one.power, value=one.power.value * by)
    return replace(one, power=power, nominal_w=one.nominal_w * by, commitment_w=one.commitment_w * by)


@pytest.mark.parametrize(
    ("levels", "killers"),
    [
        ((0.25, 0.5, 0.75, 1.0), set()),
        ((0.33, 0.58, 0.83, 1.08), set()),
        ((0.36, 0.5, 0.75, 1.0), {"R11"}),
        ((0.19, 0.5, 0.75, 1.0), {"R11"}),
        ((1.0, 1.0, 1.0, 1.0), {"R11"}),
    ],
)
def test_linearity_wants_a_response_in_proportion(levels: tuple[float, ...], killers: set[str]) -> None:
    profile = "nordic_fcrd_linearity"
    moves = [(at(profile, i)[0] + 2 - at(profile)[0], level) for i, level in enumerate(levels)]
    assert failed(profile, "nordic_fcrd_static", steps(profile, *moves, back=None), 50) == killers


def test_every_formula_is_the_reason_for_some_failure_here() -> None:
    killed = {(service, check) for _, service, _, killers in DEFECTS for check in killers}
    killed |= {("nordic_fcrd_static", "R11"), ("no_uncommanded_step", "still"), ("return_ramp_clr", "returned")}
    formulas = {
        check.formula for name in list_services() for check in load_service(name).checks if (name, check.id) in killed
    }
    # `rise` by the megawatt test above, `highest` and `busiest` by what a rule machine finds (test_machine.py),
    # how machines are treated in test_treatment.py
    assert formulas | {"rise", "highest", "busiest"} | set(TREATMENT) == set(FORMULAS)


# ------------------------------------------------------------------------------------------------------------ the clock


def test_the_clock_starts_at_the_exact_crossing_of_the_grids_signal() -> None:
    run = facts("gb_2019_08_09", [(0, 0), (36, 0), (36, 1)], hz=50)
    frequency = run.signals["frequency"]
    crossing = frequency.first_crossing(49.7, falling=True, start=run.events[0].start_ns, stop=run.stop_ns)
    assert crossing is not None
    reach = judge(run, [load_service("nordic_ffr_1_3")]).checks[0]
    assert reach.measured.value == pytest.approx((36 + 20) - crossing / S, abs=1e-6)  # type: ignore[union-attr]


def test_the_static_reserve_counts_from_the_start_of_the_ramp() -> None:
    verdict = judge(
        facts(STATIC, steps(STATIC, (2.0, 1.0), back=65, ramp=120), hz=50), [load_service("nordic_fcrd_static")]
    )
    delay = next(check for check in verdict.checks if check.id == "R5b")
    assert delay.measured.value == pytest.approx(2.0, abs=1e-6)  # type: ignore[union-attr]


def test_a_replayed_event_is_no_test_ramp_and_says_so() -> None:
    verdict = judge(facts("nordic_ffr_1_3", [(0, 0)], hz=50), [load_service("nordic_fcrd_static")])
    assert verdict.validity is Validity.VOID
    assert any("already" in reason or "another test" in reason or "never fell" in reason for reason in verdict.reasons)


def test_dispatch_asks_for_the_difference_to_the_level_before() -> None:
    checks = judge(
        facts("ercot_ecrs_short", steps("ercot_ecrs_short", (540, 0.975))), [load_service("ercot_ecrs")]
    ).checks
    hold = next(check for check in checks if check.id == "hold")
    assert hold.measured.value == pytest.approx(100.0)  # type: ignore[union-attr]


def test_what_a_run_was_too_short_to_show_is_named() -> None:
    verdict = judge(facts(FFR, steps(FFR, (0.2, 1.0))), [load_service("ercot_rrs_ffr")])
    assert any("900 s of the rule were not asked for" in text for text in verdict.not_judged)
    assert any("second deployment" in text for text in verdict.not_judged)


# ------------------------------------------------------------------------------------------------------------ the files


@pytest.mark.parametrize("name", list_services())
def test_every_figure_has_a_grade_and_a_source_and_is_used(name: str) -> None:
    service = load_service(name)
    used = {figure.name for check in service.checks for figure in check.figures.values()}
    used |= {f.name for check in service.checks for f in (check.low, check.high) if f is not None}
    clock = service.clock
    used |= {f.name for f in (clock.level, clock.reaches, clock.within, clock.release_level) if f is not None}
    assert all(figure.source.text and figure.source.grade in STRENGTH for figure in service.figures.values())
    assert set(service.figures) == used


def test_a_check_carries_the_weakest_grade_among_the_figures_of_its_rule() -> None:
    reach, _, over = load_service("ercot_rrs_ffr").checks
    assert (reach.source.grade, over.source.grade) == ("GK", "GK")
    figures = load_service("ercot_rrs_ffr").figures
    assert weakest([figures["trigger"], figures["full_delivery"]]).grade == "S"
    assert weakest([figures["trigger"], figures["arrival"]]).grade == "S"  # method is no part of the rule


def test_the_three_nordic_pairs_are_one_family() -> None:
    pairs = {
        (service.figures["trigger"].value, service.figures["full_delivery"].value)
        for service in map(load_service, ("nordic_ffr_1_3", "nordic_ffr_1_0", "nordic_ffr_0_7"))
    }
    assert pairs == {(49.7, 1.3), (49.6, 1.0), (49.5, 0.7)}
    assert load_service("service:nordic_ffr_0_7").title == "Nordic fast frequency reserve, 49.5 Hz and 0.7 s"


def test_the_reference_page_is_the_one_the_files_make() -> None:
    page = REPOSITORY / "docs" / "reference" / "services.md"
    assert page.read_text(encoding="utf-8") == services_markdown(), "run: python -m bench.services.reference"


ONE = (library.folder("service") / "ercot_rrs_ffr.toml").read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('unit = "Hz"', 'unit = "mHZ"', ("figure.trigger.unit", 'unknown unit "mHZ"', 'did you mean "mHz"')),
        ('grade = "S"', 'grade = "s"', ("figure.", 'unknown value "s"')),
        ('formula = "reach"', 'formula = "rech"', ("check[0].formula", 'did you mean "reach"')),
        ('high = "full_delivery"', 'high = "full_delivry"', ("check[0].limit.high", 'did you mean "full_delivery"')),
        ('limit = { high = "full_delivery" }', 'limit = { high = "band_high" }', ("limit.high", '"band_high" is in %')),
        ('limit = { high = "full_delivery" }', "limit = { }", ("check[0].limit", "needs a low or a high")),
        ('for_good = "arrival" }', 'for_god = "arrival" }', ("check[0].with.for_god", 'did you mean "for_good"')),
        ('low = "band_low", deadline', "deadline", ("check[0].with", "needs low")),
        ("{band_low} of the commitment", "{bandlow} of it", ("sentence", 'did you mean "band_low"')),
        ('level = "trigger"\n', "", ("clock.level", "is missing")),
        ('release = "recall"', 'release = "frequency"', ("clock.release_level", "is missing")),
        ('release = "recall"', 'release = "recall"\nreaches = "trigger"', ("clock", "only one of")),
        ('id = "hold"', 'id = "reach"', ("check[1].id", "used twice")),
        ('market = "ERCOT"', 'markt = "ERCOT"', ("markt", 'did you mean "market"')),
    ],
)
def test_a_bad_service_file_is_refused_with_key_and_remedy(
    tmp_path: Path, old: str, new: str, words: tuple[str, ...]
) -> None:
    path = tmp_path / "bad.toml"
    assert old in ONE
    path.write_text(ONE.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(ConfigError) as caught:
        load_service(path)
    message = str(caught.value)
    assert str(path) in message
    assert all(word in message for word in words), message


def test_an_unknown_service_is_answered_with_the_nearest() -> None:
    with pytest.raises(ConfigError, match=r'did you mean "ercot_rrs_ffr"\?'):
        load_service("service:ercot_rrs_fffr")


def test_a_family_that_does_not_exist_is_named(tmp_path: Path) -> None:
    (tmp_path / "one.toml").write_text('extends = "families/none.toml"\n')
    with pytest.raises(ConfigError, match=r"none\.toml: no such file"):
        load_service(tmp_path / "one.toml")


def test_no_service_file_says_a_figure_without_naming_it() -> None:
    for path in library.folder("service").glob("*.toml"):
        table = tomllib.loads(path.read_text(encoding="utf-8"))
        for check in table.get("check", ()):
            digits = [word for word in check["sentence"].split() if any(c.isdigit() for c in word) and "{" not in word]
            assert not digits, f"{path.name}: {check['id']}: {digits}"
