"""Programs in processes of their own that live in virtual time: exact, repeatable, and never able to hang the bench."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from bench.attach import Adapter, Context, SubprocessSut, build
from bench.case_file import load_cases
from bench.config import validate
from bench.lockstep.peer import CHILD
from bench.play import plan, play
from emulator.clock import Clock, run
from emulator.network import Network
from emulator.wire import MILLISECOND, SECOND, Action, Close, Conversation, Instant, Reach, Send
from tests.bench import test_determinism as determinism
from tests.bench.small import PROFILE, write
from tests.bench.small import RIG as SMALL

pytestmark = pytest.mark.system

ROOT = Path(__file__).parents[2]
ECHO, REFUSES, SILENT, RESETS = (f"127.77.1.{k}" for k in range(1, 5))
PORT = 7777
HEAD = """
import asyncio, os, signal, socket, sys, threading, time
ECHO, REFUSES, SILENT, RESETS = (f"127.77.1.{k}" for k in range(1, 5))
loop = asyncio.get_running_loop
async def ask(address=ECHO):
    reader, writer = await asyncio.open_connection(address, 7777)
    writer.write(b"hello\\n")
    try:
        return await reader.readline()
    finally:
        writer.close()
"""


@dataclass
class Box:
    """Echoes after 50 ms, refuses, is silent, or hangs up by a reset."""

    state: Reach = Reach.ANSWERS
    resets: bool = False
    ports = (PORT,)
    idle_timeout_ns: int | None = None

    def reach(self, port: int, now: Instant) -> Reach:
        return self.state

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        return self

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        return [Close(reset=True)] if self.resets else [Send(data, 50 * MILLISECOND)]

    def ended(self, now: Instant) -> Sequence[Action]:
        return [Close()]


@dataclass
class Tried:
    """What came of a program: the adapter, what `during` returned, its lines of output with their instants."""

    adapter: Adapter
    seen: Any
    lines: list[tuple[float, str]]
    told: list[tuple[str, str]]

    @property
    def texts(self) -> list[str]:
        return [text for _, text in self.lines]


During = Callable[[Adapter, Clock], Awaitable[object]]


async def an_hour(adapter: Adapter, clock: Clock) -> float:
    await clock.sleep(3600 * SECOND)
    return clock.now() / SECOND


async def until_ready(adapter: Adapter, clock: Clock) -> tuple[bool, str, float]:
    readiness = await adapter.ready(30 * SECOND)
    return readiness.ok, readiness.reason, clock.now() / SECOND


def tried(tmp_path: Path, text: str, during: During = an_hour, patience_s: float = 30, **keys: Any) -> Tried:
    """Run a program in lockstep beside four boxes, and `during`; asserts that nothing of it is left."""
    (tmp_path / "ctl.py").write_text(HEAD + text)
    table = {"kind": "subprocess", "command": "{python}", "args": ["{lockstep}", "ctl.py"], "lockstep": True}
    sut = validate({**table, **keys}, SubprocessSut, "case.toml")
    folder = tmp_path / "sut"
    folder.mkdir()
    told: list[tuple[str, str]] = []

    async def main(clock: Clock) -> Tried:
        network = Network(clock)
        boxes = (Box(), Box(Reach.REFUSES), Box(Reach.SILENT), Box(resets=True))
        for address, box in zip((ECHO, REFUSES, SILENT, RESETS), boxes, strict=True):
            network.attach(address, box)
        await network.open()
        contact: asyncio.Future[int] = clock.loop.create_future()
        network.on_request = lambda *words: contact.done() or contact.set_result(words[-1])
        adapter = build(sut, tmp_path, "virtual")
        context = Context(
            clock, {}, tmp_path / "site.json", folder, lambda: asyncio.shield(contact), int(patience_s * SECOND),
            tell=lambda what, why: told.append((what, why)),
        )  # fmt: skip
        await adapter.start(context)
        try:
            seen = await during(adapter, clock)
        finally:
            await adapter.stop()
            await network.close()
            contact.cancel()
        assert network.defects == 0
        assert not clock.loop.peers  # type: ignore[union-attr]
        lines = [line.split(maxsplit=1) for line in (folder / "stdout.log").read_text().splitlines()]
        return Tried(adapter, seen, [(float(at), text) for at, text in lines], told)

    return run(main)


# ---- time ------------------------------------------------------------------------------------------------------------


def test_a_thousand_requests_take_exactly_their_latency_and_none_runs_into_its_time_out(tmp_path: Path) -> None:
    text = """
