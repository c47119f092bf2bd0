"""The fixture `bench` of the pytest plug-in: a test plays runs, measures them, and states limits.

Owns what a test collects on its way; playing and judging are the same functions as everywhere else.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench import measure, pytest_plugin
from bench.case_file import Case, CaseTable, load_cases
from bench.config import ConfigError, validate
from bench.judge import decide
from bench.report.words import missing_text, value_text
from bench.services.deployment import BASELINE_NS
from bench.verdict import Limit, Measured, NotComputable, Outcome, Quantity, Validity
from emulator import units

if TYPE_CHECKING:
    import pytest

    from bench.facts import ProfileEvent, RunFacts, Series
    from bench.verdict import CaseVerdict

_PATHS = ("rig", "profile")
_UNITS = ("s", "W", "fraction", "Hz", "V", "Wh", "W/s")


@dataclass(frozen=True, slots=True)
class Verified:
    """One limit a test has stated, and how it came out."""

    name: str
    measured: Measured
    limit: Limit
    outcome: Outcome

    def __str__(self) -> str:
        reason = missing_text(self.measured)
        told = value_text(self.measured) + (f" ({reason})" if reason else "")
        return f"{self.outcome.name}: {self.name}: {told}; limit {self.limit}"


@dataclass(frozen=True, slots=True)
class RunView:
    """A run as a test sees it: the verdict under the case's services, the facts, and a few measurements by event."""

    verdict: CaseVerdict
    facts: RunFacts
    folder: Path

    def event(self, name: str) -> ProfileEvent:
        """The event called `name`. Raises KeyError with the names there are."""
        for event in self.facts.events:
            if event.id == name:
                return event
        raise KeyError(f"the profile has no event {name!r}; it has {', '.join(e.id for e in self.facts.events)}")

    def reaction(self, event: str, share: float = 0.05, dwell_s: float = 0.05) -> Measured:
        """Seconds from the event's start until `share` of the commitment is off and stays so for `dwell_s`."""
        begin, stop, series = self._delivered(event)
        if isinstance(series, NotComputable):
            return series
        level = share * self.facts.commitment_w
        return measure.reaction_time(series, begin, stop, level, round(dwell_s * 1e9))

    def reach(self, event: str, share: float = 0.95) -> Measured:
        """Seconds from the event's start until `share` of the commitment is off for the rest of the event."""
        begin, stop, series = self._delivered(event)
        if isinstance(series, NotComputable):
            return series
        return measure.reach_time(series, begin, stop, low=share * self.facts.commitment_w)

    def power(self, at_s: float) -> Measured:
        """Consumption of the site in watts, `at_s` seconds after the profile's zero."""
        return measure.value_at(self.facts.power, self.facts.armed_ns + round(at_s * 1e9))

    def _delivered(self, name: str) -> tuple[int, int, Series | NotComputable]:
        event, power = self.event(name), self.facts.power
        base = measure.baseline(power, event.start_ns - BASELINE_NS, event.start_ns)
        series = base if isinstance(base, NotComputable) else measure.delivered(power, base.mean)
        return event.start_ns, min(event.stop_ns, self.facts.stop_ns), series


