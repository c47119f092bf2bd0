"""Repeats what failed at once, again and again.

Breaks the bound on requests to a miner (check `commands`): a storm on small embedded computers that are in trouble
already. Needs miners that refuse.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("unhelped", "commands")


def _changed(settings: Settings) -> Settings:
    return replace(settings, retry=replace(settings.retry, backoff_s=0.05, backoff_max_s=0.05))


controller = controller_of(change=_changed)
