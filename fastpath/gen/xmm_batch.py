"""Two-stream batch kernels: sha256d of messages of 64 or 80 bytes, four at a time, schedules beside rounds in SHA-NI.

Owns the three parts of that loop. The second block of a 64-byte message is all padding, so its words are constants and
its rounds are where the schedules of the others catch up.
"""

from __future__ import annotations

from fastpath.gen.streams import CHAINS, Half, Kernel, load_initial, new_chains, padding_pair, rounds, xmm
from fastpath.gen.xmm_schedule import LAST_GROUP, XmmSchedule

HEADER_BYTES = 80


class BatchSchedule(XmmSchedule):
    """The schedule streams of a batch: `message` for the next four, `hash2` for the four before, `tail` for these."""

    def __init__(self, size: int, *, wide: bool) -> None:
        super().__init__("batch", wide=wide)
        self.size = size

    def message(self) -> list[str]:
        """Words 0..63 of the four messages at r8."""
        self._lines = []
        for way in range(CHAINS):
            older = self._load("message", way, 0, "%r8")
            for group in range(1, 4):
                newest = self._load("message", way, group, "%r8")
                if group < 3:  # sha256msg1 of groups 2 and 3 is prepared by the loop below
                    self._emit(f"sha256msg1 {xmm(newest)},{xmm(older)}")
                    self._emit(f"vmovdqa {xmm(older)},{self._waiting(way, group + 3)}")
                    self._give(older)
                else:
                    self._keep_older(way, older)
                older = newest
            self._newest[way] = older
        for group in range(4, LAST_GROUP + 2):
            for way in range(CHAINS):
                if group > 4:
                    self._store_with_k(self._newest[way], group - 1, ("message", way, group - 1))
                if group <= LAST_GROUP:
                    fresh = self._next_group(way, group)
                    self._prepare(way, group)
                    self._advance(way, fresh)
        return self._lines

    def tail(self) -> list[str]:
        """Words 0..3 and 16..63 of the second blocks of four headers, whose messages the iteration before had in r8."""
        self._lines = []
        self._emit("mov -16(%rsi),%rax")
        self._group3 = ".Lheader_12_to_15(%rip)"
        for way in range(CHAINS):
            words = self._load("tail", way, 0, "%rax", offset=64)
            self._emit(f"sha256msg1 .Lwords_8_to_11(%rip),{xmm(words)}")  # words 4..7 of a header's second block, too
            self._emit(f"sha256msg2 {self._group3},{xmm(words)}")
            self._newest[way], self._older[way] = words, None
        self._expand_padded("tail", [".Lwords_8_to_11(%rip)"], [])
        self._group3 = ".Lwords_12_to_15(%rip)"
        return self._lines

    def _load(self, which: str, way: int, group: int, base: str, offset: int = 0) -> int:
        """Four words of a message, byte-swapped, stored with K."""
        words = self._take_low()
        self._emit(f"vmovdqu {self.size * way + 16 * group + offset}({base}),{xmm(words)}")
        self._emit(f"vpshufb .Lbyte_swap(%rip),{xmm(words)},{xmm(words)}")
        self._store_with_k(words, group, (which, way, group))
        return words

    def _keep_older(self, way: int, register: int) -> None:
        place = xmm(self._high.pop(0)) if self.wide else self.slot("older", way)
        self._older[way] = place
        self._emit(f"vmovdqa {xmm(register)},{place}")
        self._give(register)


def _message_rounds(schedule: BatchSchedule) -> tuple[list[list[str]], list[list[str]]]:
    """Rounds of both blocks of the message; the state passes from one to the other in registers."""
    chains = new_chains()
    source = {(chain, pair): schedule.word_pair("message", chain, pair) for chain in chains for pair in range(0, 64, 2)}
    first = load_initial(chains) + rounds(range(0, 64, 2), chains, source)
    for chain, registers in chains.items():
        for half, register in enumerate(registers):
            initial = ".Linitial_cdgh" if half else ".Linitial_abef"
            first.append(
                [
                    f"vpaddd {initial}(%rip),{register},{register}",
                    f"vmovdqa {register},{schedule.slot('between', chain, half)}",
                ]
            )
    source = {(chain, pair): _second_block(schedule, chain, pair) for chain in chains for pair in range(0, 64, 2)}
    second = rounds(range(0, 64, 2), chains, source)
    for chain, registers in chains.items():
        for half, register in enumerate(registers):
            between, target = schedule.slot("between", chain, half), schedule.digest(chain, half)
            if schedule.wide:
                second.append([f"vpaddd {between},{register},{target}"])
            else:
                second.append([f"vpaddd {between},{register},{register}", f"vmovdqa {register},{target}"])
    return first, second


def _second_block(schedule: BatchSchedule, chain: int, pair: int) -> str:
    """Where W+K of two rounds of a message's second block stand."""
    if schedule.size != HEADER_BYTES:
        return f".Lpadding_block+{4 * pair}(%rip)"
    if 4 <= pair < 16:
        return f".Lheader_padding+{4 * (pair - 4)}(%rip)"
    return schedule.word_pair("tail", chain, pair)


def _hash2_rounds(schedule: BatchSchedule) -> list[list[str]]:
    """All 64 rounds of the second hash, and its digests to r9."""
    chains = new_chains()
    source = {
        (chain, pair): padding_pair(pair) if 8 <= pair < 16 else schedule.word_pair("hash2", chain, pair)
        for chain in chains
        for pair in range(0, 64, 2)
    }
    steps = load_initial(chains) + rounds(range(0, 64, 2), chains, source)
    for chain, (abef, cdgh) in chains.items():
        steps += [
            [f"vpaddd .Linitial_abef(%rip),{abef},{abef}", f"vpaddd .Linitial_cdgh(%rip),{cdgh},{cdgh}"],
            [f"vshufps $0xbb,{cdgh},{abef},%xmm0", f"vshufps $0x11,{cdgh},{abef},{abef}"],
            ["vpshufb .Lbyte_swap(%rip),%xmm0,%xmm0", f"vmovdqu %xmm0,{32 * chain}(%r9)"],
            [f"vpshufb .Lbyte_swap(%rip),{abef},{abef}", f"vmovdqu {abef},{32 * chain + 16}(%r9)"],
        ]
    return steps


def kernel(name: str, size: int, *, wide: bool) -> Kernel:
    """The loop: messages' first block, second block, then the second hash of the four before.

    The schedule of the second hash of the four before runs beside the first two, that of the next four's messages
    beside the last two, evenly; with headers, each of the three schedules has a part to itself.
    """
    schedule, streams = BatchSchedule(size, wide=wide), list[list[str]]()
    for stream in (
        (schedule.tail, schedule.hash2, schedule.message)
        if size == HEADER_BYTES
        else (
            schedule.hash2,
            schedule.message,
        )
    ):
        streams.append(stream())
        schedule.renew()
    first, second = _message_rounds(schedule)
    last = _hash2_rounds(schedule)
    if size != HEADER_BYTES:
        beside, share = streams[0] + streams[1], (len(streams[0]) + len(streams[1])) // 3
        streams = [beside[:share], beside[share : 2 * share], beside[2 * share :]]
    parts = tuple(Half(steps, stream) for steps, stream in zip((first, second, last), streams, strict=True))
    needs = ("sha", "avx512vl") if wide else ("sha", "avx")
    return Kernel(name, "batch", CHAINS, parts, schedule.scratch, (0, 0), needs)
