"""Two-stream kernels whose schedule is SHA-NI too: four ways of sha256msg1 and sha256msg2.

Owns that schedule in two forms: with xmm16..31 (AVX-512VL) as room for what waits, and within sixteen registers, where
it waits in memory.
"""

from __future__ import annotations

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
    xmm,
)

LAST_GROUP = 15
"""A schedule is sixteen groups of four words."""
SCAN_CDGH, SCAN_MIDSTATE, SCAN_WORD20, SCAN_WORD28, SCAN_WORDS = 0, 16, 48, 64, 80
"""Byte offsets in `struct xmm_context` of `two_stream_xmm.c`."""


class XmmSchedule:
    """Emits the schedule streams; `wide` says that xmm16..31 exist."""

    def __init__(self, work: Work, *, wide: bool) -> None:
        self.work, self.wide = work, wide
        self._slots: dict[tuple[object, ...], int] = {}
        self._low, self._high = list(range(9, 16)), list(range(24, 32))
        self._lines: list[str] = []
        self._newest: dict[int, int] = {}
        self._older: dict[int, str | None] = {}
        self._group3 = ".Lwords_12_to_15(%rip)"  # words 12..15 where they are constant

    @property
    def scratch(self) -> int:
        """Bytes of memory the slots take."""
        return 16 * len(self._slots)

    def slot(self, *key: object) -> str:
        """Address of a 16-byte slot; what the rounds of the other half read lies in a buffer that swaps."""
        offset = self._offset(key)
        return f"{offset}({'%r10' if self.work == 'versions' and key[0] == 'hash2' else '%rsp'})"

    def word_pair(self, which: str, chain: int, pair: int) -> str:
        """Where the rounds read W+K of rounds `pair` and `pair` + 1."""
        base = "%r11" if self.work == "versions" and which == "hash2" else "%rsp"
        return f"{self._offset((which, chain, pair // 4)) + (8 if pair % 4 else 0)}({base})"

    def digest(self, chain: int, half: int) -> str:
        """Where half (0 ABEF, 1 CDGH) of a chain's first hash waits."""
        return xmm(16 + 2 * chain + half) if self.wide else self.slot("digest", chain, half)

    def hash1(self) -> list[str]:
        """Words 16..63 of four first hashes, from W16..W19 in the table of the next iteration."""
        self._lines = []
        for way in range(CHAINS):
            self._newest[way] = self._take_low()
            self._emit(f"vmovdqa {32 * CHAINS + 32 * way}(%rsi),{xmm(self._newest[way])}")
            self._older[way] = None
        for group in range(5, LAST_GROUP + 2):
            for way in range(CHAINS):
                self._store_with_k(self._newest[way], group - 1, ("hash1", way, group - 1))
                if group > LAST_GROUP:
                    continue
                if group == 5:
                    fresh = self._take_low()
                    self._emit(f"vmovdqa {SCAN_WORD20}(%rdi),{xmm(fresh)}")
                    self._emit(f"sha256msg2 {xmm(self._newest[way])},{xmm(fresh)}")
                else:
                    added = {6: [], 7: [f"{SCAN_WORD28}(%rdi)"]}.get(group)
                    fresh = self._next_group(way, group, added)
                if group >= 6:
                    self._prepare(way, group)
                self._advance(way, fresh)
        return self._lines

    def hash2(self) -> list[str]:
        """Words 0..7 and 16..63 of four second hashes, from the digests of the first."""
        self._lines = []
        for way in range(CHAINS):
            first, upper = self._begin_digest(way)
            self._store_with_k(upper, 0, ("hash2", way, 0))
            self._store_with_k(first, 1, ("hash2", way, 1))
            fresh = self._take_low()
            self._emit(f"vmovdqa {xmm(upper)},{xmm(fresh)}")
            self._emit(f"sha256msg1 {xmm(first)},{xmm(fresh)}")
            self._emit(f"sha256msg2 .Lwords_12_to_15(%rip),{xmm(fresh)}")
            self._give(upper)
            self._emit(f"sha256msg1 .Lwords_8_to_11(%rip),{xmm(first)}")
            self._emit(f"vmovdqa {xmm(first)},{self._waiting(way, 5)}")
            self._give(first)
            self._newest[way], self._older[way] = fresh, None
        self._expand_padded("hash2", None, [".Lwords_8_to_11(%rip)"])
        return self._lines

    def _expand_padded(self, which: str, fifth: list[str] | None, sixth: list[str]) -> None:
        """Groups 5..15 of blocks with constant groups 2 and 3, from group 4 in `_newest`; all stored with K.

        `fifth` and `sixth` are the addresses of what sha256msg1 gives for groups 5 and 6 where that is constant.
        """
        for group in range(5, LAST_GROUP + 2):
            for way in range(CHAINS):
                self._store_with_k(self._newest[way], group - 1, (which, way, group - 1))
                if group > LAST_GROUP:
                    continue
                if group == 5:
                    fresh = self._next_group(way, group, fifth)
                    spare = self._take_low()
                    self._emit(f"vmovdqa {self._group3},{xmm(spare)}")
                    self._emit(f"sha256msg1 {xmm(self._newest[way])},{xmm(spare)}")
                    self._emit(f"vmovdqa {xmm(spare)},{self._waiting(way, 7)}")
                    self._give(spare)
                else:
                    fresh = self._next_group(way, group, sixth if group == 6 else None)
                if group >= 6:
                    self._prepare(way, group)
                self._advance(way, fresh)

    def _begin_digest(self, way: int) -> tuple[int, int]:
        """Words 4..7 and 0..3 of the second hash, out of ABEF and CDGH."""
        first = self._take_low()
        abef, cdgh = self.digest(way, 0), self.digest(way, 1)
        if not self.wide:
            spare = self._take_low()
            self._emit(f"vmovdqa {abef},{xmm(spare)}")
            abef = xmm(spare)
        upper = self._take_high()
        self._emit(f"vshufps $0x11,{cdgh},{abef},{xmm(first)}")
        self._emit(f"vshufps $0xbb,{cdgh},{abef},{xmm(upper)}")
        if not self.wide:
            self._give(spare)
        return first, upper

    def _next_group(self, way: int, group: int, added: list[str] | None = None) -> int:
        """A register with the next group. `added` replaces what sha256msg1 would have prepared for it."""
        fresh = self._take_low()
        older = self._older[way] or self._group3
        self._emit(f"vpalignr $4,{older},{xmm(self._newest[way])},{xmm(fresh)}")
        for address in [self._waiting(way, group)] if added is None else added:
            self._emit(f"vpaddd {address},{xmm(fresh)},{xmm(fresh)}")
        self._emit(f"sha256msg2 {xmm(self._newest[way])},{xmm(fresh)}")
        return fresh

    def _prepare(self, way: int, group: int) -> None:
        """Put sha256msg1 of the last two groups aside for the group after next."""
        if group + 2 > LAST_GROUP:
            return
        spare = self._take_low()
        self._emit(f"vmovdqa {self._older[way]},{xmm(spare)}")
        self._emit(f"sha256msg1 {xmm(self._newest[way])},{xmm(spare)}")
        self._emit(f"vmovdqa {xmm(spare)},{self._waiting(way, group + 2)}")
        self._give(spare)

    def _advance(self, way: int, fresh: int) -> None:
        older = self._older[way]
        if older is None:
            older = xmm(self._high.pop(0)) if self.wide else self.slot("older", way)
            self._older[way] = older
        self._emit(f"vmovdqa {xmm(self._newest[way])},{older}")
        self._give(self._newest[way])
        self._newest[way] = fresh

    def _store_with_k(self, group_register: int, group: int, key: tuple[object, ...]) -> None:
        spare = self._take_high()
        self._emit(f"vpaddd .Lround_constants+{16 * group}(%rip),{xmm(group_register)},{xmm(spare)}")
        self._emit(f"vmovdqa {xmm(spare)},{self.slot(*key)}")
        self._give(spare)

    def _waiting(self, way: int, group: int) -> str:
        return self.slot("prepared", way, group % 3)

    def _offset(self, key: tuple[object, ...]) -> int:
        return 16 * self._slots.setdefault(key, len(self._slots))

    def _take_low(self) -> int:
        return self._low.pop(0)

    def _take_high(self) -> int:
        return (self._high if self.wide else self._low).pop(0)

    def _give(self, register: int) -> None:
        (self._low if register < 16 else self._high).append(register)

    def _emit(self, line: str) -> None:
        name, operands = line.split(" ", 1)
        if name == "vmovdqa" and any(f"%xmm{number}" in operands.split(",") for number in range(16, 32)):
            name = "vmovdqa32"
        self._lines.append(f"{name} {operands}")

    def renew(self) -> None:
        """Begin another stream: all registers are free again, the slots stay."""
        self._low, self._high = list(range(9, 16)), list(range(24, 32))


