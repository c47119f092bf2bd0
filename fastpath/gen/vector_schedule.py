"""Two-stream kernels whose schedule runs eight (ymm) or sixteen (zmm) lanes wide with AVX-512VL.

Owns the schedule stream of that width and the addresses at which its words W+K wait for the rounds. Two XORs stand
where one vpternlogd would do: on Zen 4 that instruction and sha256rnds2 cannot issue in the same cycle (measured).
"""

from __future__ import annotations

from fastpath.gen.registers import Program, allocate
from fastpath.gen.sha256 import DIGEST_PADDING, HEADER_PADDING, MASK, ROTATIONS, sigma
from fastpath.gen.streams import (
    CHAINS,
    HASH2_LAST_PAIR,
    Half,
    Kernel,
    Work,
    load_initial,
    new_chains,
    padding_pair,
    rounds,
)

FIRST_STORED_PAIR = 9
"""Rounds 4..17 of the first hash take words that are the same for all nonces, from the context."""
CONTEXT_WORDS, CONTEXT_CONSTANTS, CONTEXT_MIDSTATE = 16, 96, 160
"""Byte offsets in `struct scan_context` of `two_stream.h`."""


class Layout:
    """Where a batch's words wait: pairs (W+K of rounds t, t+1) of four bytes each, two vectors for a pair."""

    def __init__(self, lanes: int, work: Work) -> None:
        self.lanes, self.work, self.vector = lanes, work, 4 * lanes
        pair_bytes, digest_bytes = 2 * self.vector, 32 * lanes
        self.hash2_bytes = 31 * pair_bytes
        if work == "scan":
            self.hash2 = (32 - FIRST_STORED_PAIR) * pair_bytes
            self.digest = self.hash2 + self.hash2_bytes
            self.scratch = self.digest + 2 * digest_bytes
            self.swapped = (self.digest, self.digest + digest_bytes)
            self.words, self.digest_write, self.digest_read, self.rounds_base = "%rsp", "%r10", "%r11", "%rsp"
            self.digest_offset = 0
        else:
            self.hash2 = 0
            self.digest = 2 * self.hash2_bytes
            self.scratch = self.digest + digest_bytes
            self.swapped = (0, self.hash2_bytes)
            self.words, self.digest_write, self.digest_read, self.rounds_base = "%r10", "%rsp", "%rsp", "%r11"
            self.digest_offset = self.digest

    def hash1_pair(self, pair: int, lane: int) -> str:
        """Address of a pair of the first hash; nonce n is element n of the vectors."""
        return f"{self._offset(pair // 2 - FIRST_STORED_PAIR, lane // 4, lane % 4)}(%rsp)"

    def hash2_pair(self, pair: int, lane: int) -> str:
        """Address of a pair of the second hash; the transposition of the digests has dealt the lanes in quarters."""
        quarters = self.lanes // 4
        return f"{self.hash2 + self._offset(pair // 2, lane % quarters, lane // quarters)}({self.rounds_base})"

    def _offset(self, pair: int, quarter: int, element: int) -> int:
        upper = self.vector if element >= 2 else 0
        return pair * 2 * self.vector + upper + 16 * quarter + 8 * (element & 1)


