"""One element of what numpy holds by the thousand: compiled where it was built, else the same in pure Python.

Owns the choice between the two. A call of numpy for an array of one costs more than most replies of a device do.
"""

from __future__ import annotations

import os

from fastpath import VARIABLE

if os.environ.get(VARIABLE) == "pure":
    from fastpath._pure_single import Curve, normal, uniform
else:
    try:
        from fastpath._single import Curve, normal, uniform
    except ImportError:
        from fastpath._pure_single import Curve, normal, uniform

__all__ = ["Curve", "normal", "uniform"]
