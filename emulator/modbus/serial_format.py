"""How characters stand on a serial line: baud rate, parity, stop bits, and the silences of Modbus RTU.

Owns the arithmetic from line settings to nanoseconds; who speaks when is `emulator/modbus/serial_bus.py`'s.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from emulator.wire import SECOND

_TIMED_BITS = 11
_FAST_BAUD = 19_200
_FAST_T15_NS, _FAST_T35_NS = 750_000, 1_750_000


class Parity(Enum):
    """The bit that makes the ones of a character even or odd in number."""

    NONE = "none"
    EVEN = "even"
    ODD = "odd"


@dataclass(frozen=True, slots=True)
class SerialFormat:
    """Settings of a line. A character is a start bit, `data_bits`, the parity bit if there is one, and the stop bits.

    The silent intervals follow the serial line guide V1.02, section 2.5.1.1: they count characters of 11 bits, and
    above 19 200 baud they stay at 0.75 ms and 1.75 ms. Raises ValueError for settings that no port has.
    """

    baud: int = 9600
    parity: Parity = Parity.NONE
    stop_bits: int = 1
    data_bits: int = 8

    def __post_init__(self) -> None:
        if self.baud < 1:
            raise ValueError(f"{self.baud} baud; it must be more than 0")
        if self.stop_bits not in (1, 2):
            raise ValueError(f"{self.stop_bits} stop bits; 1 or 2 are possible")
        if self.data_bits not in (7, 8):
            raise ValueError(f"{self.data_bits} data bits; 7 or 8 are possible")

    @property
    def character_bits(self) -> int:
        """Bits of a character on the wire: 10 for 8N1, 11 for 8E1 and 8N2."""
        return 1 + self.data_bits + (self.parity is not Parity.NONE) + self.stop_bits

    @property
    def bit_ns(self) -> float:
        """How long a bit lasts; not rounded, so that a frame of many bits is as long as it should be."""
        return SECOND / self.baud

    @property
    def character_ns(self) -> int:
        """How long a character takes."""
        return self.span_ns(1)

    @property
    def t15_ns(self) -> int:
        """The longest silence inside an RTU frame."""
        return _FAST_T15_NS if self.baud > _FAST_BAUD else round(1.5 * _TIMED_BITS * SECOND / self.baud)

    @property
    def t35_ns(self) -> int:
        """The silence that ends an RTU frame."""
        return _FAST_T35_NS if self.baud > _FAST_BAUD else round(3.5 * _TIMED_BITS * SECOND / self.baud)

    def span_ns(self, characters: int) -> int:
        """How long so many characters take one right after the other."""
        return round(characters * self.character_bits * SECOND / self.baud)

    @property
    def text(self) -> str:
        """As people write it: `9600 8N1`."""
        return f"{self.baud} {self.data_bits}{self.parity.value[0].upper()}{self.stop_bits}"
