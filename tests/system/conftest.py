"""A network of its own for each process that runs these tests: they bind the vendors' ports, which nobody can share."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct

import pytest

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_UP = 0x1


def _own_network() -> bool:
    """Move this process into a new network namespace with its loopback up; False where that is not allowed."""
    if ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) != 0:
        return False
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _UP))
    return True


_alone = "PYTEST_XDIST_WORKER" not in os.environ or _own_network()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long; without networks of their own, leave all that bind ports to one process."""
    items.sort(key=lambda item: item.get_closest_marker("slow") is None)
    if not _alone:
        for item in items:
            if item.get_closest_marker("system") is not None:
                item.add_marker(pytest.mark.xdist_group("ports"))
