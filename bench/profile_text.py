"""A profile as text: what it does, channel by channel, and which stretches are judged.

Owns the picture behind `ramprig profile show`; it reads no file and decides nothing.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from bench.profile import Channel, Profile
from emulator.timeline import Signal

_BARS = "▁▂▃▄▅▆▇█"


def summary(profile: Profile, width: int = 72) -> str:
    """The profile as lines of text, at most about `width` characters wide in its pictures. Times are unjittered."""
    lines = [f"{profile.name}: {profile.title}"]
    lines += [line for line in profile.description.strip().splitlines() if line]
    grid = "" if profile.nominal_hz is None else f", {profile.nominal_hz:g} Hz grid"
    lines.append(f"duration {_seconds(profile.duration_ns)}{grid}")
    lines.append(f"source ({profile.source.grade}): {profile.source.text}")
    for name, channel in profile.channels.items():
        lines += ["", _headline(name, channel), "  " + sparkline(channel.signal, profile.duration_ns, width - 2)]
    if profile.channels and profile.events:
        lines.append("  " + _ruler(profile, width - 2))
    if profile.events:
        lines += ["", "events"]
    for event in profile.events:
        span = f"{_seconds(event.start_ns)} to {_seconds(event.stop_ns)}"
        jitter = profile.jitter_ns[event.id]
        moved = f", moved by up to {_seconds(jitter)}" if jitter else ""
        label = f"  {event.label}" if event.label else ""
        lines.append(f"  {event.id} ({event.kind}) {span}{moved}{label}")
    return "\n".join(lines)


def sparkline(signal: Signal, duration_ns: int, width: int) -> str:
    """One character for each `width`-th of the duration: the value there that is farthest from the first one."""
    edges = np.linspace(0, duration_ns, width + 1).astype(np.int64)
    first = signal.at(0)
    shown = np.empty(width)
    for column, (left, right) in enumerate(pairwise(edges)):
        inside = (signal.t_ns >= left) & (signal.t_ns < right)
        values = np.concatenate([signal.value[inside], [signal.at(int(left)), signal.at(int(right) - 1)]])
        shown[column] = values[np.argmax(np.abs(values - first))]
    low, high = float(shown.min()), float(shown.max())
    if high == low:
        return _BARS[3] * width
    levels = np.round((shown - low) / (high - low) * (len(_BARS) - 1)).astype(int)
    return "".join(_BARS[level] for level in levels)


def _headline(name: str, channel: Channel) -> str:
    signal, scale, unit = channel.signal, 1.0, channel.unit
    if channel.relative:
        scale, unit = 100.0, "% of nominal"
    elif unit == "1":
        unit = ""
    low, high = float(signal.value.min()) * scale, float(signal.value.max()) * scale
    text = f"{name}: {low:g} to {high:g} {unit}".rstrip()
    rate = _fastest_per_s(signal) * scale
    steps = int(np.sum((np.diff(signal.t_ns) == 0) & (np.diff(signal.value) != 0)))
    text += f", {steps} step{'' if steps == 1 else 's'}" if steps else ""
    return text + (f", at most {rate:.3g} {unit}/s" if rate else "") + f", {signal.t_ns.size} points"


def _fastest_per_s(signal: Signal) -> float:
    """The steepest slope between two instants, per second; steps have none."""
    run = np.diff(signal.t_ns)
    rise = np.abs(np.diff(signal.value))[run > 0]
    return float(np.max(rise / run[run > 0] * 1e9, initial=0.0))


def _ruler(profile: Profile, width: int) -> str:
    """A line under the sparklines in which every event draws its stretch."""
    ruler = [" "] * width
    for event in profile.events:
        left = min(width - 1, event.start_ns * width // profile.duration_ns)
        right = max(left + 1, min(width, event.stop_ns * width // profile.duration_ns))
        ruler[left:right] = ["─"] * (right - left)
        ruler[left] = "├"
    return "".join(ruler)


def _seconds(t_ns: int) -> str:
    return f"{t_ns / 1e9:g} s"
