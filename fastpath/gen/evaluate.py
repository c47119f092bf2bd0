"""A partial evaluator for the sha256d of a block header: what is the same for all is computed once.

Owns the values and their classes. A value is a number, or belongs to the job, the lane (a rolled version), the nonce,
or to one hash alone; sums are taken apart by class, and what the last word does not need is never reached from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import IntEnum
from typing import Literal

from fastpath.gen import sha256
from fastpath.gen.sha256 import DIGEST_PADDING, HEADER_PADDING, IV, MASK, K

Work = Literal["scan", "versions"]
LATENCY = {"add": 1, "xor": 1, "and": 1, "choose": 1, "majority": 1, "S0": 3, "S1": 3, "s0": 3, "s1": 3}
"""Cycles on Zen 4 (measured), for the order in which a sum takes its terms."""


class Kind(IntEnum):
    """How often a value is computed: never, once a job, a version, a nonce, or for every hash."""

    NUMBER = 0
    JOB = 1
    LANE = 2
    NONCE = 3
    HASH = 4


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A node of the expression graph; `operation` "input" has a `name`, "number" has a `number`."""

    index: int
    kind: Kind
    operation: str
    operands: tuple[Value, ...]
    number: int
    name: str
    depth: int


class Evaluator:
    """Makes values; the same operation on the same operands is the same value.

    `ternary` says that the target has three-input logic: then Ch and Maj stay whole, else Maj becomes
    b ^ ((a ^ b) & (b ^ c)), half of which is the next round's.
    """

    def __init__(self, *, ternary: bool) -> None:
        self.values: list[Value] = []
        self._known: dict[tuple[object, ...], Value] = {}
        self._ternary = ternary

    def input(self, kind: Kind, name: str) -> Value:
        """A value the caller supplies."""
        return self._make(kind, "input", (), name=name)

    def number(self, number: int) -> Value:
        """A constant."""
        return self._make(Kind.NUMBER, "number", (), number=number & MASK)

    def sigma(self, name: str, word: Value) -> Value:
        """One of S0, S1, s0, s1."""
        if word.kind is Kind.NUMBER:
            return self.number(sha256.sigma(name, word.number))
        return self._make(word.kind, name, (word,))

    def choose(self, e: Value, f: Value, g: Value) -> Value:
        """Ch."""
        if all(value.kind is Kind.NUMBER for value in (e, f, g)):
            return self.number(sha256.choose(e.number, f.number, g.number))
        if self._ternary:
            return self._make(_joint(e, f, g), "choose", (e, f, g))
        return self._logic("xor", g, self._logic("and", e, self._logic("xor", f, g)))

    def majority(self, a: Value, b: Value, c: Value) -> Value:
        """Maj."""
        if all(value.kind is Kind.NUMBER for value in (a, b, c)):
            return self.number(sha256.majority(a.number, b.number, c.number))
        if self._ternary:
            return self._make(_joint(a, b, c), "majority", (a, b, c))
        return self._logic("xor", b, self._logic("and", self._logic("xor", a, b), self._logic("xor", b, c)))

    def total(self, terms: Iterable[Value]) -> Value:
        """Sum: first within each class, then the sums of classes and the hash's own terms, the earliest ready first."""
        every = list(terms)
        constant = sum(term.number for term in every if term.kind is Kind.NUMBER) & MASK
        by_kind = {kind: [term for term in every if term.kind is kind] for kind in Kind}
        carrier = next((kind for kind in (Kind.LANE, Kind.NONCE, Kind.JOB) if by_kind[kind]), None)
        if carrier in (Kind.LANE, Kind.NONCE):
            by_kind[carrier] += by_kind[Kind.JOB]
            by_kind[Kind.JOB] = []
        parts = []
        for kind in (Kind.JOB, Kind.LANE, Kind.NONCE):
            if by_kind[kind]:
                part = by_kind[kind][0]
                for term in by_kind[kind][1:]:
                    part = self._add(part, term)
                parts.append(self._add(part, self.number(constant)) if kind is carrier else part)
        if carrier is None and (constant or not by_kind[Kind.HASH]):
            parts.append(self.number(constant))
        pending = sorted(by_kind[Kind.HASH] + parts, key=_readiness)
        while len(pending) > 1:
            pending = sorted([*pending[2:], self._add(pending[0], pending[1])], key=_readiness)
        return pending[0]

    def expand(self, words: list[Value], length: int) -> None:
        """Append schedule words until there are `length` (FIPS 180-4, 6.2.2)."""
        while len(words) < length:
            t = len(words)
            s1, s0 = self.sigma("s1", words[t - 2]), self.sigma("s0", words[t - 15])
            words.append(self.total([s1, words[t - 7], s0, words[t - 16]]))

    def rounds(self, state: list[Value], words: list[Value], count: int, ahead: int) -> list[Value]:
        """`count` rounds. Words are made `ahead` rounds before their use, so that few are alive."""
        a, b, c, d, e, f, g, h = state
        for t in range(count):
            self.expand(words, min(count, t + 1 + ahead))
            base = self.total([h, self.number(K[t]), words[t]])
            t1 = self.total([base, self.sigma("S1", e), self.choose(e, f, g)])
            t2 = [self.sigma("S0", a), self.majority(a, b, c)]
            a, b, c, d, e, f, g, h = self.total([t1, *t2]), a, b, c, self.total([d, t1]), e, f, g
        return [a, b, c, d, e, f, g, h]

    def _add(self, left: Value, right: Value) -> Value:
        numbers = [value.number for value in (left, right) if value.kind is Kind.NUMBER]
        if len(numbers) == 2:
            return self.number(sum(numbers))
        if numbers == [0]:
            return right if left.kind is Kind.NUMBER else left
        return self._logic("add", left, right)

    def _logic(self, operation: str, left: Value, right: Value) -> Value:
        if left.kind is Kind.NUMBER and right.kind is Kind.NUMBER:
            folded = {"xor": left.number ^ right.number, "and": left.number & right.number}
            return self.number(folded[operation])
        low, high = sorted((left, right), key=lambda value: value.index)
        return self._make(_joint(low, high), operation, (low, high))

    def _make(
        self, kind: Kind, operation: str, operands: tuple[Value, ...], *, number: int = 0, name: str = ""
    ) -> Value:
        key = (operation, *(operand.index for operand in operands), number, name)
        if key not in self._known:
            deepest = max((operand.depth for operand in operands), default=0)
            depth = deepest + LATENCY[operation] if kind is Kind.HASH and operands else 0
            self._known[key] = Value(len(self.values), kind, operation, operands, number, name, depth)
            self.values.append(self._known[key])
        return self._known[key]


