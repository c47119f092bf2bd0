"""The command as a process: it serves foreign clients, ends when told to, and leaves folders that tell the truth."""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from bench import inventory
from tests.bench.small import CASE, PROFILE, write

pytestmark = pytest.mark.system

RAMPRIG = [sys.executable, "-m", "bench.cli"]
PORTS = (80, 502, 4028)
LIVE = PROFILE.replace('"40 s"', '"20 s"').replace('"25 s"', '"12 s"').replace('"26 s"', '"13 s"')
LIVE = LIVE.replace('["30 s", 1]', '["14 s", 1]').replace('stop = "30 s"', 'stop = "14 s"')
"""The same dip, over after 20 s."""


def until(what: Callable[[], object], limit_s: float = 30.0) -> None:
    """Wait until `what()` is true."""
    end_s = time.monotonic() + limit_s
    while not what():
        assert time.monotonic() < end_s, "it did not come"
        time.sleep(0.05)


def may_be_bound(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("0.0.0.0", port))
            probe.listen()
        except OSError:
            return False
    return True


@pytest.fixture(autouse=True)
def ports() -> None:
    """The vendors' ports, for which tests in real time have to queue up."""
    end_s = time.monotonic() + 30
    while busy := [port for port in PORTS if not may_be_bound(port)]:
        if time.monotonic() > end_s:
            pytest.skip(f"ports {busy} cannot be bound: in use, or kept for privileged programs")
        time.sleep(0.2)


@pytest.fixture
def case(tmp_path: Path) -> Path:
    return write(tmp_path, profile=LIVE, case=CASE.replace('"10 s"', '"6 s"'))


@contextlib.contextmanager
def started(folder: Path, *words: object, **options: Any) -> Iterator[subprocess.Popen[str]]:
    """The command, with what it says kept in files out.txt and err.txt; killed if it is still there at the end."""
    with (folder / "out.txt").open("w") as out, (folder / "err.txt").open("w") as err:
        process = subprocess.Popen(
            [*RAMPRIG, *map(str, words)], cwd=folder, stdout=out, stderr=err, text=True, process_group=0, **options
        )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def done(folder: Path, *words: object, **options: Any) -> subprocess.CompletedProcess[str]:
    """The command, run to its end."""
    finished = subprocess.run(
        [*RAMPRIG, *map(str, words)], cwd=folder, capture_output=True, text=True, timeout=55, check=False, **options
    )
    assert "Traceback" not in finished.stderr
    return finished


# ---- up --------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_site_that_is_up_answers_foreign_clients_and_goes_down_when_told(
    case: Path, tmp_path: Path, number: signal.Signals
) -> None:
    (tmp_path / "site.json").write_text('{"schema": 1, "site": {}, "miners": []}')  # of a site long gone
    with started(tmp_path, "up", "rig.toml", "--inventory", "site.json") as site:
        until(lambda: site.poll() is not None or "is up" in (tmp_path / "out.txt").read_text())
        told = inventory.read(tmp_path / "site.json")
        assert [miner.id for miner in told.miners] == [f"miner-{n:04d}" for n in range(1, 9)]
        assert told.meters[0].address == "127.88.250.1"
        if shutil.which("mbpoll") is not None:
            assert read_with_mbpoll("127.88.250.1", 71) == pytest.approx(60.0, abs=0.01)
            assert read_with_mbpoll("127.88.250.1", 53) == pytest.approx(told.site.nominal_w, rel=0.02)
        found = asyncio.run(identified("127.88.1.1", "127.88.1.8"))
        assert found == [("AntMiner", "S19j Pro", "Stock"), ("AntMiner", "S21", "LuxOS")]
        held = socket.create_connection(("127.88.250.1", 502))
        site.send_signal(number)
        assert site.wait(20) == 0
        held.close()
    assert (tmp_path / "err.txt").read_text() == "ramprig: the site is down\n"
    said = (tmp_path / "out.txt").read_text()
    assert re.search(r"^meter-poi +eastron_sdm630 +127\.88\.250\.1 +502$", said, re.MULTILINE)
    assert re.search(r"^miner-0008 +s21 / luxos +127\.88\.1\.8 +4028, 80$", said, re.MULTILINE)


