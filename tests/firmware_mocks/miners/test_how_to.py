"""The guide to adding a miner is true: its firmware works from another distribution, its model by files alone."""

from __future__ import annotations

import asyncio
import importlib
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from bench.layout import lay_out
from bench.rig import Rig
from bench.rig_file import load_rig
from emulator.clock import Clock, run
from emulator.seed import Seed
from emulator.wire import SECOND
from firmware_mocks import miners

ROOT = Path(__file__).parents[3]
HOW_TO = ROOT / "docs" / "how-to"
ACME = HOW_TO / "acme"


def install(folder: Path) -> None:
    """Put the guide's distribution into `folder` as an installer would: the package, and what its metadata says."""
    project = tomllib.loads((ACME / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    shutil.copytree(ACME / "acme_ramprig", folder / "acme_ramprig")
    info = folder / f"acme_ramprig-{project['version']}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {project['version']}\n", encoding="utf-8"
    )
    points = "".join(
        f"[{group}]\n" + "".join(f"{name} = {what}\n" for name, what in entries.items())
        for group, entries in project["entry-points"].items()
    )
    (info / "entry_points.txt").write_text(points, encoding="utf-8")


@pytest.fixture
def acme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The distribution, installed for this process."""
    install(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    miners._installed.cache_clear()
    yield tmp_path
    miners._installed.cache_clear()
    for name in [name for name in sys.modules if name.startswith("acme_ramprig")]:
        del sys.modules[name]


@pytest.mark.usefixtures("acme")
def test_the_guides_firmware_is_found_by_its_entry_point_and_runs_on_a_rig_that_names_it() -> None:
    async def ask(address: str, command: str) -> Any:
        reader, writer = await asyncio.open_connection(address, 4028)
        writer.write(json.dumps({"command": command}).encode())
        answer = json.loads((await reader.read()).rstrip(b"\x00"))
        writer.close()
        await writer.wait_closed()
        return answer["STATUS"][0], answer

    async def main(clock: Clock) -> None:
        file, path = load_rig(str(ACME / "rig.toml"))
        rig = Rig(lay_out(file, str(path)), clock, Seed(5), 60.0)
        entry = rig.inventory()["miners"][0]
        assert (entry["firmware"], entry["ports"], entry["model"]) == ("acme", {"api": 4028, "web": 80}, "S21")
        address, unit = entry["address"], rig.units[0]
        await rig.open()
        try:
            _, version = await ask(address, "version")
            assert version["VERSION"][0]["Type"] == "Antminer S21"
            _, summary = await ask(address, "summary")
            assert summary["SUMMARY"][0]["GHS 5s"] == pytest.approx(1e3 * unit.hash_ths(clock.now()), rel=0.05)
            assert summary["SUMMARY"][0]["Watts"] == pytest.approx(unit.power_w(clock.now()), rel=0.12)
            assert [fan["FAN"] for fan in (await ask(address, "fans"))[1]["FANS"]] == [1, 2, 3, 4]
            status, _ = await ask(address, "stop")
            assert (status["Code"], status["Msg"]) == (80, "Stopping S21")
            assert (await ask(address, "stop"))[0]["Code"] == 82
            await clock.sleep(30 * SECOND)
            assert unit.power_w(clock.now()) < 30
            async with httpx.AsyncClient() as client:
                shown = (await client.get(f"http://{address}/status")).json()
            assert (shown["model"], shown["asleep"]) == ("S21", True)
            assert re.fullmatch("02(:[0-9A-F]{2}){5}", shown["mac"])
            assert (await ask(address, "start"))[0]["Code"] == 81
            await clock.sleep(120 * SECOND)
            assert unit.power_w(clock.now()) > 3000
        finally:
            await rig.close()
        assert rig.network.defects == 0

    run(main)


def test_the_command_lists_and_checks_the_guides_firmware_once_it_is_installed(tmp_path: Path) -> None:
    install(tmp_path)
    listed = ramprig(tmp_path, "list", "firmware")
    assert re.search(r"\bacme\b", listed)


def test_a_rig_of_a_firmware_that_is_not_installed_names_it(tmp_path: Path) -> None:
    refused = ramprig(tmp_path, "check", str(ACME / "rig.toml"), code=2)
    assert "feeder[0].miners[0].firmware" in refused
    assert 'unknown firmware "acme"' in refused


def ramprig(path: Path, *words: str, code: int = 0) -> str:
    """What the command says with `path` before the project on its module path."""
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", *words],
        env=os.environ | {"PYTHONPATH": f"{path}{os.pathsep}{ROOT}", "COLUMNS": "200"},
        capture_output=True,
        text=True,
        timeout=50,
        check=False,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


TRY_NEW_MODEL = """
import warnings
warnings.simplefilter("ignore")
import pyasic
from emulator import catalogue
from emulator.clock import run
from tests.clients.site import Site

async def main(clock):
    async with Site(clock, [("luxos", "t19"), ("antminer-stock", "t19")]) as site:
        for miner in site.miners:
            assert catalogue.__file__.startswith({folder!r}), catalogue.__file__
            data = await (await pyasic.get_miner(miner.address)).get_data()
            print(data.make, data.model, data.firmware, round(float(data.hashrate)), data.total_chips, len(data.fans))

run(main)
"""


def test_the_guides_model_runs_under_two_firmwares_after_adding_a_file_and_a_table_to_each(tmp_path: Path) -> None:
    for package in ("fastpath", "emulator", "firmware_mocks"):
        shutil.copytree(
            ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__", "*.c", "*.pyx")
        )
    shutil.copytree(ROOT / "tests" / "clients", tmp_path / "tests" / "clients")
    shutil.copy(HOW_TO / "new-model" / "t19.toml", tmp_path / "emulator" / "catalogue" / "models")
    for face in ("luxos.toml", "antminer_stock.toml"):
        with (tmp_path / "firmware_mocks" / "miners" / face).open("a", encoding="utf-8") as file:
            file.write((HOW_TO / "new-model" / face).read_text(encoding="utf-8"))
    done = subprocess.run(
        [sys.executable, "-c", TRY_NEW_MODEL.replace("{folder!r}", repr(str(tmp_path)))],
        cwd=tmp_path, env=os.environ | {"PYTHONPATH": str(tmp_path)}, capture_output=True, text=True, timeout=50,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    said = [line.split() for line in done.stdout.splitlines()]
    assert [(words[:3], words[4:]) for words in said] == [
        (["AntMiner", "T19", "LuxOS"], ["228", "4"]),
        (["AntMiner", "T19", "Stock"], ["228", "4"]),
    ]
    assert all(int(words[3]) == pytest.approx(84, rel=0.08) for words in said)


def test_every_file_the_guide_shows_is_there_and_every_mark_stands_in_it() -> None:
    page = (HOW_TO / "add-a-miner.md").read_text(encoding="utf-8")
    shown = re.findall(r"```\{literalinclude\} (\S+)\n((?::.*\n)*)```", page)
    assert len(shown) == page.count("literalinclude")
    for name, options in shown:
        text = (HOW_TO / name).read_text(encoding="utf-8")
        assert all(mark in text for mark in re.findall(r'"(# ---- \w+)"', options))
