"""Waiting on a real loop: hours that take no time, in the right order, and a date that stays the machine's."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial
from typing import TypeVar

import pytest

from emulator import clock
from emulator.clock import Clock
from emulator.wire import SECOND
from tests.clients.site import Site

T = TypeVar("T")
HOUR_S = 3600


def together(*what: Callable[[Site], Awaitable[T]], mode: str = "real") -> list[T]:
    """Do everything at once on a site of one miner that listens nowhere."""

    async def main(running: Clock) -> list[T]:
        site = Site(running, [("luxos", "s21")])
        return await site.together([partial(one, site) for one in what])

    return clock.run(main, mode=mode)


def test_an_hour_goes_by_at_the_site_and_none_on_the_miners_calendar() -> None:
    async def what(site: Site) -> None:
        began_ns, date = site.now, site.date()
        await site.wait_s(HOUR_S)
        assert site.now - began_ns >= HOUR_S * SECOND
        assert site.date() - date < timedelta(minutes=1)

    together(what)


@pytest.mark.parametrize("mode", ["virtual", "real"])
def test_waiting_for_something_says_how_long_it_took_and_is_given_up(mode: str) -> None:
    async def what(site: Site) -> None:
        due_ns = site.now + 7 * SECOND
        assert 6.9 < await site.until(lambda: site.now >= due_ns) < 9
        with pytest.raises(AssertionError, match=r"it did not come to that in 5 s"):
            await site.until(lambda: False, 5)

    together(what, mode=mode)


def test_sleepers_wake_in_the_order_of_their_instants_and_those_of_one_grid_point_together() -> None:
    woken: list[tuple[str, int]] = []

    async def sleep(name: str, durations_s: tuple[float, ...], site: Site) -> None:
        for duration_s in durations_s:
            await site.wait_s(duration_s)
            woken.append((name, site.now // SECOND))

    naps: dict[str, tuple[float, ...]] = {"long": (996,), "twice": (11, HOUR_S), "short": (12,)}
    together(*(partial(sleep, name, durations_s) for name, durations_s in naps.items()))
    assert woken == [("twice", 15), ("short", 15), ("long", 1000), ("twice", 3620)]


def test_one_who_ends_lets_the_others_sleep_on_without_him() -> None:
    async def end(_site: Site) -> int:
        return 1

    async def sleep(site: Site) -> int:
        await site.wait_s(HOUR_S)
        return 2

    assert together(sleep, end) == [2, 1]
