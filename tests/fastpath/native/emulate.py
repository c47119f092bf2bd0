"""Writes a generated assembly file as C: its loop becomes a table of instructions that `emulate.c` executes.

Owns the reading of the text. It knows what the generators write and refuses anything else.
"""

from __future__ import annotations

import re

GENERAL = {
    f"%{name}": number
    for number, name in enumerate(
        ["rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{number}" for number in range(8, 16))]
    )
}
SAME = {"vmovdqa32": "vmovdqa", "vpxord": "vpxor", "vpandd": "vpand"}
"""Names that only say how wide an element would be under a mask."""
VECTOR_BYTES = {"x": 16, "y": 32, "z": 64}


def emulated(text: str) -> str:
    """C that defines the function of an assembly file.

    Raises ValueError for a line that is not understood.
    """
    name = re.findall(r"^\.globl (\w+)$", text, re.MULTILINE)
    if len(name) != 1:
        raise ValueError(f"one function is expected, there are {name}")
    code, _, data = text.partition(".section .rodata")
    begin = f"\n{name[0]}:\n"
    lines = [line.strip() for line in code[code.index(begin) + len(begin) :].splitlines()]
    rows, labels = list[str](), dict[str, int]()
    for line in lines:
        if not line or line.startswith((".", "#")):
            continue
        if line.endswith(":"):
            labels[line[:-1]] = len(rows)
        else:
            rows.append(_row(line, labels))
    return "\n".join(
        [
            '#include "emulate.h"',
            *_tables(code, data),
            "static const instruction code[] = {",
            *rows,
            "};",
            f"void {name[0]}(const void *rdi, const void *rsi, void *rdx, uint64_t rcx, const void *r8);",
            f"void {name[0]}(const void *rdi, const void *rsi, void *rdx, uint64_t rcx, const void *r8) {{",
            "    emulate(code, rdi, rsi, rdx, rcx, r8);",
            "}",
            "",
        ]
    )


def _tables(code: str, data: str) -> list[str]:
    """The constants behind the code that it reads, each label an array, aligned as in the file."""
    found = []
    for power, label, words in re.findall(r"\.p2align (\d+)\n\.L(\w+):\n((?: \.long .*\n)+)", data):
        if re.search(rf"\.L{label}\b", code):
            numbers = ",".join(re.findall(r"0x[0-9a-f]+", words))
            aligned = f"__attribute__((aligned({1 << int(power)})))"
            found.append(f"static const uint32_t table_{label}[] {aligned} = {{{numbers}}};")
    return found


def _row(line: str, labels: dict[str, int]) -> str:
    name, _, rest = line.partition(" ")
    if name == "jnz":
        return f"  {{.what = JNZ, .target = {labels[rest.removesuffix('b')]}}},"
    operands = re.split(r",(?![^(]*\))", rest) if rest else []
    widths = {match[0] for operand in operands for match in re.findall(r"^%([xyz])mm\d+", operand)}
    size = max((VECTOR_BYTES[width] for width in widths), default=0)
    described = ", ".join(_operand(operand) for operand in operands)
    return f"  {{.what = {SAME.get(name, name).upper()}, .size = {size}, .operands = {{{described}}}}},"


def _operand(text: str) -> str:
    if match := re.fullmatch(r"\$(-?\w+)", text):
        return f"{{.kind = NUMBER, .number = {match[1]}}}"
    if text in GENERAL:
        return f"{{.kind = GENERAL, .number = {GENERAL[text]}}}"
    if match := re.fullmatch(r"%[xyz]mm(\d+)", text):
        return f"{{.kind = VECTOR, .number = {match[1]}}}"
    if match := re.fullmatch(r"\.L(\w+?)(?:\+(\d+))?\(%rip\)(\{1to\d+\})?", text):
        broadcast = int(bool(match[3]))
        return f"{{.kind = MEMORY, .table = table_{match[1]}, .offset = {match[2] or 0}, .broadcast = {broadcast}}}"
    if match := re.fullmatch(r"(-?\d+)?\((%\w+)\)(\{1to\d+\})?", text):
        broadcast = int(bool(match[3]))
        number = GENERAL[match[2]]
        return f"{{.kind = MEMORY, .number = {number}, .offset = {match[1] or 0}, .broadcast = {broadcast}}}"
    raise ValueError(f"not understood: {text}")
