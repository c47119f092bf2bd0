"""What holds for every test."""

from __future__ import annotations

import signal

from hypothesis import settings

# A shell's job in the background is begun with interrupts ignored, and so are its children: tests that interrupt hang.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A benchmark is not a test: machines are shared, and an example that took long once says nothing.
settings.register_profile("ramprig", deadline=None)
settings.load_profile("ramprig")