def test_a_site_that_a_script_started_in_the_background_goes_down_on_sigint(case: Path, tmp_path: Path) -> None:
    """A shell without job control gives what it starts with "&" an ignored SIGINT."""
    script = 'trap "" INT; exec "$@"'
    with (tmp_path / "out.txt").open("w") as out:
        site = subprocess.Popen(["sh", "-c", script, "sh", *RAMPRIG, "up", "rig.toml"], cwd=tmp_path, stdout=out)
    try:
        until(lambda: site.poll() is not None or "is up" in (tmp_path / "out.txt").read_text())
        site.send_signal(signal.SIGINT)
        assert site.wait(20) == 0
    finally:
        site.kill()
        site.wait()


def read_with_mbpoll(address: str, register: int) -> float:
    """A float of the meter's input registers, counted from 1, as the Debian tool reads it."""
    words = [
        "mbpoll",
        "-1",
        "-q",
        "-m",
        "tcp",
        "-a",
        "1",
        "-t",
        "3:float",
        "-B",
        "-r",
        str(register),
        "-c",
        "1",
        address,
    ]
    said = subprocess.run(words, capture_output=True, text=True, timeout=10, check=True).stdout
    found = re.search(rf"\[{register}\]:\s+(\S+)", said)
    assert found, said
    return float(found[1])


async def identified(*addresses: str) -> list[tuple[str, str, str]]:
    """What the field's fleet library takes these miners for."""
    pyasic = pytest.importorskip("pyasic")
    found = []
    for address in addresses:
        miner = await pyasic.get_miner(address)
        data = await miner.get_data()
        assert float(data.hashrate) > 0
        found.append((str(data.make), str(data.model), str(data.firmware)))
    return found


def test_a_site_tells_itself_as_one_json_object(case: Path, tmp_path: Path) -> None:
    with started(tmp_path, "up", "rig.toml", "--json") as site:
        until(lambda: (tmp_path / "out.txt").read_text().endswith("\n"))
        inventory.parse(json.loads((tmp_path / "out.txt").read_text()))
        site.terminate()
        assert site.wait(20) == 0


def test_a_second_site_finds_the_ports_in_use(case: Path, tmp_path: Path) -> None:
    with started(tmp_path, "up", "rig.toml") as site:
        until(lambda: "is up" in (tmp_path / "out.txt").read_text())
        for words in (("up", "rig.toml"), ("run", "case.toml", "--time", "real", "--out", "out")):
            second = done(tmp_path, *words)
            assert (second.returncode, second.stdout) == (2, "")
            assert re.fullmatch(
                r"ramprig: port 502 \(127\.88\.250\.1\) is in use: stop what listens .*\n", second.stderr
            )
        assert done(tmp_path, "run", "case.toml", "--time", "virtual", "--out", "out").returncode == 0
        assert site.poll() is None


def give_up_privileged_ports() -> None:
    """In the child, before it becomes the command: not even root binds a port below the system's limit after this."""
    drop, bind_service = 24, 10  # PR_CAPBSET_DROP and CAP_NET_BIND_SERVICE, linux/prctl.h and linux/capability.h
    if os.geteuid() == 0 and ctypes.CDLL(None).prctl(drop, bind_service, 0, 0, 0) != 0:
        os._exit(99)


def test_without_the_privilege_for_port_80_the_remedy_is_told(case: Path, tmp_path: Path) -> None:
    first = int(Path("/proc/sys/net/ipv4/ip_unprivileged_port_start").read_text())
    if first <= min(PORTS):
        pytest.skip(f"this system lets everybody bind ports from {first} on")
    for words in (("up", "rig.toml"), ("run", "case.toml", "--time", "real", "--out", "out", "--json")):
        refused = done(tmp_path, *words, preexec_fn=give_up_privileged_ports)
        if refused.returncode == 99:
            pytest.skip("the privilege cannot be given up here")
        assert (refused.returncode, refused.stdout) == (2, "")
        told = r"ramprig: port \d+ \(127\..*\) is kept for privileged programs: allow it \(.*\n"
        assert re.fullmatch(told, refused.stderr)
    assert done(tmp_path, "judge", "out").returncode == 3


