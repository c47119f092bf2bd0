"""Scans on several threads, and the flag that ends them."""

from __future__ import annotations

import threading

import pytest

import fastpath

HEADER = bytes(range(80))
NO_HIT = 0


@pytest.mark.parametrize("threads", [1, 2, 7])
@pytest.mark.parametrize("count", [0, 1, 13, 14, 30_001])
def test_the_number_of_threads_changes_no_hit(threads: int, count: int) -> None:
    expected = fastpath.scan(HEADER, 77, count, 1 << 248)
    assert fastpath.scan_parallel(HEADER, 77, count, 1 << 248, threads=threads) == expected


def test_threads_share_a_range_longer_than_one_share() -> None:
    start, count = 2**32 - (1 << 22) - 99, (1 << 22) + 99
    hits = fastpath.scan_parallel(HEADER, start, count, 1 << 240, threads=2)
    assert hits == fastpath.scan(HEADER, start, count, 1 << 240)
    assert hits == sorted(set(hits))


def test_the_default_is_a_thread_for_each_core() -> None:
    assert fastpath.scan_parallel(HEADER, 0, 5_000, 1 << 250) == fastpath.scan(HEADER, 0, 5_000, 1 << 250)


class StopAfter:
    """A flag that is set from the nth time it is asked."""

    def __init__(self, times: int) -> None:
        self.left = times

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize("asked", [0, 1, 2])
def test_a_set_flag_ends_a_scan_with_the_hits_so_far(asked: int) -> None:
    hits = fastpath.scan(HEADER, 0, 2**32, 1 << 244, stop=StopAfter(asked))
    assert hits == fastpath.scan(HEADER, 0, 1 << 22, 1 << 244)[: len(hits)]
    assert bool(hits) is (asked > 0)


def test_a_set_flag_ends_a_scan_of_versions_and_every_thread() -> None:
    flag = threading.Event()
    flag.set()
    assert fastpath.scan_versions(HEADER, 0x1FFFE000, 64, 0, 2**32, 1 << 250, stop=flag) == []
    assert fastpath.scan_parallel(HEADER, 0, 2**32, 1 << 250, threads=2, stop=flag) == []
    assert len(fastpath.scan_versions(HEADER, 0x1FFFE000, 64, 0, 2**32, 1 << 248, stop=StopAfter(3))) > 0


def test_an_error_in_one_thread_reaches_the_caller() -> None:
    class Broken:
        def is_set(self) -> bool:
            raise OSError("the flag is gone")

    with pytest.raises(OSError, match="the flag is gone"):
        fastpath.scan_parallel(HEADER, 0, 1 << 20, NO_HIT, threads=2, stop=Broken())


WRONG = [
    ({"threads": 0}, ValueError, "threads must be at least 1, not 0"),
    ({"threads": "2"}, TypeError, "threads must be an int, not str"),
    ({"stop": 1}, TypeError, r"stop must have a method is_set\(\)"),
    ({"kernel": "quantum", "threads": 2}, ValueError, "kernel: there is no kernel 'quantum'"),
]


@pytest.mark.parametrize(("given", "error", "message"), WRONG, ids=[w[2] for w in WRONG])
def test_a_wrong_argument_of_a_parallel_scan_is_named(
    given: dict[str, object], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fastpath.scan_parallel(HEADER, 0, 100, NO_HIT, **given)  # type: ignore[arg-type]
