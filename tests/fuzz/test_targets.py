"""The laws that the fuzzer holds the codecs to, on inputs that hypothesis makes: also where there is no fuzzer."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.fuzz.targets import SEEDS, TARGETS

ROOT = Path(__file__).parents[2]


@st.composite
def mutated(draw: st.DrawFn, name: str) -> bytes:
    """Some seeds one behind the other, a few bytes changed, put in or taken out."""
    data = bytearray(b"".join(draw(st.lists(st.sampled_from(SEEDS[name]), min_size=1, max_size=3))))
    for _ in range(draw(st.integers(0, 6))):
        at = draw(st.integers(0, max(0, len(data) - 1)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=4))
    return bytes(data)


@pytest.mark.parametrize("name", [name for name in TARGETS if name != "everything"])
@settings(max_examples=60)
@given(data=st.data())
def test_no_law_is_broken(name: str, data: st.DataObject) -> None:
    TARGETS[name](data.draw(st.binary(max_size=400) | mutated(name)))


def test_every_target_has_seeds_that_pass_and_its_place_in_the_makefile() -> None:
    assert list(SEEDS) == list(TARGETS)
    for name, seeds in SEEDS.items():
        for seed in seeds:
            TARGETS[name](seed)
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"FUZZ_TARGETS ?= {' '.join(name for name in TARGETS if name != 'everything')}\n" in makefile