def _hash1_rounds(schedule: XmmSchedule) -> list[list[str]]:
    chains, steps, source = new_chains(), list[list[str]](), {}
    for chain, (abef, cdgh) in chains.items():
        if schedule.work == "scan":
            steps.append([f"vmovdqa {32 * chain + 16}(%rsi),{abef}", f"vmovdqa {SCAN_CDGH}(%rdi),{cdgh}"])
        else:
            steps.append(
                [
                    f"vmovdqa (%r8),{abef}",
                    f"vpaddd {64 * chain}(%r9),{abef},{abef}",
                    f"vmovdqa {64 * chain + 16}(%r9),{cdgh}",
                ]
            )
        for pair in range(4, 64, 2):
            if schedule.work == "versions":
                source[chain, pair] = f"{4 * pair}(%r8)"
            elif pair < 16:
                source[chain, pair] = f"{SCAN_WORDS + 4 * (pair - 4)}(%rdi)"
            else:
                source[chain, pair] = schedule.word_pair("hash1", chain, pair)
    steps += rounds(range(4, 64, 2), chains, source)
    for chain, registers in chains.items():
        step = []
        for half, register in enumerate(registers):
            address = (
                f"{SCAN_MIDSTATE + 16 * half}(%rdi)"
                if schedule.work == "scan"
                else f"{64 * chain + 32 + 16 * half}(%r9)"
            )
            target = schedule.digest(chain, half)
            step.append(f"vpaddd {address},{register},{target if schedule.wide else register}")
            if not schedule.wide:
                step.append(f"vmovdqa {register},{target}")
        steps.append(step)
    return steps


