"""Which kernels there are, which one is used for what, and why.

Owns the list people read and the call that measures anew; the choice itself stands where the kernels are called.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import ModuleType

NEVER_BUILT = "the extension was not built: no working C compiler when this was installed"
PURE_WORKS = ("scan", "versions", "batch")


@dataclass(frozen=True, slots=True)
class Kernel:
    """One tier: a set of kernels for the same instructions.

    `needs` are names of processor features. `works` are "scan", "versions" (rolled ones, `scan_versions`) and "batch"
    (`sha256d_many`, `merkle_root`); `chosen` are those it is used for when no kernel is named. `hashes_per_s` holds
    what the last calibration measured in this process on one thread, by work.
    """

    name: str
    needs: tuple[str, ...]
    available: bool
    works: tuple[str, ...]
    chosen: tuple[str, ...]
    why: str
    hashes_per_s: dict[str, float]


class Chooser:
    """The public functions over one back end; `compiled` is None where there is only pure Python."""

    def __init__(self, compiled: ModuleType | None, *, pure_forced: bool) -> None:
        self._compiled, self._pure_forced = compiled, pure_forced

    def kernels(self) -> tuple[Kernel, ...]:
        """Every tier of this build, the one the processor would be tried with first in front, pure Python last."""
        if self._compiled is None:
            why = "FASTPATH_KERNEL says so" if self._pure_forced else NEVER_BUILT
            return (Kernel("pure", (), True, PURE_WORKS, PURE_WORKS, why, {}),)
        chosen = {work: self._compiled.chosen(work) for work in self._compiled.WORKS}
        rates: dict[str, dict[str, float]] = self._compiled.rates()
        found = []
        for name, needs, lacks, works in self._compiled.tiers():
            mine = tuple(work for work, (tier, _) in chosen.items() if tier == name)
            measured = {work: rate[name] for work, rate in rates.items() if name in rate}
            why = _why(works, lacks, {work: chosen[work] for work in works}, mine)
            found.append(Kernel(name, needs, not lacks, works, mine, why, measured))
        found.append(Kernel("pure", (), True, PURE_WORKS, (), "works without a compiler; only used where named", {}))
        return tuple(found)

    def calibrate(self) -> dict[str, dict[str, float]]:
        """Measure every tier this processor runs, some milliseconds each, and use the fastest from now on.

        Returns hashes per second, one thread: work -> tier -> rate of its fastest slice, in rotating order. The ranking
        changes with what else the processor does: a scan of 2**20 hashes or more does this by itself where the last
        time is a minute ago. FASTPATH_KERNEL keeps its say over the choice.
        """
        if self._compiled is None:
            return {}
        for work in self._compiled.WORKS:
            self._compiled.calibrate(work)
        rates: dict[str, dict[str, float]] = self._compiled.rates()
        return rates


def _why(
    works: tuple[str, ...], lacks: tuple[str, ...], chosen: dict[str, tuple[str, str]], mine: tuple[str, ...]
) -> str:
    if lacks:
        return f"this processor lacks {', '.join(lacks)}"
    reasons = {
        "forced": "FASTPATH_KERNEL says so",
        "calibrated": "fastest when last calibrated",
        "first": "first in rank that runs here; not calibrated yet",
    }
    if mine:
        parts = [f"{work}: {reasons[chosen[work][1]]}" for work in mine]
        return "; ".join(parts)
    return "; ".join(f"{work}: {chosen[work][0]} is used" for work in works if chosen[work][0]) or "not used"
