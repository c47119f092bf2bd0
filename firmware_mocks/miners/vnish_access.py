"""Who may write on a VNish miner: the password, the tokens of those who unlocked it, and the API keys.

Owns sessions, wrong tries and keys; which path asks for them is `vnish.py`'s. A token dies of idleness, of `lock` and
of a boot; a key stays until it is deleted.
"""

from __future__ import annotations

import hmac
from collections import OrderedDict

from emulator.seed import Seed
from emulator.wire import Instant

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"
TOKEN_LENGTH = 32  # S2: public API note
KEY_LENGTH = 32  # S2: public API note, "exactly 32 characters"
MOST = 16  # estimate: a bound on tokens and on keys, so that callers cannot grow the bench's memory


class Doors:
    """Tokens, tries and keys of one miner."""

    __slots__ = ("_idle_ns", "_issued", "_seed", "_tokens", "_tries", "_wrong_ns", "_wrong_window_ns", "keys")

    def __init__(self, seed: Seed, idle_ns: int, tries: int, window_ns: int) -> None:
        self._seed = seed
        self._idle_ns = idle_ns
        self._tries = tries
        self._wrong_window_ns = window_ns
        self._issued = 0
        self._tokens: OrderedDict[str, Instant] = OrderedDict()
        self._wrong_ns: list[Instant] = []
        self.keys: dict[str, str] = {}

    def shut_s(self, now: Instant) -> int:
        """Seconds until the next try is heard; 0 while tries are left."""
        self._wrong_ns = [at for at in self._wrong_ns if now - at < self._wrong_window_ns]
        if len(self._wrong_ns) < self._tries:
            return 0
        return max(1, (self._wrong_ns[0] + self._wrong_window_ns - now) // 1_000_000_000)

    def wrong(self, now: Instant) -> None:
        """Note a wrong password."""
        self._wrong_ns.append(now)

    def unlock(self, now: Instant) -> str:
        """A new token; the oldest one goes when there are too many."""
        self._wrong_ns.clear()
        self._issued += 1
        words = [(self._seed / "token" / self._issued / half).key for half in range(TOKEN_LENGTH // 8)]
        token = "".join(_ALPHABET[(word >> 7 * place) % len(_ALPHABET)] for word in words for place in range(8))
        self._tokens[token] = now
        if len(self._tokens) > MOST:
            self._tokens.popitem(last=False)
        return token

    def holder(self, headers: dict[str, str], now: Instant) -> str | None:
        """The live token or key a request carries, bare or after "Bearer"; None when it has none. Using is keeping."""
        given = headers.get("authorization", "").removeprefix("Bearer ").strip()
        if given in self._tokens:
            if now - self._tokens[given] < self._idle_ns:
                self._tokens[given] = now
                self._tokens.move_to_end(given)
                return given
            del self._tokens[given]
        key = headers.get("x-api-key", given)
        return key if key in self.keys else None

    def left_s(self, token: str, now: Instant) -> int | None:
        """Seconds until a token dies of idleness; None for a key."""
        used = self._tokens.get(token)
        return None if used is None else (used + self._idle_ns - now) // 1_000_000_000

    def lock(self, token: str) -> None:
        """End one session; a key is no session."""
        self._tokens.pop(token, None)

    def lock_others(self, token: str) -> None:
        """End all sessions but one."""
        for other in [known for known in self._tokens if known != token]:
            del self._tokens[other]

    def booted(self) -> None:
        """Sessions and tries are only in memory."""
        self._tokens.clear()
        self._wrong_ns.clear()

    def add_key(self, key: object, description: object) -> str | None:
        """Insert or update an API key: the word the miner answers; None for one that is no key or one too many."""
        if not isinstance(key, str) or len(key) != KEY_LENGTH or not key.isascii():
            return None
        said = "updated" if key in self.keys else "inserted"
        if said == "inserted" and len(self.keys) >= MOST:
            return None
        self.keys[key] = str(description)[:64]
        return said


def same(given: object, secret: str) -> bool:
    """Whether a password is the right one."""
    return isinstance(given, str) and hmac.compare_digest(given.encode("utf-8", "replace"), secret.encode())