def _joint(*operands: Value) -> Kind:
    """The class of a result: a lane's value and a nonce's make one of the hash's own."""
    kinds = {operand.kind for operand in operands}
    return Kind.HASH if {Kind.LANE, Kind.NONCE} <= kinds else max(kinds)


def _readiness(value: Value) -> tuple[int, int]:
    return value.depth, value.index


def last_word(work: Work, *, ternary: bool, ahead: int = 4) -> tuple[Value, list[Value]]:
    """e after round 60 of the second hash, which decides, and all values it needs, in order of computation.

    Inputs are mid0..mid7, word0..word2 (the tail of the header) and nonce (the byte-swapped nonce).
    """
    evaluator = Evaluator(ternary=ternary)
    midstate_kind, nonce_kind = (Kind.JOB, Kind.HASH) if work == "scan" else (Kind.LANE, Kind.NONCE)
    midstate = [evaluator.input(midstate_kind, f"mid{i}") for i in range(8)]
    words = [evaluator.input(Kind.JOB, f"word{i}") for i in range(3)]
    words.append(evaluator.input(nonce_kind, "nonce"))
    words += [evaluator.number(word) for word in HEADER_PADDING]
    state = evaluator.rounds(midstate, words, 64, ahead)
    digest = [evaluator.total(pair) for pair in zip(midstate, state, strict=True)]
    second = digest + [evaluator.number(word) for word in DIGEST_PADDING]
    root = evaluator.rounds([evaluator.number(word) for word in IV], second, 61, ahead)[4]
    return root, reachable(root, evaluator.values)


def reachable(root: Value, values: list[Value]) -> list[Value]:
    """Those of `values` that `root` needs, in their order."""
    needed: set[int] = set()
    pending = [root]
    while pending:
        value = pending.pop()
        if value.index not in needed:
            needed.add(value.index)
            pending += value.operands
    return [value for value in values if value.index in needed]
