"""Which tests share a process when several run at a time (`--dist loadscope`).

A module whose tests share one site keeps to one process, every other test goes to whoever is free. Without the right to
make networks all of tests/system keeps to one, for they bind the vendors' ports.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

from xdist.scheduler import LoadScopeScheduling

from tests.networks import may_have_own

_ROOT = Path(__file__).parents[1]


@cache
def scope_of(file: str) -> str:
    """What the tests of a file keep together by: the file, all of tests/system, or nothing (empty)."""
    if file.startswith("tests/system/") and not may_have_own():
        return "tests/system"
    return file if 'scope="module"' in (_ROOT / file).read_text(encoding="utf-8") else ""


class BySite(LoadScopeScheduling):
    """Tests of one scope run in one process."""

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid.split("::", 1)[0]) or nodeid
