"""MicroBT's WhatsMiner firmware with API V2: port 4028, and a redirect to https on port 80.

Owns the declaration of this firmware and of the device that opens its ports; commands are in `whatsminer_v2.py`, what
they do in `whatsminer_machine.py`. docs/reference/firmware/whatsminer.md tells the rest.
"""

from __future__ import annotations

from typing import Any

from emulator.seed import Seed
from emulator.wire import Conversation, Instant
from firmware_mocks.miners.base import API, WEB, Credentials, Firmware, HostInfo, MinerUnit
from firmware_mocks.miners.http import HTML, HttpConversation, HttpRequest, HttpResponse
from firmware_mocks.miners.replies import values
from firmware_mocks.miners.whatsminer_access import ADMIN
from firmware_mocks.miners.whatsminer_conf import FIGURES
from firmware_mocks.miners.whatsminer_machine import Knobs, WhatsMinerDevice
from firmware_mocks.miners.whatsminer_v2 import V2Conversation


class V2Device(WhatsMinerDevice):
    """One WhatsMiner with API V2."""

    __slots__ = ()

    reduced = False
    """Whether the reports on 4028 leave out what firmware with API V3 does."""

    def __init__(self, unit: MinerUnit, host: HostInfo, seed: Seed, knobs: Knobs) -> None:
        super().__init__(unit, host, seed, tuple(self.declared().ports.values()), knobs)

    @staticmethod
    def declared() -> Firmware:
        """The firmware this device belongs to."""
        return FIRMWARE

    def _open(self, port: int, peer: str, now: Instant) -> Conversation:
        if port == FIRMWARE.ports[API]:
            return V2Conversation(self, peer, self.reduced)
        return HttpConversation(self, self._redirect, port, "openwrt")  # Server header: estimate

    def _redirect(self, request: HttpRequest, now: Instant) -> HttpResponse:
        place = f"https://{self.host.address}{request.path if request.path.startswith('/') else '/'}"
        return HttpResponse(307, b"", HTML, (("Location", place),))


def knobs() -> Knobs:
    """The knobs as the figures have them."""
    return Knobs(**values(FIGURES, "knobs"))


def firmware(name: str, title: str, models: frozenset[str], ports: dict[str, int], **rest: Any) -> Firmware:
    """A WhatsMiner firmware."""
    return Firmware(name, title, "WhatsMiner", models, "whatsminer", ports, knobs=knobs(), **rest)


FIRMWARE = firmware(
    "whatsminer",
    "WhatsMiner firmware, API V2",
    frozenset({"m30s_plus_plus", "m50s"}),
    {API: 4028, WEB: 80},
    credentials=Credentials(ADMIN, ADMIN),
    start=V2Device,
)
