"""How many files and connections the bench may have open at once: as many as it is allowed to allow itself.

Owns the soft limit of the process; what is done when even that is reached is `emulator/network.py`'s.
"""

from __future__ import annotations

import contextlib
import resource

MOST = 1 << 18
"""More is not asked for: 115 000 miners with a connection each, and as many again. estimate"""


def make_room() -> tuple[int, int]:
    """Raise the soft limit to the hard one; returns both as they were before the first call."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    _given.append((soft, hard))
    wanted = MOST if hard == resource.RLIM_INFINITY else min(MOST, hard)
    if wanted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return _given[0]


def as_given(pid: int) -> None:
    """A child has the limit that this program was started with: not every program copes with a large one."""
    if _given:
        with contextlib.suppress(OSError):  # gone already, or somebody else's by now
            resource.prlimit(pid, resource.RLIMIT_NOFILE, _given[0])


_given: list[tuple[int, int]] = []
