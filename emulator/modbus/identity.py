"""Device identification: the text objects a server shows through function 43/14, and how they are cut into replies.

Owns the paging of the Modbus application protocol specification V1.1b3, section 6.21; which objects a product has is in
its own file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

MEI_DEVICE_IDENTIFICATION = 0x0E
INDIVIDUAL_ACCESS = 0x80
"""The bit of the conformity level that says single objects can be asked for."""

_FUNCTION = 0x2B
_MAX_PDU_BYTES = 253
_HEAD_BYTES = 7
_MAX_OBJECT_BYTES = _MAX_PDU_BYTES - _HEAD_BYTES - 2
_LAST_OF = {1: 0x02, 2: 0x7F, 3: 0xFF}
_SPECIFIC = 4


class IdentityError(Exception):
    """A request for identification that is refused; `code` is the exception code."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True, slots=True)
class Identity:
    """The objects of one device. Numbers 0 to 2 (vendor, product code, revision) are mandatory in the standard,
    3 to 6 regular, from 80h on the vendor's own.

    Raises ValueError for an object number outside 0 to FFh or a text that cannot fit one reply (244 bytes).
    """

    objects: Mapping[int, bytes]
    conformity: int = field(default=-1)
    """The conformity level told to clients; by default the highest the objects allow, with individual access."""

    def __post_init__(self) -> None:
        for number, text in self.objects.items():
            if not 0 <= number <= 0xFF:
                raise ValueError(f"identity object {number}: the number must be 0 to 255")
            if len(text) > _MAX_OBJECT_BYTES:
                raise ValueError(
                    f"identity object {number}: {len(text)} bytes; at most {_MAX_OBJECT_BYTES} fit a reply"
                )
        object.__setattr__(self, "objects", dict(sorted(self.objects.items())))
        if self.conformity == -1:
            highest = max(self.objects, default=0)
            level = 3 if highest >= 0x80 else 2 if highest > 2 else 1
            object.__setattr__(self, "conformity", INDIVIDUAL_ACCESS | level)

    def reply(self, read_code: int, object_id: int) -> bytes:
        """The reply PDU for one request.

        A stream from an object that does not exist begins again at the first one. Raises IdentityError with code 02
        for a single object that does not exist, 03 for an unknown read code or a single object of a stream-only device.
        """
        if read_code == _SPECIFIC:
            if not self.conformity & INDIVIDUAL_ACCESS:
                raise IdentityError(0x03)
            if object_id not in self.objects:
                raise IdentityError(0x02)
            return self._packed(read_code, [object_id], 0)
        last = _LAST_OF.get(read_code)
        if last is None:
            raise IdentityError(0x03)
        wanted = [number for number in self.objects if number <= last]
        if object_id in wanted:
            wanted = wanted[wanted.index(object_id) :]
        page: list[int] = []
        room = _MAX_PDU_BYTES - _HEAD_BYTES
        for number in wanted:
            room -= 2 + len(self.objects[number])
            if room < 0:
                return self._packed(read_code, page, number)
            page.append(number)
        return self._packed(read_code, page, None)

    def _packed(self, read_code: int, page: list[int], following: int | None) -> bytes:
        more = 0xFF if following else 0x00
        head = bytes(
            (_FUNCTION, MEI_DEVICE_IDENTIFICATION, read_code, self.conformity, more, following or 0, len(page))
        )
        return head + b"".join(bytes((n, len(self.objects[n]))) + self.objects[n] for n in page)
