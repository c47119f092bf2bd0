"""A network of its own for each process that runs these tests: they bind the vendors' ports, which nobody can share."""

from __future__ import annotations

import fcntl
import os
import socket
import struct

import pytest

from tests.scheduling import unshare_network

_SIOCSIFFLAGS = 0x8914
_UP = 0x1


def _own_network() -> None:
    """Move this process into a new network namespace with its loopback up, where that is allowed."""
    if unshare_network():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _UP))


if "PYTEST_XDIST_WORKER" in os.environ:
    _own_network()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
