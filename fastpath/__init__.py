"""SHA-256d for people who need many hashes: one import, the fastest back end this install has.

Owns the choice between the compiled back end and the pure one, which have the same functions. It imports nothing of the
rest of the house and never will.
"""

from typing import Literal

BACKEND: Literal["c", "pure"]
"""Which back end is in use: "c", or "pure" where the extension module was not built."""

try:
    from fastpath._sha256d import merkle_root, midstate, scan, sha256d

    BACKEND = "c"
except ImportError:
    from fastpath._pure import merkle_root, midstate, scan, sha256d

    BACKEND = "pure"

__all__ = ["BACKEND", "merkle_root", "midstate", "scan", "sha256d"]
