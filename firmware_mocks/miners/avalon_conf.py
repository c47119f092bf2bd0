"""What an Avalon is told and what its image says of itself: configuration, parameters of the face, its models.

Owns the reading of `avalon.toml`; what a setting does is `avalon.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TypeAlias

from firmware_mocks.miners.replies import figures, values

FIGURES = figures(__package__, "avalon.toml")
MODES = values(FIGURES, "modes")
MODELS = frozenset(key.removesuffix(".prod") for key in FIGURES if key.endswith(".prod"))
"""Models with a table of their own in the figures: those that this firmware runs on."""
Pools: TypeAlias = tuple[tuple[str, str, str], ...]
"""(url, worker, password) of the three pools."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """Parameters of the face; defaults, sources and grades are in the TOML file."""

    api_reply_ns: int
    stats_reply_ns: int
    process_stop_ns: int
    process_start_ns: int
    reboot_after_ns: int
    when_busy: str
    one_recv: bool
    text_tail: str
    softoff_reply: str
    softon_reply: str
    mode_needs_reboot: bool
    clock_skew_ns: int
    pool_urls: tuple[str, ...] = tuple(f"stratum+tcp://pool-{letter}.example:3333" for letter in "abc")


@dataclass(frozen=True, slots=True)
class Conf:
    """The configuration; it survives power and reboot, soft-off does not."""

    mode: int = 1
    level: int = 0
    clock_share: float = 1.0
    voltage_share: float = 1.0
    fan: int = -1
    password: str = ""
    """Empty: the factory's."""
    pools: Pools | None = None
    network: tuple[str, ...] = ()


FACTORY = Conf()


@dataclass(frozen=True, slots=True)
class Identity:
    """What one model's image says of itself, and how it measures."""

    prod: str
    model: str
    build: str
    hwtype: str
    swtype: str
    bootby: str
    efficiency: float
    hash_error: float
    clocks: list[float]
    cell_mv: int
    full_rpm: list[float]
    wall_power: bool
    has_levels: bool


@cache
def identity(model_id: str) -> Identity:
    """The image of one model."""
    return Identity(**values(FIGURES, model_id))
