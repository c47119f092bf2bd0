"""Reads the meter's floats with their words the wrong way round.

Breaks full delivery (ERCOT RRS, check `reach`): the frequency is a number that no grid has, and nothing ever happens.
Needs nothing but an event.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from firmware_mocks.controllers import drivers, reference
from firmware_mocks.controllers.defect import controller_of

KILLED_BY = ("under-frequency", "reach")


class Swapped(drivers.Sdm630):
    """A meter whose document was read for that of another."""

    def value(self, registers: Sequence[int]) -> float:
        """The float of the words, the later one first."""
        return super().value(registers[::-1])


class WrongWordOrder(reference.Controller):
    """A reference controller with such a meter."""

    meters: Mapping[str, type[drivers.Sdm630]] = {**drivers.METERS, "eastron_sdm630": Swapped}


controller = controller_of(WrongWordOrder)
