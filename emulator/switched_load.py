"""A load that is no miner behind an outlet: its power over time, cut while the contacts are open.

Owns the cut; who opens and closes is the outlet (`emulator/site.py`), what the load would draw is `emulator/loads.py`.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from emulator.timeline import Signal

if TYPE_CHECKING:
    from emulator.wire import Instant


class SwitchedLoad(Signal):
    """`load` while its outlet is closed, 0 while it is open.

    Where its outlet closes again it draws at once what it would have drawn by then (estimate: a training job that lost
    its power begins at its last checkpoint, after minutes).
    """

    __slots__ = ("_load", "_moves")

    def __init__(self, load: Signal) -> None:
        super().__init__(load.t_ns, load.value)
        self._load = load
        self._moves: list[tuple[Instant, bool]] = []

    @property
    def moves(self) -> tuple[tuple[Instant, bool], ...]:
        """(instant, closed from then on), in order of time."""
        return tuple(self._moves)

    def switch(self, closed: bool, at: Instant) -> None:
        """Close or open the contacts at `at`; moves that were planned for later are dropped."""
        self._moves = [*(move for move in self._moves if move[0] < at), (at, closed)]
        load, state = self._load, True
        edges = [(int(load.t_ns[0]) - 1, True), *self._moves, (max(int(load.t_ns[-1]), at) + 1, True)]
        t_ns: list[int] = []
        value: list[float] = []
        for (start, state), (stop, _) in pairwise(edges):
            inside = (load.t_ns > start) & (load.t_ns < stop) if state else np.zeros(load.t_ns.size, dtype=np.bool_)
            t_ns += [start, *load.t_ns[inside].tolist(), stop]
            ends = (load.at(start), load.at(stop)) if state else (0.0, 0.0)
            value += [ends[0], *load.value[inside].tolist(), ends[1]]
        super().__init__(t_ns, value)
