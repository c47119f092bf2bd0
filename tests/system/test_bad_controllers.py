"""Whatever a program does, its case ends with an outcome and a reason, and nothing of it is left running."""

from __future__ import annotations

import json
import os
import resource
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.bench.small import CASE, PROFILE, write

pytestmark = pytest.mark.system

SHORT = PROFILE.replace('"40 s"', '"3 s"').replace('["5 s"', '["1 s"').replace('start = "5 s"', 'start = "1 s"')
SHORT = SHORT.replace('["25 s", "59.69 Hz"], ["26 s", "60 Hz"]', '["3 s", "59.69 Hz"]')
SHORT = SHORT.replace('["30 s", 1]', '["3 s", 1]').replace('stop = "30 s"', 'stop = "3 s"')
METER = "127.88.250.1"
READ = """
import asyncio, json, os, signal, socket, sys, time
METER = "127.88.250.1"
def read(call):
    call.sendall(bytes.fromhex("000100000006010400460002"))
    return call.recv(99)
def ready():
    print("ready", flush=True)
"""


class Trial(NamedTuple):
    """How the command ended, and its one verdict."""

    code: int
    verdict: dict[str, Any]
    folder: Path

    def reason(self, text: str) -> str:
        """The reason that holds `text`."""
        found = [reason for reason in self.verdict["reasons"] if text in reason]
        assert found, self.verdict["reasons"]
        return str(found[0])


def tried(
    folder: Path, program: str, command: str = "{python}", lead_in: str = "2 s", descriptors: int = 0, **sut: Any
) -> Trial:
    """Play a case of 5 s in real time with a program; asserts that the bench is sound and nothing of it is left.

    `descriptors`, where it is no 0, is how many files and connections the bench may have open.
    """

    def limited() -> None:
        if descriptors:
            resource.setrlimit(resource.RLIMIT_NOFILE, (descriptors, descriptors))

    (folder / "ctl.py").write_text(READ + program)
    keys = {"kind": "subprocess", "command": command, "args": ["ctl.py"], "stop_within": "500 ms", **sut}
    table = "\n".join(f"{key} = {json.dumps(value)}" for key, value in keys.items() if not isinstance(value, dict))
    inline = "\n".join(
        f"{key} = {{ {', '.join(f'{name} = {json.dumps(text)}' for name, text in value.items())} }}"
        for key, value in keys.items()
        if isinstance(value, dict)
    )
    case = CASE.partition("[sut]")[0].replace('"10 s"', json.dumps(lead_in)) + 'time = "real"\n'
    write(folder, profile=SHORT, case=f"{case}[sut]\n{table}\n{inline}\n")
    mark = secrets.token_hex(8)
    finished = subprocess.run(
        [sys.executable, "-m", "bench.cli", "run", "case.toml", "--out", "out", "--json"],
        cwd=folder, env={**os.environ, "TRIAL": mark}, capture_output=True, text=True, timeout=55, check=False,
        preexec_fn=limited,
    )  # fmt: skip
    assert "Traceback" not in finished.stderr
    assert not carriers(f"TRIAL={mark}".encode())
    (one,) = json.loads(finished.stdout)["cases"]
    assert one["outcome"] not in ("ERROR", "ABORTED"), one["reasons"]
    assert (folder / "out/dip/report.html").is_file()
    return Trial(finished.returncode, one, folder / "out/dip")


def carriers(needle: bytes) -> list[str]:
    """Processes with a text in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if needle in (entry / "environ").read_bytes():
                found.append(entry.name)
        except OSError:
            continue
    return found


def test_a_command_that_cannot_be_executed_fails_the_case(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"\0")
    (tmp_path / "data").chmod(0o755)
    trial = tried(tmp_path, "", command="./data")
    assert trial.code == 1
    assert trial.reason("could not be started").endswith("./data: Exec format error")


def test_one_that_exits_at_once_fails_the_case_with_its_code_and_last_words(tmp_path: Path) -> None:
    trial = tried(tmp_path, "print('no licence', file=sys.stderr); sys.exit(3)")
    assert trial.code == 1
    reason = trial.reason("exited with 3 at t = ")
    assert reason.endswith("s: no licence")


def test_a_flood_of_output_is_bounded_and_told(tmp_path: Path) -> None:
    trial = tried(tmp_path, "ready()\nwhile True: print('all is well, ' * 8)", ready={"log": "ready"})
    assert " MB to stdout, of which 8.4 MB are kept" in trial.reason("Controller fit to be tried")
    assert trial.code == 3  # it never spoke to the site
    assert (trial.folder / "sut/stdout.log").stat().st_size < 13 << 20


def test_a_gigabyte_of_output_is_counted_and_thrown_away(tmp_path: Path) -> None:
    text = """
