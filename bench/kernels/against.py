"""An external miner's own benchmark, run between our rounds.

Owns starting, bounding and ending the program and finding the rate in what it prints. The program gets no shell, a
process group of its own and a time limit; the group is ended whatever happens.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import tempfile
from contextlib import suppress

RATE = r"([0-9]+(?:\.[0-9]+)?) *([kKMGT]?)(?:H|hash(?:es)?)/s"
"""The rate as cpuminer and its kin print it: `24.24 MH/s`."""
PREFIXES = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
GRACE_S = 2.0
"""Time to end by itself once asked to."""
OUTPUT_BYTES = 1 << 20


class AgainstError(RuntimeError):
    """The program cannot be started, or printed no rate."""


def rate_pattern(text: str) -> re.Pattern[str]:
    """The pattern of `--against-rate`: group 1 is the number, group 2 (if any) a prefix k, M, G or T.

    Raises AgainstError for a pattern that is none or has no group.
    """
    try:
        pattern = re.compile(text)
    except re.error as error:
        raise AgainstError(f"--against-rate: {text!r} is no regular expression ({error})") from None
    if not 1 <= pattern.groups <= 2:
        raise AgainstError(
            f"--against-rate: {text!r} must have one group for the number, and may have one for its prefix (k, M, G)"
        )
    return pattern


def find_rate(output: str, pattern: re.Pattern[str]) -> tuple[float, str] | None:
    """Hashes a second of the last match, and the line it stands in; None where nothing matches.

    The last match counts, since a miner's later figures are averages over more time.
    """
    last = None
    for match in pattern.finditer(output):
        last = match
    if last is None:
        return None
    prefix = (last.group(2) or "") if last.re.groups == 2 else ""
    try:
        rate = float(last.group(1)) * PREFIXES[prefix]
    except (ValueError, KeyError, TypeError):
        raise AgainstError(
            f"--against-rate: {last.group(0)!r} holds no number with a prefix out of k, M, G, T in its groups"
        ) from None
    start = output.rfind("\n", 0, last.start()) + 1
    return rate, output[start : last.end()].strip()


def run(command: str, pattern: re.Pattern[str], limit_s: float) -> tuple[float, str]:
    """Run the command for `limit_s` at most; returns hashes a second and the line that told it.

    A program that runs until it is stopped is fine: what it printed so far counts. Raises AgainstError where it cannot
    be started or printed no rate above 0.
    """
    words = shlex.split(command)
    if not words:
        raise AgainstError("--against: there is no command")
    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                words, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, start_new_session=True
            )
        except OSError as error:
            raise AgainstError(f"--against: {words[0]!r} cannot be started: {error.strerror}") from None
        try:
            with suppress(subprocess.TimeoutExpired):
                process.wait(limit_s)
        finally:
            _end(process)
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - OUTPUT_BYTES))
        text = output.read().decode("utf-8", "replace")
    found = find_rate(text, pattern)
    if found is None or found[0] <= 0:
        last = text.strip().rpartition("\n")[2][-200:]
        raise AgainstError(
            f"--against: {words[0]!r} printed no rate that matches {pattern.pattern!r} within {limit_s:g} s "
            f"(exit code {process.returncode}, last line {last!r}); see --against-rate and --against-seconds"
        )
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all it started."""
    for number in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, number)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
            if number is signal.SIGTERM and not _alive(process.pid):
                return


def _alive(group: int) -> bool:
    """Whether anything of the process group is left."""
    try:
        os.killpg(group, 0)
    except (ProcessLookupError, PermissionError):
        return False
    return True
