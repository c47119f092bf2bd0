"""Goes by the last word of the operator however long ago it was.

Breaks the failsafe limit (check `safe`): two minutes without a sign of life, and consumption must be at the failsafe
level. Needs a publisher that dies.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("dead-signal", "safe")


def _changed(settings: Settings) -> Settings:
    return replace(settings, dispatch=replace(settings.dispatch, dead_s=None))


controller = controller_of(change=_changed)
