"""Modbus on TCP against libmodbus's C server and pymodbus's own: requests a second and how long one takes.

All serve 100 registers to the same load generator in C, in turns. Ours is a rig's way of serving: the network, a tap, a
device, and the SDM630's map of measured values that change at their ticks (`load/modbus_site.py` says what is lifted
of the product). The peers copy 200 registers that never change.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.load.serving import Served, serving
from benchmarks.peers import COMPILERS
from benchmarks.rows import Row

HERE = Path(__file__).parent / "load"
REGISTERS = 100
FUNCTION = 3
CLIENTS = (1, 10, 100)
ROUNDS = 9
ROUND_S = 0.3
PEERS = {"libmodbus": "libmodbus in C", "pymodbus": "pymodbus's server"}
METERS = 4_000
METERS_S = 5.0
METERS_TRIES = 7
METERS_LIMIT_MS = 10.0


@dataclass(frozen=True, slots=True)
class Stretch:
    """What came of one stretch of load on one server."""

    rate: float
    p50_ms: float
    p99_ms: float
    cpu_us: float
    """Processor time of the server for one request."""
    unanswered: int


def rows() -> list[Row]:
    """Rates and times with 1, 10 and 100 clients, processor time, and a fleet of meters polled once a second."""
    with tempfile.TemporaryDirectory() as folder, ExitStack() as stack:
        load = _compiled("modbus_load.c", Path(folder))
        if load is None:
            print("modbus: skipped, there is no C compiler for the load generator")
            return []
        servers = {"ours": stack.enter_context(serving("modbus_site", 1))}
        peer = _compiled("modbus_peer.c", Path(folder), "-lmodbus")
        if peer is None:
            print("modbus: no rows against libmodbus, it does not compile here (Debian: apt install libmodbus-dev)")
        else:
            servers["libmodbus"] = stack.enter_context(serving(peer, "127.0.0.1", 5021, 2 * REGISTERS))
        servers["pymodbus"] = stack.enter_context(serving("modbus_pymodbus", "127.0.0.1", 5022, 2 * REGISTERS))
        places = {"ours": "127.9.0.1 5020", "libmodbus": "127.0.0.1 5021", "pymodbus": "127.0.0.1 5022"}
        found: list[Row] = []
        for clients in CLIENTS:
            rounds: dict[str, list[Stretch]] = {name: [] for name in servers}
            for number in range(ROUNDS):
                for name in list(servers)[:: -1 if number % 2 else 1]:
                    rounds[name].append(_stretch(load, servers[name], places[name], clients))
            found += _compared(rounds, clients)
    return found + _polled()


def _compared(rounds: dict[str, list[Stretch]], clients: int) -> Iterator[Row]:
    ours = rounds["ours"]
    what = f"Modbus FC{FUNCTION} of {REGISTERS} registers, SDM630 map without its limits, {clients} clients"
    for name, peer in PEERS.items():
        for key, unit, better in (
            ("rate", "requests/s", "more"), ("p50_ms", "ms", "less"), ("p99_ms", "ms", "less"), ("cpu_us", "µs", "less")
        ):  # fmt: skip
            if name not in rounds or (name == "pymodbus" and key != "rate"):
                continue
            pairs = [(getattr(a, key), getattr(b, key)) for a, b in zip(ours, rounds[name], strict=True)]
            ratio = median(a / b if better == "more" else b / a for a, b in pairs)
            suffix = {"rate": "", "p50_ms": ": p50", "p99_ms": ": p99", "cpu_us": ": processor time a request"}[key]
            yield Row(what + suffix, median(a for a, _ in pairs), unit, peer, median(b for _, b in pairs), ratio)


def _polled() -> list[Row]:
    """A fleet of meters, each behind a rack of 25 miners and polled once a second on a connection of its own."""
    with tempfile.TemporaryDirectory() as folder, serving("modbus_site", METERS) as site:
        load = _compiled("modbus_load.c", Path(folder))
        assert load is not None
        places = "\n".join(f"{address} 5020" for address in site.said["addresses"])
        _stretch(load, site, places, METERS, rate=METERS, seconds=1.0)  # every span is laid out once
        seen = [_stretch(load, site, places, METERS, rate=METERS, seconds=METERS_S) for _ in range(METERS_TRIES)]
    p99_ms, cpu_us = min(one.p99_ms for one in seen), min(one.cpu_us for one in seen)
    lost = sum(one.unanswered for one in seen)
    if lost:
        print(f"modbus: {lost} requests of {METERS} meters went unanswered: this machine is too busy for the pace")
    what = f"{METERS} meters polled at 1 Hz, FC{FUNCTION} of {REGISTERS} registers, computed anew each time"
    busy = cpu_us * 1e-6 * METERS
    return [
        Row(
            f"{what}: p99, best of {METERS_TRIES}",
            p99_ms,
            "ms",
            "the limit set for it",
            METERS_LIMIT_MS,
            METERS_LIMIT_MS / p99_ms,
        ),
        Row(f"{what}: processors busy", busy, "cores", "one core", 1.0, 1.0 / busy),
    ]


def _stretch(
    load: Path, server: Served, places: str, clients: int, *, rate: int = 0, seconds: float = ROUND_S
) -> Stretch:
    before_s = server.cpu_s()
    command = [load, seconds, clients, rate, 1, FUNCTION, REGISTERS]
    made = subprocess.run(list(map(str, command)), input=places, capture_output=True, text=True, check=False)
    if made.returncode:
        raise RuntimeError(f"the load on {places.splitlines()[0]} failed: {made.stderr.strip()}")
    said = json.loads(made.stdout)
    cpu_us = (server.cpu_s() - before_s) / said["requests"] * 1e6
    return Stretch(said["rate"], said["p50_s"] * 1e3, said["p99_s"] * 1e3, cpu_us, said["unanswered"])


def _compiled(source: str, folder: Path, *libraries: str) -> Path | None:
    """The program, or None where it does not compile."""
    compiler = next((name for name in COMPILERS if shutil.which(name)), None)
    program = folder / Path(source).stem
    if compiler is None:
        return None
    command = [compiler, "-O2", str(HERE / source), "-o", str(program), *libraries]
    return program if subprocess.run(command, capture_output=True, check=False).returncode == 0 else None
