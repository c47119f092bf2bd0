"""Two-stream kernels: the rounds of four hashes in SHA-NI beside the message schedules of other hashes.

Owns what is common to all of them: the round stream, the interleaving by a searched order, and the text of the file.
The schedule streams stand in `vector_schedule.py` (eight or sixteen lanes) and `xmm_schedule.py` (SHA-NI itself).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from fastpath.gen.sha256 import DIGEST_PADDING, HEADER_PADDING, IV, MASK, K, padding_block

Work = Literal["scan", "versions", "batch"]
CHAINS = 4
"""sha256rnds2 has latency 4 and throughput 1 on Zen 4 (measured): four chains fill it, a fifth finds no registers."""
HASH2_LAST_PAIR = 60
"""The second hash stops after round 60: the top word of the result needs only its e."""

Order = list[list[int]]
"""For each part of the loop: how many instructions of the schedule follow each step of the rounds."""


@dataclass(frozen=True, slots=True)
class Half:
    """A part of the loop body, one of two or three.

    `rounds` are steps that stay together, `schedule` are single instructions.
    """

    rounds: list[list[str]]
    schedule: list[str]


@dataclass(frozen=True, slots=True)
class Kernel:
    """A loop before its two streams are merged, cut into parts within which they do not depend on one another.

    `lanes` hashes go through one iteration, `scratch` bytes of stack hold what passes between the streams, and the two
    buffers that swap places each iteration (in r10 and r11) begin at `swapped`.
    """

    name: str
    work: Work
    lanes: int
    halves: tuple[Half, ...]
    scratch: int
    swapped: tuple[int, int]
    needs: tuple[str, ...]
    constants: list[int] = field(default_factory=list)


def xmm(number: int) -> str:
    """The 128-bit register of that number, the way the assembler writes it."""
    return f"%xmm{number}"


def rounds(pairs: range, chains: dict[int, list[str]], source: dict[tuple[int, int], str]) -> list[list[str]]:
    """The steps of `pairs` (the even round numbers) for all chains; `source` is the address of the two words W+K."""
    steps = []
    for pair in pairs:
        for chain, (abef, cdgh) in chains.items():
            steps.append([f"vmovq {source[chain, pair]},%xmm0", f"sha256rnds2 %xmm0,{abef},{cdgh}"])
            chains[chain] = [cdgh, abef]
    return steps


def new_chains() -> dict[int, list[str]]:
    """The registers of the four states: xmm1..xmm8, as ABEF and CDGH."""
    return {chain: [xmm(1 + 2 * chain), xmm(2 + 2 * chain)] for chain in range(CHAINS)}


def load_initial(chains: dict[int, list[str]]) -> list[list[str]]:
    """Steps that begin a second hash."""
    return [
        [f"vmovdqa .Linitial_abef(%rip),{abef}", f"vmovdqa .Linitial_cdgh(%rip),{cdgh}"]
        for abef, cdgh in chains.values()
    ]


def padding_pair(pair: int) -> str:
    """Where the constant words W+K of rounds 8..15 of a second hash stand."""
    return f".Lpadding+{4 * (pair - 8)}(%rip)"


def even(half: Half) -> list[int]:
    """The order a search begins with: the schedule spread evenly over the rounds."""
    steps, instructions = len(half.rounds), len(half.schedule)
    edges = [(step + 1) * instructions // steps for step in range(steps)]
    return [edge - before for before, edge in zip([0, *edges], edges, strict=False)]


def merge(kernel: Kernel, order: Order) -> list[str]:
    """The loop body in `order`.

    Raises ValueError for an order that was searched for another body.
    """
    body: list[str] = []
    for number, (half, counts) in enumerate(zip(kernel.halves, order, strict=True)):
        if len(counts) != len(half.rounds) or sum(counts) != len(half.schedule):
            raise ValueError(f"{kernel.name}: half {number} of the order does not fit; search it anew")
        if number == 1 and kernel.work == "versions":
            body.append("xchg %r10,%r11")
        position = 0
        for step, count in zip(half.rounds, counts, strict=True):
            body += step
            body += half.schedule[position : position + count]
            position += count
    return body


def assembly(kernel: Kernel, order: Order) -> str:
    """The whole assembly file of a kernel.

    scan:     void name(const void *context, const void *states, uint32_t *results, uint64_t iterations,
                        const void *nonce_words)
    versions: void name(const void *unused, const void *pairs, uint32_t *results, uint64_t iterations)
    batch:    the same; a pair is the messages of the next four and the place for the digests of the four before
    """
    body, name = merge(kernel, order), kernel.name
    clear = "vzeroupper"  # while upper halves are dirty, Zen 3 takes 340 cycles from VEX to SHA (measured)
    prologue = [
        "push %rbp",
        "mov %rsp,%rbp",
        f"sub ${(kernel.scratch + 127) // 64 * 64 + 64},%rsp",
        "and $-64,%rsp",
        clear,
        f"lea {kernel.swapped[0]}(%rsp),%r10",
        f"lea {kernel.swapped[1]}(%rsp),%r11",
    ]
    if kernel.work in ("versions", "batch"):
        head, advance = ["mov (%rsi),%r8", "mov 8(%rsi),%r9"], ["add $16,%rsi"]
    elif kernel.lanes == CHAINS:
        head, advance = [], [f"add ${32 * CHAINS},%rsi"]
    else:
        head = []
        advance = ["xchg %r10,%r11", "add $16,%rsi", f"add ${4 * kernel.lanes},%r8"]
    advance += [f"add ${4 * kernel.lanes},%rdx", "dec %rcx", "jnz 1b"]
    code = [*prologue, ".p2align 6", "1:", *head, *body, *advance, clear, "mov %rbp,%rsp", "pop %rbp", "ret"]
    return "\n".join(
        [
            f"# {name}: {kernel.lanes} hashes an iteration. Generated by `python -m fastpath.gen`; do not edit.",
            f"# Needs {', '.join(kernel.needs)}.",
            ".text",
            ".p2align 6",
            f".globl {name}",
            f".hidden {name}",
            f".type {name},@function",
            f"{name}:",
            *(line if line.endswith(":") else f" {line}" for line in code),
            f".size {name},.-{name}",
            *_tables(kernel),
            '.section .note.GNU-stack,"",@progbits',
            "",
        ]
    )


def _tables(kernel: Kernel) -> list[str]:
    padding = [(word + K[8 + i]) & MASK for i, word in enumerate(DIGEST_PADDING)]
    tables = {
        ".Lround_constants": K,
        ".Linitial_abef": [IV[i] for i in (5, 4, 1, 0)],
        ".Linitial_cdgh": [IV[i] for i in (7, 6, 3, 2)],
        ".Lwords_8_to_11": [0x80000000, 0, 0, 0],
        ".Lwords_12_to_15": [0, 0, 0, 256],
        ".Lpadding": padding,
        ".Lconstants": kernel.constants or [0],
    }
    if kernel.work == "batch":
        tables[".Lbyte_swap"] = [0x00010203, 0x04050607, 0x08090A0B, 0x0C0D0E0F]
        tables[".Lpadding_block"] = padding_block()
        tables[".Lheader_12_to_15"] = HEADER_PADDING[8:]
        tables[".Lheader_padding"] = [(word + K[4 + i]) & MASK for i, word in enumerate(HEADER_PADDING)]
    if kernel.work == "scan" and kernel.lanes > CHAINS:
        # The low bits of a nonce are the high ones of its word: what they add to e and a of a state in ABEF order.
        tables[".Lnonce_steps"] = [word for lane in range(kernel.lanes) for word in (0, lane << 24, 0, lane << 24)]
    lines = [".section .rodata", ".p2align 6"]  # sha256msg1 and sha256msg2 read aligned memory only
    for label, words in tables.items():
        lines += [".p2align 4", f"{label}:"]
        lines += [" .long " + ",".join(f"{word:#010x}" for word in words[i : i + 8]) for i in range(0, len(words), 8)]
    return lines
