"""A controller that never gives way is found, named and ended, whatever it does; an honest one is left alone."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bench.attach import Adapter, Context, PythonSut, build
from bench.watchdog import BlockedError, Watchdog, under_test
from emulator.clock import Clock, run
from emulator.wire import MILLISECOND, SECOND

# pytest's own time-out would otherwise hold the alarm that the watchdog needs
pytestmark = pytest.mark.timeout(60, method="thread")

LIMIT_NS = 200 * MILLISECOND


async def computes(_inventory: object, _config: object) -> None:
    await asyncio.sleep(5)
    while True:
        pass


async def swallows_exceptions(_inventory: object, _config: object) -> None:
    await asyncio.sleep(5)
    while True:
        with contextlib.suppress(Exception):  # as many a control loop does
            sum(range(1000))


async def waits_for_a_thread(_inventory: object, _config: object) -> None:
    await asyncio.sleep(5)
    threading.Event().wait()


async def in_a_task_of_its_own(_inventory: object, _config: object) -> None:
    task = asyncio.create_task(computes(None, None))
    await asyncio.wait([task])
    await asyncio.Event().wait()


async def in_a_callback(_inventory: object, _config: object) -> None:
    asyncio.get_running_loop().call_later(5, spin)
    await asyncio.Event().wait()


def spin() -> None:
    while True:
        pass


async def works_hard(_inventory: object, _config: object) -> None:
    """Two limits' worth of work, in pieces."""
    for _ in range(8):
        until = time.process_time() + LIMIT_NS / SECOND / 4
        while time.process_time() < until:
            pass
        await asyncio.sleep(0.1)
    await asyncio.Event().wait()


def play(factory: Any, folder: Path) -> Adapter:
    """A minute of virtual time with the controller attached."""

    async def main(clock: Clock) -> Adapter:
        adapter = build(PythonSut(kind="python", factory=f"{Path(__file__)}:{factory.__name__}"), folder, "virtual")
        never = asyncio.Event()
        await adapter.start(Context(clock, {}, folder / "site.json", folder, never.wait, LIMIT_NS))
        await clock.sleep(60 * SECOND)
        await adapter.stop()
        return adapter

    return run(main)


@pytest.mark.parametrize(
    "factory", [computes, swallows_exceptions, waits_for_a_thread, in_a_task_of_its_own, in_a_callback]
)
def test_one_that_never_gives_way_is_ended_and_named(factory: Any, tmp_path: Path) -> None:
    adapter = play(factory, tmp_path)
    assert adapter.exit.startswith("controller held up the bench for 0.2 s of real time without giving way, in ")
    assert adapter.exit.endswith(", at t = 5.0 s")
    assert adapter.exited_ns == 5 * SECOND
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_work_in_pieces_is_no_blockade(tmp_path: Path) -> None:
    assert play(works_hard, tmp_path).exit == ""


def test_a_module_that_blocks_on_import_is_the_controllers_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bench.attach_python.PATIENCE_NS", LIMIT_NS)
    (tmp_path / "slow.py").write_text("while True: pass\n")

    async def main(clock: Clock) -> Adapter:
        adapter = build(PythonSut(kind="python", factory="slow.py:controller"), tmp_path, "virtual")
        await adapter.start(Context(clock, {}, tmp_path / "site.json", tmp_path, asyncio.Event().wait))
        await clock.sleep(SECOND)
        await adapter.stop()
        return adapter

    said = "controller raised RuntimeError: on import, it held up the bench for 0.2 s of real time without giving way"
    assert run(main).exit.startswith(said)


def test_what_is_not_the_controllers_own_work_may_take_its_time() -> None:
    watchdog = Watchdog(LIMIT_NS)
    watchdog.start()
    time.sleep(2 * LIMIT_NS / SECOND)  # noqa: TID251
    watchdog.stop()


def test_outside_a_loop_too_it_raises_where_the_controller_stands() -> None:
    told: list[str] = []
    token = under_test.set(True)
    watchdog = Watchdog(LIMIT_NS, told.append)
    watchdog.start()
    try:
        with pytest.raises(BlockedError, match=r"in test_watchdog\.py line \d+"):
            spin()
    finally:
        watchdog.stop()
        under_test.reset(token)
    assert len(told) == 1


def test_an_alarm_that_somebody_else_has_is_left_to_him() -> None:
    calls: list[int] = []
    signal.signal(signal.SIGALRM, lambda *_: calls.append(1))
    try:
        watchdog = Watchdog(LIMIT_NS)
        watchdog.start()
        watchdog.stop()
        signal.raise_signal(signal.SIGALRM)
        assert calls == [1]
    finally:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)


def test_outside_the_main_thread_it_sleeps() -> None:
    def elsewhere() -> None:
        watchdog = Watchdog(LIMIT_NS)
        watchdog.start()
        watchdog.stop()

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert signal.getsignal(signal.SIGALRM) == signal.SIG_DFL
