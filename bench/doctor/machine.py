"""The machine the bench stands on: what of it a run needs, and what it only makes narrower.

Owns the conditions that can be looked up or tried in a moment; what has to be measured over seconds is `session.py`'s.
"""

from __future__ import annotations

import errno
import os
import platform
import socket
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING

from bench.descriptors import make_room
from bench.facts import LATENESS_BUDGET_NS
from emulator.clock import resolution_ns, tick_ns
from emulator.network import RESERVE

if TYPE_CHECKING:
    from collections.abc import Iterator

_ADDRESSES = ("127.61.254.1", "127.99.17.2")
"""Two of the loopback that nobody uses; a rig is all of such."""
_PRIVILEGED = range(1023, 1000, -1)
"""Ports that are tried until one is free."""
_LEAST_CONNECTIONS = 100
"""A rig of forty miners with meters and PDUs, and a connection to each from both ends. estimate"""
_FLEET = 1000
"""Miners, each with a connection, in virtual time with both ends in the bench."""
_NEW_NETWORK = f"import ctypes, sys; sys.exit(ctypes.CDLL(None).unshare({0x40000000:#x}) != 0)"
"""unshare(CLONE_NEWNET), in a process of its own. GK"""
_CPU = Path("/sys/devices/system/cpu/cpu0/cpufreq")


class Status(StrEnum):
    """What a condition means for runs on this machine."""

    OK = "ok"
    LIMITED = "limited"
    """Some runs cannot be had; `remedy` says what to do about it."""
    MISSING = "missing"
    """No run can be had."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One thing about the machine, in words."""

    id: str
    title: str
    value: str
    status: Status = Status.OK
    remedy: str = ""


def conditions() -> Iterator[Condition]:
    """All of them, in the order in which they are told."""
    yield _software()
    yield _processors()
    yield _load()
    yield _frequency()
    yield _clock()
    yield _tick()
    yield _files()
    yield _loopback()
    yield _low_ports()
    yield _namespaces()


def files(soft: int, hard: int, usable: int) -> Condition:
    """What a limit of open files means: `usable` of them once the bench has allowed itself what it may."""
    most = max(0, usable - RESERVE)
    given = "no limit" if hard < 0 else f"{soft} of {hard}" if soft != hard else f"{soft}"
    value = f"{given} allowed: {most} connections at once in real time, {most // 2} in virtual time"
    remedy = "raise the hard limit: `ulimit -Hn`, LimitNOFILE= of a service, --ulimit nofile= of a container"
    if most < _LEAST_CONNECTIONS:
        return Condition("files", "open files", value, Status.MISSING, remedy)
    if most < 2 * _FLEET:
        return Condition("files", "open files", value, Status.LIMITED, f"enough for small rigs; {remedy}")
    return Condition("files", "open files", value)


def _software() -> Condition:
    try:
        own = version("ramprig")
    except PackageNotFoundError:
        own = "from its sources"
    value = f"ramprig {own}, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    return Condition("software", "software", f"{value}, {platform.machine()}")


def _processors() -> Condition:
    allowed, there = len(os.sched_getaffinity(0)), os.cpu_count() or 1
    value = f"{allowed}" if allowed == there else f"{allowed} of {there} may be used"
    if allowed > 1:
        return Condition("processors", "processors", value)
    remedy = "a controller beside the bench takes turns with it; give the bench a second one for real time"
    return Condition("processors", "processors", value, Status.LIMITED, remedy)


def _load() -> Condition:
    load, processors = os.getloadavg(), len(os.sched_getaffinity(0))
    value = " ".join(f"{one:.2f}" for one in load) + " over 1, 5 and 15 min"
    if load[0] < processors:
        return Condition("load", "load", value)
    remedy = "other programs keep every processor busy; end them before a run in real time, or give the bench "
    remedy += "precedence: `chrt --rr 10 ramprig run ...`"
    return Condition("load", "load", value, Status.LIMITED, remedy)


def _frequency() -> Condition:
    governor, khz = _first_line(_CPU / "scaling_governor"), _first_line(_CPU / "scaling_cur_freq")
    if not governor:
        return Condition("frequency", "frequency", "not told by this machine (usual in a virtual one)")
    value = f"governor {governor}" + (f", {int(khz) / 1e6:.2f} GHz now" if khz.isdigit() else "")
    if governor != "powersave":
        return Condition("frequency", "frequency", value)
    remedy = "where timers come late, try `cpupower frequency-set -g performance`"
    return Condition("frequency", "frequency", value, Status.LIMITED, remedy)


def _clock() -> Condition:
    resolution = resolution_ns()
    value = f"tells {resolution} ns apart"
    if resolution < LATENESS_BUDGET_NS // 10:
        return Condition("clock", "clock", value)
    remedy = "the kernel has no high-resolution timers here; boot it with highres=on, or use virtual time"
    return Condition("clock", "clock", value, Status.LIMITED, remedy)


def _tick() -> Condition:
    tick = tick_ns()
    return Condition("tick", "scheduler", f"a tick every {tick / 1e6:.3g} ms ({1e9 / tick:.0f} Hz)")


def _files() -> Condition:
    import resource

    soft, hard = make_room()
    return files(soft, hard, resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _loopback() -> Condition:
    for address in _ADDRESSES:
        refused = _refused(address, 0)
        if refused is not None:
            remedy = "rigs stand on addresses of 127.0.0.0/8: bring the loopback up (`ip link set lo up`); only Linux "
            remedy += "has all of them, on others add each as an alias"
            value = f"{address} cannot be bound: {refused.strerror}"
            return Condition("loopback", "127.0.0.0/8", value, Status.MISSING, remedy)
    return Condition("loopback", "127.0.0.0/8", "any address can be bound")


def _low_ports() -> Condition:
    for port in _PRIVILEGED:
        refused = _refused(_ADDRESSES[0], port)
        if refused is None:
            return Condition("low-ports", "ports below 1024", "can be bound")
        if refused.errno != errno.EADDRINUSE:
            break
    remedy = "miners' web pages (80) and Modbus (502) need them: `sysctl net.ipv4.ip_unprivileged_port_start=80`, or "
    remedy += "`setcap cap_net_bind_service=+ep` on the interpreter; virtual time needs neither"
    return Condition("low-ports", "ports below 1024", "cannot be bound", Status.LIMITED, remedy)


def _namespaces() -> Condition:
    made = subprocess.run([sys.executable, "-S", "-c", _NEW_NETWORK], capture_output=True, check=False)
    if made.returncode == 0:
        return Condition("namespaces", "network namespaces", "can be made: rigs side by side on the same ports")
    remedy = "only one rig in real time at a time; root, or `unshare --net --map-root-user`, may make them"
    return Condition("namespaces", "network namespaces", "cannot be made", Status.LIMITED, remedy)


def _refused(address: str, port: int) -> OSError | None:
    """Why a listener cannot be bound there; None where it can."""
    with socket.socket() as sock:
        try:
            sock.bind((address, port))
        except OSError as error:
            return error
    return None


def _first_line(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").split("\n", 1)[0].strip()
    except (OSError, UnicodeDecodeError):
        return ""
