"""A controller on another machine, as two network namespaces joined by a cable: it drives the rig from there."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from bench import inventory
from tests.bench.small import CASE, PROFILE, RIG, write

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
NET = "10.77.0.0/16"
OUTSIDE = RIG.replace('subnet = "127.88.0.0/16"', f'subnet = "{NET}"\ninterface = "cable0"\nallow = ["{NET}"]')
ASK = """
import socket, sys
try:
    with socket.create_connection((sys.argv[1], 502), timeout=5) as call:
        call.sendall(bytes.fromhex("000100000006010400460002"))
        print("answer" if call.recv(99) else "closed")
except ConnectionError as error:
    print(type(error).__name__)
"""


class Machines(NamedTuple):
    """What a command begins with to be run on the bench's machine, and on the controller's."""

    bench: Sequence[str]
    other: Sequence[str]


def until(what: Callable[[], object], limit_s: float = 30.0) -> None:
    end_s = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.05)


@pytest.fixture
def machines() -> Iterator[Machines]:
    """Two namespaces, cable0 of the bench at 192.0.2.1, and the route to the rig's network that the guide describes."""
    sleeps: list[subprocess.Popen[bytes]] = []

    def holder(*words: str) -> int:
        sleeps.append(subprocess.Popen([*words, "sleep", "100"], stderr=subprocess.PIPE))
        pid = sleeps[-1].pid
        own = Path("/proc/self/ns/net").readlink()
        end_s = time.monotonic() + 5
        while Path(f"/proc/{pid}/ns/net").readlink() == own or Path(f"/proc/{pid}/comm").read_text() != "sleep\n":
            if sleeps[-1].poll() is not None or time.monotonic() > end_s:
                stderr = sleeps[-1].stderr
                told = "" if stderr is None else stderr.read().decode().strip()
                pytest.skip(f"network namespaces cannot be made here: {told}")
            time.sleep(0.02)
        return pid

    def inside(pid: int) -> list[str]:
        return ["nsenter", "-t", str(pid), "-U", "-n", "--preserve-credentials"]

    try:
        bench = holder("unshare", "-U", "-r", "-n")
        other = holder(*inside(bench), "unshare", "-n")
        on = Machines(inside(bench), inside(other))
        for machine, text in (
            (on.bench, "link set lo up"),
            (on.bench, f"link add cable0 type veth peer name cable1 netns {other}"),
            (on.bench, "address add 192.0.2.1/30 dev cable0"),
            (on.bench, "link set cable0 up"),
            (on.bench, f"route add local {NET} dev lo"),
            (on.other, "address add 192.0.2.2/30 dev cable1"),
            (on.other, "link set cable1 up"),
            (on.other, f"route add {NET} via 192.0.2.1"),
        ):
            done = subprocess.run([*machine, "ip", *text.split()], capture_output=True, text=True, check=False)
            if done.returncode:
                pytest.skip(f"ip {text}: {done.stderr.strip()}")
        yield on
    finally:
        for sleep in reversed(sleeps):
            sleep.kill()
            sleep.wait()
            if sleep.stderr is not None:
                sleep.stderr.close()


def asked(machine: Sequence[str], address: str) -> str:
    """What a caller on a machine meets at the Modbus port of an address."""
    words = [*machine, sys.executable, "-c", ASK, address]
    return subprocess.run(words, capture_output=True, text=True, timeout=20, check=True).stdout.strip()


@pytest.mark.slow
def test_a_controller_on_another_machine_drives_the_rig_and_nobody_else_reaches_it(
    machines: Machines, tmp_path: Path
) -> None:
    live = PROFILE.replace('"40 s"', '"14 s"').replace('"25 s"', '"9 s"').replace('"26 s"', '"10 s"')
    live = live.replace('["30 s", 1]', '["10 s", 1]').replace('stop = "30 s"', 'stop = "10 s"')
    case = CASE.partition("[sut]")[0].replace("ercot_rrs_ffr", "ercot_rrs_ufr").replace('"10 s"', '"8 s"')
    write(tmp_path, rig=OUTSIDE, profile=live, case=f'{case}time = "real"\nsut = "network"\n')
    (tmp_path / "ctl.toml").write_text("[frequency]\ntrip_hz = 59.7\nfull_within_s = 0.5\n")
    site = tmp_path / "out" / "dip" / "sut" / "inventory.json"
    words = [*machines.bench, sys.executable, "-m", "bench.cli", "run", "case.toml", "--out", "out", "--json"]
    with (tmp_path / "verdict.json").open("w") as out, (tmp_path / "err.txt").open("w") as err:
        run = subprocess.Popen(words, cwd=tmp_path, stdout=out, stderr=err)
    controller = None
    try:
        until(lambda: run.poll() is not None or (site.is_file() and site.read_text().endswith("}\n")))
        assert run.poll() is None, (tmp_path / "err.txt").read_text()
        meter = inventory.read(site).meters[0].address
        assert meter == "10.77.250.1"
        until(lambda: asked(machines.other, "10.77.9.9") in ("closed", "ConnectionResetError"))  # not in the rig
        assert asked(machines.bench, meter) == "ConnectionRefusedError"  # it does not come in by cable0
        text = "-m firmware_mocks.controllers.reference --config"
        words = [*machines.other, sys.executable, *text.split(), tmp_path / "ctl.toml", "--inventory", site]
        controller = subprocess.Popen([*map(str, words)], cwd=ROOT)
        run.wait(60)
    finally:
        for process in filter(None, (run, controller)):
            process.kill()
            process.wait()
    verdict = json.loads((tmp_path / "verdict.json").read_text())
    (one,) = verdict["cases"]
    gates = {gate["id"]: gate for gate in one["gates"]}
    assert gates["controller"]["value"] == "ready"
    assert "meter" in gates["contact"]["value"]
    assert "pdu" in gates["contact"]["value"]
    assert gates["movement"]["value"] == "deployment"
    if one["outcome"] != "PASS" and any("Bench on time" in reason for reason in one["reasons"]):
        pytest.skip(f"the machine was too busy for real time: {one['reasons']}")
    assert one["outcome"] == "PASS", one["reasons"]


def test_a_network_that_is_not_routed_here_is_an_error_with_the_route(machines: Machines, tmp_path: Path) -> None:
    write(tmp_path, rig=OUTSIDE)
    subprocess.run([*machines.bench, "ip", "route", "del", "local", NET, "dev", "lo"], check=True)
    words = [*machines.bench, sys.executable, "-m", "bench.cli", "up", "rig.toml"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert (
        f"is no address of this machine: make the rig's network local (ip route add local {NET} dev lo)" in done.stderr
    )


def test_an_interface_that_is_not_there_is_named(machines: Machines, tmp_path: Path) -> None:
    write(tmp_path, rig=OUTSIDE.replace("cable0", "eth77"))
    words = [*machines.bench, sys.executable, "-m", "bench.cli", "up", "rig.toml"]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 2
    assert "no network device 'eth77' is here, only " in done.stderr
