"""Faults of messages, and what registers that have no messages show of the same faults."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emulator.faulty_notices import EDITS, delivered
from emulator.faulty_readings import published
from emulator.signals.notices import Notice, Order, Price
from emulator.timeline import Signal
from emulator.wire import SECOND
from tests.emulator.signals.world import NOMINAL_W, plan, profile, seconds, told


def through(*faults: dict[str, Any], channel: str = "dispatch", interface: str = "feed") -> list[Notice]:
    """What arrives on one channel."""
    return [n for n in delivered(plan(*faults), interface, told()) if n.channel == channel]


def fault(kind: str, where: str = "signal:dispatch", **more: Any) -> dict[str, Any]:
    return {"where": where, "kind": kind, **more}


PLAIN = [(60.0, "order-0001"), (600.0, "order-0001"), (600.0, "order-0002"), (900.0, "order-0002")]


def test_without_faults_everything_arrives_when_it_is_sent() -> None:
    assert seconds(through()) == PLAIN


def test_late_messages_keep_their_dates_and_come_at_once_when_the_fault_ends() -> None:
    found = through(fault("late", start="50 s", stop="605 s", by="30 s"))
    assert seconds(found) == [(90.0, "order-0001"), (605.0, "order-0001"), (605.0, "order-0002"), (900.0, "order-0002")]
    assert isinstance(found[0].body, Order)
    assert found[0].body.start_ns == 60 * SECOND


def test_a_publisher_that_comes_back_tells_what_stands() -> None:
    found = through(fault("stale", start="50 s", stop="700 s"))
    assert seconds(found) == [(700.0, "order-0001"), (700.0, "order-0002"), (900.0, "order-0002")]
    assert isinstance(found[0].body, Order)
    assert found[0].body.revision == 2
    assert seconds(through(fault("stale", start="50 s"))) == []


def test_a_duplicate_is_the_same_message_again() -> None:
    found = through(fault("duplicate", after="2 s", times=2, stop="100 s"))
    assert seconds(found)[:3] == [(60.0, "order-0001"), (62.0, "order-0001"), (64.0, "order-0001")]
    assert len({notice.body for notice in found[:3]}) == 1


def test_a_message_that_is_overtaken_arrives_behind_its_successor() -> None:
    found = through(fault("reordered", start="60 s", stop="61 s", wait="10 min"))
    bodies = [notice.body for notice in found[:3]]
    assert [body.revision for body in bodies if isinstance(body, Order)] == [2, 1, 1]
    assert [body.id for body in bodies] == ["order-0001", "order-0002", "order-0001"]
    assert found[2].at_ns - found[1].at_ns == 1_000_000
    assert seconds(through(fault("reordered", start="60 s", stop="61 s", wait="9 s"))) == PLAIN


def test_an_overlapping_order_has_an_id_of_its_own_and_its_own_end() -> None:
    second = through(fault("overlapping", after="30 s", lasts="90 s", factor=0.5, stop="100 s"))[1]
    assert isinstance(second.body, Order)
    assert (second.at_ns, second.body.id) == (90 * SECOND, "order-0001b")
    assert (second.body.start_ns, second.body.stop_ns, second.body.setpoint_w) == (90 * SECOND, 180 * SECOND, 2e5)


def test_an_overlapping_price_is_for_the_same_interval() -> None:
    found = through(fault("overlapping", "signal:price", after="1 s", factor=2.0, start="299 s", stop="301 s"),
                    channel="price")  # fmt: skip
    first, second = (n.body for n in found if 300 <= n.at_ns / SECOND <= 301)
    assert isinstance(first, Price)
    assert isinstance(second, Price)
    assert (first.start_ns, first.usd_per_mwh) == (second.start_ns, second.usd_per_mwh / 2)


def test_nothing_more_is_said_about_an_order_that_was_withdrawn() -> None:
    found = through(fault("cancelled", after="20 s", stop="100 s"))
    assert seconds(found) == [(60.0, "order-0001"), (80.0, "order-0001"), (600.0, "order-0002"), (900.0, "order-0002")]
    assert [n.body.cancelled for n in found if isinstance(n.body, Order)] == [False, True, False, False]
    assert seconds(through(fault("cancelled", after="2 h"))) == PLAIN


def test_a_malformed_message_carries_its_damage() -> None:
    found = through(fault("malformed", how="cut", stop="100 s"))
    assert [n.damage.how if n.damage else "" for n in found] == ["cut", "", "", ""]


def test_a_fault_aimed_at_one_interface_leaves_the_others_alone() -> None:
    aimed = fault("late", "mqtt", by="5 s")
    assert seconds(through(aimed, interface="feed")) == PLAIN
    assert seconds(through(aimed, interface="mqtt")) == [(at + 5, name) for at, name in PLAIN]
    assert through(aimed, interface="mqtt", channel="price")[0].at_ns == 5 * SECOND


def test_the_link_sees_to_malformed_texts_of_an_interface_unless_it_cannot() -> None:
    aimed = plan(fault("malformed", "mqtt", how="cut"))
    assert all(n.damage is None for n in delivered(aimed, "mqtt", told()))
    assert all(n.damage is not None for n in delivered(aimed, "mqtt", told(), texts=True))


@settings(deadline=None, max_examples=40)
@given(st.sampled_from(sorted(EDITS)), st.integers(0, 20))
def test_a_fault_of_probability_0_is_no_fault(kind: str, start_s: int) -> None:
    assert delivered(plan(fault(kind, "*", start=f"{start_s} s", probability="0 %")), "feed", told()) == told()


@settings(deadline=None, max_examples=30)
@given(st.sampled_from(sorted(EDITS)), st.floats(0.1, 1.0))
def test_messages_arrive_in_time_order_and_a_further_channel_changes_nothing(kind: str, share: float) -> None:
    one = plan(fault(kind, probability=f"{share * 100:.3f} %"))
    both = plan(fault(kind, probability=f"{share * 100:.3f} %"), fault(kind, "signal:price"))
    found = delivered(one, "feed", told())
    assert [n.at_ns for n in found] == sorted(n.at_ns for n in found)
    assert [n for n in found if n.channel == "dispatch"] == [
        n for n in delivered(both, "feed", told()) if n.channel == "dispatch"
    ]


# ---- registers and contacts ------------------------------------------------------------------------------------------


def shown(*faults: dict[str, Any], channel: str = "dispatch", interface: str = "") -> list[float]:
    signal = published(
        plan(*faults), channel, profile()[channel], interface=interface,
        nominal=NOMINAL_W if channel == "dispatch" else None,
    )  # fmt: skip
    return [
        signal.at(second * SECOND) / (1e6 if channel == "dispatch" else 1) for second in (59, 61, 85, 599, 601, 901)
    ]


@pytest.mark.parametrize(
    ("kind", "more", "levels"),
    [
        ("duplicate", {}, [1.0, 0.4, 0.4, 0.4, 0.7, 1.0]),
        ("cancelled", {"after": "20 s"}, [1.0, 0.4, 1.0, 1.0, 0.7, 1.0]),
        ("cancelled", {"after": "20 s", "stop": "10 s"}, [1.0, 0.4, 0.4, 0.4, 0.7, 1.0]),
        ("overlapping", {"after": "20 s", "lasts": "10 s"}, [1.0, 0.4, 0.2, 0.4, 0.7, 1.0]),
        ("reordered", {"wait": "10 min", "stop": "61 s"}, [1.0, 1.0, 1.0, 1.0, 0.4, 1.0]),
        ("reordered", {"wait": "1 s"}, [1.0, 0.4, 0.4, 0.4, 0.7, 1.0]),
    ],
)
def test_a_register_shows_the_word_that_came_last(kind: str, more: dict[str, Any], levels: list[float]) -> None:
    assert shown(fault(kind, **more)) == levels


@pytest.mark.parametrize("kind", ["cancelled", "overlapping", "reordered", "duplicate"])
def test_a_signal_without_a_change_has_nothing_to_go_wrong(kind: str) -> None:
    signal = published(plan(fault(kind)), "dispatch", Signal.constant(NOMINAL_W), nominal=NOMINAL_W)
    assert signal.value.tolist() == [NOMINAL_W]


def test_a_register_block_has_faults_of_its_own() -> None:
    aimed = fault("cancelled", "dispatch", after="0 s")
    assert shown(aimed) == [1.0, 0.4, 0.4, 0.4, 0.7, 1.0]
    assert shown(aimed, interface="dispatch") == [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]


def test_a_price_can_overlap_and_cannot_be_withdrawn() -> None:
    assert shown(fault("cancelled", "signal:price"), channel="price") == [30.0, 30.0, 30.0, 2500.0, 2500.0, -5.0]
    doubled = fault("overlapping", "signal:price", after="0 s", lasts="1 h", factor=2.0)
    assert shown(doubled, channel="price")[3] == 5000.0