# ---- a run that is stopped -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["virtual", "real"])
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)])
def test_a_run_that_is_stopped_leaves_a_folder_that_is_void(
    case: Path, tmp_path: Path, mode: str, number: signal.Signals, code: int
) -> None:
    long = LIVE.replace('duration = "20 s"', 'duration = "100 h"')
    write(tmp_path, profile=long, case=CASE.replace('"10 s"', f'"6 s"\ntime = "{mode}"'))
    documents = tmp_path / "out" / "dip" / "documents.jsonl"
    with started(tmp_path, "run", "case.toml", "--out", "out", "--json") as run:
        until(lambda: documents.exists() and "sut_ready" in documents.read_text())
        run.send_signal(number)
        assert run.wait(20) == code
    said = (tmp_path / "err.txt").read_text()
    assert said in ("", "ramprig: stopped; a run that was under way is void\n",
                    "ramprig: told to end; a run that was under way is void\n")  # fmt: skip
    assert (said == "") == (number == signal.SIGKILL)
    assert (tmp_path / "out.txt").read_text() == ""
    judged = done(tmp_path, "judge", "out", "--json")
    assert judged.returncode == 3
    (one,) = json.loads(judged.stdout)["cases"]
    assert (one["outcome"], one["validity"]) == ("ABORTED", "VOID")
    assert "void: Recording complete: breaks off; required: has its end" in one["reasons"]


def test_a_run_into_the_folder_of_a_killed_one_replaces_it(case: Path, tmp_path: Path) -> None:
    write(tmp_path, profile=LIVE.replace('"20 s"', '"100 h"'))
    documents = tmp_path / "out" / "dip" / "documents.jsonl"
    with started(tmp_path, "run", "case.toml", "--out", "out") as run:
        until(lambda: documents.exists() and "sut_ready" in documents.read_text())
        run.kill()
    assert done(tmp_path, "judge", "out/dip", "--html", "void.html").returncode == 3
    assert "breaks off" in (tmp_path / "void.html").read_text()
    write(tmp_path, profile=LIVE)
    assert done(tmp_path, "run", "case.toml", "--out", "out").returncode == 0
    assert done(tmp_path, "judge", "out").returncode == 0


# ---- a program under test --------------------------------------------------------------------------------------------


def with_program(folder: Path, *, ready: str = '{ log = "ready" }') -> Path:
    """The case with the reference controller as a program, for a rule that leaves time for a busy machine."""
    (folder / "ctl.toml").write_text("[frequency]\ntrip_hz = 59.7\nfull_within_s = 0.5\n", encoding="utf-8")
    sut = f"""
time = "real"

[sut]
kind = "subprocess"
command = "{{python}}"
args = ["-m", "firmware_mocks.controllers.reference", "--config", "{{config}}"]
config = "ctl.toml"
ready = {ready}
"""
    text = CASE.partition("[sut]")[0].replace("ercot_rrs_ffr", "ercot_rrs_ufr").replace('"10 s"', '"8 s"')
    return write(folder, profile=LIVE, case=text + sut)


@pytest.mark.slow
def test_the_reference_controller_as_a_program_sheds_in_real_time(tmp_path: Path) -> None:
    with_program(tmp_path)
    finished = done(tmp_path, "run", "case.toml", "--out", "out", "--json")
    assert finished.stderr == ""
    (one,) = json.loads(finished.stdout)["cases"]
    if finished.returncode != 0 and any("Bench on time" in reason for reason in one["reasons"]):
        pytest.skip(f"the machine was too busy for real time: {one['reasons']}")
    assert finished.returncode == 0, one["reasons"]
    reach = next(check for check in one["checks"] if check["id"] == "reach")
    assert 20 < reach["value"] < 500
    stop = json.loads((tmp_path / "out/dip/documents.jsonl").read_text().splitlines()[-1])
    assert stop["contacts"]["meter"] > 200
    assert stop["contacts"]["pdu"] > 0
    assert stop["sut"]["kind"] == "subprocess"
    assert "ready" in (tmp_path / "out/dip/sut/stdout.log").read_text()


