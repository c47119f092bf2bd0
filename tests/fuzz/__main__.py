"""Coverage-guided fuzzing, bounded: `python -m tests.fuzz TARGET [libFuzzer flags]`, such as `-runs=5000`.

Keeps what it finds interesting in `build/fuzz/TARGET`, which is where it goes on next time; an input that breaks a law
is written there too, and the exit code is not 0. Give that file as a flag to see the error again.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path

import atheris

with atheris.instrument_imports(include=["emulator", "firmware_mocks", "h11"], enable_loader_override=False):
    from tests.fuzz.targets import SEEDS, TARGETS

    for name, seeds in SEEDS.items():  # what is imported late is instrumented, too
        for seed in seeds:
            TARGETS[name](seed)

BOUNDS = ("-runs=", "-max_total_time=")
DEFAULTS = ["-max_total_time=60", "-max_len=2048", "-timeout=10", "-rss_limit_mb=2048"]
"""Each holds unless it is given; an input that takes 10 s, or a process of 2 GiB, is an error."""


def main(arguments: list[str]) -> None:
    """Fuzz one target. Never returns: the fuzzer ends the process."""
    if not arguments or arguments[0] not in TARGETS:
        sys.exit(f"python -m tests.fuzz TARGET [flags]; targets: {', '.join(TARGETS)}")
    name, flags = arguments[0], arguments[1:]
    logging.disable(logging.CRITICAL)
    corpus = Path("build", "fuzz", name)
    corpus.mkdir(parents=True, exist_ok=True)
    for number, seed in enumerate(SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    given = {flag.partition("=")[0] for flag in flags}
    bounded = any(flag.startswith(BOUNDS) for flag in flags)
    defaults = [d for d in DEFAULTS if d.partition("=")[0] not in given and not (bounded and d.startswith(BOUNDS))]
    files = [flag for flag in flags if not flag.startswith("-")]
    atheris.Setup(
        [sys.argv[0], *defaults, f"-artifact_prefix={corpus}/", *flags, *([] if files else [str(corpus)])],
        TARGETS[name],
    )
    atheris.Fuzz()


if __name__ == "__main__":
    main(sys.argv[1:])
