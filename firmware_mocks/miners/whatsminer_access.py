"""Who may write to a WhatsMiner: the admin password and tokens of API V2, the accounts of API V3, the API switch.

Owns passwords, tokens and permissions; what a permitted command does is `whatsminer_machine.py`. Source: vendor manuals
2.0.5 and 3.0.3 (S), `whatsminer_crypto.py` for the recipes.
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass, field, replace

from emulator.seed import Seed
from emulator.wire import Instant
from firmware_mocks.miners.whatsminer_crypto import envelope_key, md5crypt, salt, v3_digest, v3_token

ADMIN = "admin"
SUPER = "super"
ACCOUNTS = (SUPER, "user1", "user2", "user3")
MAX_PASSWORD = 8


@dataclass(frozen=True, slots=True)
class Token:
    """One token: what `get_token` said, who asked and until when it holds."""

    time: str
    newsalt: str
    peer: str
    until_ns: Instant


@dataclass(frozen=True, slots=True)
class Doors:
    """What is kept in flash. Writes want the switch on and an admin password that is, or was, not the factory's."""

    switch: bool
    changed: bool
    admin: str = ADMIN
    accounts: tuple[str, ...] = ACCOUNTS
    """Passwords of the V3 accounts, in their order; the factory's is the name."""
    permissions: tuple[tuple[str, ...], ...] = field(default=((), (), (), ()))

    @property
    def is_open(self) -> bool:
        """Whether writes are taken at all."""
        return self.switch and self.changed


class Access:
    """Doors and the tokens in memory. `clients` callers may hold `per_client` tokens each, for `life_ns`."""

    __slots__ = ("_clients", "_count", "_life_ns", "_per_client", "_seed", "doors", "salt", "tokens", "v3_salt")

    def __init__(self, seed: Seed, doors: Doors, clients: int, per_client: int, life_ns: int) -> None:
        self._seed = seed
        self._clients, self._per_client, self._life_ns = clients, per_client, life_ns
        self._count = 0
        self.doors = doors
        self.salt = salt(seed / "salt")
        self.v3_salt = salt(seed / "v3-salt")
        self.tokens: tuple[Token, ...] = ()

    def forget(self) -> None:
        """The control board has booted, or the password has changed: no token holds any more."""
        self.tokens = ()

    def fresh_salt(self) -> str:
        """A salt nobody has seen yet."""
        self._count += 1
        return salt(self._seed / "newsalt" / self._count)

    # ---- V2 -------------------------------------------------------------------------------------------------------

    @property
    def key(self) -> str:
        """Hash of the admin password, which both sides derive their AES key from."""
        return md5crypt(self.doors.admin, self.salt)

    @property
    def aes_key(self) -> bytes:
        """Key of the envelope."""
        return envelope_key(self.key)

    def issue(self, peer: str, unix_s: int, now: Instant) -> Token | None:
        """A new token for the caller at `peer`; None when he, or the miner, has as many as there may be."""
        live = tuple(token for token in self.tokens if token.until_ns > now)
        mine = sum(token.peer == peer for token in live)
        callers = {token.peer for token in live}
        if mine >= self._per_client or (not mine and len(callers) >= self._clients):
            self.tokens = live
            return None
        token = Token(f"{unix_s % 10_000:04}", self.fresh_salt(), peer, now + self._life_ns)
        self.tokens = (*live, token)
        return token

    def holds(self, sign: object, now: Instant) -> bool:
        """Whether `sign` is that of a live token."""
        if not isinstance(sign, str):
            return False
        return any(_same(self._sign(token), sign) for token in reversed(self.tokens) if token.until_ns > now)

    def change_admin(self, new: str) -> None:
        """Set the admin password; all tokens end with it."""
        self.doors = replace(self.doors, admin=new, changed=self.doors.changed or new != ADMIN)
        self.salt = self.fresh_salt()
        self.forget()

    def _sign(self, token: Token) -> str:
        return md5crypt(self.key + token.time, token.newsalt)

    # ---- V3 -------------------------------------------------------------------------------------------------------

    def digest(self, command: str, account: object, token: object, timestamp: object) -> bytes | None:
        """The digest of a write (its AES key) if the account's password made `token` and the account may; else None."""
        if account not in ACCOUNTS or not isinstance(token, str):
            return None
        if not isinstance(timestamp, int) or isinstance(timestamp, bool):
            return None
        place = ACCOUNTS.index(str(account))
        digest = v3_digest(command, self.doors.accounts[place], self.v3_salt, timestamp)
        may = account == SUPER or command in self.doors.permissions[place]
        return digest if may and _same(v3_token(digest), token) else None

    def change_account(self, account: str, new: str) -> None:
        """Set the password of a V3 account."""
        doors, place = self.doors, ACCOUNTS.index(account)
        accounts = (*doors.accounts[:place], new, *doors.accounts[place + 1 :])
        self.doors = replace(doors, accounts=accounts)

    def permit(self, account: str, commands: tuple[str, ...]) -> None:
        """Let a V3 account use these commands and no other."""
        doors, place = self.doors, ACCOUNTS.index(account)
        permissions = (*doors.permissions[:place], commands, *doors.permissions[place + 1 :])
        self.doors = replace(doors, permissions=permissions)

    def open_switch(self) -> None:
        """Turn the API switch on, as the vendor's tool and the write-API challenge do."""
        self.doors = replace(self.doors, switch=True, changed=True)

    def reset(self) -> None:
        """Factory settings: passwords, permissions, and the switch off."""
        self.doors = Doors(switch=False, changed=False)
        self.salt = self.fresh_salt()
        self.forget()


def _same(left: str, right: str) -> bool:
    return hmac.compare_digest(left.encode(), right.encode("utf-8", errors="replace"))
