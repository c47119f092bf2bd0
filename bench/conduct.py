"""How a controller treated the devices of a site, from the traffic that was taken down: figures for the record.

Owns the counting, pure; what is too much is a service's business (`bench/services/site_conduct.toml`).
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from emulator.wire import SECOND

if TYPE_CHECKING:
    from bench.tap import Traffic
    from emulator.wire import Instant

_MINUTE_NS = 60 * SECOND
_MINER = "miner-"
"""Ids of miners begin like this on every rig."""


def conduct(traffic: Traffic, meter: str, start: Instant, stop: Instant) -> dict[str, float]:
    """`busiest_minute`: most requests that any one miner heard within a minute; `meter_silence_s`: the longest time in
    [start, stop] in which `meter` was not read. Empty where frames were thrown away."""
    if traffic.dropped:
        return {}
    most = traffic.most_requests(_MINUTE_NS)
    reads = [at for at in traffic.heard(meter) if start <= at <= stop]
    silence_ns = max(later - earlier for earlier, later in pairwise([start, *reads, stop]))
    return {
        "busiest_minute": float(max((most[device] for device in most if device.startswith(_MINER)), default=0)),
        "meter_silence_s": silence_ns / SECOND,
    }
