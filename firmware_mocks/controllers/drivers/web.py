"""The HTTP faces of miners: one call, and its JSON or a DeviceError.

Owns the client and what counts as a good answer; paths and bodies are each firmware's own driver's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import httpx

from firmware_mocks.controllers.drivers.base import DeviceError, HttpStatusError


def http_client(command_timeout_s: float, request_timeout_s: float) -> httpx.AsyncClient:
    """One client for all miners. Connections are not kept: small embedded web servers have few to give."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    timeout = httpx.Timeout(command_timeout_s, connect=request_timeout_s)
    return httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False, verify=False)  # noqa: S501 - plain HTTP only


class Web:
    """The HTTP face of one miner under `base`, a URL without a slash at its end."""

    def __init__(self, base: str, http: httpx.AsyncClient, auth: httpx.Auth | None = None) -> None:
        self.base = base
        self._http, self._auth = http, auth

    async def call(
        self, method: str, path: str, body: object = None, headers: Mapping[str, str] | None = None
    ) -> dict[str, Any]:
        """One call and the object it answers with; an answer without a body is an empty one. Raises DeviceError."""
        reply = await self._answer(method, path, body, headers)
        try:
            content = reply.json() if reply.content else {}
        except ValueError as error:
            raise DeviceError(f"{reply.url}: {error}") from error
        if not isinstance(content, dict):
            raise DeviceError(f"{reply.url}: reply is no object")
        return content

    async def order(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> None:
        """A call whose answer says no more than that it was heard. Raises DeviceError."""
        await self._answer(method, path, None, headers)

    async def _answer(self, method: str, path: str, body: object, headers: Mapping[str, str] | None) -> httpx.Response:
        where = f"{self.base}/{path}"
        try:
            reply = await self._http.request(method, where, json=body, auth=self._auth, headers=headers)
        except httpx.HTTPError as error:
            raise DeviceError(f"{where}: {error or type(error).__name__}") from error
        if not reply.is_success:
            raise HttpStatusError(where, reply.status_code)
        return reply


def text_at(tree: Mapping[str, Any], *path: str) -> str:
    """The value at a path of keys as text; empty where there is none."""
    found: Any = tree
    for key in path:
        found = found.get(key) if isinstance(found, dict) else None
    return "" if found is None else str(found)
