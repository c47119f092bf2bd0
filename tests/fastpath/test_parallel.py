"""Scans on several threads, and the flag that ends them."""

from __future__ import annotations

import subprocess
import sys
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
    kernel = next(tier.name for tier in fastpath.kernels() if "scan" in tier.chosen)
    hits = fastpath.scan(HEADER, 0, 2**32, 1 << 244, kernel=kernel, stop=StopAfter(asked))
    assert hits == fastpath.scan(HEADER, 0, 1 << 22, 1 << 244)[: len(hits)]
    assert bool(hits) is (asked > 0)


def test_a_flag_set_during_the_first_calibration_ends_the_scan() -> None:
    program = (
        "import fastpath\n"
        "class Stop:\n"
        "    asked = 0\n"
        "    def is_set(self):\n"
        "        Stop.asked += 1\n"
        "        return Stop.asked > 2\n"
        "print(fastpath.scan(bytes(80), 0, 2**32, 0, stop=Stop()), Stop.asked < 9)"
    )
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=30)
    assert run.stdout.split() == ["[]", "True"]


def test_a_set_flag_ends_a_scan_of_versions_and_every_thread() -> None:
    flag = threading.Event()
    flag.set()
    assert fastpath.scan_versions(HEADER, 0x1FFFE000, 64, 0, 2**32, 1 << 250, stop=flag) == []
    assert fastpath.scan_parallel(HEADER, 0, 2**32, 1 << 250, threads=2, stop=flag) == []
    stopped = fastpath.scan_versions(HEADER, 0x1FFFE000, 64, 0, 1 << 20, 1 << 244, stop=StopAfter(40))
    assert stopped


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
