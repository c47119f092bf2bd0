"""Plays one case: rig up, controller attached and ready, profile played, everything recorded.

Owns the order of a run and nothing else. The result is a run folder; what it is worth is decided from that folder by
`bench/judge.py`, so a run that is cut short leaves a folder that reads as void.
"""

from __future__ import annotations

import asyncio
import json
import math
import platform
import signal
import subprocess
from dataclasses import asdict, dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from bench import library
from bench.attach import Context, NullSut, PythonSut, SubprocessSut, build
from bench.collection import keep, let_go, standing
from bench.conduct import conduct
from bench.config import ConfigError
from bench.descriptors import make_room
from bench.facts import LATENESS_BUDGET_NS, LINE_LOST
from bench.layout import POI, lay_out
from bench.logs import kept_in
from bench.profile import load_profile
from bench.record import Recorder
from bench.rig import Rig
from bench.rig_file import load_rig
from bench.serial_tables import SerialSut
from bench.serial_tables import check as check_serial
from bench.services import load_service
from emulator import clock as clocks
from emulator.faults import Fault, FaultError, FaultPlan, read_fault
from emulator.seed import Seed
from emulator.wire import SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from bench.attach import AnySut
    from bench.case_file import Case
    from bench.layout import Layout
    from bench.profile import Profile, Timeline
    from emulator.clock import Clock

    Progress = Callable[[int, int], None]
    """Called with (nanoseconds played, nanoseconds to play) about once for every hundredth of the run."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A case with everything it names read and checked, before anything is started."""

    case: Case
    layout: Layout
    rig_path: Path
    profile: Profile
    profile_path: Path
    services: tuple[Path, ...]
    nominal_hz: float
    faults: tuple[Fault, ...]


def plan(case: Case) -> Plan:
    """Read all that a case names. Raises ConfigError; nothing is started and nothing is written."""
    base, where = case.origin.parent, f"{case.origin}: case {case.table.id}"

    def named(kind: str, key: str, reference: str) -> Path:
        try:
            return library.resolve(kind, reference, base)
        except ConfigError as error:
            raise ConfigError(f"{where}: {key}: {error}") from None

    rig, rig_path = load_rig(str(named("rig", "rig", case.table.rig)))
    if case.table.commitment is not None:
        rig = rig.model_copy(update={"commitment": case.table.commitment})
    profile_path = named("profile", "profile", case.table.profile)
    profile = load_profile(profile_path)
    paths = tuple(named("service", f"services[{place}]", name) for place, name in enumerate(case.table.services))
    services = [load_service(path) for path in paths]
    nominal = {service.nominal_hz for service in services if service.nominal_hz} | (
        {profile.nominal_hz} if profile.nominal_hz else set()
    )
    if len(nominal) > 1:
        figures = " and ".join(f"{hz:g} Hz" for hz in sorted(nominal))
        raise ConfigError(f"{where}: profile and services are for {figures}; take one system")
    layout = lay_out(rig, str(rig_path))
    try:
        build(case.table.sut, base, case.table.time, lambda: layout.inventory(1.0, profile.nominal_hz or 60.0))
        faults = tuple(read_fault(raw, f"fault[{place}]") for place, raw in enumerate(case.table.fault))
    except (ConfigError, FaultError) as error:
        raise ConfigError(f"{where}: {error}") from None
    if isinstance(case.table.sut, SerialSut):
        check_serial(case.table.sut, layout, where)
    _check_restarts(case, profile, where)
    if layout.real and case.table.time == "virtual":
        slots = ", ".join(layout.real)
        raise ConfigError(f'{where}: time: {slots} of the rig are real devices; they need time = "real"')
    layout.check_faults(FaultPlan(faults, Seed(case.seed)), where)
    return Plan(case, layout, rig_path, profile, profile_path, paths, nominal.pop() if nominal else 60.0, faults)