class Bench:
    """What a test does with the bench. Runs go into `folder`; `defaults` are keys of a case from the test's markers,
    `changes` what pytest's options say instead of files and tests."""

    def __init__(
        self, item: pytest.Item, folder: Path, defaults: Mapping[str, Any], changes: Mapping[str, Any] | None = None
    ) -> None:
        self.runs: list[RunView] = []
        self.verified: list[Verified] = []
        self.folder = folder
        self._item = item
        self._defaults = defaults
        self._changes = changes or {}

    def play(self, case: str | None = None, *, seed: int | None = None, **keys: Any) -> RunView:
        """Play a case and judge it under its services; a FAIL there fails the test when it ends.

        `case` is a case file; `keys` are keys of such a file and come on top of it and of the test's markers, or say
        everything where there is no file. Paths are relative to the test's file. pytest's options come last, but for a
        `seed` that the test itself insists on. Raises BenchVoid for an experiment that did not take place, BenchBroke
        for what only the user can mend.
        """
        __tracebackhide__ = True
        if _in_a_loop():
            raise pytest_plugin.BenchBroke("play starts an event loop of its own; write `def`, not `async def`")
        insisted = {} if seed is None else {"seeds": (seed,)}
        try:
            played = self._case(case, {**self._defaults, **keys}, {**self._changes, **insisted})
        except ConfigError as error:
            raise pytest_plugin.BenchBroke(str(error)) from None
        number = len(self.runs) + 1
        folder = self.folder if number == 1 else self.folder.with_name(f"{self.folder.name}.{number}")
        verdict, facts = pytest_plugin.play(played, folder)
        pytest_plugin.record(self._item, played, verdict, facts, number)
        if facts is None:
            raise pytest_plugin.BenchBroke("\n".join(verdict.reasons))
        if verdict.validity is Validity.VOID:
            pytest_plugin.conclude(verdict)
        run = RunView(verdict, facts, folder)
        self.runs.append(run)
        return run

    def verify(self, name: str, measured: Measured | float, *, least: object = None, most: object = None) -> Verified:
        """State that `measured` is within `least` and `most`: quantities as text ("250 ms"), or numbers in its unit.

        All limits of a test are looked at before it fails. Raises ValueError for a missing limit, one in
        another unit, and a used name.
        """
        __tracebackhide__ = True  # a mistake in the test is shown in the test
        if least is None and most is None:
            raise ValueError(f"verify {name!r}: no limit; give least, most or both")
        if any(known.name == name for known in self.verified):
            raise ValueError(f"verify {name!r}: the name is used twice in this test; give each limit its own")
        value: Measured = Quantity(float(measured), "1") if isinstance(measured, int | float) else measured
        unit = value.unit if isinstance(value, Quantity) else _unit_of(most if least is None else least)
        try:
            limit = Limit(unit, _bound(least, unit), _bound(most, unit))
        except units.UnitError as error:
            raise ValueError(f"verify {name!r}: {error}") from None
        known = Verified(name, value, limit, decide(value, limit))
        self.verified.append(known)
        self._tell(f"verify.{name}", str(known))
        self._item.add_report_section("call", "ramprig", f"{known}\n")
        return known

    def measure(self, name: str, measured: Measured | float) -> None:
        """Record a value without judging it."""
        told = str(measured) if isinstance(measured, int | float) else value_text(measured)
        self._tell(f"measure.{name}", told)

    def observe(self, name: str, evidence: str | bytes | Path | Mapping[str, Any]) -> Path:
        """Keep evidence beside the last run: text, bytes, a file, or a table that becomes JSON. Returns where."""
        folder = (self.runs[-1].folder if self.runs else self.folder) / "attachments"
        folder.mkdir(parents=True, exist_ok=True)
        stem = re.sub(r"[^A-Za-z0-9._-]+", "_", name)
        if isinstance(evidence, Path):
            file = folder / f"{stem}{evidence.suffix}"
            file.write_bytes(evidence.read_bytes())
        elif isinstance(evidence, bytes):
            file = folder / f"{stem}.bin"
            file.write_bytes(evidence)
        else:
            text = evidence if isinstance(evidence, str) else json.dumps(evidence, indent=1)
            file = folder / f"{stem}.{'txt' if isinstance(evidence, str) else 'json'}"
            file.write_text(text, encoding="utf-8")
        self._tell(f"observe.{name}", str(file))
        return file

    def conclude(self, *, strict: bool) -> None:
        """Raise what the test as a whole comes to: CaseFailed, BenchVoid, or nothing."""
        __tracebackhide__ = True
        for run in self.runs:
            pytest_plugin.conclude(run.verdict)
        for known in self.verified:
            if known.outcome is Outcome.DONE:
                raise pytest_plugin.BenchVoid(str(known))
        missed = [str(known) for known in self.verified if known.outcome is not Outcome.PASS]
        if missed:
            raise pytest_plugin.CaseFailed("\n".join(missed))
        if not self.runs and not self.verified:
            self._tell("outcome", Outcome.DONE.name)
            if strict:
                raise pytest_plugin.CaseFailed("DONE: the test asked for `bench` and judged nothing")

    def _case(self, case: str | None, own: Mapping[str, Any], changes: Mapping[str, Any]) -> Case:
        origin = self._item.path
        keys = {key: self._absolute(value) if key in _PATHS else value for key, value in own.items()}
        keys |= changes
        if case is None:
            name = re.sub(r"[^a-z0-9_.-]+", "-", self._item.name.lower()).strip("-._")
            table = validate({"id": name, **keys}, CaseTable, f"{origin.name}: {self._item.name}: play")
            cases = [Case(table, seed, origin) for seed in table.seeds]
        else:
            _, cases = load_cases(self._absolute(case), keys)
        if len(cases) != 1:
            raise ConfigError(f"{case or origin.name}: {len(cases)} cases or seeds; play one, for example with seed=1")
        return cases[0]

    def _absolute(self, reference: str) -> str:
        """A path that does not depend on which file says it."""
        return reference if ":" in reference else str(self._item.path.parent / reference)

    def _tell(self, name: str, text: str) -> None:
        self._item.user_properties.append((f"ramprig.{name}", text))


def _in_a_loop() -> bool:
    with contextlib.suppress(RuntimeError):
        asyncio.get_running_loop()
        return True
    return False


def _bound(text: object, unit: str) -> float | None:
    if isinstance(text, int | float) and not isinstance(text, bool):
        return float(text)
    return None if text is None else units.parse(text, unit)


def _unit_of(text: object) -> str:
    """The unit a limit is written in, for a value that never came and has none."""
    for unit in _UNITS:
        with contextlib.suppress(units.UnitError):
            units.parse(text, unit)
            return unit
    return "1"
