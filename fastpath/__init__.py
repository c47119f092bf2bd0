"""SHA-256d for people who need many hashes: one import, the fastest kernel this processor and install have.

Owns the choice between the compiled back end and the pure one, which have the same functions. It imports nothing of the
rest of the house and never will.
"""

from __future__ import annotations

import os
from types import ModuleType
from typing import Literal

from fastpath._arguments import Stop
from fastpath._kernels import NEVER_BUILT, Chooser, Kernel

VARIABLE = "FASTPATH_KERNEL"
"""Environment variable with the name of the kernel to use wherever none is named; read once, at import."""
BACKEND: Literal["c", "pure"]
"""Which back end is in use: "c", or "pure" where the extension module was not built or is not wanted."""

_named = os.environ.get(VARIABLE) or None
_compiled: ModuleType | None = None
if _named != "pure":
    try:
        from fastpath import _sha256d as _extension

        _compiled = _extension
    except ImportError:
        if _named is not None:
            raise ValueError(f"{VARIABLE}={_named}: only 'pure' can be used, {NEVER_BUILT}") from None

if _compiled is None:
    from fastpath._pure import merkle_branch, merkle_root, midstate, scan, scan_versions, sha256d, sha256d_many

    BACKEND = "pure"
else:
    from fastpath._sha256d import merkle_branch, merkle_root, midstate, scan, scan_versions, sha256d, sha256d_many

    BACKEND = "c"
    _compiled.force(_named)

from fastpath._parallel import scan_parallel  # noqa: E402 - it calls the scan chosen above

_chooser = Chooser(_compiled, pure_forced=_named == "pure")
kernels, calibrate = _chooser.kernels, _chooser.calibrate

__all__ = [
    "BACKEND",
    "VARIABLE",
    "Kernel",
    "Stop",
    "calibrate",
    "kernels",
    "merkle_branch",
    "merkle_root",
    "midstate",
    "scan",
    "scan_parallel",
    "scan_versions",
    "sha256d",
    "sha256d_many",
]
