"""A load that is no miner behind an outlet: its power over time, cut while the contacts are open.

Owns the cut; who opens and closes is the outlet (`emulator/site.py`), what the load would draw is `emulator/loads.py`.
"""

from __future__ import annotations

from emulator.contacts import History, Move, switched
from emulator.timeline import Signal


class SwitchedLoad(Signal):
    """`load` while its outlet is closed, 0 while it is open.

    Where its outlet closes again it draws at once what it would have drawn by then (estimate: a training job that lost
    its power begins at its last checkpoint, after minutes).
    """

    __slots__ = ("_load", "_mains")

    def __init__(self, load: Signal) -> None:
        super().__init__(load.t_ns, load.value)
        self._load = load
        self._mains = History()

    @property
    def moves(self) -> tuple[Move, ...]:
        """(instant, closed from then on), in order of time."""
        return tuple(self._mains.moves())

    def follow(self, mains: History) -> None:
        """Draw power while `mains` are there: what was said before does not count any more."""
        self._mains = mains
        drawn = switched(self._load, mains)
        super().__init__(drawn.t_ns, drawn.value)
