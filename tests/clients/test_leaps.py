"""Waiting on a real loop: hours that take no time, in the right order, and a date that stays the machine's."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from emulator import clock
from emulator.clock import Clock
from emulator.wire import SECOND
from tests.clients.site import Site

HOUR_S = 3600


def test_an_hour_goes_by_at_the_site_and_none_on_the_wall() -> None:
    async def what(site: Site) -> None:
        began_ns, date = site.now, site.date()
        await site.wait_s(HOUR_S)
        assert site.now - began_ns >= HOUR_S * SECOND
        assert site.date() - date < timedelta(minutes=1)
        assert abs(datetime.now(UTC) - site.date()) < timedelta(seconds=1)

    Site.run([], what, mode="real")


@pytest.mark.parametrize("mode", ["virtual", "real"])
def test_waiting_for_something_says_how_long_it_took_and_is_given_up(mode: str) -> None:
    async def what(site: Site) -> None:
        due_ns = site.now + 7 * SECOND
        assert 6.9 < await site.until(lambda: site.now >= due_ns) < 7.5
        with pytest.raises(AssertionError, match=r"it did not come to that in 5 s"):
            await site.until(lambda: False, 5)

    Site.run([], what, mode=mode)


def test_sleepers_wake_in_the_order_of_their_instants_and_those_of_one_grid_point_together() -> None:
    woken: list[tuple[str, int]] = []

    async def sleep(site: Site, name: str, *durations_s: float) -> None:
        for duration_s in durations_s:
            await site.wait_s(duration_s)
            woken.append((name, site.now // SECOND))

    async def main(running: Clock) -> None:
        async with Site(running, []) as site:
            naps = {"long": (1000,), "twice": (11, HOUR_S), "short": (12,)}
            await site.together([partial(sleep, site, name, *durations_s) for name, durations_s in naps.items()])

    clock.run(main, mode="real")
    assert woken == [("twice", 15), ("short", 15), ("long", 1005), ("twice", 3615)]


def test_one_who_ends_lets_the_others_sleep_on_without_him() -> None:
    async def end() -> int:
        return 1

    async def main(running: Clock) -> list[int]:
        async with Site(running, []) as site:

            async def sleep() -> int:
                await site.wait_s(HOUR_S)
                return 2

            return await site.together([sleep, end])

    assert clock.run(main, mode="real") == [2, 1]
