"""Reads the files people write (rigs, profiles, cases, services) into strict models, with errors that name the remedy.

Owns the TOML reader, the quantity types and the wording of configuration errors; what a key means is the business of
the model that declares it.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic_core import ErrorDetails

from emulator import units

_MOST_SHOWN = 60
"""Characters of a value that a message repeats."""


class ConfigError(Exception):
    """A file that cannot be used. Each of `problems` is one sentence: file, key, what is wrong, remedy."""

    def __init__(self, *problems: str) -> None:
        self.problems = tuple(problem.replace("\n", "\\n") for problem in problems)  # a value may hold a line break
        super().__init__("\n".join(self.problems))


class Table(BaseModel):
    """Base of every model read from a file: strict, frozen, unknown keys are errors. TOML arrays arrive as tuples."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class Document(Table):
    """Base of a model that is a whole file: it says which version of the format it is written in."""

    schema_version: Literal[1] = Field(alias="schema")


def quantity(unit: str) -> BeforeValidator:
    """A validator that turns "3.25 kW" into a float in `unit` (a key of the unit table of `emulator.units`)."""
    return BeforeValidator(lambda text: units.parse(text, unit))


DurationNs = Annotated[int, BeforeValidator(units.duration_ns)]
"""A duration, zero or longer, in integer nanoseconds."""
SignedDurationNs = Annotated[int, BeforeValidator(lambda text: units.duration_ns(text, negative=True))]
PowerW = Annotated[float, quantity("W")]
PowerRateWs = Annotated[float, quantity("W/s")]
EnergyWh = Annotated[float, quantity("Wh")]
EnergyWs = Annotated[float, quantity("Ws")]
DampingWHz = Annotated[float, quantity("W/Hz")]
FrequencyHz = Annotated[float, quantity("Hz")]
VoltageV = Annotated[float, quantity("V")]
CurrentA = Annotated[float, quantity("A")]
PerUnit = Annotated[float, quantity("pu")]
Fraction = Annotated[float, quantity("fraction")]
RatePerS = Annotated[float, quantity("1/s")]
HashRateThs = Annotated[float, quantity("TH/s")]
TemperatureC = Annotated[float, quantity("degC")]
PriceUsdMwh = Annotated[float, quantity("USD/MWh")]


def _positive(value: float) -> float:
    if value <= 0:
        raise ValueError("must be more than zero")
    return value


def _not_negative(value: float) -> float:
    if value < 0:
        raise ValueError("cannot be negative")
    return value


def _share(value: float) -> float:
    if not 0 <= value < 1:
        raise ValueError(f"{value:.6g} is out of range; write a share from 0 % to less than 100 %")
    return value


positive = AfterValidator(_positive)
"""To be put beside a quantity: `Annotated[PowerW, positive]`."""
not_negative = AfterValidator(_not_negative)
Share = Annotated[Fraction, AfterValidator(_share)]
"""A fraction in [0, 1)."""

Model = TypeVar("Model", bound=BaseModel)


def load_toml(
    path: Path | str, model: type[Model], look: Callable[[Mapping[str, Any], Path], object] | None = None
) -> Model:
    """Read one TOML file into `model`. Raises ConfigError naming every problem found in it, not only the first.

    `look` sees the raw table before, and may raise ConfigError for one that is not worth reading.
    """
    path = Path(path)
    table = read_toml(path)
    if look is not None:
        look(table, path)
    return validate(table, model, str(path))


def read_toml(path: Path) -> dict[str, Any]:
    """The raw table of a TOML file. Raises ConfigError where the file is absent, unreadable or no TOML."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        siblings = [entry.name for entry in path.parent.glob(f"*{path.suffix}")] if path.parent.is_dir() else []
        raise ConfigError(f"{path}: no such file{did_you_mean(path.name, siblings)}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from None
    if "\\u0000" in text or "\\x00" in text:
        raise ConfigError(f"{path}: holds a NUL character, which no name and no path may; remove it")
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path}: not valid TOML: {error}; text values need quotes, keys need '='") from None


def validate(table: Mapping[str, Any], model: type[Model], origin: str) -> Model:
    """Check `table` against `model`; `origin` (a file name) begins every message of the ConfigError raised."""
    frozen = _tuples(table)
    try:
        return model.model_validate(frozen)
    except ValidationError as error:
        told = [problem for problem in error.errors(include_url=False) if not _follows(problem)]
        problems = [_sentence(problem, model, frozen, origin) for problem in told]
        raise ConfigError(*dict.fromkeys(problems)) from None


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of an error sentence: `; did you mean "x"?`, or the list of what is known, or nothing."""
    names = sorted(known)
    near = difflib.get_close_matches(word, names, n=3)
    if near:
        begun = [name for name in near if name.startswith(word)]  # a word left unfinished is likelier than two slips
        return f'; did you mean "{(begun or near)[0]}"?'
    if not names:
        return ""
    shown = ", ".join(names[:12]) + (", ..." if len(names) > 12 else "")
    return f"; known are {shown}"


