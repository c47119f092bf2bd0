"""A rule machine for controllers: hypothesis does things to a live site, and shrinks what a controller does wrong.

Owns what can be done, what must hold whatever is done, and the case file that a defect becomes. Needs hypothesis; the
site it plays on is `bench/machine/live.py`, the files are `bench/machine/script.py`.
"""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import hypothesis
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from bench import library
from bench.attach import PythonSut, SutTable
from bench.config import ConfigError, Table, validate
from bench.machine.live import LiveSite
from bench.machine.script import Ceiling, Frame, Script, write
from bench.rig_file import load_rig
from emulator.wire import MILLISECOND, SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["QUICK", "ControllerDefectError", "ControllerMachine", "Defect", "find_defect"]

_STAGGER_NS = 13 * MILLISECOND
"""Added to every advance, so that what is done to the site does not fall on a controller's polls."""
_DIP_S = 10
_DIP_HZ = 0.02
_SHEDDABLE = 0.95
"""Share of its nameplate power that a miner takes off at least; machines differ and draw a little asleep (estimate)."""
_CLEARLY = 0.001
"""Share of the site's power by which a ceiling must be passed: what a recording cannot take for a rounding."""

QUICK = hypothesis.settings(
    max_examples=40, stateful_step_count=7, deadline=None, derandomize=True, database=None, report_multiple_bugs=False,
    suppress_health_check=list(hypothesis.HealthCheck), print_blob=False,
    phases=[phase for phase in hypothesis.Phase if phase is not hypothesis.Phase.explain],  # it traces every line
)  # fmt: skip
"""A search of seconds on a small rig, and the same one every time."""


class ControllerDefectError(AssertionError):
    """The controller did what it must not; the message names what, and the case file that does it again."""


class _Attached(Table):
    sut: SutTable