def _hash2_rounds(schedule: XmmSchedule) -> list[list[str]]:
    chains = new_chains()
    steps = load_initial(chains)
    source = {
        (chain, pair): padding_pair(pair) if 8 <= pair < 16 else schedule.word_pair("hash2", chain, pair)
        for chain in chains
        for pair in range(0, HASH2_LAST_PAIR + 1, 2)
    }
    steps += rounds(range(0, HASH2_LAST_PAIR + 1, 2), chains, source)
    return [*steps, *([f"vmovd {chains[chain][0]},{4 * chain}(%rdx)"] for chain in chains)]


def kernel(name: str, work: Work, *, wide: bool, early: float = 0.6) -> Kernel:
    """A two-stream kernel with a SHA-NI schedule; `early` as in `vector_schedule.kernel`."""
    schedule = XmmSchedule(work, wide=wide)
    hash1 = schedule.hash1() if work == "scan" else []
    schedule.renew()
    hash2 = schedule.hash2()
    if work == "scan":
        beside = (hash2, hash1)
    else:
        cut = int(len(hash2) * early)
        beside = (hash2[cut:], hash2[:cut])
    halves = (Half(_hash1_rounds(schedule), beside[0]), Half(_hash2_rounds(schedule), beside[1]))
    needs = ("sha", "avx512vl") if wide else ("sha", "avx")
    scratch = schedule.scratch
    return Kernel(name, work, CHAINS, halves, 2 * scratch, (0, scratch), needs)
