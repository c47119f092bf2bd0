"""By what a program shows that it is ready, where that has to be asked for: a port that listens, a page that is fine.

Owns the asking, again and again until the answer is right; what counts as ready is the case's business.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from emulator.wire import MILLISECOND, SECOND

if TYPE_CHECKING:
    from emulator.clock import Clock

_PERIOD_NS = 50 * MILLISECOND
_ANSWER_NS = 2 * SECOND
"""How long one answer may take before it is asked for anew. estimate"""
_LONGEST_STATUS = 4096


def url(text: str) -> str:
    """`text`, an address of a page. Raises ValueError where it cannot be asked for."""
    parts = urlsplit(text)
    if parts.scheme != "http" or not parts.hostname:
        raise ValueError(f"{text!r} is no page that can be asked for; write for example http://127.0.0.1:8080/health")
    _ = parts.port  # raises ValueError
    return text


async def until_open(clock: Clock, host: str, port: int) -> None:
    """Return when a connection to the port is taken."""
    while True:
        try:
            _, writer = await asyncio.open_connection(host, port)
        except OSError:
            await clock.sleep(clock.of_wall(_PERIOD_NS))
        else:
            writer.close()
            return


async def until_fine(clock: Clock, page: str) -> None:
    """Return when GET of `page` is answered with a status from 200 to 299."""
    while True:
        asked = asyncio.ensure_future(_status(page))
        patience = asyncio.ensure_future(clock.sleep(clock.of_wall(_ANSWER_NS)))
        try:
            await asyncio.wait([asked, patience], return_when=asyncio.FIRST_COMPLETED)
            if asked.done() and 200 <= asked.result() < 300:
                return
        finally:
            asked.cancel()
            patience.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await asked
        await clock.sleep(clock.of_wall(_PERIOD_NS))


async def _status(page: str) -> int:
    """The status of a page; 0 where there is no answer that can be read."""
    parts = urlsplit(page)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port or 80, limit=_LONGEST_STATUS)
    except OSError:
        return 0
    try:
        request = f"GET {target} HTTP/1.1\r\nHost: {parts.netloc}\r\nAccept: */*\r\nConnection: close\r\n\r\n"
        writer.write(request.encode())
        line = await reader.readline()
        return int(line.split()[1]) if line.startswith(b"HTTP/1.") else 0
    except (OSError, ValueError, IndexError):
        return 0
    finally:
        writer.close()
