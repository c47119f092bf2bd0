"""Peers in C: SHA-256d in the forms public programs use, compiled for this run and called in the same process.

Owns their flags, their names and their calls; `peers.c` owns what they compute. Where there is no C compiler, or the
processor lacks the instructions, there are fewer of them.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import fastpath

HERE = Path(__file__).parent
SOURCES = (HERE / "peers.c", HERE.parent / "fastpath" / "sha256d.c")
FLAGS = ("-std=gnu11", "-O3", "-shared", "-fPIC", "-fvisibility=hidden")
COMPILERS = ("gcc", "cc", "clang")


@dataclass(frozen=True, slots=True)
class Form:
    """A way to compute SHA-256d. `tier` is a tier of ours that needs the same instructions, `batches` says whether
    the form also hashes items of 64 and 80 bytes.
    """

    name: str
    flags: tuple[str, ...]
    tier: str
    batches: bool


ONE = Form("C, SHA-NI, one nonce at a time", ("-DWAYS=1", "-mavx", "-msha"), "shani", batches=True)
TWO = Form("C, SHA-NI, two at a time", ("-DWAYS=2", "-mavx", "-msha"), "shani", batches=True)
AVX2 = Form("C, AVX2, 8 lanes", ("-DLANES=8", "-mavx2"), "avx2", batches=False)
AVX512 = Form("C, AVX-512, 16 lanes", ("-DLANES=16", "-mavx512f"), "avx512", batches=False)
FORMS = (AVX512, TWO, AVX2, ONE)
"""In the order in which public miners prefer them at compile time: cpuminer-opt 26.1 takes 16 lanes where there is
AVX-512, else two hashes of SHA-NI, else 8 lanes (`algo/sha/sha256d-4way.c` and `sha256d.c`)."""


class Peer:
    """One form, compiled. Its functions work outside the interpreter lock."""

    def __init__(self, form: Form, library: Path) -> None:
        self.form = form
        self._library = ctypes.CDLL(str(library))
        self._library.peer_scan.restype = ctypes.c_uint32

    def scan(self, header: bytes, start: int, count: int, mask: int) -> int:
        """How many of `count` nonces (a multiple of 16) have a hash whose last word, big-endian, has no bit of `mask`.

        Nothing is collected: what a public miner does for a hash that is no share.
        """
        words = [int.from_bytes(header[i : i + 4], "big") for i in range(64, 76, 4)]
        state = fastpath.midstate(header[:64])
        midstate = (ctypes.c_uint32 * 8)(*(int.from_bytes(state[i : i + 4], "big") for i in range(0, 32, 4)))
        arguments = [ctypes.c_uint32(number & 0xFFFFFFFF) for number in (start, count, mask)]
        found: int = self._library.peer_scan(midstate, (ctypes.c_uint32 * 3)(*words), *arguments)
        return found

    def batch(self, items: bytes, size: int) -> bytes:
        """The digests of an even number of items of 64 or 80 bytes."""
        count = len(items) // size
        digests = ctypes.create_string_buffer(32 * count)
        self._library.peer_batch(items, ctypes.c_uint64(size), ctypes.c_uint64(count), digests)
        return digests.raw


@contextmanager
def compiled() -> Iterator[list[Peer]]:
    """The forms this processor runs, the one a public miner would take first in front."""
    compiler = next((name for name in COMPILERS if shutil.which(name)), None)
    runs = {tier.name for tier in fastpath.kernels() if tier.available}
    with tempfile.TemporaryDirectory() as folder:
        found = list[Peer]()
        for number, form in enumerate(FORMS):
            if compiler is None or form.tier not in runs:
                continue
            library = Path(folder) / f"{number}.so"
            subprocess.run([compiler, *FLAGS, *form.flags, *map(str, SOURCES), "-o", str(library)], check=True)
            found.append(Peer(form, library))
        yield found
