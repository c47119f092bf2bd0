"""Finds out on a tick of ten seconds only that a command has failed.

Breaks full delivery in time (check `reach`): the second attempt comes too late. Needs a fault that loses requests.
"""

from __future__ import annotations

from dataclasses import replace

from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.settings import Settings

KILLED_BY = ("lost-requests", "reach")


def _changed(settings: Settings) -> Settings:
    return replace(settings, retry=replace(settings.retry, backoff_s=10.0))


controller = controller_of(change=_changed)
