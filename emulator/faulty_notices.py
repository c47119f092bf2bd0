"""Faults of messages: late, lost with their publisher, twice, out of order, overlapping, withdrawn, malformed.

Owns what a plan does to the list of messages that reaches an interface. What registers and contacts show of the same
faults, having no messages, is `emulator/faulty_readings.py`'s; both draw by the number of the order.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from emulator.faults import Dice, Fault, FaultPlan
from emulator.seed import Seed
from emulator.signals.notices import Damage, Notice, Order, Price, in_order
from emulator.wire import MILLISECOND, Instant

_BEHIND_NS = MILLISECOND
"""A message that is overtaken comes this long after the other. estimate"""


def strikes(fault: Fault, seed: Seed, at: Instant, number: int) -> bool:
    """Whether a fault hits the message of this number that is sent at `at`: one draw for each number."""
    return fault.active(at) and seed.uniform(number) < fault.number("probability")


def delivered(plan: FaultPlan, interface: str, told: Sequence[Notice], *, texts: bool = False) -> list[Notice]:
    """What reaches `interface` of all that is told, in order of arrival.

    First come the faults of a channel (`signal:dispatch`), alike on every interface, then the interface's own.
    `malformed` at the interface is left to the link, unless `texts` says that the link cannot tell texts apart.
    """
    faulty = list(told)
    for channel in dict.fromkeys(notice.channel for notice in told):
        for fault, seed in plan.aimed(f"signal:{channel}", "signal"):
            if fault.kind in EDITS:
                faulty = _on(channel, EDITS[fault.kind], faulty, fault, seed)
    for fault, seed in plan.aimed(interface, "signal"):
        if fault.kind in EDITS and (texts or fault.kind != "malformed"):
            for channel in dict.fromkeys(notice.channel for notice in told):
                faulty = _on(channel, EDITS[fault.kind], faulty, fault, seed / channel)
    return in_order(faulty)


def _on(channel: str, edit: Edit, told: list[Notice], fault: Fault, seed: Seed) -> list[Notice]:
    here = in_order(notice for notice in told if notice.channel == channel)
    return [*(notice for notice in told if notice.channel != channel), *edit(here, fault, seed)]


Edit = Callable[[list[Notice], Fault, Seed], list[Notice]]
"""From the messages of one channel to others, under one fault."""


def _late(told: list[Notice], fault: Fault, seed: Seed) -> list[Notice]:
    """What is under way when the fault ends comes at once."""
    if not Dice(seed).hit(fault):
        return told
    by_ns, stop_ns = fault.nanoseconds("by_ns"), fault.stop_ns
    return [
        replace(n, at_ns=n.at_ns + by_ns if stop_ns is None else min(n.at_ns + by_ns, stop_ns))
        if fault.active(n.at_ns) else n
        for n in told
    ]  # fmt: skip


def _stale(told: list[Notice], fault: Fault, seed: Seed) -> list[Notice]:
    """Nothing comes; a publisher that comes back tells what stands."""
    if not Dice(seed).hit(fault):
        return told
    missed = {n.body.subject: n for n in told if fault.active(n.at_ns)}
    kept = [n for n in told if not fault.active(n.at_ns)]
    back = [] if fault.stop_ns is None else [replace(n, at_ns=fault.stop_ns) for n in missed.values()]
    return in_order([*back, *kept])


def _duplicate(told: list[Notice], fault: Fault, seed: Seed) -> list[Notice]:
    after_ns, times = fault.nanoseconds("after_ns"), fault.nanoseconds("times")
    out: list[Notice] = []
    for n in told:
        again = times if strikes(fault, seed, n.at_ns, n.body.number) else 0
        out += [replace(n, at_ns=n.at_ns + copy * after_ns) for copy in range(again + 1)]
    return out


def _reordered(told: list[Notice], fault: Fault, seed: Seed) -> list[Notice]:
    wait_ns, out = fault.nanoseconds("wait_ns"), list(told)
    place = 0
    while place + 1 < len(told):
        first, following = told[place], told[place + 1]
        if strikes(fault, seed, first.at_ns, first.body.number) and following.at_ns - first.at_ns <= wait_ns:
            out[place], out[place + 1] = following, replace(first, at_ns=following.at_ns + _BEHIND_NS)
            place += 1
        place += 1
    return out


def _overlapping(told: list[Notice], fault: Fault, seed: Seed) -> list[Notice]:
    after_ns, lasts_ns, factor = (
        fault.nanoseconds("after_ns"), fault.nanoseconds("lasts_ns"), fault.number("factor"),
    )  # fmt: skip
    out = list(told)
    for n in told:
        body, at = n.body, n.at_ns + after_ns
        if not strikes(fault, seed, n.at_ns, body.number):
            continue
        if isinstance(body, Price):
            out.append(Notice(at, n.channel, replace(body, usd_per_mwh=factor * body.usd_per_mwh, variant="b")))
        elif isinstance(body, Order) and body.revision == 1:
            second = replace(
                body, variant="b", issued_ns=at, start_ns=max(at, body.start_ns), setpoint_w=factor * body.setpoint_w,
                stop_ns=max(at, body.start_ns) + lasts_ns, ramp_ns=0,
            )  # fmt: skip
            out.append(Notice(at, n.channel, second))
    return out


def _cancelled(told: list[Notice], fault: Fault, seed: Seed) -> list[Notice]:
    """Nothing more is said about an order that was withdrawn."""
    after_ns = fault.nanoseconds("after_ns")
    out, withdrawn = list(told), {}
    for n in told:
        if isinstance(n.body, Order) and n.body.revision == 1 and strikes(fault, seed, n.at_ns, n.body.number):
            withdrawn[n.body.id] = Notice(
                n.at_ns + after_ns, n.channel, replace(n.body, revision=n.body.revision + 1, cancelled=True)
            )
    for subject, notice in withdrawn.items():
        later = [n for n in told if n.body.id == subject and isinstance(n.body, Order) and n.body.revision > 1]
        if any(n.at_ns <= notice.at_ns for n in later):
            continue  # it was over before
        out = [n for n in out if n not in later] + [notice]
    return out


def _malformed(told: list[Notice], fault: Fault, seed: Seed) -> list[Notice]:
    how = str(fault.text("how"))
    return [
        replace(n, damage=Damage(how, seed / "damage" / place)) if strikes(fault, seed, n.at_ns, n.body.number) else n
        for place, n in enumerate(told)
    ]


EDITS: dict[str, Edit] = {
    "late": _late,
    "stale": _stale,
    "duplicate": _duplicate,
    "reordered": _reordered,
    "overlapping": _overlapping,
    "cancelled": _cancelled,
    "malformed": _malformed,
}
"""Kinds that work on messages; a new one is a function and a line here."""
