"""Commands miners one after another.

Breaks full delivery in time (GB static FFR: 30 s, check `reach`): each miner waits for the one before. Needs miners
that take some 0.2 s to answer a request.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("unhelped", "reach")


def _changed(settings: Settings) -> Settings:
    return replace(settings, retry=replace(settings.retry, concurrency=1))


controller = controller_of(change=_changed)
