"""What a receiver makes of several transmitters that speak at once on one pair of wires.

Owns the superposition of characters bit by bit; who speaks when is `emulator/modbus/serial_bus.py`'s.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from emulator.modbus.serial_format import Parity, SerialFormat
from emulator.wire import Instant


@dataclass(frozen=True, slots=True)
class Transmission:
    """Characters one right after the other from `start_ns`."""

    start_ns: Instant
    data: bytes

    def end_ns(self, form: SerialFormat) -> Instant:
        """When the last character is over."""
        return self.start_ns + form.span_ns(len(self.data))


@dataclass(frozen=True, slots=True)
class Character:
    """What a receiver took for a character, and when its stop bit was over."""

    start_ns: Instant
    end_ns: Instant
    byte: int


def received(transmissions: Sequence[Transmission], form: SerialFormat) -> list[Character]:
    """The characters that a receiver hears, in order.

    A single transmission arrives as it is. Where several overlap, a 0 wins over a 1 (estimate: the driver that pulls
    the pair away from its idle state), so that equal replies in step arrive intact and everything else as a receiver
    frames the mixture: start bit, data, parity, stop; a character with wrong parity or stop bit is lost.
    """
    clear: list[Character] = []
    groups: list[list[Transmission]] = []
    until = 0
    for one in sorted(transmissions, key=lambda sent: sent.start_ns):
        if groups and one.start_ns < until:
            groups[-1].append(one)
            until = max(until, one.end_ns(form))
        else:
            groups.append([one])
            until = one.end_ns(form)
    for group in groups:
        clear += _alone(group[0], form) if len(group) == 1 else _mixed(group, form)
    return clear


def _alone(sent: Transmission, form: SerialFormat) -> list[Character]:
    start_ns, span_ns = sent.start_ns, form.span_ns
    return [
        Character(start_ns + span_ns(place), start_ns + span_ns(place + 1), byte)
        for place, byte in enumerate(sent.data)
    ]


def _mixed(group: Sequence[Transmission], form: SerialFormat) -> list[Character]:
    """The wire as one integer of bits, 1 where somebody pulls it to 0, sampled as a UART does."""
    origin_ns, bit_ns = group[0].start_ns, form.bit_ns
    pulled = 0
    for sent in group:
        pulled |= _pulled(sent.data, form) << round((sent.start_ns - origin_ns) / bit_ns)
    heard: list[Character] = []
    at, size, most = 0, form.character_bits, pulled.bit_length()
    while at < most:
        if not pulled >> at & 1:
            at += 1
            continue
        byte = ~(pulled >> at + 1) & (1 << form.data_bits) - 1
        rest = pulled >> at + 1 + form.data_bits
        good = True
        if form.parity is not Parity.NONE:
            good = (~rest & 1) == _parity_bit(byte, form)
            rest >>= 1
        if good and not rest & 1:
            start_ns = origin_ns + round(at * bit_ns)
            heard.append(Character(start_ns, start_ns + form.character_ns, byte))
        at += size
    return heard


def _pulled(data: bytes, form: SerialFormat) -> int:
    """The bits of a transmission, the first in the lowest place, 1 where the line is pulled to 0."""
    bits, mask = 0, (1 << form.data_bits) - 1
    for place, byte in enumerate(data):
        bits |= (1 | (~byte & mask) << 1) << place * form.character_bits
        if form.parity is not Parity.NONE and not _parity_bit(byte & mask, form):
            bits |= 1 << place * form.character_bits + 1 + form.data_bits
    return bits


def _parity_bit(byte: int, form: SerialFormat) -> int:
    return byte.bit_count() & 1 ^ (form.parity is Parity.ODD)
