"""What the compiler made of the kernels: the instructions of each object file, and the differential run in C."""

from __future__ import annotations

import importlib.util
import platform
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

import fastpath

NATIVE = Path(__file__).parent / "native"
_spec = importlib.util.spec_from_file_location("fastpath_native_build", NATIVE / "build.py")
assert _spec is not None
assert _spec.loader is not None
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)

COMPILERS = ["gcc", next((name for name in ("clang", "clang-19", "clang-14") if shutil.which(name)), "clang")]
WIDE = re.compile(r"%zmm|%[xy]mm(1[6-9]|2\d|3[01])|\{1to")
LANES = {"shani_scan": 4, "shani_versions": 4, "shani_xmm_versions": 4}
LANES |= {f"shani_{width}_{work}": lanes for width, lanes in (("ymm", 8), ("zmm", 16)) for work in ("scan", "versions")}

TIERS = {kernel.name for kernel in fastpath.kernels()} - {"pure", "arm-sha2"}

pytestmark = [
    pytest.mark.skipif(platform.machine() != "x86_64", reason="reads x86-64 instructions"),
    pytest.mark.skipif(shutil.which("objdump") is None, reason="needs objdump (apt install binutils)"),
]


@pytest.fixture(scope="module", params=COMPILERS)
def compiled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Path]:
    """A compiler, and the folder with all object files that it has made."""
    if shutil.which(request.param) is None:
        pytest.skip(f"there is no {request.param}")
    folder = tmp_path_factory.mktemp("objects")
    build.objects("x86_64", request.param, ["-O3", "-fPIC"], folder)
    return request.param, folder


@pytest.fixture(scope="module")
def code(compiled: tuple[str, Path]) -> dict[str, list[str]]:
    """Source -> the instructions of its object file."""
    return {source: _instructions(path) for source, path in build.object_files("x86_64", compiled[1]).items()}


def _instructions(path: Path) -> list[str]:
    listing = subprocess.run(
        ["objdump", "-d", "--no-show-raw-insn", str(path)], capture_output=True, text=True, check=True
    ).stdout
    return [" ".join(line.split("\t")[1].split()) for line in listing.splitlines() if line.count("\t") == 1]


def _matching(instructions: list[str], pattern: str) -> list[str]:
    return [line for line in instructions if re.search(pattern, line)]


def test_what_runs_everywhere_has_no_vector_extension(code: dict[str, list[str]]) -> None:
    for source in ("sha256d.c", "dispatch.c", "kernels/portable.c"):
        assert not _matching(code[source], r"%[yz]mm|^v|^sha256")


def test_only_avx512_tiers_use_its_registers_and_broadcasts(code: dict[str, list[str]]) -> None:
    narrow = [source for source in code if not re.search(r"avx512|shani_[xyz]mm", source)]
    assert len(narrow) > 6
    for source in narrow:
        assert not [line for line in code[source] if WIDE.search(line)], source


def test_only_sha_tiers_use_its_instructions(code: dict[str, list[str]]) -> None:
    for source, instructions in code.items():
        if "shani" not in source:
            assert not _matching(instructions, "^sha256"), source
    integers = r"^vp(?!erm(2f128|il))\S+ .*%ymm"  # vperm2f128 and vpermilps, which clang spins, are AVX already
    assert not _matching(code["kernels/shani.c"], integers), "ymm integers are AVX2"
    assert not _matching([line for name in ("scan", "versions") for line in code[f"kernels/shani_{name}.S"]], "%ymm")


@pytest.mark.parametrize("stem", LANES)
def test_a_round_stream_has_61_double_rounds_a_hash_and_stores_only_its_results(
    code: dict[str, list[str]], stem: str
) -> None:
    instructions, lanes = code[f"kernels/{stem}.S"], LANES[stem]
    kinds = Counter(line.split()[0] for line in instructions)
    assert kinds["sha256rnds2"] == 61 * lanes
    stored = _matching(instructions, r"^vmov\S+ %xmm[0-8],.*\(")
    results = _matching(stored, r"^vmovd %xmm\d,.*\(%rdx\)")
    digests = len(stored) - len(results)
    assert len(results) == lanes
    assert digests == (0 if stem == "shani_xmm_versions" else 2 * lanes)


