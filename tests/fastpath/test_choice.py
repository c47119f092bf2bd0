"""Which kernel is used: the list, the override, the calibration, and the refusal of what cannot run."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import fastpath
from fastpath._kernels import Chooser

HEADER = bytes(range(80))
needs_extension = pytest.mark.skipif(fastpath.BACKEND != "c", reason="the extension was not built: no C compiler")
REPORT = """
import json, fastpath
print(json.dumps({k.name: [k.available, k.chosen, k.why] for k in fastpath.kernels()}))
"""


def report(kernel: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"FASTPATH_KERNEL": kernel}
    return subprocess.run(
        [sys.executable, "-c", REPORT], capture_output=True, text=True, check=False, env=environment, timeout=30
    )


def test_every_work_has_exactly_one_kernel_and_it_is_available() -> None:
    tiers = fastpath.kernels()
    chosen = [work for tier in tiers for work in tier.chosen]
    assert len(chosen) == len(set(chosen)), "two kernels for one work"
    assert "scan" in chosen
    assert all(tier.available for tier in tiers if tier.chosen)
    assert all(set(tier.chosen) <= set(tier.works) for tier in tiers)


def test_every_kernel_says_why() -> None:
    assert all(tier.why for tier in fastpath.kernels())


def test_pure_python_is_always_there_and_last() -> None:
    assert fastpath.kernels()[-1].name == "pure"
    assert fastpath.kernels()[-1].available


@pytest.mark.parametrize("kernel", [tier.name for tier in fastpath.kernels() if tier.available])
def test_the_variable_forces_a_kernel(kernel: str) -> None:
    run = report(kernel)
    assert run.returncode == 0, run.stderr
    chosen = {name: works for name, (_, works, _) in json.loads(run.stdout).items() if works}
    assert set(chosen) == {kernel}


def test_an_unknown_kernel_in_the_variable_is_refused_by_name() -> None:
    run = report("quantum")
    assert run.returncode != 0
    assert "FASTPATH_KERNEL" in run.stderr
    assert "quantum" in run.stderr


@needs_extension
def test_calibration_measures_every_available_kernel_and_chooses_the_fastest() -> None:
    rates = fastpath.calibrate()
    tiers = {tier.name: tier for tier in fastpath.kernels()}
    for work, measured in rates.items():
        able = {name for name, tier in tiers.items() if tier.available and work in tier.works and name != "pure"}
        assert set(measured) == able
        fastest = max(measured, key=lambda name: measured[name])
        if "FASTPATH_KERNEL" not in os.environ:
            assert work in tiers[fastest].chosen
            assert "calibrated" in tiers[fastest].why
        assert all(tiers[name].hashes_per_s[work] == rate for name, rate in measured.items())


def test_without_an_extension_there_is_only_pure_python_and_it_says_why() -> None:
    chooser = Chooser(None, pure_forced=False)
    (only,) = chooser.kernels()
    assert (only.name, only.chosen) == ("pure", ("scan", "versions", "batch"))
    assert "not built" in only.why
    assert chooser.calibrate() == {}


WRONG = [
    (("scan", HEADER, 0, 1, 0), {"kernel": "quantum"}, ValueError, "kernel: there is no kernel 'quantum'; there are"),
    (("scan", HEADER, 0, 1, 0), {"kernel": 3}, TypeError, "kernel must be the name of a kernel or None, not int"),
    (("scan", HEADER, 0, 1, 0), {"stop": object()}, TypeError, "stop must have a method is_set"),
    (("sha256d_many", bytes(65), 64), {}, ValueError, "buffer must hold whole items of 64 bytes, and 65 bytes"),
    (("sha256d_many", bytes(64), 0), {}, ValueError, "item_size must be at least 1, not 0"),
    (("sha256d_many", bytes(64), "64"), {}, TypeError, "item_size must be an int, not str"),
    (("sha256d_many", "x", 64), {}, TypeError, "buffer must be a bytes-like object, not str"),
    (("scan_versions", bytes(79), 0, 1, 0, 1, 0), {}, ValueError, "header80 must be 80 bytes long, not 79"),
    (("scan_versions", bytes(80), -1, 1, 0, 1, 0), {}, ValueError, "mask must lie in"),
    (
        ("scan_versions", bytes(80), 6, 5, 0, 1, 0),
        {},
        ValueError,
        r"versions must lie in 0 \.\. 4 with mask 0x6, not 5",
    ),
    (("scan_versions", bytes(80), 6, [8], 0, 1, 0), {}, ValueError, r"versions\[0\] is 0x8 and differs"),
    (("scan_versions", bytes(80), 6, [2, 1 << 32], 0, 1, 0), {}, ValueError, r"versions\[1\] must lie in"),
    (("scan_versions", bytes(80), 6, ["a"], 0, 1, 0), {}, TypeError, r"versions\[0\] must be an int, not str"),
    (("scan_versions", bytes(80), 6, 1.5, 0, 1, 0), {}, TypeError, "versions must be an int, not float"),
    (("scan_versions", bytes(80), 6, 1, 0, 2**32 + 1, 0), {}, ValueError, "count must lie in"),
    (("merkle_branch", [], 0), {}, ValueError, "txids must hold at least one hash"),
    (("merkle_branch", [bytes(32)], 1), {}, ValueError, r"index must lie in 0 \.\. 0, not 1"),
    (("merkle_branch", [bytes(32)], None), {}, TypeError, "index must be an int, not NoneType"),
]


@pytest.mark.parametrize(("call", "keywords", "error", "message"), WRONG, ids=[f"{w[0][0]}: {w[3]}" for w in WRONG])
@pytest.mark.parametrize("kernel", ["", "pure"])
def test_a_wrong_argument_is_named(
    kernel: str, call: tuple[object, ...], keywords: dict[str, object], error: type[Exception], message: str
) -> None:
    name, *arguments = call
    if kernel and "kernel" not in keywords and name != "merkle_branch":
        keywords = keywords | {"kernel": kernel}
    with pytest.raises(error, match=message):
        getattr(fastpath, str(name))(*arguments, **keywords)
