"""Ends with an exception where the reply of a miner is no JSON.

Breaks full delivery (GB static FFR, check `reach`), and is noted as having ended: a comma too many in one miner's
reply brings the whole site's controller down. Needs a miner that sends it.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from typing import Any

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import Forgiving, controller_of

KILLED_BY = ("unhelped", "reach")


class CrashesOnMalformedJson(reference.Controller):
    """A reference controller that does not expect a text that cannot be read."""

    async def run(self) -> None:
        """As the reference, until a reply cannot be read."""
        self._unread: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(super().run())
            await self._unread

    def _miner_driver(self, entry: Mapping[str, Any]) -> drivers.Miner | None:
        miner = super()._miner_driver(entry)
        return None if miner is None else Forgiving(miner, self._is_harmless)

    def _is_harmless(self, error: drivers.DeviceError) -> bool:
        if isinstance(error.__cause__, json.JSONDecodeError) and not self._unread.done():
            self._unread.set_exception(error.__cause__)
        return False


controller = controller_of(CrashesOnMalformedJson)
