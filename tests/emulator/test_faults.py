"""Faults as data: what can be said, what is refused with which remedy, what they hit, and whose draws are whose."""

from __future__ import annotations

import json
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator import faulty_link, faulty_notices, faulty_registers, faulty_replies, faulty_site, misframe
from emulator.catalogue import GRADES
from emulator.fault_kinds import FILTERS
from emulator.faults import KINDS, Dice, Fault, FaultError, FaultPlan, Type, read_fault
from emulator.seed import Seed

S = 1_000_000_000
DOCS = Path(__file__).parents[2] / "docs" / "reference"
IDS = [f"miner-{i:04d}" for i in range(1, 121)]


def test_a_fault_is_read_as_people_write_it() -> None:
    fault = read_fault(
        {
            "where": "miner-00*",
            "kind": "delay",
            "start": "2 s",
            "stop": "1 min",
            "delay": "80 ms",
            "probability": "25 %",
        },
        "case.toml: fault[0]",
    )
    assert fault == Fault("miner-00*", "delay", 2 * S, 60 * S, {"delay_ns": 80_000_000, "probability": 0.25})
    scripts = read_fault({"where": "*", "kind": "ignore_commands", "scripts": ["sleep", "re*"]}, "")
    assert scripts.text("scripts") == "sleep re*"
    assert (fault.nanoseconds("jitter_ns"), fault.number("probability"), fault.boundary) == (0, 0.25, "link")


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ({"where": "a", "kind": "dely"}, "unknown fault kind 'dely'; did you mean 'delay'?"),
        ({"kind": "drop"}, ".where: None is not text"),
        ({"where": "a"}, ".kind: None is not text"),
        ({"where": "a", "kind": "delay", "dealy": "1 s"}, "delay: unknown key 'dealy'; did you mean 'delay'?"),
        ({"where": "a", "kind": "delay", "delay": "1 kg"}, "delay: delay: '1 kg': unknown unit 'kg'"),
        ({"where": "a", "kind": "delay", "delay": 5}, "delay: delay: 5 is not a quantity"),
        ({"where": "a", "kind": "drop", "probability": "120 %"}, "probability: 1.2 is not a share from 0 to 1"),
        ({"where": "a", "kind": "drop", "start": "3 s", "stop": "3 s"}, "is not after start"),
        ({"where": "a", "kind": "drop", "start": "-1 s"}, "start: '-1 s': a duration cannot be negative"),
        ({"where": "a", "kind": "gain", "quantity": "amps"}, "'amps' is not one of power, voltage, frequency"),
        ({"where": "a", "kind": "gain", "factor": True}, "factor: True is not a finite number"),
        ({"where": "a", "kind": "gain", "factor": math.nan}, "factor: nan is not a finite number"),
        ({"where": "a", "kind": "slow_loris", "slice_bytes": 0}, "slice_bytes: 0 is not a whole number from 1"),
        ({"where": "a", "kind": "reset", "after_bytes": 1.5}, "after_bytes: 1.5 is not a whole number from 1"),
        ({"where": "a", "kind": "ignore_commands", "scripts": " "}, "' ' is not names or globs"),
        ({"where": "a", "kind": "ignore_commands", "scripts": [1]}, "[1] is not names or globs"),
        ({"where": "a", "kind": "gain", "quantity": ["power"]}, "['power'] is not one of power"),
        ({"where": "a", "kind": "malformed", "how": "trailing"}, "how: 'trailing' is not one of trailing_comma, "),
        ({"where": "a", "kind": "api_error", "msg": 5}, "msg: 5 is not text"),
        ({"where": "a", "kind": "gain", "requests": "x"}, "gain: unknown key 'requests'"),
        ({"where": "a", "kind": "drop", "functions": "read"}, "functions: 'read' is not whole numbers and ranges"),
        ({"where": "a", "kind": "exception_storm", "code": 256}, "code: 256 is not a whole number from 1 to 255"),
        ({"where": "a", "kind": "misframed", "how": "tid"}, "'tid' is not one of transaction, "),
    ],
)
def test_a_fault_that_cannot_be_is_refused_with_its_place_and_a_remedy(raw: dict[str, Any], said: str) -> None:
    with pytest.raises(FaultError, match=re.escape(said)) as caught:
        read_fault(raw, "case.toml: fault[3]")
    assert str(caught.value).startswith("case.toml: fault[3]")


def test_code_is_held_to_the_same_rules() -> None:
    with pytest.raises(FaultError, match="unknown parameter 'delay'; did you mean 'delay_ns'"):
        Fault("a", "delay", parameters={"delay": 3})
    with pytest.raises(FaultError, match="before the run"):
        Fault("a", "delay", -1)
    with pytest.raises(KeyError):
        Fault("a", "drop").number("delay_ns")


