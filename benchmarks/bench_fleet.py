"""The fleet as closed forms against the same arrays stepped with NumPy, and what asking the log costs."""

from __future__ import annotations

import numpy as np

from benchmarks.rows import Row, alternate
from emulator import catalogue
from emulator.fleet import Fleet, MinerSpec
from emulator.seed import Seed

S = 1_000_000_000
SITE = 115_000
"""Miners of a 400 MW site."""
PLAY_S = 200
STEPPED_S = 2
"""The stepped peer is measured over this much simulated time and scaled: it costs the same every step."""


def rows() -> list[Row]:
    """A 400 MW site curtailed and returned once; a steady hour of it; a minute of site power at 1 kHz."""
    specs = [MinerSpec(f"m{i}", catalogue.model("s21"), catalogue.family("luxos")) for i in range(SITE)]
    fleets = [Fleet(specs, Seed(i)) for i in range(12)]
    played = alternate(lambda: _curtail_and_return(fleets.pop()), _Stepped(SITE).step_two_seconds, rounds=9)
    scale = PLAY_S / STEPPED_S
    steady = fleets.pop()
    hours = iter(range(1, 1000))
    hour = alternate(lambda: steady.energy_j(next(hours) * 3600 * S).sum(), lambda: _hour_of_samples(steady), rounds=5)
    ramp = Fleet(specs[:1000], Seed(1))
    ramp.run(np.arange(1000), "sleep", S)
    ramp.run(np.arange(1000), "wake", 20 * S)
    ramp.advance(60 * S)
    t_ns = np.arange(0, 60 * S, S // 1000, dtype=np.int64)
    asked = alternate(lambda: ramp.log.power_series(t_ns), lambda: _one_by_one(ramp, t_ns[:200]))
    name = f"{SITE} miners curtailed and returned once, {PLAY_S} s"
    peer = "the same arrays stepped with NumPy at 100 Hz"
    ours, theirs = played.ours_s, played.peer_s * scale
    each = asked.peer_s / 200 * t_ns.size
    return [
        Row(name, ours * 1e3, "ms", peer, theirs * 1e3, played.ratio * scale),
        hour.as_duration("energy of a steady hour of them", "adding up its power every 15 s", "ms", 1e3),
        Row("site power, 1000 miners in ramp, 60 s at 1 kHz", asked.ours_s * 1e3, "ms", "asking sample by sample",
            each * 1e3, asked.ratio * t_ns.size / 200),
    ]  # fmt: skip


def _curtail_and_return(fleet: Fleet) -> None:
    everyone = np.arange(len(fleet))
    fleet.run(everyone, "sleep", 10 * S)
    fleet.run(everyone, "wake", 60 * S)
    fleet.advance(PLAY_S * S)


def _hour_of_samples(fleet: Fleet) -> float:
    return sum(float(fleet.power_w(at * 15 * S).sum()) * 15.0 for at in range(240))


def _one_by_one(fleet: Fleet, t_ns: np.ndarray) -> None:
    for at in t_ns.tolist():
        fleet.power_w(at).sum()


class _Stepped:
    """The plain way to write it: power, hash rate, energy, work and phase timer of each miner, moved every 10 ms."""

    def __init__(self, miners: int) -> None:
        self.power_w = np.full(miners, 3500.0)
        self.goal_w = np.full(miners, 25.0)
        self.rate_ws = np.linspace(1400.0, 1600.0, miners)
        self.hash_ths = np.full(miners, 200.0)
        self.goal_ths = np.zeros(miners)
        self.energy_j = np.zeros(miners)
        self.work_th = np.zeros(miners)
        self.left_s = np.linspace(1.0, 60.0, miners)
        self.phase = np.zeros(miners, dtype=np.int8)

    def step_two_seconds(self) -> None:
        for _ in range(STEPPED_S * 100):
            most = self.rate_ws * 0.01
            self.power_w += np.clip(self.goal_w - self.power_w, -most, most)
            self.hash_ths += np.clip(self.goal_ths - self.hash_ths, -1.0, 1.0)
            self.energy_j += self.power_w * 0.01
            self.work_th += self.hash_ths * 0.01
            self.left_s -= 0.01
            due = np.flatnonzero(self.left_s <= 0.0)
            self.phase[due] += 1
            self.left_s[due] += 60.0
