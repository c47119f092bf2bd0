"""What all drivers share: the error for a device that gives no good answer, and the protocol of a miner.

Owns no request; each product has a module of its own beside this one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Literal, Protocol, TypeAlias

Mode: TypeAlias = Literal["mine", "sleep"]


class DeviceError(Exception):
    """A device did not give a good answer: no connection, no reply in time, an exception code, a refusal."""


class HttpStatusError(DeviceError):
    """An HTTP reply with an error status."""

    def __init__(self, what: str, status: int) -> None:
        super().__init__(f"{what}: HTTP {status}")
        self.status = status


class Miner(Protocol):
    """A miner whose firmware can be put to sleep."""

    async def set_mode(self, mode: Mode) -> None:
        """Ask for `mode` and read back that it is set. Raises DeviceError."""
        ...


async def confirmed(shown: Callable[[], Awaitable[Mode | None]], mode: Mode, name: str, tries: int = 1) -> None:
    """Read back until `mode` is shown, `tries` times a second apart. Raises DeviceError where it never is."""
    last: Mode | None = None
    for attempt in range(tries):
        if attempt:
            await asyncio.sleep(1.0)
        last = await shown()
        if last == mode:
            return
    raise DeviceError(f"{name}: acknowledged {mode} and shows {last or 'neither mining nor sleep'}")