def test_a_fault_cannot_be_changed_and_can_be_moved() -> None:
    parameters = {"delay_ns": 5}
    fault = Fault("a", "delay", 3, None, parameters)
    parameters["delay_ns"] = 7
    assert fault.nanoseconds("delay_ns") == 5
    with pytest.raises(TypeError):
        fault.parameters["delay_ns"] = 9  # type: ignore[index]
    assert replace(fault, start_ns=9).parameters == {"delay_ns": 5}


@settings(deadline=None)
@given(st.integers(0, 100), st.none() | st.integers(1, 100), st.integers(0, 300))
def test_a_window_holds_its_beginning_and_not_its_end(start: int, length: int | None, now: int) -> None:
    fault = Fault("a", "drop", start, None if length is None else start + length)
    assert fault.active(now) == (start <= now and (length is None or now < start + length))


def test_a_plan_knows_what_hits_whom() -> None:
    near, far, signal = Fault("miner-000[1-3]", "drop"), Fault("miner-*", "refuse"), Fault("*", "stale")
    plan = FaultPlan([near, far, signal], Seed(1))
    assert plan.of("miner-0002", "miner") == (near, far)
    assert plan.of("miner-0004", "miner") == (far,)
    assert plan.of("signal:price", "signal") == (signal,)
    assert plan.of("meter-poi", "meter") == ()


@pytest.mark.parametrize(
    ("where", "kind", "said"),
    [
        ("mner-01*", "drop", "did you mean 'miner-01*'?"),
        ("miner-0200", "drop", "did you mean 'miner-0"),
        ("meter-pio", "freeze", "did you mean 'meter-poi'?"),
        ("signal:frequncy", "late", "did you mean 'signal:frequency'?"),
        ("meter-poi", "miner_reboot", "matches 'meter-poi', a meter; 'miner_reboot' needs a miner"),
    ],
)
def test_a_glob_that_hits_nothing_is_an_error_with_a_near_match(where: str, kind: str, said: str) -> None:
    sorts = {**dict.fromkeys(IDS, "miner"), "meter-poi": "meter", "signal:frequency": "signal"}
    with pytest.raises(FaultError, match=re.escape(said)) as caught:
        FaultPlan([Fault("*", "drop"), Fault(where, kind)], Seed(1)).check(sorts)
    assert str(caught.value).startswith("faults[1].where")


def test_the_other_one_of_two_on_an_address_must_exist() -> None:
    fault = Fault("miner-0001", "duplicate_address", parameters={"other": "miner-200"})
    with pytest.raises(FaultError, match=re.escape("faults[0].other: 'miner-200' is nothing of the rig; did you mean")):
        FaultPlan([fault], Seed(1)).check(IDS)
    FaultPlan([replace(fault, parameters={"other": "miner-0002"})], Seed(1)).check(IDS)


def test_a_list_of_globs_may_be_a_tuple_as_files_give_it() -> None:
    for names in (["80", "4028"], ("80", "4028"), "80 4028"):
        assert read_fault({"where": "a", "kind": "drop", "ports": names}, "here").parameters["ports"] == "80 4028"


@pytest.mark.parametrize(
    ("globs", "names", "let_by"),
    [("*", (), False), ("stats", (), True), ("stats", ("devs", "stats"), False), ("st* x", ("devs",), True)],
)
def test_a_filter_lets_by_what_it_does_not_name(globs: str, names: tuple[str, ...], let_by: bool) -> None:
    assert Fault("a", "drop", parameters={"requests": globs}).lets_by("requests", names) is let_by
    assert not Fault("a", "freeze").lets_by("requests", names)


def test_a_plan_without_misses_passes_also_without_sorts() -> None:
    FaultPlan([Fault("miner-*", "drop"), Fault("miner-0017", "refuse")], Seed(1)).check(IDS)
    FaultPlan([], Seed(1)).check([])


def test_draws_of_one_target_know_of_no_other_target_and_no_other_fault() -> None:
    def seeds(*faults: Fault) -> list[int]:
        return [
            seed.key for fault, seed in FaultPlan(faults, Seed(1)).aimed("miner-0001", "miner") if fault.kind == "drop"
        ]

    drop, again = Fault("miner-*", "drop"), Fault("miner-*", "drop", 5)
    assert seeds(drop) == seeds(Fault("meter-poi", "freeze"), Fault("miner-*", "delay"), drop)
    assert len(set(seeds(drop, again))) == 2
    assert seeds(drop, again)[0] == seeds(drop)[0]
    plan = FaultPlan([drop], Seed(1))
    assert plan.aimed("miner-0001", "miner")[0][1].key != plan.aimed("miner-0002", "miner")[0][1].key
    assert FaultPlan([drop], Seed(2)).aimed("miner-0001", "miner")[0][1].key != seeds(drop)[0]


