"""Repeats what failed five times a second, for ever.

Breaks the bound on requests to a miner (check `commands`): a storm on small embedded computers that are in trouble
already. Needs miners that refuse.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("unhelped", "commands")


def _changed(settings: Settings) -> Settings:
    return replace(settings, retry=replace(settings.retry, backoff_s=0.2, backoff_max_s=0.2))


controller = controller_of(change=_changed)