def test_every_loop_with_sha_instructions_clears_the_upper_halves_first(code: dict[str, list[str]]) -> None:
    loops = {source: lines for source, lines in code.items() if source.endswith(".S") and "shani" in source}
    assert len(loops) == len(LANES) + 4
    for source, lines in loops.items():
        kinds = [line.split()[0] for line in lines]
        first = next(place for place, kind in enumerate(kinds) if kind.startswith("sha256"))
        assert "vzeroupper" in kinds[:first], source
        assert not any("%ymm" in line or "%zmm" in line for line in lines[: kinds.index("vzeroupper")]), source


@pytest.mark.parametrize("stem", [f"{tier}_batch{size}" for tier in ("shani", "shani_xmm") for size in (64, 80)])
def test_a_batch_loop_has_96_double_rounds_a_message(code: dict[str, list[str]], stem: str) -> None:
    instructions = code[f"kernels/{stem}.S"]
    assert len(_matching(instructions, "^sha256rnds2")) == 96 * 4
    assert len(_matching(instructions, r"^vmovdqu %xmm\d+,.*\(%r9\)")) == 2 * 4


def test_no_generated_loop_broadcasts_from_a_general_register(code: dict[str, list[str]]) -> None:
    for source, instructions in code.items():
        if source.endswith(".S"):
            assert not _matching(instructions, r"vpbroadcastd %[er]"), source


def test_the_sixteen_lane_kernels_keep_everything_in_registers(code: dict[str, list[str]]) -> None:
    for work in ("scan", "versions"):
        assert not _matching(code[f"kernels/avx512_{work}.S"], r"\(%rsp\)$|\(%rsp\),")


def _differential(*arguments: str) -> str:
    run = subprocess.run(
        [sys.executable, str(NATIVE / "build.py"), *arguments], capture_output=True, text=True, check=False, timeout=120
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout


def test_the_kernels_equal_the_reference_in_c(compiled: tuple[str, Path]) -> None:
    compiler, folder = compiled
    assert ", 0 failures" in _differential("--compiler", compiler, "--objects", str(folder), "--trials", "3")


def test_the_kernels_this_processor_lacks_equal_the_reference_by_what_their_instructions_mean() -> None:
    if not any(kernel.name == "shani" and kernel.available for kernel in fastpath.kernels()):
        pytest.skip("needs SHA-NI for the C around batches, and the compiled extension")
    told = _differential("--emulate", "--flags=-O1", "--trials", "2")
    assert {line.split(":")[0] for line in told.splitlines() if line.endswith(": checked")} == TIERS
    assert ", 0 failures" in told


def test_an_instruction_nobody_gave_a_meaning_is_refused(tmp_path: Path) -> None:
    source = (build.ROOT / "fastpath" / "kernels" / "avx512_scan.S").read_text()
    emulated = build.module("emulate").emulated
    (tmp_path / "loop.c").write_text(emulated(source.replace("vprord", "vprolvd", 1)))
    compiled = subprocess.run(
        ["gcc", f"-I{NATIVE}", "-c", str(tmp_path / "loop.c"), "-o", str(tmp_path / "loop.o")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "VPROLVD" in compiled.stderr
    with pytest.raises(ValueError, match="not understood: %k1"):
        emulated(source.replace("%zmm0", "%k1", 1))


def test_the_arm_kernels_equal_the_reference_under_emulation() -> None:
    for program in ("aarch64-linux-gnu-gcc", "qemu-aarch64"):
        if shutil.which(program) is None:
            pytest.skip(f"there is no {program} (apt install gcc-aarch64-linux-gnu qemu-user)")
    told = _differential(
        *("--machine", "aarch64", "--compiler", "aarch64-linux-gnu-gcc"),
        *("--flags=-O3 -static", "--run", "qemu-aarch64", "--trials", "2"),
    )
    assert "arm-sha2: checked" in told


@pytest.mark.slow
@pytest.mark.timeout(150)
def test_the_c_around_the_kernels_is_clean_under_the_sanitizers() -> None:
    probe = ["gcc", "-fsanitize=address,undefined", "-x", "c", "-", "-o", "/dev/null"]
    if subprocess.run(probe, input="int main(void){return 0;}", text=True, capture_output=True, check=False).returncode:
        pytest.skip("gcc has no sanitizers here")
    told = _differential("--flags=-O1 -fsanitize=address,undefined -fno-sanitize-recover=all", "--trials", "2")
    assert ", 0 failures" in told
