"""The circuit breaker at the head of a feeder: main contacts that a trip coil parts and a closing coil brings together.

Owns operating times and what a breaker does with commands; who commands it (a protection relay, a fault, a person) and
what it feeds is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emulator.contacts import History
from emulator.wire import MILLISECOND

if TYPE_CHECKING:
    from collections.abc import Callable

    from emulator.wire import Instant


@dataclass(frozen=True, slots=True)
class BreakerSpec:
    """Operating times of a breaker."""

    open_ns: int = 50 * MILLISECOND
    """Trip coil energised to current interrupted (GK: low-voltage power breakers take 30-80 ms)."""
    close_ns: int = 80 * MILLISECOND
    """Closing coil energised to contacts touching (estimate: 60-100 ms with a charged spring)."""


class Breaker:
    """One breaker; `moved` is told the first instant from which its contacts' history has changed."""

    def __init__(self, spec: BreakerSpec, moved: Callable[[Instant], None]) -> None:
        self.spec = spec
        self.contacts = History()
        """When the main contacts are closed, with what has been commanded so far."""
        self._moved = moved

    def closed(self, at: Instant) -> bool:
        """State of the main contacts, and of the auxiliary contact 52A that goes with them."""
        return self.contacts.at(at)

    def trip(self, at: Instant) -> Instant | None:
        """Energise the trip coil at `at`; the instant at which the contacts part, None when they stand open.

        A trip cannot be called back. One that comes while the breaker closes wins: the contacts never meet (trip-free).
        """
        following = self.contacts.next(at)
        if not self.contacts.at(at):
            if following is not None:
                self._set(self.contacts.moved(False, following), following)
            return None
        if following is not None:
            return following
        parts = at + self.spec.open_ns
        self._set(self.contacts.moved(False, parts), parts)
        return parts

    def close(self, at: Instant) -> Instant | None:
        """Energise the closing coil at `at`; the instant at which the contacts meet.

        None, and nothing happens, unless they stand open then (anti-pumping).
        """
        if self.contacts.at(at):
            return None
        following = self.contacts.next(at)
        if following is not None:
            return following
        meet = at + self.spec.close_ns
        self._set(self.contacts.moved(True, meet), meet)
        return meet

    def stand(self, closed: bool, at: Instant) -> None:
        """The contacts are open or closed from exactly `at`, for whatever reason; what was under way is forgotten."""
        before = self.contacts
        self._set(self.contacts.moved(closed, at), min(at, before.next(at) or at))

    def _set(self, contacts: History, since: Instant) -> None:
        if contacts != self.contacts:
            self.contacts = contacts
            self._moved(since)
