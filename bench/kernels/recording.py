"""A measurement as one JSON file: the machine, who took part, one record for each kernel and round.

Owns the format (schema 1) both ways; figures in `summary` are there for readers and are computed anew from records.
"""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.kernels.contestants import Contestant
from bench.kernels.machine import Machine
from bench.kernels.measure import Record
from bench.kernels.summary import Row, by_key, peer_key

SCHEMA = 1


class RecordingError(ValueError):
    """A file that is no measurement, or one this version cannot read."""


@dataclass(frozen=True, slots=True)
class AgainstRun:
    """One run of the external program. `around` are the rounds it stands in the middle of."""

    command: str
    around: range
    hashes_per_s: float
    line: str


@dataclass(frozen=True, slots=True)
class Recording:
    """What `--compare` needs of an earlier measurement."""

    file: str
    cpu: str
    peer: str
    records: tuple[Record, ...]


def to_json(
    machine: Machine,
    options: dict[str, Any],
    entered: list[Contestant],
    rows: list[Row],
    records: list[Record],
    against: list[AgainstRun],
) -> dict[str, Any]:
    """The whole measurement as plain data; `options` has at least `peer`."""
    grouped = by_key(records)
    peers = {each.key: peer_key(each.work, options["peer"], grouped) for each in entered}
    return {
        "schema": SCHEMA,
        "machine": dataclasses.asdict(machine),
        "options": options,
        "contestants": [
            {"key": c.key, "work": c.work, "kernel": c.name, "threads": c.threads, "what": c.what, "needs": c.needs}
            for c in entered
        ],
        "summary": [dataclasses.asdict(row) for row in rows],
        "against": [
            {
                "command": run.command,
                "first_round": run.around.start,
                "last_round": run.around.stop - 1,
                "hashes_per_s": run.hashes_per_s,
                "line": run.line,
            }
            for run in against
        ],
        "records": [
            {
                **dataclasses.asdict(record),
                "hashes_per_s": record.hashes_per_s,
                "peer": peers[record.key],
                "peer_ratio": record.hashes_per_s / grouped[peers[record.key]][record.round].hashes_per_s,
                "cycles_per_hash": (
                    None if record.frequency_hz is None else record.threads * record.frequency_hz / record.hashes_per_s
                ),
            }
            for record in records
        ],
    }


def load(path: Path) -> Recording:
    """Read an earlier measurement. Raises RecordingError naming the file, the place and the remedy."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecordingError(f"{path}: cannot be read ({error.strerror}); write one with --json FILE") from None
    except ValueError as error:
        raise RecordingError(f"{path}: is no JSON ({error}); write one with --json FILE") from None
    if not isinstance(data, dict) or data.get("schema") != SCHEMA:
        found = data.get("schema") if isinstance(data, dict) else None
        raise RecordingError(f"{path}: schema: expected {SCHEMA}, found {found!r}; write one with --json FILE")
    try:
        names = [field.name for field in dataclasses.fields(Record)]
        records = tuple(Record(**{name: entry[name] for name in names}) for entry in data["records"])
        cpu, peer = str(data["machine"]["cpu"]), str(data["options"]["peer"])
        if any(record.hashes <= 0 or record.seconds <= 0 for record in records):
            raise RecordingError(f"{path}: records: hashes and seconds must be above 0; measure again")
    except (KeyError, TypeError) as error:
        raise RecordingError(f"{path}: is incomplete ({error}); write one with --json FILE") from None
    return Recording(str(path), cpu, peer, records)
