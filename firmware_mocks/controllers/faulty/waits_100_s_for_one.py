"""Waits 100 s for an answer of a miner that accepts connections and never says a word.

Breaks full delivery in time (GB static FFR: 30 s, check `reach`): meanwhile the miner counts as on its way, and no
other is shed in its place. Needs such a miner.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("unhelped", "reach")


def _changed(settings: Settings) -> Settings:
    return replace(settings, retry=replace(settings.retry, request_timeout_s=100.0, firmware_timeout_s=100.0))


controller = controller_of(change=_changed)