class Schedule:
    """One batch's message schedule, written as a program of vector instructions."""

    def __init__(self, layout: Layout, constants: list[int]) -> None:
        self.layout, self.constants, self.program = layout, constants, Program()
        self._broadcast = f"{{{{1to{layout.lanes}}}}}"

    def sigma(self, name: str, word: int) -> int:
        """s0 or s1 of a vector."""
        one, two, _, shift = ROTATIONS[name]
        rotated = [self.program.value(f"vprord ${bits},{{0}},{{result}}", word) for bits in (one, two)]
        shifted = self.program.value(f"vpsrld ${shift},{{0}},{{result}}", word)
        both = self.program.value("vpxord {1},{0},{result}", *rotated)
        return self.program.value("vpxord {1},{0},{result}", both, shifted)

    def add(self, left: int, right: int) -> int:
        """Sum of two vectors."""
        return self.program.value("vpaddd {1},{0},{result}", left, right)

    def add_scalar(self, vector: int, address: str) -> int:
        """Sum of a vector and a word in memory; the broadcast costs nothing on Zen 4."""
        return self.program.value(f"vpaddd {address}{self._broadcast},{{0}},{{result}}", vector)

    def add_constant(self, vector: int, constant: int) -> int:
        """Sum of a vector and a number."""
        if constant not in self.constants:
            self.constants.append(constant)
        return self.add_scalar(vector, f".Lconstants+{4 * self.constants.index(constant)}(%rip)")

    def expand(
        self,
        words: dict[int, int],
        span: range,
        base: int,
        first_pair: int,
        known: dict[int, int],
        addresses: dict[int, str] | None = None,
        presummed: dict[int, str] | None = None,
    ) -> None:
        """Compute the words of `span` and store them, K added, in pairs from byte `base` on.

        Beside the vectors `words`, a word may be a number (`known`), a job's word in memory (`addresses`), and all
        scalar terms of a word may stand summed in memory (`presummed`).
        """
        addresses, presummed, with_k = addresses or {}, presummed or {}, dict[int, int]()
        for t in span:
            if t not in words:
                words[t] = self._word(t, words, known, addresses, presummed.get(t))
            with_k[t] = self.add_scalar(words[t], f".Lround_constants+{4 * t}(%rip)")
            if t % 2 == 1 or t == span[-1]:
                low, high = (with_k[t - 1], with_k[t]) if t % 2 else (with_k[t], with_k[t])
                offset = base + (t // 2 - first_pair) * 2 * self.layout.vector
                for part, name in ((0, "l"), (self.layout.vector, "h")):
                    zipped = self.program.value(f"vpunpck{name}dq {{1}},{{0}},{{result}}", low, high)
                    self.program.effect(f"vmovdqa32 {{0}},{offset + part}({self.layout.words})", zipped)

    def _word(
        self, t: int, words: dict[int, int], known: dict[int, int], addresses: dict[int, str], presummed: str | None
    ) -> int:
        vectors, constant, scalars = list[int](), 0, list[str]()
        for name, source in (("s1", t - 2), ("", t - 7), ("s0", t - 15), ("", t - 16)):
            if source in words:
                vectors.append(self.sigma(name, words[source]) if name else words[source])
            elif presummed is None and source in addresses:
                if name:
                    raise ValueError(f"word {t} needs {name} of a job's word: presum it")
                scalars.append(addresses[source])
            elif presummed is None:
                constant += sigma(name, known[source]) if name else known[source]
        total = vectors[0]
        for vector in vectors[1:]:
            total = self.add(total, vector)
        for address in [presummed] if presummed else scalars:
            total = self.add_scalar(total, address)
        return self.add_constant(total, constant & MASK) if constant & MASK else total


def hash1_schedule(layout: Layout, constants: list[int]) -> Program:
    """Words 18..63 of the first hash of the next batch, from its nonce words at r8."""
    schedule = Schedule(layout, constants)
    job = [f"{CONTEXT_CONSTANTS + 4 * i}(%rdi)" for i in range(6)]
    nonce = schedule.program.value("vmovdqa32 0(%r8),{result}")
    words = {18: schedule.add_scalar(schedule.sigma("s0", nonce), job[0]), 19: schedule.add_scalar(nonce, job[1])}
    schedule.expand(
        words,
        range(18, 64),
        base=0,
        first_pair=FIRST_STORED_PAIR,
        known=dict(enumerate(HEADER_PADDING, start=4)),
        addresses={16: job[2], 17: job[3]},
        presummed={31: job[4], 32: job[5]},
    )
    return schedule.program


def hash2_schedule(layout: Layout, constants: list[int]) -> Program:
    """Words 0..7 and 16..60 of the second hash, from the states the rounds of the first left behind."""
    schedule, program = Schedule(layout, constants), None
    program = schedule.program
    offset, row, read = layout.digest_offset, layout.vector, layout.digest_read
    halves = [
        [program.value(f"vmovdqa32 {offset + start + row * i}({read}),{{result}}") for i in range(4)]
        for start in (0, 16 * layout.lanes)
    ]
    f, e, b, a = _transpose(program, halves[0])
    h, g, d, c = _transpose(program, halves[1])
    words: dict[int, int] = {}
    for i, state in enumerate([a, b, c, d, e, f, g, h]):
        if layout.work == "scan":
            words[i] = schedule.add_scalar(state, f"{CONTEXT_MIDSTATE + 4 * i}(%rdi)")
        else:
            words[i] = program.value(f"vpaddd {32 * layout.lanes + row * i}(%r9),{{0}},{{result}}", state)
    known = dict(enumerate(DIGEST_PADDING, start=8))
    schedule.expand(words, range(8), base=layout.hash2, first_pair=0, known=known)
    schedule.expand(words, range(16, HASH2_LAST_PAIR + 1), base=layout.hash2, first_pair=0, known=known)
    return program


def _transpose(program: Program, rows: list[int]) -> list[int]:
    """Element i of each state in vector i."""

    def zipped(kind: str, left: int, right: int) -> int:
        return program.value(f"vpunpck{kind} {{1}},{{0}},{{result}}", left, right)

    low = [zipped("ldq", rows[0], rows[1]), zipped("ldq", rows[2], rows[3])]
    high = [zipped("hdq", rows[0], rows[1]), zipped("hdq", rows[2], rows[3])]
    return [zipped(kind, *pair) for pair in (low, high) for kind in ("lqdq", "hqdq")]


def _hash1_rounds(layout: Layout) -> list[list[str]]:
    steps = []
    for first in range(0, layout.lanes, CHAINS):
        chains, lanes = new_chains(), {chain: first + chain for chain in range(CHAINS)}
        source = {}
        for chain, lane in lanes.items():
            abef, cdgh = chains[chain]
            if layout.work == "scan":
                step = f"vpaddd .Lnonce_steps+{16 * lane}(%rip),{abef},{abef}"
                steps.append([f"vmovdqa (%rsi),{abef}", step, f"vmovdqa 0(%rdi),{cdgh}"])
            else:
                state = 32 * lane
                steps.append(
                    [f"vmovdqa (%r8),{abef}", f"vpaddd {state}(%r9),{abef},{abef}", f"vmovdqa {state + 16}(%r9),{cdgh}"]
                )
            for pair in range(4, 64, 2):
                if layout.work == "versions":
                    source[chain, pair] = f"{4 * pair}(%r8)"
                elif pair < 2 * FIRST_STORED_PAIR:
                    source[chain, pair] = f"{CONTEXT_WORDS + 4 * (pair - 4)}(%rdi)"
                else:
                    source[chain, pair] = layout.hash1_pair(pair, lane)
        steps += rounds(range(4, 64, 2), chains, source)
        for chain, lane in lanes.items():
            abef, cdgh = chains[chain]
            offset, write = layout.digest_offset + 16 * lane, layout.digest_write
            steps.append([f"vmovdqa {abef},{offset}({write})", f"vmovdqa {cdgh},{offset + 16 * layout.lanes}({write})"])
    return steps


def _hash2_rounds(layout: Layout) -> list[list[str]]:
    steps = []
    for first in range(0, layout.lanes, CHAINS):
        chains = new_chains()
        steps += load_initial(chains)
        source = {
            (chain, pair): padding_pair(pair) if 8 <= pair < 16 else layout.hash2_pair(pair, first + chain)
            for chain in range(CHAINS)
            for pair in range(0, HASH2_LAST_PAIR + 1, 2)
        }
        steps += rounds(range(0, HASH2_LAST_PAIR + 1, 2), chains, source)
        steps += [[f"vmovd {chains[chain][0]},{4 * (first + chain)}(%rdx)"] for chain in range(CHAINS)]
    return steps


def kernel(name: str, work: Work, lanes: int, *, early: float = 0.5) -> Kernel:
    """A two-stream kernel with a schedule of `lanes` lanes.

    With rolled versions the first hash has no schedule of its own (all versions of a nonce share one), and the second
    hash's is divided: the share `early` runs beside the second hash's rounds, the rest beside the next first hash's.
    """
    layout, constants = Layout(lanes, work), list[int]()
    register = "ymm" if lanes == 8 else "zmm"
    names = [f"%{register}{number}" for number in range(9, 32)]
    if work == "scan":
        hash1 = allocate(hash1_schedule(layout, constants), names)
        hash2 = allocate(hash2_schedule(layout, constants), names)
        beside = (hash2, hash1)
    else:
        hash2 = allocate(hash2_schedule(layout, constants), names)
        cut = int(len(hash2) * early)
        beside = (hash2[cut:], hash2[:cut])
    halves = (Half(_hash1_rounds(layout), beside[0]), Half(_hash2_rounds(layout), beside[1]))
    needs = ("sha", "avx512vl") if lanes == 8 else ("sha", "avx512f", "avx512vl")
    return Kernel(name, work, lanes, halves, layout.scratch, layout.swapped, needs, constants)