@settings(deadline=None)
@given(st.floats(0, 1))
def test_a_fault_strikes_as_often_as_its_probability_says(probability: float) -> None:
    dice = Dice(Seed(3))
    hits = sum(dice.hit(Fault("a", "drop", parameters={"probability": probability})) for _ in range(300))
    assert abs(hits - 300 * probability) <= 5 * math.sqrt(300 * probability * (1 - probability)) + 1e-9


def test_the_record_is_plain_json_and_whole() -> None:
    plan = FaultPlan([Fault("miner-*", "delay", 1, 2, {"delay_ns": 3})], Seed(1))
    assert json.loads(json.dumps(plan.record())) == [
        {
            "where": "miner-*",
            "kind": "delay",
            "boundary": "link",
            "start_ns": 1,
            "stop_ns": 2,
            "parameters": {"delay_ns": 3},
        }
    ]


def test_every_kind_is_complete_and_has_somebody_who_does_it() -> None:
    by_hand = {"gain", "miner_reboot", "miner_acts", "outlet_opens", "feeder_trip"}
    hardware = {*faulty_site._MINER_KINDS, *faulty_site._OUTLET_KINDS}
    done = by_hand | faulty_link.WIRE_KINDS | hardware | set(faulty_registers.VIEWS) | set(faulty_notices.EDITS)
    assert set(KINDS) == done
    for kind in KINDS.values():
        assert kind.boundary in {"link", "device", "meter", "signal", "site"}
        assert kind.grade in GRADES
        assert kind.what
        assert kind.source
        assert "probability" in kind.parameters
        for parameter in kind.parameters.values():
            assert parameter.refusal(parameter.default) is None
            assert (parameter.type is Type.DURATION) == parameter.name.endswith("_ns")


def test_the_reference_page_has_every_kind_and_parameter() -> None:
    page = (DOCS / "faults.md").read_text(encoding="utf-8")
    for kind in KINDS.values():
        section = page.partition(f"### `{kind.name}`")[2].partition("\n### ")[0].partition("\n## ")[0]
        assert kind.what in section, kind.name
        for parameter in kind.parameters.values():
            if parameter.key not in ("probability", *FILTERS):
                assert f"`{parameter.key}`" in section, f"{kind.name}.{parameter.key}"


def test_the_reference_page_has_every_damage() -> None:
    page = (DOCS / "faults.md").read_text(encoding="utf-8")
    for how, entry in faulty_replies.malformations().items():
        assert f"| `{how}` | {entry['what']} ({entry['grade']}: {entry['source']}) |" in page, how


def test_the_reference_page_has_every_wrong_frame() -> None:
    page = (DOCS / "faults.md").read_text(encoding="utf-8")
    for how, entry in misframe.misframings().items():
        where = ", ".join(framing.upper() for framing in entry["framings"])
        assert f"| `{how}` | {where} | {entry['what']} ({entry['grade']}: {entry['source']}) |" in page, how


def test_modbus_requests_are_named_by_numbers_and_ranges() -> None:
    raw = {"where": "*", "kind": "exception_storm", "functions": [5, 15], "registers": "52-53 101", "units": 1}
    fault = read_fault(raw, "")
    assert fault.spans("functions") == (range(5, 6), range(15, 16))
    assert fault.spans("registers") == (range(52, 54), range(101, 102))
    assert (fault.spans("units"), fault.is_narrow) == ((range(1, 2),), True)
    assert Fault("*", "drop").spans("functions") == ()
    assert not Fault("*", "drop", parameters={"functions": "*", "ports": "502"}).is_narrow


def test_every_complaint_has_a_row_and_a_test_of_its_number() -> None:
    page = (DOCS / "field-complaints.md").read_text(encoding="utf-8")
    tests = Path(__file__).parents[1] / "firmware_mocks" / "miners"
    names = re.findall(
        r"^def (test_\w+)", "".join(p.read_text(encoding="utf-8") for p in tests.glob("test_f*.py")), re.M
    )
    rows = dict(re.findall(r"^\| (\d+) \|(.*)$", page, re.M))
    assert list(rows) == [str(number) for number in range(1, 40)]
    for number in rows:
        numbered = [name for name in names if number.zfill(2) in re.match(r"test((?:_\d\d)*)", name)[1].split("_")]  # type: ignore[index]
        assert numbered, number
        by, how = rows[number].rstrip(" |").rsplit(" | ", 2)[-2:]
        said = set(re.findall(r"`([a-z_]+)`", how))
        assert "fault" not in by or said & set(KINDS) or re.search(r"as \d|the same|the two", how), number
