"""Recorded signals out of CSV files: columns by name, units, clock times, decimal commas, holes.

Owns reading one column pair into instants and values, and the errors of it; where the record is placed in a profile is
decided in `bench/profile.py`.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

import numpy as np

from bench.config import ConfigError, DurationNs, Table, did_you_mean
from emulator import units
from emulator.timeline import Floats, Instants, Signal

_DAY_NS = 86_400 * 10**9
TimeUnit = Literal["ns", "us", "ms", "s", "min", "h", "d"]
_UNIT_NS = {unit: units.duration_ns(f"1 {unit}") for unit in get_args(TimeUnit)}
_THOUSANDS = re.compile(r"\.(?=\d{3}(?:\.\d{3})*(?:,|$))")
"""The points of "1.234.567,8", and none of "35.50"."""


class CsvTable(Table):
    """The `csv` key of a channel: which file, which columns, how to read them. See docs/reference/profile-file.md."""

    file: str
    time: str | int
    value: str | int
    unit: str
    time_unit: TimeUnit = "s"
    time_format: str | None = None
    header: bool = True
    separator: str = ","
    decimal: Literal[".", ","] = "."
    comment: str = "#"
    base: str | None = None
    offset: str | None = None
    start: str | None = None
    stop: str | None = None
    at: DurationNs = 0
    bridge: DurationNs = 0
    hold_last: bool = False


@dataclass(frozen=True, slots=True)
class Record:
    """A column of a file. t_ns: int64, shape (n,), zero at its first instant; value: float64, shape (n,)."""

    t_ns: Instants
    value: Floats

    @property
    def length_ns(self) -> int:
        return int(self.t_ns[-1])


def read_record(table: CsvTable, folder: Path, unit: str, where: str) -> Record:
    """Read the record that `table` describes, in `unit`; a relative file name starts at `folder`.

    `where` (profile file and key) begins every message. Raises ConfigError for a file, column, row, unit or instant
    that cannot be used.
    """
    reader = _Reader(table, folder / table.file, where)
    scale, shift = reader.conversion(unit)
    first, t_ns, raw = reader.columns()
    return reader.cut(first, t_ns, raw * scale + shift)


@dataclass(frozen=True, slots=True)
class _Reader:
    table: CsvTable
    path: Path
    where: str

    def conversion(self, unit: str) -> tuple[float, float]:
        """Factor and summand that turn a cell into `unit`."""
        table = self.table
        shift = 0.0 if table.offset is None else self._quantity("offset", table.offset, unit)
        if table.base is None:
            return self._quantity("unit", f"1 {table.unit}", unit), shift
        base = self._quantity("base", table.base, "V")
        if unit != "pu" or base <= 0:
            what = "is not above zero" if unit == "pu" else f"makes pu of volts, and this channel is in {unit}"
            raise ConfigError(f"{self.where}.base: {table.base!r} {what}; correct it or leave it out")
        return self._quantity("unit", f"1 {table.unit}", "V") / base, shift

    def columns(self) -> tuple[str, Instants, Floats]:
        """The first instant as the file has it, instants since then, raw values; holes up to `bridge` are left out."""
        first = ""
        rows = self._rows()
        names: Sequence[str] = next(rows, (0, ()))[1] if self.table.header else ()
        time, value = self._column("time", names), self._column("value", names)
        instants: list[int] = []
        values: list[float] = []
        lines: list[int] = []
        for line, cells in rows:
            if max(time, value) >= len(cells):
                raise self._bad(line, f"has {len(cells)} cells, column {max(time, value) + 1} is wanted", "repair it")
            number = self._number(cells[value], line)
            if np.isnan(number) and self.table.bridge:
                continue
            if not np.isfinite(number):
                raise self._bad(line, f"holds no number ({cells[value]!r})", 'repair it, or allow it: bridge = "4 s"')
            first = first or cells[time]
            instants.append(self._instant(cells[time], line))
            values.append(number)
            lines.append(line)
        if not values:
            raise ConfigError(f"{self.where}.file: {self.path} holds no row of numbers; is the separator right?")
        return first, self._ordered(instants, lines), np.array(values)

    def cut(self, first: str, t_ns: Instants, value: Floats) -> Record:
        """The stretch from `start` to `stop`, with its first instant at zero."""
        signal, last = Signal(t_ns, value), int(t_ns[-1])
        if last == 0:
            raise ConfigError(f"{self.where}.file: {self.path} holds one instant; a record needs two")
        start = self._limit("start", 0, first, last)
        stop = self._limit("stop", last, first, last)
        if start >= stop:
            raise ConfigError(f"{self.where}.stop: the record is empty; stop must come after start")
        inside = (t_ns > start) & (t_ns <= stop)
        kept, values = np.insert(t_ns[inside], 0, start), np.insert(value[inside], 0, signal.at(start))
        if kept[-1] < stop:
            kept, values = np.append(kept, stop), np.append(values, signal.at(stop))
        return Record(kept - start, values)

    def _rows(self) -> Iterator[tuple[int, list[str]]]:
        """Line number and stripped cells of every row that is neither blank nor a comment."""
        table = self.table
        if len(table.separator) != 1:
            raise ConfigError(f'{self.where}.separator: {table.separator!r} is not one character; "\\t" is a tab')
        if table.separator in '"\r\n':
            raise ConfigError(
                f"{self.where}.separator: {table.separator!r} means something else; name what parts cells"
            )
        if table.separator == table.decimal:
            raise ConfigError(
                f"{self.where}.decimal: {table.decimal!r} is the separator as well; such a file cannot be told apart"
            )
        try:
            with self.path.open(encoding="utf-8-sig", newline="") as file:
                for line, text in enumerate(file, 1):
                    if not text.strip() or (table.comment and text.lstrip().startswith(table.comment)):
                        continue
                    yield line, [cell.strip() for cell in next(csv.reader([text], delimiter=table.separator))]
        except FileNotFoundError:
            folder = self.path.parent
            near = [entry.name for entry in folder.glob("*.csv")] if folder.is_dir() else []
            hint = did_you_mean(self.path.name, near)
            raise ConfigError(f"{self.where}.file: no such file: {self.path}{hint}") from None
        except csv.Error as error:
            raise self._bad(line, f"cannot be read: {error}", "repair it") from None
        except UnicodeDecodeError:
            raise ConfigError(f"{self.where}.file: {self.path} is not UTF-8 text; save it as UTF-8") from None
        except OSError as error:
            raise ConfigError(f"{self.where}.file: {self.path} cannot be read: {error.strerror}") from None

    def _column(self, key: Literal["time", "value"], names: Sequence[str]) -> int:
        wanted = self.table.time if key == "time" else self.table.value
        if isinstance(wanted, int):
            if wanted < 1:
                raise ConfigError(f"{self.where}.{key}: columns are counted from 1; {wanted} is none")
            return wanted - 1
        if not self.table.header:
            raise ConfigError(f"{self.where}.{key}: without a header a column is named by its number, not {wanted!r}")
        if wanted not in names:
            raise ConfigError(f'{self.where}.{key}: {self.path} has no column "{wanted}"{did_you_mean(wanted, names)}')
        return names.index(wanted)

    def _number(self, cell: str, line: int) -> float:
        if not cell:
            return float("nan")
        try:
            return float(self._pointed(cell))
        except ValueError:
            raise self._bad(line, f"holds no number ({cell!r})", "check value, separator and decimal") from None

    def _instant(self, cell: str, line: int) -> int:
        try:
            if self.table.time_format is not None:
                return _since_1900_ns(_moment(cell, self.table.time_format))
            return round(Decimal(self._pointed(cell)) * _UNIT_NS[self.table.time_unit])
        except (ValueError, InvalidOperation, OverflowError, re.error):  # re.error: a code twice in one format
            format_ = self.table.time_format
            hint = f"a number of {self.table.time_unit}" if format_ is None else f'"{format_}"'
            raise self._bad(line, f"the time {cell!r} is not {hint}", "set time_unit or time_format") from None

    def _pointed(self, cell: str) -> str:
        """The number with its decimal mark as a point, without marks of thousands."""
        if self.table.decimal == ".":
            return cell
        whole = _THOUSANDS.sub("", cell)
        if "." in whole:
            raise ValueError(cell)
        return whole.replace(",", ".")

    def _ordered(self, instants: list[int], lines: list[int]) -> Instants:
        """Instants from zero on. A clock without a date may pass midnight; nothing else may go back."""
        dateless = self.table.time_format not in (None, "iso") and not _names_a_day(str(self.table.time_format))
        days = 0
        ordered = [instants[0]]
        for line, (before, now) in zip(lines[1:], pairwise(instants), strict=True):
            if dateless and before - now > _DAY_NS // 2:
                days += 1
            instant = now + days * _DAY_NS
            if instant < ordered[-1]:
                raise self._bad(line, f"is {(ordered[-1] - instant) / 1e9:g} s before the row above", "sort the file")
            if self.table.bridge and instant - ordered[-1] > self.table.bridge:
                gap = f"ends a hole of {(instant - ordered[-1]) / 1e9:g} s"
                raise self._bad(line, gap, f"bridge allows {self.table.bridge / 1e9:g} s; cut the record with stop")
            if instant - ordered[0] > units.LONGEST_S * 1e9:
                raise self._bad(line, "is more than a century after the first row", "set time_unit or cut the file")
            ordered.append(instant)
        return np.array([instant - ordered[0] for instant in ordered], dtype=np.int64)

    def _quantity(self, key: Literal["unit", "base", "offset"], text: str, unit: str) -> float:
        try:
            return units.parse(text, unit)
        except units.UnitError as error:
            raise ConfigError(f"{self.where}.{key}: {error}") from None

    def _limit(self, key: Literal["start", "stop"], otherwise: int, first: str, last: int) -> int:
        """An edge of the cut, from a clock time in the file's own format or a duration since the first row."""
        text = self.table.start if key == "start" else self.table.stop
        if text is None:
            return otherwise
        try:
            instant = self._edge(text, first)
        except units.UnitError as error:
            raise ConfigError(f"{self.where}.{key}: {error}") from None
        if not 0 <= instant <= last:
            raise ConfigError(
                f"{self.where}.{key}: {text!r} is outside the record, which lasts {last / 1e9:g} s; choose one inside"
            )
        return instant

    def _edge(self, text: str, first: str) -> int:
        time_format = self.table.time_format
        if time_format is None:
            return units.duration_ns(text)
        origin = _moment(first, time_format)
        try:
            moment = _moment(text, time_format)
        except ValueError:
            return units.duration_ns(text)
        if moment.tzinfo and not origin.tzinfo:
            raise units.UnitError(f"{text!r} names a zone, and the times in the file have none; leave it out")
        if origin.tzinfo and not moment.tzinfo:
            moment = moment.replace(tzinfo=origin.tzinfo)
        since = _since_1900_ns(moment) - _since_1900_ns(origin)
        return since if since >= 0 or _names_a_day(time_format) else since + _DAY_NS

    def _bad(self, line: int, what: str, remedy: str) -> ConfigError:
        return ConfigError(f"{self.where}.file: {self.path}, line {line}: {what}; {remedy}")


def _moment(text: str, time_format: str) -> datetime:
    """A clock time; raises ValueError where the text has another form."""
    # a record's clock mostly has no zone, and only differences are taken
    return datetime.fromisoformat(text) if time_format == "iso" else datetime.strptime(text, time_format)  # noqa: DTZ007


def _since_1900_ns(moment: datetime) -> int:
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime(1900, 1, 1, tzinfo=UTC)
    return ((since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds) * 1000


def _names_a_day(time_format: str) -> bool:
    return time_format == "iso" or any(code in time_format for code in ("%d", "%j", "%x", "%c"))
