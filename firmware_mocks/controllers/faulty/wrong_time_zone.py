"""Takes the time zone's offset of the moment it started for that of every window.

Breaks being down for the whole interval (ERCOT 4CP, check `down`): after the clocks have changed it comes an hour
late. Needs a day on which they change.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.limits import Limits, Plan

KILLED_BY = ("calendar", "down")


class FixedOffset(Plan):
    """A plan that knows one offset."""

    def instant(self, local: datetime) -> datetime:
        """The instant if clocks were never changed."""
        offset = self._utc().astimezone(self._zone).utcoffset()
        return local.replace(tzinfo=UTC) - (offset or timedelta(0))


class Misdated(Limits):
    """Limits with such a plan."""

    plan = FixedOffset


class WrongTimeZone(reference.Controller):
    """A reference controller with such limits."""

    limits = Misdated


controller = controller_of(WrongTimeZone)
