"""Keeping Python's garbage collector out of the way of a rig, whose objects all stay until the run is over.

Owns when and how often it runs; what is built meanwhile is the caller's.
"""

from __future__ import annotations

import contextlib
import gc
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


_DEFAULT = gc.get_threshold()
_YOUNG = 20_000
"""Objects that are made and not yet freed before the collector looks, in place of 700. estimate"""
_PROMPT = (1_000, 20, 100)
"""The same where lateness counts, and how rarely it looks at what has survived: a look costs up to 0.9 µs for each (M);
one at 20 000 was the longest standstill of a site of 1 000 miners, 12 to 17 ms."""


@contextlib.contextmanager
def standing(*, prompt: bool = False) -> Iterator[None]:
    """No collection inside, and none afterwards of what was made inside, until `let_go`.

    `prompt`: afterwards many short looks instead of few long ones, as a run in real time needs.

    A fleet of 10 000 miners is some 300 000 objects: to look through them costs half a second while they are made, and
    tens of milliseconds, all of them lateness, each time that a run in real time is gone through again. Afterwards it
    looks more rarely too: a reply is a hundred objects and no cycle, and looking for one took a sixth of the time.
    """
    collecting = gc.isenabled()
    gc.disable()
    try:
        yield
        gc.freeze()
        gc.set_threshold(*(_PROMPT if prompt else (_YOUNG, *_DEFAULT[1:])))
    finally:
        if collecting:
            gc.enable()


def keep() -> None:
    """What there is by now is not looked at either, until `let_go`: all that has come to stay while a run got ready."""
    gc.freeze()


def let_go() -> None:
    """Let everything be collected again."""
    gc.unfreeze()
    gc.set_threshold(*_DEFAULT)
