"""Straight-line code over values, and its fit into a fixed number of registers.

Owns the instruction with named values and the allocator; what the instructions mean is the caller's.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Instruction:
    """Assembly text with places: {0}, {1} .. for `sources`, {result} for the result, values numbered from 0.

    `overwrites` is the place whose register the result takes, for instructions with an operand that is both; `memory`
    is the place where an address may stand instead of a register.
    """

    text: str
    result: int | None
    sources: tuple[int, ...]
    overwrites: int | None = None
    memory: int | None = None


class Program:
    """Instructions in order; each call that makes a value returns its number."""

    def __init__(self) -> None:
        self.instructions: list[Instruction] = []
        self._values = 0

    def value(self, text: str, *sources: int, overwrites: int | None = None, memory: int | None = None) -> int:
        """Append an instruction with a result."""
        number = self._values
        self._values += 1
        self.instructions.append(Instruction(text, number, sources, overwrites, memory))
        return number

    def effect(self, text: str, *sources: int) -> None:
        """Append an instruction without a result, such as a store."""
        self.instructions.append(Instruction(text, None, sources))


def allocate(program: Program, names: list[str]) -> list[str]:
    """The program as text in the registers `names`, the longest free one first.

    A register is free again after the last use of its value, for the result of that very instruction already. The
    rotation through all registers keeps reuse far apart, which moving instructions between streams needs.
    Raises ValueError when the program needs more registers than there are.
    """
    last_use: dict[int, int] = {}
    for position, instruction in enumerate(program.instructions):
        for source in instruction.sources:
            last_use[source] = position
    free = list(names)
    place: dict[int, str] = {}
    lines: list[str] = []
    for position, instruction in enumerate(program.instructions):
        sources = [place[source] for source in instruction.sources]
        dying = [source for source in dict.fromkeys(instruction.sources) if last_use[source] == position]
        if instruction.result is None:
            free += [place[source] for source in dying]
            lines.append(instruction.text.format(*sources))
            continue
        if instruction.overwrites is not None:
            taken = instruction.sources[instruction.overwrites]
            if taken not in dying:
                raise ValueError(f"instruction {position} overwrites a value that is still needed: {instruction.text}")
            free += [place[source] for source in dying if source != taken]
            register = place[taken]
        else:
            free += [place[source] for source in dying]
            if not free:
                raise ValueError(f"instruction {position} finds no register: {instruction.text}")
            register = free.pop(0)
        place[instruction.result] = register
        if instruction.result not in last_use:
            free.append(register)
        lines.append(instruction.text.format(*sources, result=register))
    return lines


class _Spiller:
    """State of `allocate_spilling`: which value is in which register, which has a copy on the stack."""

    def __init__(self, program: Program, names: list[str], slot_bytes: int) -> None:
        self.lines: list[str] = []
        self.slots = 0
        self._free, self._slot_bytes = list(names), slot_bytes
        self._place: dict[int, str] = {}
        self._slot: dict[int, int] = {}
        self._free_slots: list[int] = []
        self._uses: dict[int, list[int]] = {}
        self._move = "vmovdqa" if "ymm" in names[0] else "vmovdqa32"
        for position, instruction in enumerate(program.instructions):
            for source in instruction.sources:
                self._uses.setdefault(source, []).append(position)

    def step(self, position: int, instruction: Instruction) -> None:
        """Emit one instruction, with the loads and stores it takes."""
        pinned = set(instruction.sources)
        operands = []
        for place, source in enumerate(instruction.sources):
            later = [use for use in self._uses[source] if use > position]
            near = later and later[0] - position < NEAR
            if source not in self._place and place == instruction.memory and not near:
                operands.append(self._address(source))
            else:
                operands.append(self._load(source, position, pinned))
        dying = [source for source in dict.fromkeys(instruction.sources) if self._uses[source][-1] == position]
        if instruction.overwrites is not None:
            source = instruction.sources[instruction.overwrites]
            if source not in dying:
                register = self._take(position, pinned)
                self.lines.append(f"{self._move} {operands[instruction.overwrites]},{register}")
            else:
                register = self._place[source]
            for value in dying:
                self._forget(value, keep=register)
        else:
            for value in dying:
                self._forget(value)
            register = "" if instruction.result is None else self._take(position, pinned)
        self.lines.append(instruction.text.format(*operands, result=register))
        if instruction.result is not None:
            self._place[instruction.result] = register
            if instruction.result not in self._uses:
                raise ValueError(f"nobody reads {instruction.text}")

    def _load(self, value: int, position: int, pinned: set[int]) -> str:
        if value not in self._place:
            register = self._take(position, pinned)
            self.lines.append(f"{self._move} {self._address(value)},{register}")
            self._place[value] = register
        return self._place[value]

    def _take(self, position: int, pinned: set[int]) -> str:
        """A free register, if need be that of the value whose next use is farthest away."""
        if not self._free:
            candidates = [value for value in self._place if value not in pinned]
            victim = max(candidates, key=lambda value: next(use for use in self._uses[value] if use >= position))
            if victim not in self._slot:
                self._slot[victim] = self._free_slots.pop() if self._free_slots else self.slots
                self.slots = max(self.slots, self._slot[victim] + 1)
                self.lines.append(f"{self._move} {self._place[victim]},{self._address(victim)}")
            self._free.append(self._place.pop(victim))
        return self._free.pop(0)

    def _forget(self, value: int, keep: str = "") -> None:
        register = self._place.pop(value, "")
        if register and register != keep:
            self._free.append(register)
        if value in self._slot:
            self._free_slots.append(self._slot.pop(value))

    def _address(self, value: int) -> str:
        return f"{self._slot_bytes * self._slot[value]}(%rsp)"


NEAR = 12
"""A value on the stack that is used again within so many instructions is worth a register."""


def allocate_spilling(program: Program, names: list[str], slot_bytes: int) -> tuple[list[str], int]:
    """The program in the registers `names` and, where they do not suffice, in stack slots; returns the number of slots.

    The value whose next use is farthest away leaves its register (Belady's rule, the best there is for straight code).
    """
    spiller = _Spiller(program, names, slot_bytes)
    for position, instruction in enumerate(program.instructions):
        spiller.step(position, instruction)
    return spiller.lines, spiller.slots
