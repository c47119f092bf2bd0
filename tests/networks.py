"""A network of its own for each of several processes that run tests: ports are the vendors', which nobody can share."""

from __future__ import annotations

import ctypes
import fcntl
import os
import socket
import struct
from functools import cache

_CLONE_NEWNET = 0x40000000
_SIOCSIFFLAGS = 0x8914
_UP = 0x1


def _unshare() -> bool:
    return ctypes.CDLL(None, use_errno=True).unshare(_CLONE_NEWNET) == 0


def own_network() -> None:
    """Move this process into a new network namespace with its loopback up, where that is allowed."""
    if _unshare():
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            fcntl.ioctl(sock, _SIOCSIFFLAGS, struct.pack("16sH14x", b"lo", _UP))


@cache
def may_have_own() -> bool:
    """Whether a process of ours may make a network."""
    child = os.fork()
    if not child:
        os._exit(0 if _unshare() else 1)
    return os.waitpid(child, 0)[1] == 0
