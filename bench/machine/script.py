"""What was done to a site and what it had to keep, and the case, profile and service files that do it again.

Owns the form of these files. They are what people write by hand too: `ramprig run` plays them without this package.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emulator.wire import SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True, slots=True)
class Ceiling:
    """From `start_ns` to `stop_ns` the site may draw `most_w`; `why` says in whose name."""

    start_ns: Instant
    stop_ns: Instant
    most_w: float
    why: str


@dataclass(slots=True)
class Script:
    """Everything that happened, instants from the script's zero, in the order in which it happened."""

    points: dict[str, list[tuple[Instant, float]]] = field(default_factory=dict)
    """By channel of the grid: the values that were published."""
    faults: list[dict[str, Any]] = field(default_factory=list)
    """`where`, `kind`, `start_ns`, `stop_ns` (None: for good) and parameters."""
    restarts: list[Instant] = field(default_factory=list)
    ceilings: list[Ceiling] = field(default_factory=list)
    end_ns: Instant = 0
    steps: list[str] = field(default_factory=list)
    """The same for people, one line a step."""


@dataclass(frozen=True, slots=True)
class Frame:
    """What stays the same in every script of one machine. `rig` is a shipped name or a path; paths are absolute."""

    name: str
    title: str
    rig: str
    sut: Mapping[str, Any]
    seed: int
    lead_in_ns: Instant
    nominal_hz: float | None
    most_requests: int
    start: Mapping[str, float]
    """Values of the grid's channels at the script's zero."""


def write(frame: Frame, script: Script, broken: str, folder: Path) -> Path:
    """Write case, profile and service of a script that a controller has failed; returns the case's file.

    `broken` says what it failed.
    """
    import tomli_w

    folder.mkdir(parents=True, exist_ok=True)
    case = folder / f"{frame.name}.case.toml"
    profile, service = folder / f"{frame.name}.profile.toml", folder / f"{frame.name}.service.toml"
    rig = frame.rig if ":" in frame.rig else os.path.relpath(frame.rig, folder)
    told = "".join(f"# {line}\n" for line in (broken, *script.steps))
    sut = dict(frame.sut)
    path, _, factory = str(sut["factory"]).rpartition(":")
    if path.endswith(".py"):
        sut["factory"] = f"{os.path.relpath(path, folder)}:{factory}"
    if isinstance(sut.get("config"), str):
        sut["config"] = os.path.relpath(sut["config"], folder)
    if script.restarts:
        sut["restart"] = [{"at": _s(at)} for at in script.restarts]
    case.write_text(
        told
        + tomli_w.dumps(
            {
                "schema": 1, "id": frame.name, "title": frame.title, "rig": rig, "profile": profile.name,
                "services": [service.name], "seeds": [frame.seed], "lead_in": _s(frame.lead_in_ns), "sut": sut,
                **({"fault": [_fault(one) for one in script.faults]} if script.faults else {}),
            }
        ),
        encoding="utf-8",
    )  # fmt: skip
    profile.write_text(tomli_w.dumps(_profile(frame, script)), encoding="utf-8")
    service.write_text(tomli_w.dumps(_service(frame, script)), encoding="utf-8")
    return case


def _s(instant: Instant) -> str:
    return f"{instant / SECOND:.9g} s"


def _fault(one: Mapping[str, Any]) -> dict[str, Any]:
    rest = {key: value for key, value in one.items() if key not in ("start_ns", "stop_ns")}
    stop = {} if one["stop_ns"] is None else {"stop": _s(one["stop_ns"])}
    return {**rest, "start": _s(one["start_ns"]), **stop}


_UNITS = {"dispatch": " W", "frequency": " Hz"}


def _profile(frame: Frame, script: Script) -> dict[str, Any]:
    channels = {}
    for name, published in script.points.items():
        unit, value, points = _UNITS.get(name), frame.start[name], []
        corners = [(0, value)]
        for at, level in published:
            corners += [(at, corners[-1][1]), (at, level)] if unit else [(at, level)]
        points = [[_s(at), int(level) if unit is None else f"{level!r}{unit}"] for at, level in corners]
        channels[name] = {"points": points}
    system = {} if frame.nominal_hz is None else {"nominal_frequency": f"{frame.nominal_hz:g} Hz"}
    event = {"id": "script", "kind": "quiet", "start": "0 s", "stop": _s(script.end_ns), "label": "the whole script"}
    return {
        "schema": 1, "title": f"{frame.title}: what was done", **system, "duration": _s(script.end_ns),
        "source": {"text": "found by a rule machine", "grade": "D"},
        **({"channel": channels} if channels else {}), "event": [event],
    }  # fmt: skip


def _service(frame: Frame, script: Script) -> dict[str, Any]:
    source = "the rule machine's own demand"
    figures = {"most_requests": {"value": frame.most_requests, "unit": "requests", "grade": "D", "source": source}}
    checks: list[dict[str, Any]] = [
        {
            "id": "busiest", "title": "No storm of commands", "formula": "busiest",
            "sentence": "No miner and no PDU gets more than {most_requests} within a minute.",
            "limit": {"high": "most_requests"},
        }
    ]  # fmt: skip
    for number, one in enumerate(script.ceilings, start=1):
        names = {key: f"{key}_{number}" for key in ("since", "until", "most")}
        spots = [f"{{{name}}}" for name in names.values()]
        values = ((one.start_ns / SECOND, "s"), (one.stop_ns / SECOND, "s"), (one.most_w / 1e3, "kW"))
        for name, (value, unit) in zip(names.values(), values, strict=True):
            figures[name] = {"value": round(value, 9), "unit": unit, "grade": "D", "source": source}
        checks.append(
            {
                "id": f"ceiling_{number}", "title": one.why, "formula": "highest",
                "sentence": f"From {spots[0]} to {spots[1]} the site draws no more than {spots[2]}.",
                "with": {"since": names["since"], "until": names["until"]}, "limit": {"high": names["most"]},
            }
        )  # fmt: skip
    return {
        "schema": 1, "title": frame.title, "market": "none", "events": ["quiet"],
        "summary": "What a rule machine demands of a controller, whatever is done to the site.",
        "clock": {"starts": "event", "release": "event"}, "figure": figures, "check": checks,
    }  # fmt: skip
