"""Miner models and phase scripts as data: one TOML file each, every figure with its source and grade.

Owns reading and checking these files; what the figures do to power is `emulator/fleet.py`. To add a model, add a file
under `models/`; to add a firmware's timing, add one under `phases/`.
"""

from __future__ import annotations

import difflib
import tomllib
from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from emulator.units import UnitError, duration_ns, parse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

GRADES = ("S", "S2", "GK", "D", "T", "M", "estimate")


class CatalogueError(ValueError):
    """A catalogue file that cannot be used; names file, key, value and remedy."""


class Phase(IntEnum):
    """What a miner is doing."""

    OFF = 0
    BOOT = 1
    HASHING = 2
    SLEEP = 3
    WAKE = 4
    RETUNE = 5
    STOPPING = 6


class Shape(IntEnum):
    """How power goes from where it is to a step's level."""

    STEP = 0
    LINEAR = 1
    EXPONENTIAL = 2
    HOLD = 3


@dataclass(frozen=True, slots=True)
class Figure:
    """A number with its source; `value` is in the unit that the field of the model names."""

    value: float
    grade: str
    source: str


@dataclass(frozen=True, slots=True)
class MinerModel:
    """One product. Powers in watts at the wall, hash rate in TH/s, frequency in MHz, voltage in volts at the board."""

    id: str
    make: str
    name: str
    variant: str
    type_string: str
    cooling: str
    chip: str
    boards: int
    chips_per_board: int
    fans: int
    nominal_ths: float
    nominal_w: float
    sleep_w: float
    frequency_mhz: float
    voltage_v: float
    figures: Mapping[str, Figure]


@dataclass(frozen=True, slots=True)
class Step:
    """One stretch of a phase script.

    Power goes to `power_w` watts, or to `power_share` of the unit's set-point power, or (both None) to the model's
    sleep power. `duration_ns` None means: until the next command. `spread` is the relative standard deviation of the
    duration between units and occasions.
    """

    phase: Phase
    duration_ns: int | None
    spread: float
    power_w: float | None
    power_share: float | None
    shape: Shape
    tau_s: float
    hash_share: float
    what: str
    grade: str
    source: str


@dataclass(frozen=True, slots=True)
class Script:
    """What happens after one command. `api_after_ns` is set where the network API goes away and comes back."""

    name: str
    steps: tuple[Step, ...]
    api_after_ns: int | None
    asleep: bool | None
    """True: the unit stays asleep over a power cycle; False: it wakes; None: unchanged."""
    lasting: bool = True
    """False: the set-point that is given with it is forgotten when the control board starts anew."""


@dataclass(frozen=True, slots=True)
class PhaseFamily:
    """The timing of one vendor's firmware."""

    id: str
    title: str
    scripts: Mapping[str, Script]


def model_ids() -> tuple[str, ...]:
    """Ids of the shipped models, sorted."""
    return tuple(_names("models"))


def family_ids() -> tuple[str, ...]:
    """Ids of the shipped phase families, sorted."""
    return tuple(_names("phases"))


@cache
def model(model_id: str) -> MinerModel:
    """The model with this id or full name ("s19j_pro", "Antminer S19j Pro"); CatalogueError names a near match."""
    known = model_ids()
    if model_id in known:
        found = read_model(f"models/{model_id}.toml", _load("models", model_id))
        if found.id != model_id:
            raise CatalogueError(
                f"models/{model_id}.toml: id: {found.id!r} is not the name of the file; write {model_id!r}"
            )
        return found
    by_name = {model(name).type_string: name for name in known}
    by_name |= {full.split(" ", 1)[1]: name for full, name in by_name.items()}
    if model_id in by_name:
        return model(by_name[model_id])
    raise CatalogueError(f"unknown model {model_id!r}; {_near(model_id, [*by_name, *known])}")


@cache
def family(family_id: str) -> PhaseFamily:
    """The phase family with this id. Raises CatalogueError with a near match."""
    if family_id not in family_ids():
        raise CatalogueError(f"unknown phase family {family_id!r}; {_near(family_id, family_ids())}")
    return read_family(f"phases/{family_id}.toml", _load("phases", family_id))


def read_model(file: str, data: Mapping[str, Any]) -> MinerModel:
    """Build a model from its parsed file. Raises CatalogueError naming `file` and the key."""
    fields = {"id", "make", "name", "variant", "type_string", "cooling", "chip", "boards", "chips_per_board", "fans"}
    for unknown in sorted(set(data) - fields - {"figures"}):
        raise CatalogueError(f"{file}: unknown key {unknown!r}; {_near(unknown, sorted(fields))}")
    units = {"nominal_ths": "TH/s", "nominal_w": "W", "sleep_w": "W", "frequency": "Hz", "voltage": "V"}
    raw = _key(file, data, "figures", dict)
    figures = {}
    for name, unit in units.items():
        entry = _key(file, raw, name, dict)
        figures[name] = Figure(
            _quantity(file, f"figures.{name}.value", entry.get("value"), unit), *_sourced(file, name, entry)
        )
    return MinerModel(
        id=_key(file, data, "id", str), make=_key(file, data, "make", str), name=_key(file, data, "name", str),
        variant=_key(file, data, "variant", str), type_string=_key(file, data, "type_string", str),
        cooling=_key(file, data, "cooling", str), chip=_key(file, data, "chip", str),
        boards=_key(file, data, "boards", int), chips_per_board=_key(file, data, "chips_per_board", int),
        fans=_key(file, data, "fans", int),
        nominal_ths=figures["nominal_ths"].value, nominal_w=figures["nominal_w"].value,
        sleep_w=figures["sleep_w"].value, frequency_mhz=figures["frequency"].value / 1e6,
        voltage_v=figures["voltage"].value, figures=figures,
    )  # fmt: skip


