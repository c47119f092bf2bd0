"""10 000 miners of all firmwares in one process, each on its address: requests a second, times, memory and start.

The rate is taken in turns with a bare asyncio server that answers as many bytes on one address, under the same load of
a connection for each request; a twentieth of the fleet is in ramp all the while. Memory is that of a site of every
firmware that ships, after each miner has been asked once.
"""

from __future__ import annotations

from statistics import median

from benchmarks.load.client import load
from benchmarks.load.serving import Served, serving
from benchmarks.load.site import API_PORT
from benchmarks.rows import Row

MINERS = 10_000
AT_ONCE = 64
ROUNDS = 15
ROUND_S = 0.5
PACE = 3_000
PACED_S, PACED = 3.0, 7
LIMIT_MS = 50.0
LIMIT_BYTES = 4096
LIMIT_START_S = 1.0
PAGE = b"GET / HTTP/1.0\r\n\r\n"
PEER = "bare asyncio echo server"
Places = list[tuple[str, int]]


def rows() -> list[Row]:
    """Rate and processor time against the echo server, times at a steady pace, memory, start."""
    with serving("site", MINERS, "cgminer") as site:
        places: Places = [(address, API_PORT) for address in site.said["addresses"]]
        first = load(places, seconds=60.0, at_once=AT_ONCE, most=len(places))  # each has been asked once
        with serving("echo", round(first.bytes_a_reply)) as echo:
            found = _in_turns(site, echo, places)
        paced = [load(places, seconds=PACED_S, at_once=4 * AT_ONCE, rate=PACE) for _ in range(PACED)]
    best = min(paced, key=lambda one: one.p99_s)
    p99_ms = best.p99_s * 1e3
    failed = first.failed + sum(one.failed for one in paced)
    what = f"{MINERS} miners, {len(site.said['firmwares'])} firmwares, 5 % in ramp"
    found += [
        Row(
            f"{what}: p99 at {PACE}/s, best of {PACED}",
            p99_ms,
            "ms",
            "the limit set for it",
            LIMIT_MS,
            LIMIT_MS / p99_ms,
        ),
        Row(f"{what}: sustained of {PACE}/s", best.rate, "requests/s", "the pace", PACE, best.rate / PACE),
        Row(f"{what}: requests that failed", failed, "requests", "none", 0.0, 1.0 if not failed else 0.0),
    ]
    return found + _memory()


def _in_turns(site: Served, echo: Served, places: Places) -> list[Row]:
    """The rates, and what one request costs each server's processor."""
    targets = {id(site): places, id(echo): [("127.0.0.1", 4029)]}
    took: dict[int, list[tuple[float, float]]] = {id(site): [], id(echo): []}
    for number in range(ROUNDS):
        for server in (site, echo) if number % 2 else (echo, site):
            before_s = server.cpu_s()
            came = load(_turned(targets[id(server)], number), seconds=ROUND_S, at_once=AT_ONCE)
            took[id(server)].append((came.rate, (server.cpu_s() - before_s) / max(1, came.done) * 1e6))
    ours, theirs = took[id(site)], took[id(echo)]
    what = f"{MINERS} miners, 5 % in ramp, cgminer summary"
    rates = median(a[0] / b[0] for a, b in zip(ours, theirs, strict=True))
    costs = median(b[1] / a[1] for a, b in zip(ours, theirs, strict=True))
    return [
        Row(what, median(a[0] for a in ours), "requests/s", PEER, median(b[0] for b in theirs), rates),
        Row(
            f"{what}: processor time a request", median(a[1] for a in ours), "µs", PEER,
            median(b[1] for b in theirs), costs,
        ),
    ]  # fmt: skip


def _turned(places: Places, number: int) -> Places:
    """The same places from another one on, so that a round does not ask whom the last one asked."""
    start = number * len(places) // ROUNDS
    return places[start:] + places[:start]


def _memory() -> list[Row]:
    """A site of every firmware that ships, those without a cgminer socket too.

    What a second round of requests adds is the record of the traffic, which is bounded for the whole run; a miner's own
    state has come with the first.
    """
    with serving("site", MINERS, "all") as site:
        places: Places = list(zip(site.said["addresses"], site.said["ports"], strict=True))
        resident = [site.resident_bytes()]
        sockets = [place for place in places if place[1] == API_PORT]
        pages = [place for place in places if place[1] != API_PORT]
        for _ in range(2):
            load(sockets, seconds=60.0, at_once=AT_ONCE, most=len(sockets))
            if pages:
                load(pages, seconds=60.0, at_once=AT_ONCE, most=len(pages), request=PAGE)
            resident.append(site.resident_bytes())
        start_s, idle = site.said["startup_s"], site.said["bytes_a_miner"]
    state = idle + (2 * resident[1] - resident[0] - resident[2]) / MINERS
    limits = (
        ("resident memory a miner", idle, "bytes", LIMIT_BYTES),
        ("the same when each has been asked, traffic on record apart", state, "bytes", LIMIT_BYTES),
        ("start", start_s, "s", LIMIT_START_S),
    )
    what = f"{MINERS} miners of all {len(site.said['firmwares'])} firmwares"
    return [
        Row(f"{what}: {name}", value, unit, "the limit set for it", limit, limit / value)
        for name, value, unit, limit in limits
    ]
