"""Clients that others wrote read the same of every Modbus product over every way, as the reference page says."""

from __future__ import annotations

import shutil
import time

import pytest

from emulator.meters import product as meters
from emulator.pdus import product as pdus
from emulator.protection import product as relays
from tests.modbus_clients.every import clients
from tests.modbus_clients.page import FILE, VERSIONS, measure, render
from tests.modbus_clients.site import WAYS, everything
from tests.system.test_cli_real import may_be_bound

pytestmark = pytest.mark.system


def test_all_clients_read_alike_and_the_page_says_so() -> None:
    if shutil.which("mbpoll") is None:
        pytest.skip("mbpoll is not installed (Debian package mbpoll)")
    end_s = time.monotonic() + 30
    while not may_be_bound(502):
        if time.monotonic() > end_s:
            pytest.skip("port 502 cannot be bound: in use, or kept for privileged programs")
        time.sleep(0.2)
    tried = clients()
    with everything() as devices:
        cells = measure(tried, devices)
    placed = {(name, way) for way in WAYS for name in (*meters.list_products(), *pdus.list_products())}
    assert set(cells) == placed | {(name, "tcp") for name in relays.list_products()}
    written, found = FILE.read_text(encoding="utf-8").splitlines(), render(tried, cells).splitlines()
    mine = [line for line in found if not line.startswith(VERSIONS)]  # another machine may have other versions
    assert [line for line in written if not line.startswith(VERSIONS)] == mine, "run `python -m tests.modbus_clients`"
