"""Sheds as it should and then stays off for good.

Breaks the demand to be ready again: static FCR-D R6, 15 min after the frequency is back; return within a time in site
policies. Needs a recording that lasts longer than that.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import NEVER_S, controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("slow-return", "R6")


def _changed(settings: Settings) -> Settings:
    return replace(settings, back=replace(settings.back, min_shed_s=NEVER_S))


controller = controller_of(change=_changed)