class ControllerMachine(RuleBasedStateMachine):
    """Subclass it, name rig and controller, and give `YourMachine.TestCase` to pytest, or the class to `find_defect`.

    What is done: time goes by, a limit is published and taken back, miners die, links fall silent and come back, the
    controller is restarted, and, with `trigger_hz`, the frequency dips. What must hold: `allowed_s` after the last of
    these the site draws no more than is allowed, and so until the next; nothing is stormed with requests; the
    controller lives. More rules and invariants are methods of yours, as hypothesis has it; `self.site` is the site.
    """

    rig: ClassVar[str] = ""
    """`rig:bench40`, or a path relative to the file of the class. Small rigs are searched fastest."""
    sut: ClassVar[str | Mapping[str, Any]] = ""
    """As the key `sut` of a case, of kind `python`."""
    allowed_s: ClassVar[float] = 60.0
    """After whatever happened last, until the site must be where it should."""
    tolerance: ClassVar[float] = 0.02
    """Share of the site's nominal power that it may draw above a limit."""
    commitment_share: ClassVar[float] = 0.95
    """Share of the commitment that a dip of the frequency must take off, counted from the site's nominal power."""
    does: ClassVar[tuple[str, ...]] = ("limit", "kill", "link", "restart", "dip")
    """What is done beside letting time go by and taking back; few kinds are searched faster than all."""
    trigger_hz: ClassVar[float | None] = None
    """At or below which the site sheds its commitment until it is recalled; without it the frequency never dips."""
    nominal_hz: ClassVar[float] = 60.0
    most_requests: ClassVar[int] = 600
    """To any one miner or PDU within a minute."""
    links: ClassVar[tuple[str, ...]] = ("miner", "pdu")
    """Kinds of devices whose links fall silent: these, "meter" and "signal"."""
    most_faults: ClassVar[int] = 2
    """Miners that are dead and links that are down at a time."""
    seed: ClassVar[int] = 1
    lead_in_s: ClassVar[float] = 20.0
    """Within which the controller must be ready."""
    found: ClassVar[str] = "found"
    """Folder for the files of a defect, relative to the file of the class."""

    def __init__(self) -> None:
        super().__init__()
        home = Path(inspect.getfile(type(self))).parent.resolve()
        rig, rig_path = load_rig(str(library.resolve("rig", self.rig, home)))
        sut = validate({"sut": self.sut}, _Attached, f"{type(self).__name__}").sut
        if not isinstance(sut, PythonSut):
            raise ConfigError(f'{type(self).__name__}.sut: kind "{sut.kind}" lives in real time; attach a "python" one')
        if isinstance(sut.config, str):
            sut = sut.model_copy(update={"config": str(home / sut.config)})
        path, _, factory = sut.factory.rpartition(":")
        if path.endswith(".py"):
            sut = sut.model_copy(update={"factory": f"{home / path}:{factory}"})
        lead_in_ns = round(self.lead_in_s * SECOND)
        self.site = LiveSite(
            rig, str(rig_path), sut, home, seed=self.seed, nominal_hz=self.nominal_hz, lead_in_ns=lead_in_ns
        )
        self.script = Script()
        live = self.site.rig
        self._frame = Frame(
            name=re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "-", type(self).__name__).lower().strip("_"),
            title=f"{type(self).__name__}: a defect, shrunk",
            rig=self.rig if ":" in self.rig else str(rig_path),
            sut=sut.model_dump(mode="json", exclude_none=True, exclude_defaults=True) | {"kind": "python"},
            seed=self.seed,
            lead_in_ns=lead_in_ns,
            nominal_hz=None if self.trigger_hz is None else self.nominal_hz,
            most_requests=self.most_requests,
            start={name: live.grid.signals[name].at(0) for name in ("dispatch", "recall", "frequency")},
        )
        self._folder = home / self.found
        self._miners = [place.id for place in live.layout.miners]
        sorts = live.layout.sorts()
        self._links = [device for device in self.site.switches if sorts[device] in self.links]
        self._nominal_w = {place.id: place.model.nominal_w for place in live.layout.miners}
        self._behind = {
            pdu.id: [self._miners[row] for outlet in pdu.outlets for row in outlet.rows] for pdu in live.layout.pdus
        }
        self._limit_w: float | None = None
        self._deployed_w: float | None = None
        """What the site may draw after a dip of the frequency, until it is recalled."""
        self._dead: list[str] = []
        self._down: dict[str, dict[str, Any]] = {}
        self._recalled_ns: Instant | None = None
        self._since_ns: Instant = 0
        """Of the last thing that happened."""
        self._broken = ""

    def teardown(self) -> None:
        self.site.close()

    # ---- what is done -----------------------------------------------------------------------------------------------

    @rule(times=st.sampled_from((0.5, 1.5, 4.0)))
    def advance(self, times: float) -> None:
        """Time goes by: so many times what is allowed."""
        begin, by_ns = self.site.now_ns, round(times * self.allowed_s * SECOND) + _STAGGER_NS
        self.site.advance(by_ns)
        self._told(f"{by_ns / SECOND:g} s go by", by_ns)
        self._look(begin)

    @rule()
    def settle(self) -> None:
        """Time goes by: what is allowed, and half as much again."""
        self.advance(times=1.5)

    @precondition(lambda self: "limit" in self.does)
    @rule(tenths=st.integers(3, 9))
    def publish_limit(self, tenths: int) -> None:
        """The operator allows so many tenths of nominal power."""
        self._limit_w = self.site.rig.nominal_w * tenths / 10
        self.site.publish("dispatch", self._limit_w)
        self._happened(f"the limit is {tenths * 10} % of nominal")

    @precondition(lambda self: self._limit_w is not None or self._deployed_w is not None)
    @rule()
    def cancel(self) -> None:
        """The operator takes everything back, and says so."""
        self._limit_w = self._deployed_w = None
        self.site.publish("dispatch", self.site.rig.nominal_w)
        self.site.publish("frequency", self.nominal_hz)
        self.site.publish("recall", len(self.site.published.get("recall", ())) + 1)
        self._recalled_ns = self.site.now_ns
        self._happened("everything is recalled")

    @precondition(lambda self: "dip" in self.does and self.trigger_hz is not None and self._is_recall_heard())
    @rule()
    def dip_frequency(self) -> None:
        """The frequency falls below the trigger for ten seconds."""
        assert self.trigger_hz is not None  # noqa: S101 the precondition
        now = self.site.now_ns
        rig = self.site.rig
        self._deployed_w = rig.nominal_w - self.commitment_share * rig.file.commitment
        self.site.publish("frequency", self.trigger_hz - _DIP_HZ)
        self.site.publish("frequency", self.nominal_hz, now + _DIP_S * SECOND)
        self._happened(f"the frequency dips below {self.trigger_hz:g} Hz for {_DIP_S} s")

    @precondition(lambda self: "kill" in self.does and self._may_hurt() and len(self._dead) < len(self._miners))
    @rule(pick=st.integers(0, 999))
    def kill_miner(self, pick: int) -> None:
        """A miner dies for good."""
        living = [miner for miner in self._miners if miner not in self._dead]
        miner, now = living[pick % len(living)], self.site.now_ns
        self._dead.append(miner)
        self.site.kill(miner)
        for kind in ({"kind": "refuse"}, {"kind": "miner_acts", "script": "sleep"}):
            self.script.faults.append({"where": miner, "start_ns": now, "stop_ns": None, **kind})
        self._happened(f"{miner} dies")

    @precondition(lambda self: "link" in self.does and self._may_hurt() and len(self._down) < len(self._links))
    @rule(pick=st.integers(0, 999))
    def drop_link(self, pick: int) -> None:
        """A device falls silent."""
        up = [device for device in self._links if device not in self._down]
        device = up[pick % len(up)]
        fault = {"where": device, "kind": "silent", "start_ns": self.site.now_ns, "stop_ns": None}
        self._down[device] = fault
        self.script.faults.append(fault)
        self.site.link(device, down=True)
        self._happened(f"{device} falls silent")

    @precondition(lambda self: self._down)
    @rule(pick=st.integers(0, 999))
    def restore_link(self, pick: int) -> None:
        """A silent device is heard again."""
        device = list(self._down)[pick % len(self._down)]
        fault = self._down.pop(device)
        fault["stop_ns"] = self.site.now_ns
        if fault["start_ns"] == fault["stop_ns"]:
            self.script.faults.remove(fault)
        self.site.link(device, down=False)
        self._happened(f"{device} is heard again")

    @precondition(lambda self: "restart" in self.does)
    @rule()
    def restart_controller(self) -> None:
        """The controller is ended and started anew."""
        if self.script.restarts and self.script.restarts[-1] == self.site.now_ns:
            return
        self.script.restarts.append(self.site.now_ns)
        self.site.restart()
        self._happened("the controller is restarted")

    # ---- what must hold ---------------------------------------------------------------------------------------------

    @invariant()
    def power_is_within_what_is_allowed(self) -> None:
        """The allowed time after the last change the site draws no more than it may, and it does not come back."""
        self._fail_if_broken()

    @invariant()
    def no_storm_of_commands(self) -> None:
        """No miner and no PDU gets more requests within a minute than `most_requests`."""
        busiest = {kind: found for kind, found in self.site.rig.busiest().items() if kind in ("miner", "pdu")}
        for device, requests in busiest.values():
            if requests > self.most_requests:
                self._broken = f"{device} got {requests} requests within a minute; {self.most_requests} are allowed"
        self._fail_if_broken()

    @invariant()
    def controller_lives(self) -> None:
        """Whatever happens to the site, the controller does not end."""
        if self.site.ended:
            self._broken = f"the controller ended: {self.site.ended}"
        self._fail_if_broken()

    def allowed_w(self) -> float | None:
        """What the site may draw now, tolerance included; None while nothing is asked or nothing can be known.

        Nobody can switch what is behind a silent link: no more is asked than that everything else is off.
        """
        asked = [watts for watts in (self._limit_w, self._deployed_w) if watts is not None]
        eyes = {device for device in self._down if device not in self._nominal_w and device not in self._behind}
        if not asked or eyes:
            return None
        deaf = {miner for device in self._down for miner in (self._behind.get(device) or [device])}
        least_w = self.site.rig.nominal_w
        least_w -= _SHEDDABLE * sum(watts for miner, watts in self._nominal_w.items() if miner not in deaf)
        return max(min(asked), least_w) + self.tolerance * self.site.rig.nominal_w

    # ---- inside -----------------------------------------------------------------------------------------------------

    def _may_hurt(self) -> bool:
        return len(self._dead) + len(self._down) < self.most_faults

    def _is_recall_heard(self) -> bool:
        """A dip at the heels of a recall could be the one that was recalled: nobody knows which came first."""
        heard_ns = round(self.allowed_s / 2 * SECOND)
        return self._recalled_ns is None or self.site.now_ns - self._recalled_ns >= heard_ns

    def _told(self, step: str, takes_ns: Instant = 0) -> None:
        self.script.steps.append(f"t = {(self.site.now_ns - takes_ns) / SECOND:.3f} s: {step}")
        self.script.end_ns = self.site.now_ns

    def _happened(self, step: str) -> None:
        self._since_ns = self.site.now_ns
        self._told(step)

    def _look(self, begin_ns: Instant) -> None:
        """Hold what the site drew since `begin_ns` against what it may draw."""
        most_w = self.allowed_w()
        begin_ns = max(begin_ns, self._since_ns + round(self.allowed_s * SECOND))
        now = self.site.now_ns
        if most_w is None or begin_ns >= now:
            return
        last = self.script.ceilings[-1] if self.script.ceilings else None
        if last is not None and last.stop_ns == begin_ns and last.most_w == most_w:
            self.script.ceilings[-1] = replace(last, stop_ns=now)
        else:
            self.script.ceilings.append(Ceiling(begin_ns, now, most_w, self._why()))
        drawn = self.site.power(begin_ns, now)
        over = drawn.value > most_w + _CLEARLY * self.site.rig.nominal_w
        if over.any():
            first = int(over.argmax())
            before = "the site came back without being told to: it drew" if first > 0 else "the site drew"
            self._broken = (
                f"{before} {drawn.value[first] / 1e3:.2f} kW at t = {drawn.t_ns[first] / SECOND:.1f} s, where "
                f"{most_w / 1e3:.2f} kW are allowed since t = {begin_ns / SECOND:.1f} s ({self._why()})"
            )

    def _why(self) -> str:
        if self._deployed_w is not None and (self._limit_w is None or self._deployed_w < self._limit_w):
            return "off until it is recalled"
        return "within the limit"

    def _fail_if_broken(self) -> None:
        if not self._broken:
            return
        script = replace(self.script, points=self.site.published)
        case = write(self._frame, script, self._broken, self._folder)
        raise ControllerDefectError(f"{self._broken}\nplay it again: ramprig run {case}")


@dataclass(frozen=True, slots=True)
class Defect:
    """What a machine has found: in words, the steps that lead there, and the case that does it again."""

    said: str
    steps: tuple[str, ...]
    case: Path


def find_defect(machine: type[ControllerMachine], settings: hypothesis.settings = QUICK) -> Defect | None:
    """Search until a defect is found and shrunk, or `settings` are exhausted. Raises ConfigError, NotReadyError."""
    try:
        run_state_machine_as_test(machine, settings=settings)
    except ControllerDefectError as error:
        said, _, played = str(error).partition("\nplay it again: ramprig run ")
        case = Path(played)
        steps = [line[2:] for line in case.read_text(encoding="utf-8").splitlines() if line.startswith("# t = ")]
        return Defect(said, tuple(steps), case)
    return None
