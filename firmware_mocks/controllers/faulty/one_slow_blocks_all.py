"""Sends commands four at a time and waits for the slowest of them before the next four.

Breaks full delivery in time (GB static FFR: 30 s, check `reach`): every slow miner holds up a convoy. Needs a slow
one.
"""

from __future__ import annotations

import asyncio
from typing import Literal

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("unhelped", "reach")


_SIZE = 4


class Convoy(asyncio.Semaphore):
    """Lets `_SIZE` in, and the next ones when all of these are out."""

    def __init__(self) -> None:
        super().__init__(_SIZE)
        self._inside = 0

    async def acquire(self) -> Literal[True]:
        """Wait for a place in a convoy."""
        await super().acquire()
        self._inside += 1
        return True

    def release(self) -> None:
        """Out; the last one opens the door."""
        self._inside -= 1
        if self._inside == 0:
            for _ in range(_SIZE):
                super().release()


class OneSlowBlocksAll(reference.Controller):
    """A reference controller that commands in convoys."""

    def _made_gate(self, concurrency: int) -> asyncio.Semaphore:
        return Convoy()


controller = controller_of(OneSlowBlocksAll)
