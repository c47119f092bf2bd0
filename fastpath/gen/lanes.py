"""Lane-parallel kernels: one hash in each 32-bit lane of a vector register, in AVX2 or AVX-512 assembly.

Owns the choice of instructions for the values of the partial evaluator. The registers are given out by
`registers.allocate_spilling`; words of the schedule wait in memory, from where an addition takes them at no cost.
"""

from __future__ import annotations

from dataclasses import dataclass

from fastpath.gen.evaluate import Kind, Value, Work, last_word
from fastpath.gen.registers import Program, allocate_spilling
from fastpath.gen.scalar import HEADER, Renderer
from fastpath.gen.sha256 import ROTATIONS

CHOOSE, MAJORITY, XOR3 = 0xCA, 0xE8, 0x96
"""Truth tables of vpternlogd."""


@dataclass(frozen=True, slots=True)
class Target:
    """An instruction set: its register names, the lanes of one, and whether logic has three inputs."""

    name: str
    register: str
    registers: int
    lanes: int
    ternary: bool
    needs: tuple[str, ...]

    @property
    def bytes(self) -> int:
        """Size of a vector."""
        return 4 * self.lanes


AVX2 = Target("avx2", "ymm", 16, 8, ternary=False, needs=("avx2",))
AVX512 = Target("avx512", "zmm", 32, 16, ternary=True, needs=("avx512f",))


class Lowering:
    """Turns values of class HASH into vector instructions.

    rdi points at the job's words, r9 at the lane vectors, r8 at the nonce's words, rsi at the nonce vector.
    """

    def __init__(self, target: Target, renderer: Renderer) -> None:
        self.target, self.renderer, self.program = target, renderer, Program()
        self.numbers: list[int] = []
        self._vectors: dict[int, int] = {}
        suffix = "d" if target.ternary else ""
        self._xor, self._and, self._move = (
            f"vpxor{suffix}",
            f"vpand{suffix}",
            "vmovdqa32" if target.ternary else "vmovdqa",
        )

    def lower(self, root: Value) -> Program:
        """The loop body: the vector of last words goes to rdx."""
        for value in self.renderer.values:
            if value.kind is Kind.HASH:
                self._vectors[value.index] = self._operation(value)
        self.program.effect(f"{self._move} {{0}},(%rdx)", self._vectors[root.index])
        return self.program

    def _operation(self, value: Value) -> int:
        if value.operation == "input":
            return self.program.value(f"{self._move} (%rsi),{{result}}")
        if value.operation in ROTATIONS:
            return self._sigma(value.operation, self._register(value.operands[0]))
        if value.operation in ("choose", "majority"):
            return self._ternary(value)
        mnemonic = {"add": "vpaddd", "xor": self._xor, "and": self._and}[value.operation]
        left, right = value.operands
        if left.kind is not Kind.HASH:
            left, right = right, left
        if Kind.HASH not in (left.kind, right.kind) and not self._address(right):
            left, right = right, left  # a lane's vector with a nonce's word: one of them has an address
        if right.kind is not Kind.HASH and (address := self._address(right)):
            return self.program.value(f"{mnemonic} {address},{{0}},{{result}}", self._register(left))
        return self.program.value(
            f"{mnemonic} {{1}},{{0}},{{result}}", self._register(left), self._register(right), memory=1
        )

    def _ternary(self, value: Value) -> int:
        table = CHOOSE if value.operation == "choose" else MAJORITY
        first, second, third = (self._register(operand) for operand in value.operands)
        return self.program.value(
            f"vpternlogd ${table:#x},{{2}},{{1}},{{result}}", first, second, third, overwrites=0, memory=2
        )

    def _sigma(self, name: str, word: int) -> int:
        one, two, three, shift = ROTATIONS[name]
        if self.target.ternary:
            parts = [self.program.value(f"vprord ${bits},{{0}},{{result}}", word) for bits in (one, two, three) if bits]
            if shift:
                parts.append(self.program.value(f"vpsrld ${shift},{{0}},{{result}}", word))
            return self.program.value(f"vpternlogd ${XOR3:#x},{{2}},{{1}},{{result}}", *parts, overwrites=0)
        shifts = [("vpsrld", shift)] if shift else []
        for bits in (one, two, three):
            if bits:
                shifts += [("vpsrld", bits), ("vpslld", 32 - bits)]
        total, *parts = (self.program.value(f"{kind} ${bits},{{0}},{{result}}", word) for kind, bits in shifts)
        for part in parts:
            total = self.program.value("vpxor {1},{0},{result}", total, part)
        return total

    def _register(self, value: Value) -> int:
        """The vector of a value of any class."""
        if value.kind is Kind.HASH:
            return self._vectors[value.index]
        if value.kind is Kind.LANE or (value.kind is Kind.NUMBER and not self.target.ternary):
            return self.program.value(f"{self._move} {self._place(value)},{{result}}")
        return self.program.value(f"vpbroadcastd {self._place(value)},{{result}}")

    def _address(self, value: Value) -> str:
        """The memory operand of a value, or nothing where the instruction set cannot broadcast a scalar."""
        if value.kind is Kind.LANE or (value.kind is Kind.NUMBER and not self.target.ternary):
            return self._place(value)
        return f"{self._place(value)}{{{{1to{self.target.lanes}}}}}" if self.target.ternary else ""

    def _place(self, value: Value) -> str:
        if value.kind is Kind.NUMBER:
            if value.number not in self.numbers:
                self.numbers.append(value.number)
            size = 4 if self.target.ternary else self.target.bytes
            return f".Lnumbers+{size * self.numbers.index(value.number)}(%rip)"
        base, size = {Kind.JOB: ("%rdi", 4), Kind.LANE: ("%r9", self.target.bytes), Kind.NONCE: ("%r8", 4)}[value.kind]
        return f"{size * self.renderer.places[value.kind][value.index]}({base})"