def _check_restarts(case: Case, profile: Profile, where: str) -> None:
    """Raises ConfigError for a restart that the run would be over before."""
    sut = case.table.sut
    instants = [one.at for one in sut.restart] if isinstance(sut, SubprocessSut | PythonSut | SerialSut) else []
    for place, at_ns in enumerate(instants):
        if at_ns >= profile.duration_ns:
            raise ConfigError(
                f"{where}: sut.restart[{place}].at: {at_ns / SECOND:g} s comes after the profile's end at "
                f"{profile.duration_ns / SECOND:g} s; write an earlier instant"
            )


def plan_all(cases: Iterable[Case]) -> list[Plan]:
    """Plan every case. Raises ConfigError with the problems of all of them, each once."""
    plans: list[Plan] = []
    problems: list[str] = []
    for case in cases:
        try:
            plans.append(plan(case))
        except ConfigError as error:
            problems += error.problems
    if problems:
        raise ConfigError(*dict.fromkeys(problems))
    return plans


def play(what: Plan, folder: Path, progress: Progress | None = None) -> None:
    """Play one case into `folder`. Raises ConfigError or NetworkError before the run begins; whatever the controller
    does is recorded, never raised."""
    runs: list[_Run] = []
    make_room()

    async def main(clock: Clock) -> None:
        with kept_in(folder / "bench.log", clock):
            runs.append(_Run(what, folder, clock, progress))
            await runs[0].main()

    try:
        clocks.run(main, mode=what.case.table.time, speed=what.case.table.speed)
    except (clocks.ClockStalledError, SystemExit) as error:
        reason = _brought_down(error, what.case)
        if reason is None or not runs:
            raise
        runs[0].recorder.event(runs[0].stopped_ns, "sut_exit", reason=reason)
    finally:
        for run in runs:
            run.recorder.close()
        let_go()


def _brought_down(error: BaseException, case: Case) -> str | None:
    """How a controller in the bench's own loop has ended that loop; None where it was not the controller."""
    if not isinstance(case.table.sut, PythonSut):
        return None
    if isinstance(error, SystemExit):
        asked = error.code == 128 + signal.SIGTERM  # somebody wants the bench to end
        return None if asked else f"controller ended the program with exit({error.code!r}) outside its own coroutine"
    return f"controller held up the bench: {error}"