ready()
block = bytes(1 << 20)
for _ in range(1024): os.write(1, block)
print("done", file=sys.stderr, flush=True)
time.sleep(60)
"""
    trial = tried(tmp_path, text, lead_in="6 s", ready={"log": "done"})
    assert "wrote 1073.7 MB to stdout" in trial.reason("Controller fit to be tried")
    assert trial.code == 3


def test_a_gigabyte_at_a_meter_ends_that_connection_and_no_other(tmp_path: Path) -> None:
    text = """
call, other = socket.create_connection((METER, 502)), socket.create_connection((METER, 502))
sent = 0
try:
    while sent < 1 << 30:
        sent += call.send(bytes(1 << 16))
except OSError as error:
    print("cut off", type(error).__name__, flush=True)
read(other)
ready()
time.sleep(60)
"""
    trial = tried(tmp_path, text, ready={"log": "ready"})
    assert next(gate["value"] for gate in trial.verdict["gates"] if gate["id"] == "controller") == "ready"
    said = (trial.folder / "sut/stdout.log").read_text()
    assert "cut off" in said
    assert "ready" in said


def test_one_that_ignores_sigterm_is_killed_and_that_is_told(tmp_path: Path) -> None:
    text = "signal.signal(signal.SIGTERM, signal.SIG_IGN); read(socket.create_connection((METER, 502))); time.sleep(60)"
    trial = tried(tmp_path, text)
    trial.reason("ignored SIGTERM for 0.5 s and was killed")


def test_ten_thousand_connections_are_taken_up_to_the_limit_and_the_others_refused(tmp_path: Path) -> None:
    text = """
import resource
resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
first = socket.create_connection((METER, 502))
held = []
for _ in range(10_000):
    try:
        held.append(socket.create_connection((METER, 502), timeout=5))
    except OSError as error:
        print(type(error).__name__)
read(first)
ready()
time.sleep(60)
"""
    trial = tried(tmp_path, text, lead_in="8 s", ready={"log": "ready"})
    assert "opened more connections than the devices take: " in trial.reason("Controller fit to be tried")
    assert next(gate["value"] for gate in trial.verdict["gates"] if gate["id"] == "controller") == "ready"


def test_a_bench_that_may_open_few_files_refuses_calls_and_writes_its_report(tmp_path: Path) -> None:
    text = """
first = socket.create_connection((METER, 502))
held = []
for miner in range(1, 9):
    for _ in range(50):
        try:
            held.append(socket.create_connection((f"127.88.1.{miner}", 80), timeout=5))
        except OSError as error:
            print(type(error).__name__)
read(first)
ready()
time.sleep(60)
"""
    trial = tried(tmp_path, text, lead_in="8 s", descriptors=450, ready={"log": "ready"})
    assert "opened more connections than the devices take: " in trial.reason("Controller fit to be tried")


def test_one_that_speaks_but_never_says_ready_is_void_and_the_reason_says_both(tmp_path: Path) -> None:
    text = "read(socket.create_connection((METER, 502))); time.sleep(60)"
    trial = tried(tmp_path, text, ready={"log": "ready"})
    assert trial.code == 3
    reason = trial.reason("Controller ready")
    assert "controller was not ready after " in reason
    assert "; it spoke to the rig at t = " in reason


def test_one_that_speaks_before_it_says_ready_is_tried_like_any_other(tmp_path: Path) -> None:
    text = "call = socket.create_connection((METER, 502)); read(call); ready(); time.sleep(60)"
    trial = tried(tmp_path, text, ready={"log": "ready"})
    gates = {gate["id"]: gate["value"] for gate in trial.verdict["gates"]}
    assert (gates["controller"], gates["contact"], gates["manners"]) == ("ready", "1 meter", "nothing odd")


def test_nothing_attached_never_passes(tmp_path: Path) -> None:
    write(tmp_path, case=CASE.partition("[sut]")[0] + 'sut = "null"\n')
    finished = subprocess.run(
        [sys.executable, "-m", "bench.cli", "run", "case.toml", "--out", "out", "--json"],
        cwd=tmp_path, capture_output=True, text=True, timeout=55, check=False,
    )  # fmt: skip
    assert finished.returncode in (1, 3)
