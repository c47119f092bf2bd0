"""Sheds the AI cluster before the miners.

Breaks the order of the site (check `kept`): a training job that is cut loses its work since the last checkpoint, a
miner loses nothing. Needs a cluster that can be switched.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.defect import controller_of
from firmware_mocks.controllers.hands import Outlet, PduHand

KILLED_BY = ("brink", "kept")


class Cluster(Outlet):
    """An outlet whose other loads count."""

    def __init__(self, pdu: PduHand, entry: Mapping[str, Any]) -> None:
        super().__init__(pdu, entry["index"], [])
        self._nominal_w = sum(load["nominal_w"] for load in entry["loads"])

    def watts(self) -> float:
        """What opening it would take off the site."""
        return float(self._nominal_w)


class ShedsAiFirst(reference.Controller):
    """A reference controller to which the cluster is a load like any other, and the largest."""

    def _outlet(self, pdu: PduHand, entry: Mapping[str, Any]) -> Outlet:
        return Cluster(pdu, entry) if entry["loads"] else super()._outlet(pdu, entry)

    def _shed_order(self, outlets: list[Outlet]) -> list[Outlet]:
        return sorted(outlets, key=lambda outlet: not isinstance(outlet, Cluster))


controller = controller_of(ShedsAiFirst)
