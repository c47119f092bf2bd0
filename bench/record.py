"""The run folder: written while a run goes on, read back as the facts a verdict rests on.

Owns the files and their order of writing, so that a run that is killed leaves a folder that can still be read (and is
void). It measures nothing and judges nothing. Layout: docs/reference/run-folder.md.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from bench import real_samples
from bench.facts import LATENESS_BUDGET_NS, HeatMap, Occurrence, Phases, ProfileEvent, RunFacts, Series
from emulator.timeline import FIELDS, SegmentLog, Signal
from emulator.wire import SECOND, Instant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

SCHEMA = 1
RUN_FILES = (
    "run.json", "run.json.part", "config.toml", "documents.jsonl", "bench.log", "sut", "attachments",
    "truth.parquet", "signals.parquet", "frames.parquet", real_samples.FILE,
)  # fmt: skip
"""Everything a recording may leave in its folder; renderings of the verdict come beside it."""
_MOST_SAMPLES = 5_000_000
_HEAT_COLUMNS = 240


class RunFolderError(Exception):
    """A folder that is no run, or one that cannot be read; names the folder, the file and the remedy."""


@dataclass(frozen=True, slots=True)
class Truth:
    """What the site's power really was: miner segments with their weight at the meter, and the loads beside them."""

    log: SegmentLog
    weight: NDArray[np.float64]
    """Watts at the point of interconnection for a watt at the miner, shape (rows,)."""
    nominal_w: NDArray[np.float64]
    miners: tuple[str, ...]
    loads: Sequence[tuple[Signal, float]]
    """Loads with their gain at the point of interconnection."""
    idle_w: float

    def power(self, start: Instant, stop: Instant, rate_hz: float, window_ns: int) -> Series:
        """Site power over [start, stop] as an analyser samples it: means over `window_ns` centred on each stamp."""
        rate_hz = min(rate_hz, _MOST_SAMPLES / max(1e-9, (stop - start) / SECOND))
        step = max(1, round(SECOND / rate_hz))
        first = start + window_ns // 2
        t_ns = np.arange(first, stop - window_ns // 2 + 1, step, dtype=np.int64)
        if t_ns.size == 0:
            return Series(np.zeros(0, np.int64), np.zeros(0), window_ns=window_ns)
        if window_ns == 0:
            watts = self.log.power_series(t_ns, self.weight) + self.idle_w
            for signal, gain in self.loads:
                watts = watts + gain * signal.sample(t_ns)
            return Series(t_ns, watts, u_time_ns=0.0)
        opens, closes = t_ns - window_ns // 2, t_ns + (window_ns - window_ns // 2)
        edges = _merged(opens, closes)
        joules = self.log.energy_series(edges, self.weight) + self.idle_w * edges * 1e-9
        for signal, gain in self.loads:
            joules = joules + gain * signal.integrals(edges)
        drawn = joules[np.searchsorted(edges, closes)] - joules[np.searchsorted(edges, opens)]
        return Series(t_ns, drawn / (window_ns * 1e-9), window_ns=window_ns)

    def heat(self, start: Instant, stop: Instant) -> HeatMap | None:
        """Mean power of each miner as a share of nominal, in equal columns over [start, stop]; None for no time."""
        if stop - start < _HEAT_COLUMNS:
            return None
        edges = np.linspace(start, stop, _HEAT_COLUMNS + 1).astype(np.int64)
        rows = np.arange(len(self.miners), dtype=np.int64)
        totals = np.stack([self.log.total(self.log.entries_at(rows, int(t)), int(t)) for t in edges], axis=1)
        share = np.diff(totals, axis=1) / (np.diff(edges) * 1e-9) / self.nominal_w[:, None]
        return HeatMap(edges[:-1], self.miners, share.astype(np.float32))

    def phases(self) -> Phases:
        """Every phase that a miner entered."""
        t_ns, row = self.log.column("t0_ns").astype(np.int64), self.log.column("row").astype(np.int64)
        order = np.lexsort((np.arange(self.log.size), t_ns))
        return Phases(t_ns[order], row[order], self.log.column("phase").astype(np.int8)[order], self.miners)

    def sha256(self, signals: Mapping[str, Signal]) -> str:
        """Hash of everything that happened: the sorted segments and the grid's signals, bit for bit."""
        row, t0 = self.log.column("row").astype(np.int64), self.log.column("t0_ns").astype(np.int64)
        order = np.lexsort((np.arange(self.log.size), t0, row))
        digest = hashlib.sha256()
        for name in FIELDS:
            digest.update(np.ascontiguousarray(self.log.column(name)[order]).tobytes())
        for name in sorted(signals):
            digest.update(name.encode())
            digest.update(signals[name].t_ns.tobytes() + signals[name].value.tobytes())
        return digest.hexdigest()


class Recorder:
    """Writes one run folder. Documents are appended line by line and flushed; arrays are written once, at the end."""

    def __init__(self, folder: Path, info: Mapping[str, Any], config: str) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(folder / "run.json", {"schema": SCHEMA, **info})  # first: from here on the folder is known as a run
        (folder / "sut").mkdir(exist_ok=True)
        (folder / "config.toml").write_text(config, encoding="utf-8")
        self._documents = (folder / "documents.jsonl").open("w", encoding="utf-8")
        self._document("start", 0, {})

    def describe(self, **data: object) -> None:
        """The descriptor: what was known when the controller was armed (`armed_ns`, events, nominal power, ...)."""
        self._document("descriptor", 0, data)

    def event(self, t_ns: Instant, what: str, **data: object) -> None:
        """Something happened at `t_ns`."""
        self._document("event", t_ns, {"kind": what, **data})

    def finish(self, t_ns: Instant, truth: Truth, signals: Mapping[str, Signal], **data: object) -> str:
        """Write the arrays and the stop document; returns the trace hash. A run without it is void."""
        digest = truth.sha256(signals)
        _write_truth(self.folder, truth)
        _write_signals(self.folder, signals)
        self._document("stop", t_ns, {"trace_sha256": digest, **data})
        self.close()
        return digest

    def close(self) -> None:
        """Leave the folder as it is; without `finish` it reads as an incomplete run."""
        self._documents.close()

    def _document(self, kind: str, t_ns: Instant, data: Mapping[str, object]) -> None:
        self._documents.write(json.dumps({"document": kind, "t_ns": t_ns, **data}, allow_nan=False) + "\n")
        self._documents.flush()


def read_run(folder: Path) -> RunFacts:
    """The facts of a run folder. An unfinished run has `complete` False and an empty power series.

    Raises RunFolderError where the folder is no run folder or a file in it is damaged.
    """
    info = read_info(folder)
    file = folder / "documents.jsonl"
    documents = _read_documents(file)
    about: dict[str, Any] = next((d for d in documents if d["document"] == "descriptor"), {})
    stop: dict[str, Any] = next((d for d in documents if d["document"] == "stop"), {})
    if stop and not about:
        raise _damaged(file, "it has an end but no descriptor")
    truth = _read_truth(folder / "truth.parquet") if stop else None
    signals = _read_signals(folder / "signals.parquet") if stop else {}
    real = _read_table(folder / real_samples.FILE) if stop and about.get("judged_by") else None
    try:
        return _facts(folder, info, documents, about, stop, truth, signals, real)
    except (KeyError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise _damaged(file, error) from None


def _facts(
    folder: Path, info: dict[str, Any], documents: list[dict[str, Any]], about: dict[str, Any], stop: dict[str, Any],
    truth: Truth | None, signals: Mapping[str, Signal], real: Any = None,
) -> RunFacts:  # fmt: skip
    """The facts from the documents as they stand; any key may be of the wrong kind in a damaged file."""
    occurrences = tuple(
        Occurrence(
            int(d["t_ns"]), str(d["kind"]), {k: v for k, v in d.items() if k not in ("document", "t_ns", "kind")}
        )
        for d in documents
        if d["document"] == "event"
    )
    last_ns = int(stop.get("t_ns", max((int(d["t_ns"]) for d in documents), default=0)))
    power, heat, gap_ns = Series(np.zeros(0, np.int64), np.zeros(0)), None, 0
    if truth is not None:
        for key in ("nominal_hz", "nominal_w", "commitment_w"):
            if not float(about[key]) > 0:
                raise ValueError(f"{key} is {about[key]}")
        analyser = about["analyser"]
        start = max(0, int(about["armed_ns"]) - int(about["lead_in_ns"]))
        power = truth.power(start, last_ns, analyser["rate_hz"], analyser["window_ns"])
        power = Series(power.t_ns, power.value, "W", power.window_ns, analyser["u_w"], analyser["u_time_ns"])
        heat = truth.heat(start, last_ns)
        gap_ns = int(np.diff(power.t_ns).max()) if power.t_ns.size > 1 else 0
        if real is not None:
            found = real_samples.measured(real, str(about["judged_by"]), start, last_ns)
            power, gap_ns, heat = found.power, found.gap_ns, None
            info = {**info, "power": found.text}
    exits = [str(o.data.get("reason", "")) for o in occurrences if o.kind == "sut_exit"]
    return RunFacts(
        run_id=folder.name,
        title=str(info.get("title", folder.name)),
        power=power,
        signals=signals,
        events=tuple(ProfileEvent(**event) for event in about.get("events", ())),
        armed_ns=int(about.get("armed_ns", 0)),
        stop_ns=last_ns,
        nominal_hz=float(about.get("nominal_hz", 0.0)),
        nominal_w=float(about.get("nominal_w", 0.0)),
        commitment_w=float(about.get("commitment_w", 0.0)),
        complete=bool(stop),
        time_mode=str(info.get("time", "virtual")),
        seed=int(info.get("seed", 0)),
        sut_ready=any(o.kind == "sut_ready" for o in occurrences),
        sut_exit=str(stop.get("sut_exit", "")) or next(iter(exits), ""),
        sut_notes=tuple(map(str, stop.get("sut_notes", ()))),
        contacts={str(kind): int(number) for kind, number in stop.get("contacts", {}).items()},
        busiest={str(kind): (str(one), int(number)) for kind, (one, number) in stop.get("busiest", {}).items()},
        occurrences=occurrences,
        meter_gap_ns=gap_ns,
        judged_by=str(about.get("judged_by", "")),
        lateness_p99_ns=int(stop.get("lateness_p99_ns", 0)),
        lateness_max_ns=int(stop.get("lateness_max_ns", 0)),
        lateness_budget_ns=int(about.get("lateness_budget_ns", LATENESS_BUDGET_NS)),
        device_defects=int(stop.get("network_defects", 0)),
        trace_sha256=str(stop.get("trace_sha256", "")),
        expected=str(info.get("expect", "")),
        heat=heat,
        phases=None if truth is None else truth.phases(),
        conduct={str(name): float(number) for name, number in stop.get("conduct", {}).items()},
        info=info,
    )


def is_run(folder: Path) -> bool:
    """Whether `folder` looks like a run folder."""
    return (folder / "run.json").is_file()


def read_info(folder: Path) -> dict[str, Any]:
    """What run.json says: case, rig, profile, services, versions. Raises RunFolderError."""
    file = folder / "run.json"
    if not file.is_file():
        raise RunFolderError(f"{folder}: no run folder (it has no run.json); name a folder that `ramprig run` wrote")
    try:
        info = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise _damaged(file, error) from None
    if not isinstance(info, dict):
        raise _damaged(file, "it holds no object")
    if info.get("schema") != SCHEMA:
        raise RunFolderError(f"{file}: schema {info.get('schema')!r}; this version reads schema {SCHEMA}")
    return info


def _damaged(file: Path, why: object) -> RunFolderError:
    told = f"{why} is missing" if isinstance(why, KeyError) else (str(why).splitlines() or ["damaged"])[0]
    return RunFolderError(f"{file}: cannot be read: {told}; the run cannot be judged, run it again")


def _read_documents(file: Path) -> list[dict[str, Any]]:
    """The documents up to the first that is not whole: the line that was being written when the run was killed."""
    documents: list[dict[str, Any]] = []
    try:
        text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    except OSError as error:
        raise _damaged(file, error.strerror) from None
    for line in text.splitlines():
        try:
            document = json.loads(line)
        except ValueError:
            break
        if not isinstance(document, dict) or not {"document", "t_ns"} <= document.keys():
            break
        documents.append(document)
    return documents


def _write_truth(folder: Path, truth: Truth) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table({name: truth.log.column(name) for name in FIELDS})
    meta = {
        "miners": list(truth.miners),
        "weight": truth.weight.tolist(),
        "nominal_w": truth.nominal_w.tolist(),
        "idle_w": truth.idle_w,
        "loads": [[gain, signal.t_ns.tolist(), signal.value.tolist()] for signal, gain in truth.loads],
    }
    table = table.replace_schema_metadata({"ramprig": json.dumps(meta)})
    pq.write_table(table, folder / "truth.parquet", compression="zstd")


def _read_table(file: Path) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return pq.read_table(file)
    except (OSError, pa.ArrowException) as error:
        raise _damaged(file, error) from None


def _read_truth(file: Path) -> Truth:
    table = _read_table(file)
    try:
        meta = json.loads(table.schema.metadata[b"ramprig"])
        columns = {name: table.column(name).to_numpy() for name in FIELDS}
        return Truth(
            log=SegmentLog.restore(len(meta["miners"]), columns),
            weight=np.array(meta["weight"], dtype=np.float64),
            nominal_w=np.array(meta["nominal_w"], dtype=np.float64),
            miners=tuple(meta["miners"]),
            loads=[(Signal(t_ns, value), float(gain)) for gain, t_ns, value in meta["loads"]],
            idle_w=float(meta["idle_w"]),
        )
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _damaged(file, error) from None


def _write_signals(folder: Path, signals: Mapping[str, Signal]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.table(
        {
            "t_ns": np.concatenate([signal.t_ns for signal in signals.values()]),
            "channel": [name for name, signal in signals.items() for _ in range(signal.t_ns.size)],
            "value": np.concatenate([signal.value for signal in signals.values()]),
        }
    )
    pq.write_table(table, folder / "signals.parquet", compression="zstd")


def _read_signals(file: Path) -> dict[str, Signal]:
    table = _read_table(file)
    try:
        channel = np.array(table.column("channel").to_pylist())
        t_ns, value = table.column("t_ns").to_numpy(), table.column("value").to_numpy()
        return {str(name): Signal(t_ns[channel == name], value[channel == name]) for name in np.unique(channel)}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise _damaged(file, error) from None


def _merged(a: NDArray[np.int64], b: NDArray[np.int64]) -> NDArray[np.int64]:
    """The sorted instants of two sorted arrays, each once. np.unique hashes, which takes twenty times as long."""
    both: NDArray[np.int64] = np.sort(np.concatenate([a, b]), kind="stable")
    first: NDArray[np.bool_] = np.concatenate([[True], both[1:] != both[:-1]])
    return both[first]


def _write_json(file: Path, data: Mapping[str, Any]) -> None:
    """The file appears whole or not at all."""
    part = file.with_name(file.name + ".part")
    part.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")
    part.replace(file)
