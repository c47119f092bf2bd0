"""The guide to adding a PDU, followed: its file is a product that works."""

from __future__ import annotations

import re
from pathlib import Path

from emulator.grid import Grid
from emulator.modbus.pdu import Responder
from emulator.pdus import bits, product
from emulator.pdus.pdu import Pdu
from emulator.wire import SECOND
from tests.emulator.pdus.test_pdu import Outlet

PAGE = (Path(__file__).parents[3] / "docs" / "how-to" / "add-a-pdu.md").read_text(encoding="utf-8")


def test_the_file_of_the_guide_is_a_product_that_switches_and_measures(tmp_path: Path) -> None:
    found = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    (tmp_path / "acme_switch_2.toml").write_text(found[1], encoding="utf-8")
    acme = product.read_product(tmp_path / "acme_switch_2.toml")
    pdu = Pdu(acme, [Outlet(1000.0), Outlet(500.0)], Grid(50.0, 1e6))
    ask = Responder(pdu).answer
    assert ask(bytes.fromhex("05 0001 0000"), SECOND) == bytes.fromhex("05 0001 0000")
    assert ask(bytes.fromhex("04 000a 0002"), 10 * SECOND) == bytes.fromhex("04 04 03e8 0000")
    assert ask(bytes.fromhex("04 0000 0001"), 10 * SECOND) == bytes.fromhex("04 02 08fc")


def test_the_guide_names_every_job_of_a_bit_and_every_write() -> None:
    told = set(re.findall(r"`([a-z_]+)`", PAGE))
    assert {*bits.COIL_JOBS, *bits.INPUT_JOBS} <= told
    assert {write for write in product.WRITES if write} <= told
