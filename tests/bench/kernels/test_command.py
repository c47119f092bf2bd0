"""The verbs, their files and their exit codes."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import fastpath
from bench.kernels import page, recording, tiers
from bench.kernels.command import kernels_app
from bench.kernels.summary import summary

QUICK = ["bench", "--rounds", "4", "--slice-ms", "0.1", "--work", "scan", "--kernel", "pure"]

Call = Callable[..., Any]


@pytest.fixture
def call() -> Call:
    return lambda *words: CliRunner().invoke(kernels_app, [str(word) for word in words])


def test_without_a_verb_the_tiers_are_listed(call: Call) -> None:
    result = call()
    assert result.exit_code == 0
    assert all(kernel.name in result.stdout for kernel in fastpath.kernels())


def test_the_list_as_json_has_every_field_of_a_tier(call: Call) -> None:
    data = json.loads(call("--json").stdout)
    assert [entry["name"] for entry in data["kernels"]] == [kernel.name for kernel in fastpath.kernels()]
    assert set(data["kernels"][0]) == set(fastpath.Kernel.__slots__)


def test_a_tier_that_cannot_run_says_so_in_the_list() -> None:
    lacking = fastpath.Kernel("x", ("sha",), False, ("scan",), (), "this processor lacks sha", {})
    assert tiers.rows((lacking,)) == [("x", "sha", "cannot run here", "-", "this processor lacks sha")]


def test_verify_prints_a_verdict_a_tier_and_exits_0(call: Call) -> None:
    result = call("verify", "--hashes", "200")
    assert result.exit_code == 0
    assert "FAIL" not in result.stdout
    assert re.search(r"pure +PASS", result.stdout)


def test_verify_exits_1_and_names_what_is_wrong(call: Call, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fastpath, "scan", lambda *_, **__: [])
    result = call("verify", "--hashes", "200")
    assert result.exit_code == 1
    assert re.search(r"pure +FAIL +scan: nonces of real headers: block 0", result.stdout)
    assert json.loads(call("verify", "--hashes", "200", "--json").stdout)["passed"] is False


def test_bench_writes_a_record_for_each_kernel_and_round_and_reads_it_again(call: Call, tmp_path: Path) -> None:
    file, html = tmp_path / "a.json", tmp_path / "a.html"
    result = call(*QUICK, "--json", file, "--html", html)
    assert result.exit_code == 0, result.output
    data = json.loads(file.read_text())
    entered = [entry["key"] for entry in data["contestants"]]
    made = {(record["key"], record["round"]) for record in data["records"]}
    assert made == {(key, number) for key in entered for number in range(4)}
    assert {"hashes_per_s", "peer", "peer_ratio", "cycles_per_hash", "frequency_hz"} <= set(data["records"][0])
    assert len(recording.load(file).records) == len(made)
    assert "scan/pure" in html.read_text()


def test_bench_on_stdout_is_one_json_object(call: Call) -> None:
    assert json.loads(call(*QUICK, "--json", "-").stdout)["schema"] == recording.SCHEMA


def test_bench_exits_1_where_a_kernel_was_much_faster_before(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "before.json"
    call(*QUICK, "--json", file)
    data = json.loads(file.read_text())
    for record in data["records"]:
        if record["kernel"] == "pure":
            record["seconds"] /= 1e4
    file.write_text(json.dumps(data))
    result = call(*QUICK, "--compare", file)
    assert result.exit_code == 1
    assert re.search(r"scan/pure .* REGRESSION", result.stdout)


def test_bench_times_an_external_program(call: Call, tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    result = call(*QUICK, "--against", "echo 24.5 MH/s", "--against-runs", "2", "--json", file)
    assert result.exit_code == 0, result.output
    assert [run["hashes_per_s"] for run in json.loads(file.read_text())["against"]] == [24.5e6, 24.5e6]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--peer", "x"], "--peer: nothing called 'x'"),
        (["--compare", "missing.json"], "missing.json: cannot be read"),
        (["--json", "missing/a.json"], "--json: there is no folder missing"),
        (["--against", "x", "--against-rate", "("], "is no regular expression"),
        (["--against", "no-such-miner"], "cannot be started"),
    ],
)
def test_what_the_user_can_mend_is_told_and_exits_2(call: Call, words: list[str], message: str) -> None:
    result = call(*QUICK, *words)
    assert result.exit_code == 2
    assert message in result.output


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x", "is no JSON"),
        ("[]", "schema: expected 1, found None"),
        ('{"schema": 2}', "found 2"),
        ('{"schema": 1, "records": [{}]}', "is incomplete"),
    ],
)
def test_a_file_that_is_no_measurement_is_named(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    with pytest.raises(recording.RecordingError, match=message):
        recording.load(file)


def test_the_page_escapes_what_it_shows_and_asks_for_nothing(series: Any, zen_4: Any) -> None:
    records = [*series("sha<ni", [40e6, 41e6]), *series("hashlib", [1e6, 1.1e6])]
    keys = ["scan/sha<ni", "scan/hashlib"]
    rows = summary(records, keys, {"scan/sha<ni": ("sha",), "scan/hashlib": ()}, "hashlib", zen_4, [(range(2), 2e6)])
    run = recording.AgainstRun("a <b>", range(2), 2e6, "2 MH/s <i>")
    text = page.page(zen_4, (3.6e9, 3.7e9), rows, records, [("scan/sha<ni", "what <it> does")], [run])
    assert text == page.page(zen_4, (3.6e9, 3.7e9), rows, records, [("scan/sha<ni", "what <it> does")], [run])
    seen: list[str] = []
    parser = HTMLParser()
    parser.handle_starttag = lambda tag, attributes: seen.append(tag)  # type: ignore[method-assign]
    parser.feed(text)
    assert not {"b", "i", "it", "ni", "processor", "script", "img", "link"} & set(seen)
    assert seen.count("svg") == 2
    assert "http" not in text.replace("http-equiv", "")


def test_ticks_stand_within_the_range() -> None:
    assert page.decades(0.3e6, 60e6) == pytest.approx([0.5e6, 1e6, 2e6, 5e6, 10e6, 20e6, 50e6])
    assert page.decades(1.1e6, 1.2e6) == []
