"""The machine that is measured: its name, its clock frequency, and what its SHA unit could do at best.

Owns the facts a figure needs to mean anything; it measures no kernel. The frequency comes from a chain of dependent
additions, one a cycle on every x86 in use, since the time-stamp counter and /proc/cpuinfo of a virtual machine tell the
nominal frequency and not the present one.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import platform
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import fastpath

ADDS = 64
"""Dependent additions in one turn of the loop; its counter runs beside them and costs nothing."""
_LOOP = b"\x48\x01\xd0" * ADDS + b"\x48\xff\xcf"  # add rax, rdx; ... dec rdi
_BACK = -(len(_LOOP) + 6)
CHAIN = b"\x31\xc0\xba\x01\x00\x00\x00" + _LOOP + b"\x0f\x85" + _BACK.to_bytes(4, "little", signed=True) + b"\xc3"
"""x86-64, System V: `uint64_t chain(uint64_t turns)`, rax += rdx 64 times a turn; returns 64 * turns."""

ZEN_3 = ((25, range(0x10)), (25, range(0x20, 0x60)))
ZEN_4 = ((25, range(0x10, 0x20)), (25, range(0x60, 0x80)), (25, range(0xA0, 0xB0)))
"""Family and models of Zen 3 and Zen 4 (AMD's and Linux's tables)."""
ONE_RNDS2_A_CYCLE = {"Zen 3": ZEN_3, "Zen 4": ZEN_4}
"""Where one sha256rnds2 a cycle was measured, in four chains (family 25, models 1 and 17)."""
RNDS2 = {"scan": 61, "versions": 61, "batch64": 96, "batch80": 96}
"""sha256rnds2 (two rounds each) a hash: a scan knows the midstate and ends at round 60, a batch does three blocks."""


@dataclass(frozen=True, slots=True)
class Machine:
    """What stands above every table. `rnds2_per_cycle` is None where nobody measured this processor."""

    cpu: str
    family: int | None
    model: int | None
    architecture: str
    logical: int
    allowed: int
    nominal_hz: float | None
    frequency_source: str
    rnds2_per_cycle: float | None
    limit_source: str
    system: str
    python: str
    openssl: str
    backend: str


def machine() -> Machine:
    """This machine, from /proc/cpuinfo and the interpreter."""
    facts = cpu_facts(_read("/proc/cpuinfo"))
    family, model = _whole(facts.get("cpu family")), _whole(facts.get("model"))
    known = next((name for name, table in ONE_RNDS2_A_CYCLE.items() if _listed(family, model, table)), "")
    mhz = facts.get("cpu MHz")
    chained = dependent_additions() is not None
    return Machine(
        cpu=facts.get("model name") or platform.processor() or "unknown",
        family=family,
        model=model,
        architecture=platform.machine(),
        logical=os.cpu_count() or 1,
        allowed=len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        nominal_hz=float(mhz) * 1e6 if mhz else None,
        frequency_source=(
            "a chain of dependent additions, one a cycle, timed in every round"
            if chained
            else "/proc/cpuinfo, which a virtual machine may state wrongly"
            if mhz
            else "unknown"
        ),
        rnds2_per_cycle=1.0 if known else None,
        limit_source=(
            f"{known}: one sha256rnds2 a cycle (measured in microbenchmarks)"
            if known
            else "not known for this processor"
        ),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        openssl=ssl.OPENSSL_VERSION,
        backend=fastpath.BACKEND,
    )


def cpu_facts(text: str) -> dict[str, str]:
    """The fields of the first processor in the text of /proc/cpuinfo."""
    first = text.split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in first.splitlines())
    return {name.strip(): value.strip() for name, colon, value in pairs if colon}


def limit_hashes_per_s(work: str, needs: tuple[str, ...], frequency_hz: float | None, known: Machine) -> float | None:
    """What an all-SHA-NI kernel cannot pass at this frequency; None where the kernel is none or the limit unknown."""
    if frequency_hz is None or known.rnds2_per_cycle is None or "sha" not in needs or work not in RNDS2:
        return None
    return frequency_hz * known.rnds2_per_cycle / RNDS2[work]


def dependent_additions() -> Callable[[int], int] | None:
    """A call that makes so many dependent additions (in whole turns of 64) and returns their number.

    None where the processor is no x86-64 or the system gives no executable memory.
    """
    if platform.machine() not in ("x86_64", "AMD64") or not hasattr(mmap, "PROT_EXEC"):
        return None
    try:
        page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    except OSError:  # a hardened system
        return None
    page.write(CHAIN)
    chain = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_uint64)(ctypes.addressof(ctypes.c_char.from_buffer(page)))

    def run(additions: int, _keep: mmap.mmap = page) -> int:
        return int(chain(max(1, additions // ADDS)))

    return run


def _listed(family: int | None, model: int | None, table: tuple[tuple[int, range], ...]) -> bool:
    return any(family == known and model in models for known, models in table)


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError:
        return ""


def _whole(text: str | None) -> int | None:
    return int(text) if text is not None and text.isdecimal() else None
