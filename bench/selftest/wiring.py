"""The harness with one wire cut at a time: none may end with a word about the controller.

Owns the cuts; what a folder or facts are worth is decided by the same functions as ever.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.facts import Series
from bench.judge import judge
from bench.play import plan
from bench.record import RunFolderError, read_run
from bench.report.words import case_word
from bench.services import load_service
from bench.session import judge_folder

if TYPE_CHECKING:
    from bench.case_file import Case
    from bench.facts import RunFacts


@dataclass(frozen=True, slots=True)
class Wiring:
    """The harness with one wire cut, and the word its verdict came to."""

    id: str
    what: str
    word: str

    @property
    def caught(self) -> bool:
        """Whether the bench noticed that nothing was measured."""
        return self.word in ("VOID", "ERROR")


def cut_wires(folder: Path, case: Case) -> Iterator[Wiring]:
    """The harness with one wire cut at a time, on a recorded run of the reference: none may end with a verdict."""
    services = [load_service(path) for path in plan(case).services]
    facts = read_run(folder)
    frozen = folder.with_name(f"{folder.name}-frozen")
    freeze(folder, frozen)
    tomorrow = replace(case, seed=case.seed + 1)
    yield Wiring(
        "severed_meter", "the record holds no sample of the site's power", _word(judge, severed_meter(facts), services)
    )
    yield Wiring(
        "frozen_recorder", "the recording breaks off without its end", _word(judge_folder, frozen, services, case)
    )
    yield Wiring(
        "swapped_channels", "voltage is recorded as frequency, frequency as voltage",
        _word(judge, swapped_channels(facts), services),
    )  # fmt: skip
    yield Wiring(
        "ignored_limits", "no limit of the services reaches the judge",
        _word(judge, facts, [replace(service, checks=()) for service in services]),
    )  # fmt: skip
    yield Wiring(
        "yesterdays_run", "the folder holds the run of another seed", _word(judge_folder, folder, services, tomorrow)
    )


def severed_meter(facts: RunFacts) -> RunFacts:
    """The facts without the site's power."""
    return replace(facts, power=Series(np.zeros(0, np.int64), np.zeros(0)))


def swapped_channels(facts: RunFacts) -> RunFacts:
    """The facts with frequency and voltage in each other's place."""
    swapped = {"frequency": facts.signals["voltage"], "voltage": facts.signals["frequency"]}
    return replace(facts, signals={**facts.signals, **swapped})


def freeze(folder: Path, copy: Path) -> None:
    """Copy a run folder as it would stand there had the recorder stopped before the end."""
    shutil.copytree(folder, copy, ignore=shutil.ignore_patterns("*.parquet"))
    documents = (folder / "documents.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    kept = [line for line in documents if json.loads(line)["document"] != "stop"]
    (copy / "documents.jsonl").write_text("".join(kept), encoding="utf-8")


def _word(function: Callable[..., Any], *arguments: Any) -> str:
    try:
        verdict = function(*arguments)
    except RunFolderError:
        return "ERROR"
    return case_word(verdict[0] if isinstance(verdict, tuple) else verdict)
