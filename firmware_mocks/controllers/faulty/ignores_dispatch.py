"""Watches the frequency only; what the operator dispatches is not heard.

Breaks ERCOT ECRS: the instructed reduction is there within 10 min (check `reach`).
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("dispatch", "reach")


def _changed(settings: Settings) -> Settings:
    return replace(settings, dispatch=replace(settings.dispatch, follow=False))


controller = controller_of(change=_changed)
