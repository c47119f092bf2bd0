"""Controllers with exactly known delays, in virtual time: the bench's error is nothing."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

from bench.accuracy import APART_NS, LONGEST_NS, SHORTEST_NS, Trial, errors, p99_ns, plan, trial
from bench.doctor.spread import Spread
from bench.verdict import Validity

MOVES = plan(130)


def test_delays_reach_from_a_millisecond_to_ten_seconds_and_openings_stay_apart() -> None:
    assert min(move.delay_ns for move in MOVES) == SHORTEST_NS
    assert max(move.delay_ns for move in MOVES) == LONGEST_NS
    assert all(move.event_ns >= 0 for move in MOVES)
    due = [move.due_ns for move in MOVES]
    assert all(after - before > APART_NS * 3 // 4 for before, after in pairwise(due))
    decades = {len(str(move.delay_ns)) for move in MOVES}
    assert decades >= {7, 8, 9, 10}, "1 ms, 10 ms, 100 ms and 1 s each have some"


def test_in_virtual_time_every_reaction_of_1000_miners_is_measured_to_the_microsecond() -> None:
    found = trial(MOVES, mode="virtual")
    wrong = errors(found, found)
    for reaction in found.reactions:
        assert reaction.sent_ns == reaction.move.due_ns, "an exact controller is exact"
    assert max(map(abs, wrong.meter)) < 1_000, "the reaction is that of the log of segments"
    assert max(map(abs, wrong.whole)) < 1_000
    assert set(wrong.command) == {0.0}
    assert found.validity is Validity.VALID


def test_each_error_has_its_own_cause() -> None:
    exact = trial(MOVES[:3], mode="virtual")
    late = [replace(one, sent_ns=one.sent_ns + 300, switched_ns=one.switched_ns + 800) for one in exact.reactions]
    moved = [replace(one, measured_ns=one.measured_ns + 900) for one in late]
    wrong = errors(Trial(tuple(moved), Spread(), {}), exact)
    assert all(abs(one - 900) < 10 for one in wrong.whole), "what the controller's delay comes out wrong by"
    assert all(abs(one - 100) < 10 for one in wrong.meter), "of which the measuring"
    assert set(wrong.command) == {500.0}, "and the way of the command"


def test_the_size_of_errors_counts_and_not_their_sign() -> None:
    assert p99_ns([-3.0, 1.0, 2.0]) == 3.0