async def main():
    reader, writer = await asyncio.open_connection(ECHO, 7777)
    took = set()
    for k in range(1000):
        began = time.perf_counter_ns(), time.monotonic_ns(), time.time_ns(), round(loop().time() * 1e9)
        writer.write(b"%d\\n" % k)
        async with asyncio.timeout(0.051):
            assert await reader.readline() == b"%d\\n" % k
        ended = time.perf_counter_ns(), time.monotonic_ns(), time.time_ns(), round(loop().time() * 1e9)
        took |= {b - a for a, b in zip(began, ended)}
        await asyncio.sleep(1)
    print(took, loop().time())
asyncio.run(main())
"""
    trial = tried(tmp_path, text)
    assert trial.lines == [(1050.0, "{50000000} 1050.0")]
    assert trial.adapter.exit == "controller exited with 0 at t = 1050.0 s: {50000000} 1050.0"
    assert trial.adapter.exited_ns == 1050 * SECOND


def test_every_clock_of_module_time_begins_with_the_run_and_a_sleep_holds_up_only_the_program(tmp_path: Path) -> None:
    text = """
print(time.monotonic(), time.time(), loop.__name__)
time.sleep(2.5)
async def main():
    asyncio.create_task(late())
    await asyncio.sleep(0)
    time.sleep(10)
    print(time.perf_counter(), loop().time(), time.time() - 1735689600)
async def late():
    await asyncio.sleep(1)
    print("late", time.monotonic())
    loop().stop()
asyncio.run(main())
asyncio.new_event_loop().run_until_complete(late())
"""
    trial = tried(tmp_path, text.replace("    loop().stop()\n", ""))
    assert trial.lines == [
        (0.0, "0.0 1735689600.0 get_running_loop"),
        (12.5, "12.5 12.5 12.5"),
        (13.5, "late 13.5"),  # a second loop of the same program
    ]


def test_timers_of_one_instant_keep_their_order_and_periods_do_not_drift(tmp_path: Path) -> None:
    text = """
async def main():
    heard = []
    for k in range(200):
        loop().call_at(5.0, heard.append, k)
    for _ in range(300):
        await asyncio.sleep(0.05)
    print(heard == list(range(200)), loop().time())
asyncio.run(main())
"""
    assert tried(tmp_path, text).texts == ["True 15.0"]


def test_work_in_a_thread_takes_no_virtual_time(tmp_path: Path) -> None:
    text = """
import select
async def main():
    await asyncio.sleep(1)
    await asyncio.to_thread(select.select, [], [], [], 0.2)
    info = await loop().getaddrinfo("localhost", 80)
    print(loop().time(), bool(info))
asyncio.run(main())
"""
    assert tried(tmp_path, text).texts == ["1.0 True"]


def test_a_forked_child_and_a_child_process_live_in_real_time(tmp_path: Path) -> None:
    text = """
import subprocess
async def nap():
    await asyncio.sleep(0.01)
    return time.time() > 1.75e9
if pid := os.fork():
    print(os.waitpid(pid, 0)[1])
else:
    os._exit(0 if asyncio.run(nap()) else 1)
print(subprocess.run([sys.executable, "-c", "import os; print('RAMPRIG_LOCKSTEP' in os.environ)"],
                     capture_output=True, text=True).stdout.strip())
print(asyncio.run(nap()))
"""
    assert tried(tmp_path, text).texts == ["0", "False", "False"]


# ---- connections -----------------------------------------------------------------------------------------------------


def test_what_a_caller_meets_is_what_it_would_meet_in_the_bench(tmp_path: Path) -> None:
    text = """
async def main():
    for address in (ECHO, REFUSES, RESETS, "127.77.1.9"):
        try:
            print(await ask(address))
        except OSError as error:
            print(type(error).__name__)
    began = loop().time()
    try:
        async with asyncio.timeout(5):
            await ask(SILENT)
    except TimeoutError:
        print("given up", round(loop().time() - began, 6))
    try:
        await ask(SILENT)
    except TimeoutError:
        print("timed out", round(loop().time() - began, 6))
    call = await asyncio.open_connection(ECHO, 7777)
    print(call[1].get_extra_info("peername"), call[1].get_extra_info("sockname")[0])
    call[1].get_extra_info("socket").setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
asyncio.run(main())
"""
    assert tried(tmp_path, text).texts == [
        "b'hello\\n'", "ConnectionRefusedError", "ConnectionResetError", "ConnectionRefusedError",
        "given up 5.0", "timed out 132.0", "('127.77.1.1', 7777) 127.0.0.1",
    ]  # fmt: skip


def test_a_thousand_connections_at_one_instant_are_carried(tmp_path: Path) -> None:
    text = """
