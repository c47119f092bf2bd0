"""A miner's small web server: the one of `emulator/http.py`, with digest authentication.

Owns the digest challenge (RFC 7616 in the MD5 form of RFC 2617 that miners use); framing is `emulator/http.py`'s, and
what the faces need of that stands here under one roof.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from enum import Enum
from urllib.request import parse_http_list, parse_keqv_list

from emulator.http import (
    HTML,
    JSON,
    MAX_BODY,
    MAX_REQUESTS,
    TEXT,
    App,
    Host,
    HttpConversation,
    HttpRequest,
    HttpResponse,
    error_page,
    json_object,
)
from emulator.wire import SECOND, Instant

__all__ = [
    "HTML", "JSON", "MAX_BODY", "MAX_REQUESTS", "TEXT", "Access", "App", "Digest", "Host", "HttpConversation",
    "HttpRequest", "HttpResponse", "error_page", "json_object", "whole_number",
]  # fmt: skip


class Access(Enum):
    """What an Authorization header is worth."""

    GRANTED = "granted"
    DENIED = "denied"
    STALE = "stale"
    """The secret is right, the nonce too old: the client is asked again with `stale=true`."""


@dataclass(frozen=True, slots=True)
class Digest:
    """Digest authentication without a session table: a nonce is its own issue time, signed with `secret`."""

    realm: str
    secret: int
    life_ns: int = 600 * SECOND  # GK: nonce age limit of lighttpd's mod_auth

    def challenge(self, now: Instant, stale: bool = False) -> str:
        """The WWW-Authenticate header of a 401."""
        again = ", stale=true" if stale else ""
        return f'Digest realm="{self.realm}", nonce="{self._nonce(now)}", qop="auth"{again}'

    def check(self, request: HttpRequest, username: str, password: str, now: Instant) -> Access:
        """Judge a request against the one account the miner has."""
        scheme, _, rest = request.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "digest":
            return Access.DENIED
        try:
            given = parse_keqv_list(parse_http_list(rest))
        except (ValueError, IndexError):
            return Access.DENIED
        if given.get("username") != username or given.get("realm") != self.realm or given.get("uri") != request.target:
            return Access.DENIED
        nonce = given.get("nonce", "")
        expected = self._response(request.method, given, username, password)
        if not hmac.compare_digest(expected, _ascii(given.get("response", ""))):
            return Access.DENIED
        issued = _issued(nonce)
        if issued is None or not hmac.compare_digest(_ascii(nonce), _ascii(self._nonce(issued))):
            return Access.STALE
        return Access.GRANTED if 0 <= now - issued <= self.life_ns else Access.STALE

    def _nonce(self, issued: Instant) -> str:
        return f"{issued:x}:{_md5(f'{issued}:{self.secret}:{self.realm}')}"

    def _response(self, method: str, given: dict[str, str], username: str, password: str) -> bytes:
        account, action = _md5(f"{username}:{self.realm}:{password}"), _md5(f"{method}:{given.get('uri', '')}")
        parts = [account, given.get("nonce", ""), action]
        if given.get("qop"):
            parts[2:2] = [given.get("nc", ""), given.get("cnonce", ""), given["qop"]]
        return _md5(":".join(parts)).encode()


def whole_number(given: object) -> int | None:
    """A small non-negative integer that a client may have sent as number or text; None for anything else."""
    if isinstance(given, bool) or not isinstance(given, int | str):
        return None
    text = str(given).strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def _issued(nonce: str) -> Instant | None:
    try:
        return int(nonce.partition(":")[0], 16)
    except ValueError:
        return None


def _md5(text: str) -> str:
    return hashlib.md5(text.encode("utf-8", errors="replace"), usedforsecurity=False).hexdigest()


def _ascii(text: str) -> bytes:
    return text.encode("utf-8", errors="replace")
