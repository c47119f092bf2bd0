"""Which tests share a process when several run at a time (`--dist loadscope`).

A module whose tests share one site keeps to one process, every other test goes to whoever is free. Without the right to
make networks all of tests/system keeps to one, for they bind the vendors' ports.
"""

from __future__ import annotations

import ctypes
import os
from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

_ROOT = Path(__file__).parents[1]
_CLONE_NEWNET = 0x40000000


def unshare_network() -> bool:
    """Move this process into a new network namespace, its loopback still down; False where that is not allowed."""
    return ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) == 0


@cache
def may_unshare() -> bool:
    """Whether a process of ours may make a network."""
    child = os.fork()
    if not child:
        os._exit(0 if unshare_network() else 1)
    return os.waitpid(child, 0)[1] == 0


@cache
def scope_of(file: str) -> str:
    """What the tests of a file keep together by: the file, all of tests/system, or nothing (empty)."""
    if file.startswith("tests/system/") and not may_unshare():
        return "tests/system"
    return file if 'scope="module"' in (_ROOT / file).read_text(encoding="utf-8") else ""


class BySite(LoadScopeScheduling):
    """Tests of one scope run in one process."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid.split("::", 1)[0]) or nodeid