async def main():
    calls = await asyncio.gather(*(asyncio.open_connection(ECHO, 7777) for _ in range(1000)), return_exceptions=True)
    taken = [call for call in calls if not isinstance(call, OSError)]
    for _, writer in taken:
        writer.write(b"x" * 200_000 + b"\\n")
    sizes = await asyncio.gather(*(reader.readuntil() for reader, _ in taken[:20]), return_exceptions=True)
    print(len(taken), {len(size) if isinstance(size, bytes) else type(size).__name__ for size in sizes}, loop().time())
asyncio.run(main())
"""
    assert tried(tmp_path, text).texts == ["256 {'LimitOverrunError'} 0.05"]


def test_a_server_of_the_program_is_called_in_virtual_time_and_its_page_says_when_it_is_ready(tmp_path: Path) -> None:
    text = """
async def main():
    began = loop().time()
    async def answer(reader, writer):
        line = await reader.readline()
        await asyncio.sleep(0.25)
        status = b"200 OK" if loop().time() - began > 3 else b"503 Wait"
        writer.write(b"HTTP/1.1 " + status + b"\\r\\nContent-Length: 0\\r\\n\\r\\n")
        writer.close()
    await asyncio.sleep(1)
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    print("port", server.sockets[0].getsockname()[1])
    await asyncio.sleep(100)
    server.close()
    print("closed")
    await asyncio.sleep(10)
asyncio.run(main())
"""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = text.replace('"127.0.0.1", 0', f'"127.0.0.1", {port}')

    async def ready_and_later(adapter: Adapter, clock: Clock) -> tuple[bool, str, float, str]:
        found = await until_ready(adapter, clock)
        await clock.sleep(105 * SECOND)
        try:
            await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError as error:
            return (*found, str(error))
        return (*found, "")

    page = f"http://127.0.0.1:{port}/health?all"
    trial = tried(tmp_path, text, ready_and_later, ready={"http": page})
    ok, reason, at_s, refused = trial.seen
    assert (ok, reason) == (True, f"good answer from {page}")
    assert 3.0 < at_s < 3.6
    assert "is served by nobody in this process" in refused


def test_a_listener_is_a_sign_at_the_instant_it_is_opened(tmp_path: Path) -> None:
    text = """
async def main():
    await asyncio.sleep(1.98)
    server = await asyncio.start_server(lambda r, w: w.close(), "127.0.0.1", 47813)
    await asyncio.sleep(100)
asyncio.run(main())
"""
    trial = tried(tmp_path, text, until_ready, ready={"port": 47813})
    assert trial.seen == (True, "listener on 127.0.0.1 port 47813", 2.0)


# ---- ends ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "at_s"),
    [
        ("while True: pass", 5.0),
        ("import select; select.select([], [], [], 60)", 5.0),
        ("while True: await asyncio.sleep(0)", 5.0),
        ("threading.Event().wait()", 5.0),
        ("os.kill(os.getpid(), signal.SIGSTOP)", 5.0),
        ("await loop().run_in_executor(None, threading.Event().wait)", 5.0),
    ],
)
def test_one_that_never_gives_way_is_ended_within_its_patience_and_named(
    body: str, at_s: float, tmp_path: Path
) -> None:
    trial = tried(
        tmp_path, f"async def main():\n    await asyncio.sleep(5)\n    {body}\nasyncio.run(main())\n", patience_s=3
    )
    said = "controller held up the bench for 3 s of real time without giving way, at t = 5.0 s"
    assert trial.adapter.exit == said
    assert trial.adapter.exited_ns == round(at_s * SECOND)
    assert trial.seen == 3600.0


def test_one_that_keeps_calling_at_one_instant_is_ended_too(tmp_path: Path) -> None:
    text = """
async def main():
    while True:
        try:
            await ask(REFUSES)
        except OSError:
            pass
asyncio.run(main())
"""
    trial = tried(tmp_path, text, patience_s=1)
    assert trial.adapter.exit.startswith(
        "controller held up the bench for 1 s of real time without giving way, at t = 0"
    )


def test_a_program_that_does_not_join_is_named_with_the_remedy(tmp_path: Path) -> None:
    trial = tried(tmp_path, "threading.Event().wait()", patience_s=1, args=["ctl.py"])
    said = "controller did not join virtual time within 1 s; run it with {lockstep}, or in real time, at t = 0.0 s"
    assert trial.adapter.exit == said


def test_one_that_breaks_the_protocol_is_ended(tmp_path: Path) -> None:
    text = """
link = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
link.connect(os.environ["RAMPRIG_LOCKSTEP"])
link.send(b"hello 1")
link.send(b"\\xff connect x y z")
threading.Event().wait()
"""
    trial = tried(tmp_path, text, args=["ctl.py"])
    assert trial.adapter.exit.startswith(
        "controller broke the protocol of virtual time with b'\\xff connect x y z', at"
    )


def test_one_that_leaves_virtual_time_and_stays_is_ended(tmp_path: Path) -> None:
    text = "async def main():\n    await asyncio.sleep(2)\n    os.closerange(3, 99)\n    threading.Event().wait()\n"
    trial = tried(tmp_path, text + "asyncio.run(main())", patience_s=1)
    assert trial.adapter.exit == "controller left virtual time and had not ended 1 s later, at t = 2.0 s"


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("sys.exit('no such meter')", "controller exited with 1 at t = 41.2 s: no such meter"),
        ("os.kill(os.getpid(), signal.SIGSEGV)", "controller was ended by SIGSEGV at t = 41.2 s"),
        ("raise ValueError('no such meter')", "controller exited with 1 at t = 41.2 s: ValueError: no such meter"),
    ],
)
def test_a_crash_is_an_outcome_with_its_virtual_instant(body: str, said: str, tmp_path: Path) -> None:
    trial = tried(tmp_path, f"async def main():\n    await asyncio.sleep(41.2)\n    {body}\nasyncio.run(main())\n")
    assert trial.adapter.exit == said
    assert trial.adapter.exited_ns == 41_200_000_000


def test_a_flood_of_output_does_not_hang_it_and_has_the_instant_it_was_written_at(tmp_path: Path) -> None:
    text = "async def main():\n    await asyncio.sleep(7)\n    print('x' * 300_000, flush=True)\n    print('done')\n"
    trial = tried(tmp_path, text + "    await asyncio.sleep(1)\nasyncio.run(main())")
    assert {at for at, _ in trial.lines} == {7.0}
    assert trial.texts[-1] == "done"


def test_told_to_end_it_cleans_up_in_virtual_time(tmp_path: Path) -> None:
    text = """
async def main():
    told = asyncio.Event()
    loop().add_signal_handler(signal.SIGTERM, told.set)
    await told.wait()
    print("told", loop().time())
    await ask()
    await asyncio.sleep(1)
    print("clean", loop().time())
asyncio.run(main())
"""
    trial = tried(tmp_path, text)
    assert trial.texts == ["told 3600.0", "clean 3601.05"]
    assert (trial.adapter.exit, trial.adapter.stubborn) == ("", "")


@pytest.mark.parametrize("handler", ["signal.SIG_IGN", "lambda *_: None"])
def test_one_that_ignores_sigterm_is_killed_after_its_grace_in_virtual_time(handler: str, tmp_path: Path) -> None:
    text = f"signal.signal(signal.SIGTERM, {handler})\n"
    trial = tried(tmp_path, text + "asyncio.run(asyncio.sleep(9999))", stop_within="500 s")
    assert trial.adapter.stubborn == "ignored SIGTERM for 500 s and was killed"
    assert trial.adapter.notes() == [trial.adapter.stubborn]


def test_one_that_blocks_when_told_to_end_is_killed_when_patience_ends(tmp_path: Path) -> None:
    text = "signal.signal(signal.SIGTERM, lambda *_: threading.Event().wait())\nasyncio.run(asyncio.sleep(9999))"
    trial = tried(tmp_path, text, patience_s=1)
    assert trial.adapter.exit == ""
    assert trial.adapter.stubborn.startswith("held up the bench for 1 s of real time without giving way")


def test_it_is_restarted_at_the_planned_instants_and_says_ready_again(tmp_path: Path) -> None:
    text = """
async def main():
    await asyncio.sleep(2)
    print("ready", loop().time())
    await asyncio.sleep(9999)
