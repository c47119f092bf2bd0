"""From files to a verdict: plays the cases of a suite one after another, judges each run folder, writes the renderings.

Owns where things are written and what counts as an outcome when a run breaks; it plays nothing itself (`bench/play.py`)
and judges nothing itself (`bench/judge.py`).
"""

from __future__ import annotations

import logging
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING

from bench import library, out_folder, report
from bench.config import ConfigError
from bench.judge import judge
from bench.play import plan_all, play
from bench.record import RunFolderError, is_run, read_info, read_run
from bench.services import load_service
from bench.verdict import CaseVerdict, Outcome, Validity, Verdict
from emulator.network import NetworkError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from bench.case_file import Case
    from bench.facts import RunFacts
    from bench.play import Plan, Progress
    from bench.services.model import Service

_LOG = logging.getLogger(__name__)


def run_cases(
    title: str,
    cases: Sequence[Case],
    out: Path,
    progress: Callable[[Case], Progress] | None = None,
    judged: Callable[[CaseVerdict], None] | None = None,
) -> Verdict:
    """Play and judge `cases`; run folders and reports go into `out`.

    Everything the files name is read before the first case begins, and what an earlier suite has left is removed.
    Raises ConfigError and NetworkError for what only the user can mend. A bench error ends its case with ERROR and the
    next one goes on.
    """
    plans = plan_all(cases)
    out_folder.prepare(out, [what.case.id for what in plans])
    verdicts: list[CaseVerdict] = []
    facts: dict[str, RunFacts] = {}
    try:
        for what in plans:
            case = what.case
            verdict, found = run_case(what, out / case.id, progress(case) if progress else None)
            if found is not None:
                facts[case.id] = found
            verdicts.append(verdict)
            if judged is not None:
                judged(verdict)
    except BaseException:
        if verdicts:  # what was judged before the suite was cut short is not lost
            unfinished = [_unfinished(what.case) for what in plans[len(verdicts) :]]
            write_reports(Verdict(title, (*verdicts, *unfinished)), facts, out)
        raise
    whole = Verdict(title, tuple(verdicts))
    write_reports(whole, facts, out)
    return whole


def _unfinished(case: Case) -> CaseVerdict:
    """The verdict on a case that the end of its suite has cut off."""
    return CaseVerdict(
        case.id, case.table.title or case.id, Outcome.ABORTED, Validity.VOID,
        reasons=("the suite was stopped before this case had ended",), expected=case.expected, seed=case.seed,
    )  # fmt: skip


def run_case(
    what: Plan, folder: Path, progress: Progress | None = None, *, reports: bool = True
) -> tuple[CaseVerdict, RunFacts | None]:
    """Play and judge one case into `folder`, which is emptied of an earlier run; there are no facts where the bench
    broke. Raises ConfigError and NetworkError."""
    case = what.case
    out_folder.fresh(folder)
    facts: RunFacts | None = None
    try:
        play(what, folder, progress)
        verdict, facts = judge_folder(folder, [load_service(path) for path in what.services], case)
    except (ConfigError, NetworkError):
        raise
    except Exception as error:  # noqa: BLE001 a defect of the bench ends one case, not the suite
        verdict = _broken(case, folder, error)
    if reports:
        write_reports(Verdict(verdict.title, (verdict,)), {} if facts is None else {case.id: facts}, folder)
    return verdict, facts


def _broken(case: Case, folder: Path, error: Exception) -> CaseVerdict:
    """The verdict where the bench itself broke; its traceback goes where whoever mends it finds it."""
    told = str(error).splitlines()
    reason = f"the bench broke: {type(error).__name__}{': ' if told else ''}{told[0] if told else ''}"
    file = folder / "bench.log"
    with file.open("a", encoding="utf-8") as log:
        log.writelines(traceback.format_exception(error))
    _LOG.error("case %s: %s; please report it with %s", case.id, reason, file)
    return CaseVerdict(
        case.id, case.table.title or case.id, Outcome.ERROR, Validity.VOID, reasons=(reason,),
        expected=case.expected, seed=case.seed, folder=str(folder),
    )  # fmt: skip


def judge_folder(folder: Path, services: Sequence[Service], case: Case | None = None) -> tuple[CaseVerdict, RunFacts]:
    """Judge one run folder under `services`; with `case`, it must be a run of that case and seed. Raises
    RunFolderError."""
    facts = read_run(folder)
    if case is not None and (facts.info.get("case"), facts.seed) != (case.id, case.seed):
        raise RunFolderError(
            f"{folder}: holds a run of case {facts.info.get('case')!r} with seed {facts.seed}, not of {case.id!r} with "
            f"seed {case.seed}; run the case again"
        )
    verdict = judge(facts, services)
    name = case.id if case else str(facts.info.get("case", folder.name))
    expected = case.expected if case else verdict.expected
    return replace(verdict, id=name, folder=str(folder), expected=expected), facts


def judge_again(folders: Sequence[Path], services: Sequence[str]) -> tuple[Verdict, dict[str, RunFacts]]:
    """Judge old runs: under `services`, or under those they were run for. Raises RunFolderError and ConfigError."""
    verdicts: list[CaseVerdict] = []
    facts: dict[str, RunFacts] = {}
    runs = _run_folders(folders)
    names = [folder.name for folder in runs]
    for folder in runs:
        chosen = [load_service(library.resolve("service", name)) for name in services or services_of(folder)]
        name = folder.name if names.count(folder.name) == 1 else str(folder)
        verdict, facts[name] = judge_folder(folder, chosen)
        # A declared outcome was declared for the services of the case; under others it says nothing.
        verdicts.append(replace(verdict, id=name, expected=None if services else verdict.expected))
    return Verdict("judged again", tuple(verdicts)), facts


def services_of(folder: Path) -> list[str]:
    """The services a run was played for, by name or path. Raises RunFolderError."""
    return [str(name) for name in read_info(folder).get("services", ())]


def _run_folders(folders: Sequence[Path]) -> list[Path]:
    """Run folders among `folders`; one that holds run folders stands for them. Raises RunFolderError."""
    found: list[Path] = []
    for folder in folders:
        inside = sorted(path for path in folder.iterdir() if is_run(path)) if folder.is_dir() else []
        if not is_run(folder) and not inside:
            raise RunFolderError(f"{folder}: neither a run folder nor a folder of runs; name what `ramprig run` wrote")
        found += [folder] if is_run(folder) else inside
    return list(dict.fromkeys(found))


def write_reports(verdict: Verdict, facts: Mapping[str, RunFacts], folder: Path) -> None:
    """verdict.json, junit.xml and report.html, all renderings of one object."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "verdict.json").write_text(report.dumps(verdict) + "\n", encoding="utf-8")
    (folder / "junit.xml").write_text(report.to_junit(verdict), encoding="utf-8")
    (folder / "report.html").write_text(report.render_html(verdict, facts), encoding="utf-8")
