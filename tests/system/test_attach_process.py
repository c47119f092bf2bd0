"""Controllers as programs of their own, in real time: whatever they do has a reason, and nothing of them stays."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from bench import output
from bench.attach import Adapter, Context, SubprocessSut, build
from bench.config import validate
from bench.program import MARK
from emulator.clock import Clock, run
from emulator.wire import MILLISECOND, SECOND

pytestmark = pytest.mark.system

During = Callable[[Adapter, Clock], Awaitable[object]]


def play(tmp_path: Path, text: str, during: During, **keys: Any) -> tuple[Adapter, Any]:
    """Start the program, do `during`, stop; asserts that no process of it is left."""
    (tmp_path / "controller.py").write_text(text)
    table = {"kind": "subprocess", "command": "{python}", "args": ["controller.py"], "stop_within": "1 s", **keys}
    sut = validate(table, SubprocessSut, "case.toml")
    folder = tmp_path / "sut"
    folder.mkdir()

    async def main(clock: Clock) -> tuple[Adapter, Any]:
        never = asyncio.Event()
        adapter = build(sut, tmp_path, "real")
        await adapter.start(Context(clock, {}, tmp_path / "site.json", folder, never.wait))
        try:
            seen = await during(adapter, clock)
        finally:
            await adapter.stop()
        assert not relatives(adapter)
        return adapter, seen

    return run(main, mode="real")


def relatives(adapter: Adapter) -> list[str]:
    """Command lines of the processes that carry the adapter's mark."""
    needle = f"{MARK}={adapter._mark}".encode()  # type: ignore[attr-defined]
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if needle in (entry / "environ").read_bytes():
                found.append((entry / "cmdline").read_text())
        except OSError:
            continue
    return found


async def until_ready(adapter: Adapter, clock: Clock) -> tuple[bool, str]:
    readiness = await adapter.ready(5 * SECOND)
    return readiness.ok, readiness.reason


async def until_exit(adapter: Adapter, clock: Clock) -> str:
    for _ in range(500):
        if adapter.exit:
            return adapter.exit
        await clock.sleep(10 * MILLISECOND)
    return "it runs on"


def test_a_line_of_output_is_a_sign_and_the_environment_is_filled_in(tmp_path: Path) -> None:
    text = "import os, time; print(os.environ['RAMPRIG_INVENTORY'], os.environ['CTL']); print('ready'); time.sleep(60)"
    (tmp_path / "ctl.toml").write_text("")
    keys = {"ready": {"log": "ready"}, "config": "ctl.toml", "env": {"CTL": "{config}"}}
    adapter, seen = play(tmp_path, text, until_ready, **keys)
    assert seen == (True, "'ready' on stdout")
    assert (adapter.exit, adapter.stubborn) == ("", "")
    first, second = (tmp_path / "sut" / "stdout.log").read_text().splitlines()
    assert first.split()[1:] == [str(tmp_path / "site.json"), str(tmp_path / "ctl.toml")]
    assert second.split()[1:] == ["ready"]
    assert 0.0 < float(first.split()[0]) < 5.0
    json.dumps(adapter.evidence())