asyncio.run(main())
"""
    restarts = [{"at": "30 s", "how": "kill"}, {"at": "90 s", "down": "7 s"}]
    trial = tried(tmp_path, text, ready={"log": "ready"}, restart=restarts)
    assert trial.lines == [(2.0, "ready 2.0"), (32.0, "ready 32.0"), (99.0, "ready 99.0")]
    assert trial.told == [
        ("sut_restart", "planned: SIGKILL at t = 30.0 s"),
        ("sut_ready_again", "'ready' on stdout, 2.000 s after it was started anew"),
        ("sut_restart", "planned: SIGTERM at t = 90.0 s"),
        ("sut_ready_again", "'ready' on stdout, 2.000 s after it was started anew"),
    ]
    assert trial.adapter.exit == ""
    assert trial.adapter.evidence()["restarts"] == 2


# ---- whole cases -----------------------------------------------------------------------------------------------------


def played(folder: Path, case: str, rig: str, profile: str, name: str) -> tuple[str, list[tuple[int | str, ...]]]:
    """Trace hash of a case, and when how many bytes went where. A digest login draws its nonce by itself."""
    write(folder, rig=rig, profile=profile, case=case)
    out = folder / name
    out.mkdir()
    play(plan(load_cases(str(folder / "case.toml"))[1][0]), out)
    stop = json.loads((out / "documents.jsonl").read_text().splitlines()[-1])
    assert (stop["network_defects"], stop["sut_exit"], stop["sut_notes"]) == (0, "", [])
    assert stop["contacts"]["meter"] > 500
    frames = pq.read_table(out / "frames.parquet").to_pylist()
    traffic = [(f["t_ns"], f["device"], f["port"], f["direction"], len(f["bytes"])) for f in frames]
    return stop["trace_sha256"], traffic


@pytest.mark.parametrize("path", ["contactor", "firmware"])
def test_in_lockstep_and_in_the_bench_the_same_controller_leaves_the_same_trace(path: str, tmp_path: Path) -> None:
    head = determinism.CASE.partition("[sut]")[0]
    fault = determinism.CASE[determinism.CASE.index("[[fault]]") :]
    settings = f'[frequency]\ntrip_hz = 59.7\nfull_within_s = 60.0\n[paths]\nallowed = ["{path}"]\n'
    (tmp_path / "ctl.toml").write_text(settings)
    inside = (
        '[sut]\nkind = "python"\nfactory = "firmware_mocks.controllers.reference:controller"\nconfig = "ctl.toml"\n'
    )
    outside = (
        '[sut]\nkind = "subprocess"\ncommand = "{python}"\nlockstep = true\nconfig = "ctl.toml"\n'
        f'cwd = "{ROOT}"\n'
        'args = ["{lockstep}", "-m", "firmware_mocks.controllers.reference", "--config", "{config}"]\n'
    )
    (bench, in_bench), (first, one), (second, another) = (
        played(tmp_path, head + sut + fault, determinism.RIG, determinism.PROFILE, name)
        for sut, name in ((inside, "inside"), (outside, "first"), (outside, "second"))
    )
    assert first == second
    assert bench == first
    assert one == another
    by_device = itemgetter(0, 1)  # what is said to two devices at one instant has no order between the two loops
    assert sorted(in_bench, key=by_device) == sorted(one, key=by_device)


def test_a_run_of_the_command_line_takes_a_program_in_lockstep(tmp_path: Path) -> None:
    (tmp_path / "ctl.toml").write_text(
        '[frequency]\ntrip_hz = 59.85\nfull_within_s = 0.25\n[paths]\nallowed = ["contactor"]\n'
    )
    write(tmp_path, rig=SMALL, profile=PROFILE)
    program = f"lockstep:-m firmware_mocks.controllers.reference --config {tmp_path / 'ctl.toml'}"
    words = ["run", tmp_path / "case.toml", "--sut", program, "--out", tmp_path / "out", "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "bench.cli", *map(str, words)], cwd=ROOT, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    (one,) = json.loads(done.stdout)["cases"]
    assert (one["outcome"], one["validity"]) == ("PASS", "VALID")


# ---- the file itself -------------------------------------------------------------------------------------------------


def test_the_file_needs_nothing_but_python_and_without_a_bench_changes_nothing(tmp_path: Path) -> None:
    text = """
import asyncio, sys, time
print(sys.argv, __name__, sys.path[0] == sys.argv[1], type(asyncio.new_event_loop()).__module__, time.time() > 1.75e9)
"""
    (tmp_path / "program.py").write_text(text)
    alone = tmp_path / "elsewhere"
    alone.mkdir()
    (alone / "ramprig_lockstep.py").write_text(CHILD.read_text())
    folder = str(tmp_path)
    words = [sys.executable, "-I", "-S", alone / "ramprig_lockstep.py", tmp_path / "program.py", folder]
    done = subprocess.run(list(map(str, words)), capture_output=True, text=True, check=True, timeout=30)
    assert done.stdout == f"{[str(tmp_path / 'program.py'), folder]} __main__ True asyncio.unix_events True\n"


def test_one_line_in_the_program_is_the_other_way_to_join(tmp_path: Path) -> None:
    text = """
import ramprig_lockstep
with asyncio.Runner(loop_factory=ramprig_lockstep.loop_factory) as runner:
    runner.run(asyncio.sleep(77))
    print(runner.get_loop().time())
"""
    assert tried(tmp_path, text, args=["ctl.py"]).lines == [(77.0, "77.0")]