def _tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _tuples(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return tuple(_tuples(item) for item in value)
    return value


def _follows(problem: ErrorDetails) -> bool:
    """Whether it only says that nothing is left of a list whose entries have been told off already."""
    return problem["type"] == "too_short" and len(problem["input"]) >= problem.get("ctx", {})["min_length"]


def _shown(found: Any) -> str:
    """A value as the file has it, cut short: a whole table in a sentence helps nobody."""
    text = repr(_lists(found))
    return text if len(text) <= _MOST_SHOWN else f"{text[:_MOST_SHOWN]}..."


def _lists(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _lists(item) for key, item in value.items()}
    return [_lists(item) for item in value] if isinstance(value, tuple) else value


def _sentence(problem: ErrorDetails, model: type[BaseModel], table: Any, origin: str) -> str:
    where = _key(problem["loc"], table, missing=problem["type"] == "missing")
    return f"{origin}: {where}: {_what(problem, model)}" if where else f"{origin}: {_what(problem, model)}"


def _what(problem: ErrorDetails, model: type[BaseModel]) -> str:
    """What is wrong and what would be right, in words of the file rather than of the validator."""
    kind, found, context = problem["type"], problem["input"], problem.get("ctx", {})
    match kind:
        case "extra_forbidden":
            return f"unknown key{did_you_mean(str(problem['loc'][-1]), _keys_at(problem['loc'][:-1], model))}"
        case "missing":
            return "is missing; add this key"
        case "value_error":
            return str(context["error"])
        case "literal_error":
            return f'unknown value "{found}"{did_you_mean(str(found), _literals(str(context["expected"])))}'
        case "union_tag_invalid":
            tag, known = str(context["tag"]), _literals(str(context["expected_tags"]))
            return f'unknown {_bare(context["discriminator"])} "{tag}"{did_you_mean(tag, known)}'
        case "union_tag_not_found":
            return f"the key {_bare(context['discriminator'])} is missing; it says which form of table this is"
        case "string_type":
            return f"{found!r} is not text; put it in quotes"
        case "tuple_type" | "list_type" if isinstance(found, Mapping):
            return f"is one table where a list of tables is expected; write [[{'.'.join(_names(problem['loc']))}]]"
        case "tuple_type" | "list_type":
            return f"{_shown(found)} is not an array; write it in square brackets"
        case "model_type" | "model_attributes_type" | "dict_type":
            return f"{_shown(found)} is not a table; write {{ key = value }} or a [section]"
        case "int_type" | "float_type" | "bool_type":
            wanted = {"int_type": "a whole number", "float_type": "a number", "bool_type": "true or false"}[kind]
            return f"{found!r} is not {wanted}; write {wanted} without quotes"
        case "too_short":
            return "is empty; give at least one"
        case "greater_than_equal":
            return f"{found!r} is too small; {context['ge']} or more is expected"
        case "less_than_equal":
            return f"{found!r} is too large; {context['le']} or less is expected"
        case "string_pattern_mismatch":
            return f"{found!r} is no name here; it must match {context['pattern']}"
        case _:
            return f"{problem['msg'][:1].lower()}{problem['msg'][1:]}; found {found!r}"


def _key(loc: Sequence[int | str], table: Any, *, missing: bool = False) -> str:
    """The key as it stands, or is missing, in the file, without what the validator put in (names of alternatives)."""
    text, here = "", table
    for index, part in enumerate(loc):
        if isinstance(part, int):
            text += f"[{part}]"
            here = here[part] if isinstance(here, tuple) and part < len(here) else None
        elif isinstance(here, Mapping) and (part in here or (missing and index == len(loc) - 1)):
            text += f".{part}" if text else part
            here = here.get(part)
    return text


def _names(loc: Sequence[int | str]) -> list[str]:
    return [part for part in loc if isinstance(part, str)]


def _literals(expected: str) -> list[str]:
    """The words in a text like "'a', 'b' or 'c'"."""
    return expected.split("'")[1::2] or [expected]


def _bare(name: object) -> str:
    return str(name).strip("'")


def _keys_at(loc: Sequence[int | str], model: type[BaseModel]) -> set[str]:
    """Every key that a model allows where `loc` points; the union over alternatives."""
    here: list[type[BaseModel]] = [model]
    for part in loc:
        fields = [field for one in here for name, field in one.model_fields.items() if part in (name, field.alias)]
        if fields:
            here = [inner for field in fields for inner in _models_in(field.annotation)]
    return {field.alias or name for one in here for name, field in one.model_fields.items()}


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models_in(inner)
