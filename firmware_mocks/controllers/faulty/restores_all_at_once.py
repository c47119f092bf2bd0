"""Gives all load back in one stage.

Breaks the limit on the return ramp (check `ramp`; static FCR-D R7 and R7_step: 2.5 %/s averaged over 10 s, no step
over 20 %). Needs about 20 outlets, so that stages can be told from a step.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("slow-return", "R7")


def _changed(settings: Settings) -> Settings:
    return replace(settings, back=replace(settings.back, stage_share=10.0))  # more than can be off


controller = controller_of(change=_changed)
