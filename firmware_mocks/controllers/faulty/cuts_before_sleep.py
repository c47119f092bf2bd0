"""Opens contactors where there are minutes to put miners to sleep.

Breaks the order of means (check `soft_first`): cutting the mains of a miner at work is for what is urgent. Needs
outlets that can be switched.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("dispatch", "soft_first")


def _changed(settings: Settings) -> Settings:
    return replace(settings, paths=replace(settings.paths, firmware_s=3600.0))


controller = controller_of(change=_changed)