class _Run:
    """One run. The profile's zero is fixed before anything starts, so that every fault knows its instant."""

    def __init__(self, what: Plan, folder: Path, clock: Clock, progress: Progress | None) -> None:
        self.plan = what
        self.clock = clock
        self.folder = folder
        self.progress = progress
        self.table = what.case.table
        seed = Seed(what.case.seed)
        self.armed_ns = clock.now() + self.table.lead_in
        faults = FaultPlan([_moved(fault, self.armed_ns) for fault in what.faults], seed)
        self.faults = faults
        # first of all: a run that is killed while its rig is built reads as one that has not ended
        self.recorder = Recorder(folder, self._info(), _effective(what))
        try:
            with standing(prompt=clock.mode == "real"):
                self.rig = Rig(what.layout, clock, seed, what.nominal_hz, faults, _mastered(self.table.sut))
        except BaseException:  # a port that cannot be had, a site that feeds in
            self.recorder.close()
            raise
        self.timeline: Timeline = what.profile.expand(self.rig.nominal_w, seed)
        self.end_ns = self.armed_ns + self.timeline.duration_ns
        self.stopped_ns = 0
        """When the run was over, or was broken off."""
        self.sut = build(self.table.sut, what.case.origin.parent, self.table.time)
        self.contacts: list[asyncio.Future[int]] = []

    async def main(self) -> None:
        if isinstance(self.clock.loop, clocks.VirtualLoop):
            self.clock.loop.stall_limit_s = self.table.patience / SECOND
        inventory = self.rig.inventory()
        path = self.folder / "sut" / "inventory.json"
        path.write_text(json.dumps(inventory, indent=1) + "\n", encoding="utf-8")
        self.rig.play(self.timeline.signals, self.armed_ns)
        if self.rig.real is not None:
            self.rig.real.on_event = lambda now, kind, data: self.recorder.event(now, kind, **data)
        self._describe()
        try:
            await self.rig.open()
            context = Context(
                self.clock, inventory, path.absolute(), path.parent.absolute(), self._first_contact,
                patience_ns=self.table.patience, armed_ns=self.armed_ns, seed=self.plan.case.seed,
                tell=lambda what, reason: self.recorder.event(self.clock.now(), what, reason=reason), rig=self.rig,
            )  # fmt: skip
            try:
                await self.sut.start(context)
                ready = await self.sut.ready(self.armed_ns - self.clock.now())
                kind = "sut_ready" if ready.ok else "sut_not_ready"
                self.recorder.event(self.clock.now(), kind, reason=ready.reason)
                if self.clock.mode == "real" and not ready.ok and self.sut.exit:
                    self.end_ns = self.clock.now()  # it never began: nothing is worth waiting minutes for
                else:
                    await self._watch()
            finally:
                await self.sut.stop()
            await self.clock.settle()  # what it held open is closed: files are about to be written
            if self.rig.real is not None:
                await self.clock.sleep_until(self.end_ns + self.rig.real.tail_ns)
            self._finish()
        finally:
            self.stopped_ns = self.clock.now()
            for contact in self.contacts:
                contact.cancel()
            await self.rig.close()

    def _first_contact(self) -> asyncio.Future[int]:
        """Done, with the instant, when the controller next sends a request to any device."""
        contact: asyncio.Future[int] = self.clock.loop.create_future()
        self.contacts.append(contact)
        self.rig.traffic.on_first = self._contacted
        return contact

    def _contacted(self, now: int) -> None:
        for contact in self.contacts:
            if not contact.done():
                contact.set_result(now)
        self.contacts.clear()

    def _describe(self) -> None:
        rig, analyser = self.rig, self.rig.file.analyser
        switching_ns = max(self.sut.switching_ns, 0 if rig.real is None else rig.real.switching_ns)
        self.recorder.describe(
            armed_ns=self.armed_ns,
            lead_in_ns=self.table.lead_in,
            nominal_hz=rig.grid.nominal_hz,
            nominal_w=rig.nominal_w,
            commitment_w=rig.file.commitment,
            attached=not isinstance(self.table.sut, NullSut),
            lateness_budget_ns=LATENESS_BUDGET_NS,
            events=[
                {**asdict(event), "start_ns": event.start_ns + self.armed_ns, "stop_ns": event.stop_ns + self.armed_ns}
                for event in self.timeline.events
            ],
            analyser={
                "rate_hz": analyser.rate,
                "window_ns": analyser.window,
                "u_w": analyser.accuracy * rig.nominal_w,
                "u_time_ns": switching_ns / math.sqrt(3.0),
            },
            real=rig.layout.real,
            judged_by=rig.layout.judged_by,
        )
        for fault in self.faults.faults:
            self.recorder.event(
                fault.start_ns, "fault", label=f"{fault.kind} at {fault.where}", where=fault.where, fault=fault.kind,
                stop_ns=self.end_ns if fault.stop_ns is None else fault.stop_ns, parameters=dict(fault.parameters),
            )  # fmt: skip

    async def _watch(self) -> None:
        """Let the profile run, in a hundred stretches so that progress can be shown and a dead controller noted."""
        begin, end = self.clock.now(), self.end_ns
        noted = False
        if self.clock.mode == "real":
            keep()
            self.clock.watch_lateness(self.armed_ns, end)
        for part in range(1, 101):
            await self.clock.sleep_until(begin + (end - begin) * part // 100)
            if self.sut.exit and not noted:
                noted = True
                exited_ns = self.clock.now() if self.sut.exited_ns is None else self.sut.exited_ns
                self.recorder.event(exited_ns, "sut_exit", reason=self.sut.exit)
            if self.progress is not None:
                self.progress((end - begin) * part // 100, end - begin)

    def _finish(self) -> None:
        rig, end = self.rig, self.end_ns
        rig.fleet.advance(end)
        for at, script, rows in rig.commands:
            shown = [rig.fleet.specs[row].id for row in rows[:20]]
            self.recorder.event(at, "miners", script=script, count=len(rows), miners=shown)
        for place in rig.layout.relays:
            for trip in rig.relays[place.id].trips:
                self.recorder.event(
                    trip.at_ns, "relay_trip", relay=place.id, feeder=place.protects, cause=trip.cause,
                    picked_up_ns=trip.picked_up_ns, open_ns=trip.parts_ns,
                )  # fmt: skip
        for name, load in rig.switched_loads.items():
            for at, closed in load.moves:
                self.recorder.event(at, "load", load=name, closed=closed)
        for line, reason in rig.wiring.gone.items():
            self.recorder.event(end, LINE_LOST, reason=f"line {line}: {reason}")
        rig.traffic.write(self.folder / "frames.parquet")
        if rig.real is not None:
            rig.real.samples.write(self.folder)
        self.recorder.finish(
            end,
            rig.truth(),
            rig.grid.observed(end),
            contacts={**rig.traffic.requests, **self.sut.contacts},
            frames_dropped=rig.traffic.dropped,
            busiest=rig.busiest(),
            conduct=conduct(rig.traffic, f"meter-{POI}", self.armed_ns, end),
            lateness_p99_ns=self.clock.lateness.p99_ns,
            lateness_max_ns=self.clock.lateness.max_ns,
            network_defects=rig.network.defects,
            pool=rig.pool_report(self.armed_ns, end),
            sut_exit=self.sut.exit,
            sut_notes=self._notes(),
            sut=self.sut.evidence(),
        )

    def _notes(self) -> list[str]:
        """How the controller behaved, as far as it is worth a reader's while."""
        refused = self.rig.network.refused
        crowd = f"opened more connections than the devices take: {refused} were refused"
        return [*self.sut.notes(), *([crowd] if refused else [])]

    def _info(self) -> dict[str, Any]:
        table = self.table
        return {
            "case": self.plan.case.id,
            "title": table.title or table.id,
            "rig": table.rig,
            "profile": table.profile,
            "services": [
                name if name.startswith("service:") else str(path.absolute())
                for name, path in zip(table.services, self.plan.services, strict=True)
            ],
            "sut": table.sut.factory if isinstance(table.sut, PythonSut) else table.sut.kind,
            "seed": self.plan.case.seed,
            "time": table.time,
            "speed": table.speed,
            "expect": table.expect or "",
            "started": self.clock.wall().isoformat(),
            "profile_title": self.plan.profile.title,
            "profile_source": self.plan.profile.source.text,
            "versions": {name: _version(name) for name in ("ramprig", "numpy", "pymodbus")},
            "python": platform.python_version(),
            "machine": platform.machine(),
            "commit": _commit(self.plan.case.origin.parent),
        }


def _mastered(sut: AnySut) -> str:
    """The line on which the bench is the master; "" where there is none."""
    return sut.line if isinstance(sut, SerialSut) and sut.role == "slave" else ""


def _moved(fault: Fault, by_ns: int) -> Fault:
    stop_ns = None if fault.stop_ns is None else fault.stop_ns + by_ns
    return replace(fault, start_ns=fault.start_ns + by_ns, stop_ns=stop_ns)


def _effective(what: Plan) -> str:
    """Everything that was in force, defaults included, as one TOML text with the files it came from."""
    import tomli_w

    tables = {
        "case": what.case.table.model_dump(mode="json", by_alias=True, exclude_none=True),
        "rig": what.layout.file.model_dump(mode="json", by_alias=True, exclude_none=True),
        "origin": {
            "case": str(what.case.origin.name),
            "rig": what.rig_path.name,
            "profile": what.profile_path.name,
            "services": [path.name for path in what.services],
        },
    }
    return tomli_w.dumps(tables)


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _commit(folder: Path) -> str:
    """The commit of the repository that holds the case, empty where there is none."""
    try:
        found = subprocess.run(
            ["git", "-C", str(folder), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=5, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return found.stdout.strip() if found.returncode == 0 else ""
