"""What the grid operator says, message by message: orders, prices and recalls made of a profile's signals.

Owns the messages and when each is sent; how one is written on a wire is the interface's, what goes wrong with it on the
way is `emulator/faulty_notices.py`'s.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from emulator.wire import MINUTE, SECOND, Instant

if TYPE_CHECKING:
    from emulator.seed import Seed
    from emulator.timeline import Signal

CHANNELS = ("dispatch", "price", "recall")
"""Channels that are told by messages; frequency and voltage are measured, not told."""
INTERVAL_NS = 5 * MINUTE
"""Real-time markets clear every five minutes (ERCOT SCED, CAISO, PJM; S2: grid services sheet F)."""
HOUR_NS = 60 * MINUTE
_SLACK_W = 0.5
"""A set-point this close to nominal asks for nothing."""


@dataclass(frozen=True, slots=True)
class Order:
    """One instruction: consume no more than `setpoint_w` in [start_ns, stop_ns); without a stop, until further notice.

    `ramp_ns` is the time from the start over which the set-point moves in a straight line from the one before. A
    message with a higher `revision` replaces one with a lower.
    """

    number: int
    issued_ns: Instant
    start_ns: Instant
    setpoint_w: float
    stop_ns: Instant | None = None
    ramp_ns: int = 0
    revision: int = 1
    cancelled: bool = False
    variant: str = ""

    @property
    def id(self) -> str:
        """`order-0001`; a second order that overlaps it is `order-0001b`."""
        return f"order-{self.number:04d}{self.variant}"

    @property
    def subject(self) -> str:
        """What the message is about."""
        return self.id

    def status(self, now: Instant) -> str:
        """pending, active, completed or cancelled."""
        if self.cancelled:
            return "cancelled"
        if now < self.start_ns:
            return "pending"
        return "active" if self.stop_ns is None or now < self.stop_ns else "completed"


@dataclass(frozen=True, slots=True)
class Price:
    """The price of one market interval."""

    number: int
    start_ns: Instant
    stop_ns: Instant
    usd_per_mwh: float
    variant: str = ""

    @property
    def id(self) -> str:
        """`price-0001`."""
        return f"price-{self.number:04d}{self.variant}"

    @property
    def subject(self) -> str:
        """What the message is about: the price that stands."""
        return "price"


@dataclass(frozen=True, slots=True)
class Recall:
    """The site may come back: the `count`-th time."""

    count: int
    issued_ns: Instant

    @property
    def number(self) -> int:
        """The count."""
        return self.count

    @property
    def id(self) -> str:
        """`recall-0001`."""
        return f"recall-{self.count:04d}"

    @property
    def subject(self) -> str:
        """What the message is about."""
        return "recall"


Body: TypeAlias = Order | Price | Recall


@dataclass(frozen=True, slots=True)
class Damage:
    """A damage of `emulator/malformations.toml` and the seed of where it hits."""

    how: str
    seed: Seed


@dataclass(frozen=True, slots=True)
class Notice:
    """A message and the instant at which it reaches the interface, with what happens to its text on the way."""

    at_ns: Instant
    channel: str
    body: Body
    damage: Damage | None = None


@dataclass(frozen=True, slots=True)
class Terms:
    """How an operator speaks: how long ahead, whether he tells the end of an order, and his market's interval."""

    ahead_ns: int = 0
    tells_end: bool = False
    interval_ns: int = INTERVAL_NS


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a set-point: at once at `at_ns`, or in a straight line until `until_ns`."""

    number: int
    at_ns: Instant
    until_ns: Instant
    before_w: float
    after_w: float


def changes(signal: Signal) -> list[Change]:
    """Every step and every slope of a signal, counted from 1."""
    t, value = signal.t_ns.tolist(), signal.value.tolist()
    found: list[Change] = []
    for index in range(1, len(t)):
        if value[index] != value[index - 1]:
            found.append(Change(len(found) + 1, t[index - 1], t[index], value[index - 1], value[index]))
    return found


def orders(dispatch: Signal, nominal_w: float, terms: Terms) -> Iterator[Notice]:
    """The messages behind a dispatch signal.

    A step or a slope is an order, and ends the one before it; a step to nominal power ends it and begins none. An order
    that stands at the beginning is issued at instant 0.
    """
    first = float(dispatch.value[0])
    moves = changes(dispatch)
    open_order: Order | None = None
    if first < nominal_w - _SLACK_W:
        open_order = Order(0, 0, 0, first, moves[0].at_ns if terms.tells_end and moves else None)
        yield Notice(0, "dispatch", open_order)
    for place, move in enumerate(moves):
        sent_ns = max(0, move.at_ns - terms.ahead_ns)
        if open_order is not None and open_order.stop_ns is None:
            ended = replace(open_order, stop_ns=move.at_ns, revision=open_order.revision + 1)
            yield Notice(max(sent_ns, open_order.issued_ns), "dispatch", ended)
        open_order = None
        ramp_ns = move.until_ns - move.at_ns
        asks = move.after_w < nominal_w - _SLACK_W
        if not asks and ramp_ns == 0:
            continue
        stop_ns = None if asks else move.until_ns  # a slope back to nominal is over at its top
        if asks and terms.tells_end and place + 1 < len(moves):
            stop_ns = moves[place + 1].at_ns
        open_order = Order(move.number, sent_ns, move.at_ns, move.after_w, stop_ns, ramp_ns)
        yield Notice(sent_ns, "dispatch", open_order)


def recalls(recall: Signal) -> Iterator[Notice]:
    """The recall messages behind a signal that counts them."""
    for move in changes(recall):
        for count in range(int(move.before_w) + 1, int(move.after_w) + 1):
            yield Notice(move.at_ns, "recall", Recall(count, move.at_ns))


def prices(price: Signal, start: Instant, stop: Instant, epoch: datetime, interval_ns: int) -> Iterator[Notice]:
    """The price of every market interval that begins in [start, stop), and of the one that `start` lies in.

    Intervals lie on the marks of the clock on the wall. An interval's price is the one in force when it begins, and is
    published then.
    """
    since_midnight_ns = _since_midnight_ns(epoch)
    first = (start + since_midnight_ns) // interval_ns
    last = -(-(stop + since_midnight_ns) // interval_ns)
    begins = np.arange(first, max(last, first + 1), dtype=np.int64) * interval_ns - since_midnight_ns
    for number, (begin, value) in enumerate(zip(begins.tolist(), price.sample(begins).tolist(), strict=True), start=1):
        yield Notice(max(begin, 0), "price", Price(number, begin, begin + interval_ns, value))


def day_ahead(price: Signal, now: Instant, epoch: datetime) -> list[Price]:
    """The day-ahead prices of the day that `now` lies in: 24 hours at what was expected, the price at instant 0.

    A definition of this project: the market of the day before does not know the event that the profile plays.
    """
    since_midnight_ns = _since_midnight_ns(epoch)
    midnight = (now + since_midnight_ns) // (24 * HOUR_NS) * 24 * HOUR_NS - since_midnight_ns
    expected = price.at(0)
    return [Price(hour + 1, midnight + hour * HOUR_NS, midnight + (hour + 1) * HOUR_NS, expected) for hour in range(24)]


def notices(
    signals: Mapping[str, Signal], nominal_w: float, terms: Terms, stop: Instant, epoch: datetime
) -> list[Notice]:
    """Everything the operator sends until `stop`, in the order in which it is sent."""
    told = [
        *orders(signals["dispatch"], nominal_w, terms),
        *prices(signals["price"], 0, stop, epoch, terms.interval_ns),
        *recalls(signals["recall"]),
    ]
    return in_order(told)


def in_order(told: Iterable[Notice]) -> list[Notice]:
    """Sorted by instant, at one instant by channel; messages of one channel keep their order there."""
    return sorted(told, key=lambda notice: (notice.at_ns, CHANNELS.index(notice.channel)))


class Bulletin:
    """All messages that reach one interface in a run, in order of arrival."""

    def __init__(self, told: Iterable[Notice] = ()) -> None:
        self.all = in_order(told)
        self._at = [notice.at_ns for notice in self.all]

    def until(self, now: Instant, channel: str = "") -> list[Notice]:
        """What has arrived by `now`, oldest first."""
        arrived = self.all[: bisect_right(self._at, now)]
        return [notice for notice in arrived if notice.channel == channel] if channel else arrived

    def count(self, now: Instant) -> int:
        """How many have arrived by `now`."""
        return bisect_right(self._at, now)

    def next_ns(self, now: Instant) -> Instant | None:
        """When the first message after `now` arrives."""
        place = bisect_right(self._at, now)
        return self._at[place] if place < len(self._at) else None

    def standing(self, now: Instant, channel: str) -> list[Notice]:
        """The last message to have arrived on each subject of a channel, in the order in which they arrived.

        Whoever takes every message for the newest keeps just these: an older one that comes late replaces a newer.
        """
        latest: dict[str, Notice] = {}
        for notice in self.until(now, channel):
            latest.pop(notice.body.subject, None)
            latest[notice.body.subject] = notice
        return list(latest.values())


def _since_midnight_ns(epoch: datetime) -> int:
    """From midnight UTC to instant 0."""
    return (epoch.hour * 3600 + epoch.minute * 60 + epoch.second) * SECOND + epoch.microsecond * 1000
