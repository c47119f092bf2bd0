"""What holds for every test."""

from __future__ import annotations

from hypothesis import settings

# A benchmark is not a test: machines are shared, and an example that took long once says nothing.
settings.register_profile("ramprig", deadline=None)
settings.load_profile("ramprig")
