"""How devices were asked: the busiest minute of a miner, and the longest time in which nobody read the meter."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import tap
from bench.conduct import conduct
from bench.tap import Traffic
from emulator.wire import SECOND


def traffic(*requests: tuple[float, str]) -> Traffic:
    told = Traffic()
    for at_s, device in requests:
        told.request(round(at_s * SECOND), device, device.partition("-")[0], 502, b"?")
        told.reply(round(at_s * SECOND) + 1, device, 502, b"!")
    return told


def test_the_busiest_minute_is_that_of_one_miner_and_counts_requests_only() -> None:
    told = traffic((0, "miner-0001"), (59, "miner-0001"), (60, "miner-0001"), (30, "miner-0002"), (1, "meter-poi"))
    assert conduct(told, "meter-poi", 0, 90 * SECOND)["busiest_minute"] == 2


def test_the_meters_silence_has_the_ends_of_the_profile_for_its_ends() -> None:
    told = traffic((5, "meter-poi"), (20, "meter-poi"), (26, "meter-poi"))
    assert conduct(told, "meter-poi", 10 * SECOND, 30 * SECOND)["meter_silence_s"] == 10.0
    assert conduct(told, "meter-poi", 0, 30 * SECOND)["meter_silence_s"] == 15.0
    assert conduct(traffic(), "meter-poi", 0, 30 * SECOND)["meter_silence_s"] == 30.0


def test_where_frames_were_thrown_away_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tap, "MOST_FRAMES", 1)
    assert conduct(traffic((5, "meter-poi")), "meter-poi", 0, SECOND) == {}


@given(st.lists(st.integers(0, 300), max_size=40), st.integers(1, 60))
def test_the_most_within_a_span_is_what_counting_from_every_instant_gives(instants: list[int], span: int) -> None:
    told = traffic(*((at, "miner-0001") for at in sorted(instants)))
    slow = max((sum(first <= at < first + span for at in instants) for first in instants), default=0)
    assert told.most_requests(span * SECOND).get("miner-0001", 0) == slow
