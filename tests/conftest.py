"""What holds for every test."""

from __future__ import annotations

import os
import signal
from typing import Any

import pytest
from hypothesis import settings

from tests.networks import own_network

if "PYTEST_XDIST_WORKER" in os.environ:
    own_network()

# A shell's job in the background is begun with interrupts ignored, and so are its children: tests that interrupt hang.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# A benchmark is not a test: machines are shared, and an example that took long once says nothing.
# make test tries the same examples each time, so what it says of a commit holds; it has ten minutes on two cores.
settings.register_profile("ramprig", deadline=None, max_examples=60, derandomize=True)
settings.register_profile("thorough", deadline=None, max_examples=1000)  # others each time: make properties
settings.load_profile("ramprig")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    """Who runs what, when several run at a time."""
    from tests.scheduling import BySite  # pytest-xdist is there when its hook is called

    return BySite(config, log) if config.getoption("dist") == "loadscope" else None
