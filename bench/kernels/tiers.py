"""The tiers of this install as rows for people and for scripts.

Owns the wording of the list; what there is and why one is chosen is `fastpath.kernels()`.
"""

from __future__ import annotations

import fastpath

COLUMNS = ("tier", "needs", "works", "used for", "why")


def rows(kernels: tuple[fastpath.Kernel, ...]) -> list[tuple[str, ...]]:
    """One row a tier, in the order of `COLUMNS`."""
    return [
        (
            kernel.name,
            " ".join(kernel.needs) or "-",
            " ".join(kernel.works) if kernel.available else "cannot run here",
            " ".join(kernel.chosen) or "-",
            kernel.why,
        )
        for kernel in kernels
    ]


def as_json(kernels: tuple[fastpath.Kernel, ...]) -> dict[str, object]:
    """The same for scripts; `hashes_per_s` by work where a calibration ran in this process."""
    return {
        "backend": fastpath.BACKEND,
        "kernels": [
            {
                "name": kernel.name,
                "needs": list(kernel.needs),
                "available": kernel.available,
                "works": list(kernel.works),
                "chosen": list(kernel.chosen),
                "why": kernel.why,
                "hashes_per_s": dict(kernel.hashes_per_s),
            }
            for kernel in kernels
        ],
    }
