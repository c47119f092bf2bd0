"""Login tokens of a firmware: issued, refreshed by use, expired, and never more than a few.

Owns the table and its bound; how a token travels is the face's.
"""

from __future__ import annotations

import hmac

from emulator.seed import Seed
from emulator.wire import Instant

MOST = 64
"""Tokens that live at once; the one unused for longest makes room. estimate"""
_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"


class Tokens:
    """Tokens of sixteen characters, each alive until it has not been used for `life_ns`."""

    __slots__ = ("_issued", "_life_ns", "_seed", "_used_ns")

    def __init__(self, seed: Seed, life_ns: int) -> None:
        self._seed = seed
        self._life_ns = life_ns
        self._issued = 0
        self._used_ns: dict[str, Instant] = {}

    def __len__(self) -> int:
        return len(self._used_ns)

    def issue(self, now: Instant) -> str:
        """A new token, alive from `now`."""
        while len(self._used_ns) >= MOST:
            del self._used_ns[min(self._used_ns, key=lambda token: self._used_ns[token])]
        self._issued += 1
        halves = [(self._seed / self._issued / half).key for half in (0, 1)]
        token = "".join(_ALPHABET[(key >> 7 * place) % len(_ALPHABET)] for key in halves for place in range(8))
        self._used_ns[token] = now
        return token

    def use(self, token: str, now: Instant) -> bool:
        """Whether `token` is alive; if so its life begins anew."""
        used_ns = self._used_ns.get(token)
        if used_ns is None:
            return False
        if now - used_ns >= self._life_ns:
            del self._used_ns[token]
            return False
        self._used_ns[token] = now
        return True

    def forget(self, token: str | None = None) -> None:
        """End one token, or all."""
        if token is None:
            self._used_ns.clear()
        else:
            self._used_ns.pop(token, None)


def same_secret(given: str, expected: str) -> bool:
    """Whether two secrets are equal, in the same time whatever they are."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), expected.encode("utf-8", "replace"))