def assembly(target: Target, work: Work, name: str, ahead: int = 4) -> str:
    """The assembly file of a kernel.

    scan:     void name(const void *job, const void *nonce_vectors, uint32_t *results, uint64_t iterations)
    versions: void name(const void *job, const void *pairs, uint32_t *results, uint64_t iterations)
    """
    root, values = last_word(work, ternary=target.ternary, ahead=ahead)
    lowering = Lowering(target, Renderer(values))
    names = [f"%{target.register}{number}" for number in range(target.registers)]
    body, slots = allocate_spilling(lowering.lower(root), names, target.bytes)
    head = ["mov (%rsi),%r8", "mov 8(%rsi),%r9"] if work == "versions" else []
    step = 16 if work == "versions" else target.bytes
    code = [
        "push %rbp",
        "mov %rsp,%rbp",
        f"sub ${target.bytes * slots + 64},%rsp",
        "and $-64,%rsp",
        ".p2align 6",
        "1:",
        *head,
        *body,
        f"add ${step},%rsi",
        f"add ${target.bytes},%rdx",
        "dec %rcx",
        "jnz 1b",
        "vzeroupper",
        "mov %rbp,%rsp",
        "pop %rbp",
        "ret",
    ]
    repeat = 1 if target.ternary else target.lanes
    return "\n".join(
        [
            f"# {name}: {target.lanes} hashes an iteration. Generated by `python -m fastpath.gen`; do not edit.",
            f"# Needs {', '.join(target.needs)}.",
            ".text",
            ".p2align 6",
            f".globl {name}",
            f".hidden {name}",
            f".type {name},@function",
            f"{name}:",
            *(line if line.endswith(":") else f" {line}" for line in code),
            f".size {name},.-{name}",
            ".section .rodata",
            ".p2align 6",
            ".Lnumbers:",
            *(" .long " + ",".join([f"{number:#010x}"] * repeat) for number in lowering.numbers),
            '.section .note.GNU-stack,"",@progbits',
            "",
        ]
    )


def header(target: Target) -> str:
    """C for the job's, the lane's and the nonce's words of both kernels of a target."""
    text = HEADER
    for work in ("scan", "versions"):
        renderer = Renderer(last_word(work, ternary=target.ternary)[1])
        for kind in (Kind.JOB, Kind.LANE, Kind.NONCE):
            count = len(renderer.places[kind])
            if not count:
                continue
            parameters = {
                Kind.JOB: "const uint32_t *midstate, const uint32_t *tail"
                if work == "scan"
                else "const uint32_t *tail",
                Kind.LANE: "const uint32_t *midstate, const uint32_t *job",
                Kind.NONCE: "uint32_t nonce, const uint32_t *job",
            }[kind]
            text += f"#define {work.upper()}_{kind.name}_WORDS {count}\n"
            stride = str(target.lanes) if kind is Kind.LANE else ""
            text += renderer.function(f"{work}_{kind.name.lower()}", kind, parameters, stride)
    return text