def read_family(file: str, data: Mapping[str, Any]) -> PhaseFamily:
    """Build a phase family from its parsed file. Raises CatalogueError naming `file` and the key."""
    scripts = {}
    for name, raw in _key(file, data, "script", dict).items():
        where = f"script.{name}"
        steps = tuple(_step(file, f"{where}.step[{i}]", s) for i, s in enumerate(_key(file, raw, "step", list)))
        if not steps or steps[-1].duration_ns is not None:
            raise CatalogueError(f"{file}: {where}: the last step must have no `for`, it lasts until the next command")
        if any(step.duration_ns is None for step in steps[:-1]):
            raise CatalogueError(f"{file}: {where}: only the last step may leave out `for`")
        api = raw.get("api_after")
        scripts[name] = Script(
            name=name,
            steps=steps,
            api_after_ns=None if api is None else _duration(file, f"{where}.api_after", api),
            asleep=raw.get("asleep"),
            lasting=raw.get("lasting", True),
        )
    for needed in ("boot", "sleep", "wake", "restart", "reboot", "retune"):
        if needed not in scripts:
            raise CatalogueError(f"{file}: script.{needed} is missing; every family has it")
    return PhaseFamily(_key(file, data, "id", str), _key(file, data, "title", str), scripts)


def _step(file: str, where: str, raw: Mapping[str, Any]) -> Step:
    unknown = set(raw) - {"phase", "for", "spread", "power", "shape", "tau", "hash", "what", "grade", "source"}
    if unknown:
        raise CatalogueError(f"{file}: {where}: unknown key {sorted(unknown)[0]!r}")
    power = raw.get("power", "100 %")
    share = isinstance(power, str) and power.strip().endswith("%")
    watts = not share and power != "sleep"
    shape = Shape[str(raw.get("shape", "step")).upper()]
    phase, grade, source = Phase[_key(file, raw, "phase", str).upper()], *_sourced(file, where, raw)
    return Step(
        phase=phase,
        duration_ns=_duration(file, f"{where}.for", raw["for"]) if "for" in raw else None,
        spread=_quantity(file, f"{where}.spread", raw.get("spread", 0.0), "fraction"),
        power_w=_quantity(file, f"{where}.power", power, "W") if watts else None,
        power_share=_quantity(file, f"{where}.power", power, "fraction") if share else None,
        shape=shape,
        tau_s=_quantity(file, f"{where}.tau", raw["tau"], "s") if shape is Shape.EXPONENTIAL else 1.0,
        hash_share=_quantity(file, f"{where}.hash", raw.get("hash", 0.0), "fraction"),
        what=_key(file, raw, "what", str), grade=grade, source=source,
    )  # fmt: skip


def _sourced(file: str, where: str, raw: Mapping[str, Any]) -> tuple[str, str]:
    grade, source = _key(file, raw, "grade", str), _key(file, raw, "source", str)
    if grade not in GRADES:
        raise CatalogueError(f"{file}: {where}.grade: {grade!r} is not a grade; one of {', '.join(GRADES)}")
    return grade, source


def _key(file: str, data: Mapping[str, Any], key: str, kind: type) -> Any:
    if key not in data:
        raise CatalogueError(f"{file}: {key} is missing; add it ({kind.__name__})")
    if not isinstance(data[key], kind) or isinstance(data[key], bool):
        raise CatalogueError(f"{file}: {key}: {data[key]!r} is not of type {kind.__name__}")
    return data[key]


def _quantity(file: str, where: str, text: object, unit: str) -> float:
    try:
        return parse(text, unit)
    except UnitError as error:
        raise CatalogueError(f"{file}: {where}: {error}") from None


def _duration(file: str, where: str, text: object) -> int:
    try:
        return duration_ns(text)
    except UnitError as error:
        raise CatalogueError(f"{file}: {where}: {error}") from None


def _names(folder: str) -> Iterator[str]:
    found = (files(__package__) / folder).iterdir()
    return iter(sorted(entry.name.removesuffix(".toml") for entry in found if entry.name.endswith(".toml")))


def _load(folder: str, name: str) -> Mapping[str, Any]:
    return tomllib.loads((files(__package__) / folder / f"{name}.toml").read_text(encoding="utf-8"))


def _near(word: str, known: list[str] | tuple[str, ...]) -> str:
    match = difflib.get_close_matches(word, known, n=1, cutoff=0.5)
    return f"did you mean {match[0]!r}?" if match else f"known: {', '.join(sorted(known)[:12])}"
