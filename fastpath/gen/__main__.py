"""`python -m fastpath.gen [--check]`: write the generated files of `fastpath/kernels`, or compare them.

Owns the list of generated files. A test runs the comparison, so a kernel cannot drift from its generator.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

from fastpath.gen import lanes, scalar, streams, vector_schedule, xmm_batch, xmm_schedule

HERE = Path(__file__).parent
ORDERS = HERE / "orders"
KERNELS = HERE.parent / "kernels"

TWO_STREAM: dict[str, Callable[[str], streams.Kernel]] = {
    "shani_scan": lambda name: xmm_schedule.kernel(name, "scan", wide=False),
    "shani_batch64": lambda name: xmm_batch.kernel(name, 64, wide=False),
    "shani_batch80": lambda name: xmm_batch.kernel(name, 80, wide=False),
    "shani_xmm_batch64": lambda name: xmm_batch.kernel(name, 64, wide=True),
    "shani_xmm_batch80": lambda name: xmm_batch.kernel(name, 80, wide=True),
    "shani_versions": lambda name: xmm_schedule.kernel(name, "versions", wide=False),
    "shani_xmm_versions": lambda name: xmm_schedule.kernel(name, "versions", wide=True),
    "shani_ymm_scan": lambda name: vector_schedule.kernel(name, "scan", 8),
    "shani_ymm_versions": lambda name: vector_schedule.kernel(name, "versions", 8),
    "shani_zmm_scan": lambda name: vector_schedule.kernel(name, "scan", 16),
    "shani_zmm_versions": lambda name: vector_schedule.kernel(name, "versions", 16),
}
"""File stem -> its kernel, given the name of the function."""


def order_of(stem: str, kernel: streams.Kernel) -> streams.Order:
    """The searched order of a kernel, or an even one where none was searched yet."""
    path = ORDERS / f"{stem}.json"
    if not path.exists():
        return [streams.even(half) for half in kernel.halves]
    order: streams.Order = json.loads(path.read_text())
    return order


def generated() -> dict[str, str]:
    """File name -> content."""
    files = {"portable_body.h": scalar.portable(), "batch_constants.h": scalar.batch_constants()}
    for target in (lanes.AVX2, lanes.AVX512):
        files[f"{target.name}_body.h"] = lanes.header(target)
        for work in ("scan", "versions"):
            files[f"{target.name}_{work}.S"] = lanes.assembly(target, work, f"fastpath_{target.name}_{work}_loop")
    for stem, build in TWO_STREAM.items():
        kernel = build(f"fastpath_{stem}_loop")
        files[f"{stem}.S"] = streams.assembly(kernel, order_of(stem, kernel))
    return files


def main() -> int:
    """Write the files, or with --check name those that differ."""
    parser = argparse.ArgumentParser(prog="python -m fastpath.gen", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 when a file differs")
    check = parser.parse_args().check
    stale = []
    for name, text in generated().items():
        path = KERNELS / name
        if not path.exists() or path.read_text() != text:
            stale.append(name)
            if not check:
                path.write_text(text)
    verb = "differs from its generator" if check else "written"
    sys.stdout.writelines(f"{name}: {verb}\n" for name in stale)
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
