"""HTTP faces, of miners and of the feed: one call, and its JSON or a DeviceError.

Owns the client and what counts as a good answer; paths and bodies are each product's own driver's.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import aiohttp

from firmware_mocks.controllers.drivers.base import DeviceError, HttpStatusError


def http_client(command_timeout_s: float, request_timeout_s: float) -> aiohttp.ClientSession:
    """One client for all miners. Connections are not kept: small embedded web servers have few to give."""
    timeout = aiohttp.ClientTimeout(
        total=None, sock_connect=request_timeout_s, sock_read=command_timeout_s, ceil_threshold=math.inf
    )
    connector = aiohttp.TCPConnector(limit=0, force_close=True)
    return aiohttp.ClientSession(connector=connector, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())


class Web:
    """An HTTP face under `base`, a URL without a slash at its end."""

    def __init__(
        self, base: str, http: aiohttp.ClientSession, auth: aiohttp.DigestAuthMiddleware | None = None
    ) -> None:
        self.base = base
        self._http, self._auth = http, () if auth is None else (auth,)

    async def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """One call and the object it answers with; an answer without a body is an empty one. Raises DeviceError."""
        said = await self._answer(method, path, body, headers)
        try:
            content = json.loads(said) if said else {}
        except ValueError as error:
            raise DeviceError(f"{self.base}/{path}: {error}") from error
        if not isinstance(content, dict):
            raise DeviceError(f"{self.base}/{path}: reply is no object")
        return content

    async def order(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> None:
        """A call whose answer says no more than that it was heard. Raises DeviceError."""
        await self._answer(method, path, None, headers)

    async def _answer(self, method: str, path: str, body: object, headers: Mapping[str, str] | None) -> bytes:
        where = f"{self.base}/{path}"
        asking = self._http.request(
            method, where, json=body, headers=headers, allow_redirects=False, middlewares=self._auth
        )
        try:
            async with asking as reply:
                said = await reply.read()
        except (aiohttp.ClientError, TimeoutError) as error:
            raise DeviceError(f"{where}: {error or type(error).__name__}") from error
        if not 200 <= reply.status < 300:
            raise HttpStatusError(where, reply.status)
        return said


def text_at(tree: Mapping[str, Any], *path: str) -> str:
    """The value at a path of keys as text; empty where there is none."""
    found: Any = tree
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return "" if found is None else str(found)
