"""What limits the site's consumption at an instant: the operator's set-point, a failsafe, and the site's own calendar.

Owns staleness (a signal that shows no sign of life) and local time; how a limit is kept is `decision.py`'s business.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from firmware_mocks.controllers.drivers import DispatchReading
from firmware_mocks.controllers.settings import Calendar, Dispatch, windows


class Plan:
    """Windows of local time in which the site is to be down to a share of nominal."""

    def __init__(self, calendar: Calendar, nominal_w: float, utc: Callable[[], datetime]) -> None:
        self._limit_w, self._utc = calendar.limit_share * nominal_w, utc
        self._lead = timedelta(seconds=calendar.lead_s)
        self._zone = ZoneInfo(calendar.zone)
        self._windows = [(self.instant(start), self.instant(stop)) for start, stop in windows(calendar)]

    def instant(self, local: datetime) -> datetime:
        """The instant, UTC, at which clocks on the wall show `local`."""
        return local.replace(tzinfo=self._zone).astimezone(UTC)

    def setpoint_w(self) -> float:
        """The limit of the window that is open, or about to be; infinite outside."""
        if not self._windows:
            return math.inf
        now = self._utc()
        is_open = any(start - self._lead <= now < stop for start, stop in self._windows)
        return self._limit_w if is_open else math.inf


class Limits:
    """The lowest of all limits. `utc` gives the time of day; everything else counts in seconds of the loop."""

    plan: type[Plan] = Plan

    def __init__(self, dispatch: Dispatch, calendar: Calendar, nominal_w: float, utc: Callable[[], datetime]) -> None:
        self._dispatch, self._nominal_w = dispatch, nominal_w
        self._plan = self.plan(calendar, nominal_w, utc)
        self._heard: DispatchReading | None = None
        self._alive_s = -math.inf

    def hear(self, reading: DispatchReading, now_s: float) -> None:
        """A reading of the dispatch block. One whose heartbeat stands still is no sign of life."""
        if self._heard is None or reading.heartbeat != self._heard.heartbeat:
            self._alive_s = now_s
        self._heard = reading

    def setpoint_w(self, now_s: float) -> float | None:
        """Consumption that is allowed; None before anything was heard. A dead signal's last word holds until the
        failsafe takes its place."""
        if self._heard is None:
            return None
        instructed_w = self._failsafe_w() if self._is_dead(now_s) else self._heard.setpoint_w
        return min(instructed_w, self._plan.setpoint_w())

    def _is_dead(self, now_s: float) -> bool:
        return self._dispatch.dead_s is not None and now_s - self._alive_s >= self._dispatch.dead_s

    def _failsafe_w(self) -> float:
        return self._dispatch.failsafe_share * self._nominal_w