def test_a_listener_is_a_sign(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = f"import socket, time; s = socket.create_server(('127.0.0.1', {port})); time.sleep(60)"
    _, seen = play(tmp_path, text, until_ready, ready={"port": port})
    assert seen == (True, f"listener on 127.0.0.1 port {port}")


def test_a_page_that_is_answered_well_is_a_sign(tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = f"""
import http.server
class Handler(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Handler.asked += 1
        self.send_response(200 if Handler.asked > 2 and self.path == "/health?now" else 503)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", {port}), Handler).serve_forever()
"""
    page = f"http://127.0.0.1:{port}/health?now"
    _, seen = play(tmp_path, text, until_ready, ready={"http": page})
    assert seen == (True, f"good answer from {page}")
    assert (tmp_path / "sut" / "stderr.log").read_text().count("GET /health?now") == 3


def test_a_restart_is_no_exit_and_the_new_process_says_ready_again(tmp_path: Path) -> None:
    text = "import os, time; print('ready', os.getpid(), flush=True); time.sleep(60)"

    async def both(adapter: Adapter, clock: Clock) -> int:
        assert (await adapter.ready(5 * SECOND)).ok
        for _ in range(500):
            if (tmp_path / "sut" / "stdout.log").read_text().count("ready") == 2:
                break
            await clock.sleep(10 * MILLISECOND)
        return len(relatives(adapter))

    restart = [{"at": "1 s", "how": "kill", "down": "100 ms"}]
    adapter, alive = play(tmp_path, text, both, ready={"log": "ready"}, restart=restart)
    assert alive == 1
    assert (adapter.exit, adapter.stubborn) == ("", "")
    assert adapter.evidence()["restarts"] == 1
    first, second = (line.split()[-1] for line in (tmp_path / "sut" / "stdout.log").read_text().splitlines())
    assert first != second


def test_a_crash_says_code_instant_and_last_words(tmp_path: Path) -> None:
    adapter, reason = play(tmp_path, "import sys; sys.exit('meter 1 is on fire')", until_exit)
    assert reason.startswith("controller exited with 1 at t = ")
    assert reason.endswith("s: meter 1 is on fire")
    assert adapter.exited_ns is not None


def test_an_exit_before_ready_ends_the_wait(tmp_path: Path) -> None:
    _, seen = play(tmp_path, "", until_ready, ready={"log": "ready"})
    assert not seen[0]
    assert seen[1].startswith("controller exited with 0 at t = ")


def test_a_signal_is_named(tmp_path: Path) -> None:
    _, reason = play(tmp_path, "import os, signal; os.kill(os.getpid(), signal.SIGSEGV)", until_exit)
    assert reason.startswith("controller was ended by SIGSEGV at t = ")


def test_a_command_that_cannot_be_executed_is_an_outcome(tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"\0")
    (tmp_path / "data").chmod(0o755)
    _, reason = play(tmp_path, "", until_exit, command="./data")
    assert reason == "controller could not be started: ./data: Exec format error"


def test_one_that_ignores_sigterm_is_killed_and_named(tmp_path: Path) -> None:
    text = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready'); time.sleep(60)"
    adapter, _ = play(tmp_path, text, until_ready, ready={"log": "ready"})
    assert adapter.stubborn == "ignored SIGTERM for 1 s and was killed"


def test_children_that_left_the_group_are_found_and_ended(tmp_path: Path) -> None:
    text = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print('ready'); sys.stdout.flush()
        time.sleep(60)
    os._exit(0)
time.sleep(60)
"""

    async def both(adapter: Adapter, clock: Clock) -> int:
        await adapter.ready(5 * SECOND)
        return len(relatives(adapter))

    _, alive = play(tmp_path, text, both, ready={"log": "ready"})
    assert alive == 2


def test_a_leader_that_dies_takes_its_children_along_at_stop(tmp_path: Path) -> None:
    text = "import os, time\nif os.fork() == 0: time.sleep(60)\nprint('bye')"
    _, reason = play(tmp_path, text, until_exit)
    assert reason.startswith("controller exited with 0")


def test_a_flood_of_output_is_bounded_and_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MOST_OUTPUT_BYTES", 1 << 16)
    text = "import sys\nfor _ in range(400): sys.stdout.write('x' * 9999 + '\\n')\nsys.stdout.write('y' * 300000)"
    adapter, reason = play(tmp_path, text, until_exit)
    assert reason.startswith("controller exited with 0")
    assert adapter.evidence()["output_bytes"] == [400 * 10_000 + 300_000, 0]
    assert (tmp_path / "sut" / "stdout.log").stat().st_size < 1 << 18


def test_bytes_that_are_no_text_are_kept_readable(tmp_path: Path) -> None:
    play(tmp_path, "import os; os.write(2, b'\\xff\\x00 no newline')", until_exit)
    assert "no newline" in (tmp_path / "sut" / "stderr.log").read_text()


def test_starting_and_stopping_leaves_no_descriptor_open(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    play(tmp_path, "print('ready')", until_exit)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before
