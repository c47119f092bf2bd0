"""Keeping Python's garbage collector out of the way of a rig, whose objects all stay until the run is over.

Owns when it runs; what is built meanwhile is the caller's.
"""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextlib.contextmanager
def standing() -> Iterator[None]:
    """No collection inside, and none afterwards of what was made inside, until `let_go`.

    A fleet of 10 000 miners is some 300 000 objects: to look through them costs half a second while they are made, and
    tens of milliseconds, all of them lateness, each time that a run in real time is gone through again.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        if collecting:
            gc.enable()


def let_go() -> None:
    """Let everything be collected again."""
    gc.unfreeze()
