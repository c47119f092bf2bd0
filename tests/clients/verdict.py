"""What came of trying one thing with one client on one firmware."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """works: as the physics say; cannot: the client does not ask or tell; differs: it tells or does something else."""

    WORKS = "works"
    CANNOT = "cannot"
    DIFFERS = "differs"


@dataclass(frozen=True, slots=True)
class Finding:
    """A verdict, and in words what was seen: for the message of a test that fails, not for the page."""

    verdict: Verdict
    seen: str


def works(seen: object) -> Finding:
    """It is as it should be."""
    return Finding(Verdict.WORKS, str(seen))


def cannot(seen: object = "nothing") -> Finding:
    """The client has nothing to say, or no such call."""
    return Finding(Verdict.CANNOT, str(seen))


def differs(seen: object) -> Finding:
    """What the client says or does is not what is so."""
    return Finding(Verdict.DIFFERS, str(seen))