@pytest.mark.parametrize(
    ("program", "code", "reason"),
    [
        ("import sys; sys.exit('no licence')", 1, "controller exited with 1 at t = "),
        (
            "import time; print('ready', flush=True); time.sleep(99)",
            3,
            "void: Controller spoke to the site: no request",
        ),
        ("import time; time.sleep(99)", 3, "void: Controller ready: never ready"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", 1, "controller was ended by SIGSEGV at t = "),
    ],
)
def test_a_program_that_crashes_or_hangs_is_an_outcome_with_its_reason(
    tmp_path: Path, program: str, code: int, reason: str
) -> None:
    (tmp_path / "ctl.py").write_text(program)
    with_program(tmp_path)
    text = (tmp_path / "case.toml").read_text()
    text = re.sub(r"args = .*", 'args = ["ctl.py"]\nstop_within = "1 s"', text).replace('"8 s"', '"2 s"')
    (tmp_path / "case.toml").write_text(text.replace('config = "ctl.toml"\n', ""))
    short = LIVE.replace('"20 s"', '"3 s"').replace('"14 s"', '"3 s"').replace('"5 s"', '"1 s"')
    short = short.replace('["12 s", "59.69 Hz"], ["13 s", "60 Hz"]', '["3 s", "59.69 Hz"]')
    (tmp_path / "profile.toml").write_text(short)
    finished = done(tmp_path, "run", "case.toml", "--out", "out", "--json")
    (one,) = json.loads(finished.stdout)["cases"]
    assert finished.returncode == code, one["reasons"]
    assert any(reason in line for line in one["reasons"]), one["reasons"]
    assert finished.stderr == ""


@pytest.mark.parametrize(
    ("body", "left"),
    [
        ("await asyncio.get_running_loop().run_in_executor(None, time.sleep, 999)", "controller_0"),
        ("threading.Thread(target=time.sleep, args=(999,), name='poller').start()", "poller"),
    ],
)
def test_a_thread_that_never_ends_keeps_neither_the_verdict_nor_the_program(
    tmp_path: Path, body: str, left: str
) -> None:
    (tmp_path / "ctl.py").write_text(f"import asyncio, threading, time\nasync def controller(i, c):\n    {body}\n")
    write(tmp_path, case=CASE.replace('"10 s"', '"10 s"\npatience = "1 s"'))
    finished = done(tmp_path, "run", "case.toml", "--sut", "python:ctl.py:controller", "--out", "out", "--json")
    (one,) = json.loads(finished.stdout)["cases"]
    assert finished.returncode == 3, one["reasons"]
    assert finished.stderr == f"ramprig: threads of the controller do not end and are abandoned: {left}\n"


# ---- a terminal ------------------------------------------------------------------------------------------------------


def test_on_a_terminal_progress_tells_simulated_and_real_time_and_what_is_left(tmp_path: Path) -> None:
    write(tmp_path, profile=PROFILE.replace('duration = "40 s"', 'duration = "5 min"'))
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*RAMPRIG, "run", "case.toml"], cwd=tmp_path, stdin=theirs, stdout=theirs, stderr=theirs,
        env={**os.environ, "TERM": "xterm", "COLUMNS": "120"},
    )  # fmt: skip
    os.close(theirs)
    said = b""
    with contextlib.suppress(OSError):  # the terminal is gone with its last program
        while part := os.read(ours, 65536):
            said += part
    os.close(ours)
    assert process.wait(20) in (0, 1)
    told = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", said.decode())
    assert re.search(r"dip .*\d+ of 310 s simulated in 0:00:\d\d left 0:00:\d\d", told)
    assert "Traceback" not in told


def test_whoever_reads_the_results_may_stop_reading(tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    words = [*RAMPRIG, "list", "profiles"]
    finished = subprocess.run(words, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=tmp_path, check=False)
    os.close(writing)
    assert "Traceback" not in finished.stderr
