from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from bench.kernels.contestants import key_of
from bench.kernels.machine import Machine
from bench.kernels.measure import Record

Made = Callable[..., list[Record]]


@pytest.fixture
def series() -> Made:
    """Records of one kernel from its rates in hashes a second, one a round."""

    def made(name: str, rates: Sequence[float], *, work: str = "scan", threads: int = 1) -> list[Record]:
        return [
            Record(key_of(work, name, threads), work, name, threads, number, 0, 1_000_000, 1_000_000 / rate, 3.7e9)
            for number, rate in enumerate(rates)
        ]

    return made


@pytest.fixture
def zen_4() -> Machine:
    return Machine(
        cpu="A <processor>", family=25, model=17, architecture="x86_64", logical=2, allowed=2, nominal_hz=2.6e9,
        frequency_source="a test", rnds2_per_cycle=1.0, limit_source="a test", system="Linux", python="3.11",
        openssl="OpenSSL", backend="c",
    )  # fmt: skip
