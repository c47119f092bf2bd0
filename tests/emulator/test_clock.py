"""Virtual time is exact, ordered and honest about deadlock; real time measures its own lateness."""

import asyncio
import logging
import math
import os
import select
import signal
import socket
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import thread as pools
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from typing import cast

import anyio
import hypothesis.strategies as st
import numpy as np
import pytest
from hypothesis import given

from emulator.clock import (
    VIRTUAL_EPOCH,
    Clock,
    ClockStalledError,
    DeadlockError,
    Lateness,
    RealLoop,
    VirtualLoop,
    VirtualTimeError,
    run,
    stepped,
)
from emulator.wire import MILLISECOND, MINUTE, SECOND

HOUR = 60 * MINUTE


def elapsed(main: Callable[[Clock], Awaitable[object]]) -> int:
    """Virtual nanoseconds that `main` takes."""

    async def timed(clock: Clock) -> int:
        began = clock.now()
        await main(clock)
        return clock.now() - began

    return run(timed)


def test_a_run_begins_at_instant_zero_and_returns_the_result_of_main() -> None:
    async def main(clock: Clock) -> tuple[int, str]:
        return clock.now(), clock.mode

    assert run(main) == (0, "virtual")


def test_a_sleep_of_48_hours_is_exact_to_the_nanosecond() -> None:
    assert elapsed(lambda clock: clock.sleep(48 * HOUR + 1)) == 48 * HOUR + 1
    assert elapsed(lambda clock: asyncio.sleep(48 * 3600)) == 48 * HOUR


def test_ten_thousand_days_do_not_wear_the_clock_out() -> None:
    async def main(clock: Clock) -> None:
        await clock.sleep(10_000 * 24 * HOUR + 7)
        await clock.sleep(1)

    assert elapsed(main) == 10_000 * 24 * HOUR + 8


def test_a_period_of_50_ms_does_not_drift_in_float_seconds() -> None:
    async def main(clock: Clock) -> None:
        for _ in range(6300):
            await asyncio.sleep(0.05)

    assert elapsed(main) == 315 * SECOND


@given(st.lists(st.integers(0, 10 * SECOND), max_size=30))
def test_every_timer_fires_at_its_own_nanosecond_and_equal_instants_keep_their_order(instants: list[int]) -> None:
    fired: list[tuple[int, int]] = []

    async def main(clock: Clock) -> None:
        for place, instant in enumerate(instants):
            clock.call_at(instant, lambda place=place: fired.append((clock.now(), place)))
        await clock.sleep_until(11 * SECOND)

    run(main)
    assert fired == sorted((instant, place) for place, instant in enumerate(instants))


def test_a_thousand_callbacks_at_one_instant_run_in_the_order_in_which_they_were_set() -> None:
    fired: list[int] = []

    async def main(clock: Clock) -> None:
        for place in range(1000):
            # Both ways to the same instant.
            if place % 2:
                clock.call_at(SECOND, fired.append, place)
            else:
                clock.loop.call_later(1.0, fired.append, place)
        await clock.sleep(2 * SECOND)

    run(main)
    assert fired == list(range(1000))


def test_an_instant_that_has_passed_means_now_behind_what_is_already_due() -> None:
    fired: list[str] = []

    async def main(clock: Clock) -> None:
        await clock.sleep(SECOND)
        clock.call_at(clock.now(), fired.append, "due now")
        clock.call_at(0, fired.append, "long due")
        await clock.sleep_until(0)
        await clock.sleep(1)
        assert clock.now() == SECOND + 1

    run(main)
    assert fired == ["due now", "long due"]


def test_a_cancelled_timer_neither_fires_nor_attracts_time() -> None:
    async def main(clock: Clock) -> int:
        timers = [clock.call_at(k, pytest.fail, "cancelled") for k in range(1, 1000)]
        for timer in timers:
            timer.cancel()
        await clock.sleep(5000)
        return clock.now()

    assert run(main) == 5000


def test_a_timeout_fires_after_its_own_time_and_only_then() -> None:
    async def main(clock: Clock) -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.Event().wait(), 0.25)
        assert clock.now() == 250 * MILLISECOND
        async with asyncio.timeout(1):
            await clock.sleep(999 * MILLISECOND)

    assert elapsed(main) == 1249 * MILLISECOND


@given(st.floats(0, 1e7), st.floats(0, 100))
def test_a_library_that_trusts_only_the_clock_reaches_its_deadline_by_either_kind_of_timer(
    start_s: float, delay_s: float
) -> None:
    """It sets its timer again as long as time() is before the deadline, be it by a rounding error."""

    async def main(clock: Clock) -> None:
        loop = clock.loop
        await asyncio.sleep(start_s)
        for by_delay in (False, True):
            deadline_s = loop.time() + delay_s
            due_ns = clock.now() + delay_s * 1e9
            rings = 0
            while loop.time() < deadline_s:
                rung = asyncio.Event()
                if by_delay:
                    loop.call_later(deadline_s - loop.time(), rung.set)
                else:
                    loop.call_at(deadline_s, rung.set)
                await rung.wait()
                rings += 1
                assert rings < 20
            assert abs(clock.now() - due_ns) <= 5

    run(main)


def test_anyio_deadlines_fall_at_awkward_instants_too() -> None:
    async def main(clock: Clock) -> None:
        for k in range(1, 500):
            with anyio.move_on_after(0.1 + k / 3e5):
                await anyio.sleep_forever()

    assert elapsed(main) == pytest.approx(sum(0.1 + k / 3e5 for k in range(1, 500)) * 1e9, abs=1000)


def test_instants_from_numpy_become_plain_integers_and_floats_are_refused() -> None:
    async def main(clock: Clock) -> None:
        await clock.sleep_until(np.int64(5))  # type: ignore[arg-type]
        assert type(clock.now()) is int
        with pytest.raises(TypeError):
            clock.call_at(1e9, int)  # type: ignore[arg-type]

    run(main)


def test_settling_lets_everything_of_this_instant_happen_and_nothing_later() -> None:
    async def main(clock: Clock) -> list[int]:
        seen: list[int] = []

        async def chain(length: int) -> None:
            for k in range(length):
                await asyncio.sleep(0)
                seen.append(k)
            await clock.sleep(1)
            seen.append(-1)

        task = asyncio.create_task(chain(100))
        await clock.settle()
        settled = list(seen)
        assert clock.now() == 0
        await task
        return settled

    assert run(main) == list(range(100))


def test_a_timer_at_infinity_does_not_keep_a_dead_run_alive() -> None:
    with pytest.raises(DeadlockError):
        run(lambda clock: asyncio.sleep(math.inf))


def test_a_deadlock_names_each_sleeping_task_with_its_coroutine_and_line() -> None:
    async def poll_the_meter() -> None:
        await asyncio.Queue[None]().get()

    async def main(clock: Clock) -> None:
        await clock.sleep(3 * SECOND)
        await asyncio.gather(asyncio.create_task(poll_the_meter(), name="meter 3"))

    with pytest.raises(DeadlockError) as caught:
        run(main)
    message = str(caught.value)
    assert "after 3.000000000 s" in message
    assert "meter 3 (" in message
    assert "poll_the_meter" in message
    assert f"{__file__}:{poll_the_meter.__code__.co_firstlineno + 1} in Queue.get" in message


def test_after_a_deadlock_the_tasks_are_cancelled_and_clean_up() -> None:
    cleaned: list[str] = []

    async def main(clock: Clock) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cleaned.append("main")

    with pytest.raises(DeadlockError):
        run(main)
    assert cleaned == ["main"]


def test_a_task_that_spins_is_named_instead_of_hanging_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VirtualLoop, "round_limit", 20_000)

    async def main(clock: Clock) -> None:
        asyncio.current_task().set_name("impatient")  # type: ignore[union-attr]
        while clock.now() < SECOND:  # noqa: ASYNC110 - the mistake that is tested
            await asyncio.sleep(0)

    with pytest.raises(ClockStalledError, match="impatient"):
        run(main)


def test_what_main_leaves_behind_is_cancelled() -> None:
    ends: list[int] = []

    async def background(clock: Clock) -> None:
        try:
            await clock.sleep(HOUR)
        finally:
            ends.append(clock.now())

    async def main(clock: Clock) -> asyncio.Task[None]:
        task = asyncio.create_task(background(clock))
        await clock.sleep(SECOND)
        return task

    assert run(main).cancelled()
    assert ends == [SECOND]


def test_an_error_of_main_comes_out_of_run() -> None:
    async def main(clock: Clock) -> None:
        raise LookupError("outlet")

    with pytest.raises(LookupError, match="outlet"):
        run(main)


@pytest.mark.parametrize("mode", ["virtual", "real"])
def test_an_interrupt_cancels_main_and_ends_in_keyboard_interrupt(mode: str) -> None:
    seen: list[str] = []

    async def main(clock: Clock) -> None:
        clock.call_at(clock.now(), os.kill, os.getpid(), signal.SIGINT)
        try:
            while True:
                await clock.sleep(MILLISECOND)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(KeyboardInterrupt):
        run(main, mode=mode)
    assert seen == ["cancelled"]


@pytest.mark.parametrize("mode", ["virtual", "real"])
def test_sigterm_cancels_main_and_exits_with_143(mode: str) -> None:
    seen: list[str] = []

    async def main(clock: Clock) -> None:
        clock.call_at(clock.now(), os.kill, os.getpid(), signal.SIGTERM)
        try:
            while True:
                await clock.sleep(MILLISECOND)
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    with pytest.raises(SystemExit) as caught:
        run(main, mode=mode)
    assert (caught.value.code, seen) == (143, ["cancelled"])
    assert signal.getsignal(signal.SIGTERM) == signal.SIG_DFL


def test_run_sets_nothing_global() -> None:
    async def main(clock: Clock) -> None:
        await asyncio.to_thread(int)

    item = vars(pools)["_WorkItem"]
    run(main)
    assert vars(pools)["_WorkItem"] is item
    with pytest.raises(RuntimeError, match="no running event loop"):
        asyncio.get_running_loop()


def test_the_date_of_a_virtual_run_is_a_label_that_moves_with_virtual_time() -> None:
    async def main(clock: Clock) -> tuple[datetime, datetime]:
        await clock.sleep(90 * SECOND + 1500)
        return clock.wall(0), clock.wall()

    assert run(main) == (VIRTUAL_EPOCH, VIRTUAL_EPOCH + timedelta(seconds=90, microseconds=1))
    berlin = datetime(2019, 8, 9, 17, 52, tzinfo=timezone(timedelta(hours=2)))
    began, now = run(main, epoch=berlin)
    assert (began, began.tzinfo) == (berlin, UTC)
    assert now - began == timedelta(seconds=90, microseconds=1)


def test_an_epoch_without_time_zone_and_an_unknown_mode_are_refused() -> None:
    async def main(clock: Clock) -> None: ...

    with pytest.raises(ValueError, match="no time zone"):
        run(main, epoch=datetime(2019, 8, 9))  # noqa: DTZ001
    with pytest.raises(ValueError, match="'virtual', 'real'"):
        run(main, mode="scaled")


def test_bare_datagram_sockets_and_child_processes_are_refused_with_the_remedy() -> None:
    async def main(clock: Clock) -> None:
        with (
            socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as own,
            pytest.raises(VirtualTimeError, match="real time"),
        ):
            await clock.loop.create_datagram_endpoint(asyncio.DatagramProtocol, sock=own)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock, pytest.raises(VirtualTimeError, match="UDP"):
            await clock.loop.sock_connect(sock, ("127.0.0.1", 9))
        with pytest.raises(VirtualTimeError, match="real time"):
            await asyncio.create_subprocess_exec("true")

    run(main)


def test_virtual_time_records_no_lateness() -> None:
    async def main(clock: Clock) -> Lateness:
        await clock.sleep(SECOND)
        return clock.lateness

    late = run(main)
    assert (late.count, late.p50_ns, late.p99_ns, late.max_ns) == (0, 0, 0, 0)


def test_real_time_records_the_lateness_of_every_timer() -> None:
    async def main(clock: Clock) -> tuple[Lateness, int]:
        assert isinstance(clock.loop, RealLoop)
        began = clock.now()
        for k in range(1, 21):
            await clock.sleep_until(began + k * MILLISECOND)
        clock.call_at(clock.now() - SECOND, lambda: None)  # the caller's lateness, not the clock's
        await clock.sleep(MILLISECOND)
        return clock.lateness, clock.now() - began

    late, took_ns = run(main, mode="real")
    assert 2 <= late.count <= 22  # an instant that has passed needs no timer
    assert 0 < late.p50_ns <= late.p99_ns <= late.max_ns < SECOND
    assert took_ns >= 20 * MILLISECOND


def test_a_real_loop_calls_who_watches_a_descriptor_whatever_another_one_raises(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def main(clock: Clock) -> list[tuple[str, int]]:
        loop = cast(RealLoop, clock.loop)
        heard: list[tuple[str, int]] = []
        done = loop.create_future()
        broken, silent, sound = (socket.socketpair() for _ in range(3))

        def fail(events: int) -> None:
            loop.unwatch(broken[0].fileno())
            raise ValueError("of a kind")

        def hear(events: int) -> None:
            heard.append((sound[0].recv(9).decode(), events))
            if len(heard) == 2:
                done.set_result(None)

        loop.watch(broken[0].fileno(), select.EPOLLIN, fail)
        loop.watch(silent[0].fileno(), select.EPOLLIN, lambda events: pytest.fail("it is watched no more"))
        loop.unwatch(silent[0].fileno())
        loop.watch(sound[0].fileno(), select.EPOLLOUT, lambda events: pytest.fail("replaced"))
        loop.watch(sound[0].fileno(), select.EPOLLIN, hear)
        for _, far in (broken, silent, sound):
            far.send(b"a")
        clock.call_at(clock.now() + 5 * MILLISECOND, sound[1].send, b"b")
        loop.call_later(math.inf, pytest.fail, "never")
        loop.call_later(1e6, pytest.fail, "in twelve days")
        await done
        loop.unwatch(sound[0].fileno())
        for near, far in (broken, silent, sound):
            near.close()
            far.close()
        return heard

    assert run(main, mode="real") == [("a", select.EPOLLIN), ("b", select.EPOLLIN)]
    assert "of a kind" in caplog.text


def test_a_real_timer_waits_for_a_few_of_many_descriptors_that_are_ready_and_not_for_all() -> None:
    async def main(clock: Clock) -> list[str]:
        loop = cast(RealLoop, clock.loop)
        heard: list[str] = []
        done, pairs, shown_ns = loop.create_future(), [socket.socketpair() for _ in range(20)], loop.monotonic_ns()

        def hear(near: socket.socket, events: int) -> None:
            nonlocal shown_ns
            loop.unwatch(near.fileno())
            shown_ns += 2 * MILLISECOND  # what the reply took
            heard.append("caller")
            if heard.count("caller") == len(pairs):
                done.set_result(None)

        for near, far in pairs:
            far.send(b"?")
            loop.watch(near.fileno(), select.EPOLLIN, partial(hear, near))
        loop.monotonic_ns = lambda: shown_ns
        clock.call_at(clock.now() + 5 * MILLISECOND, heard.append, "timer")
        await done
        for ends in pairs:
            for end in ends:
                end.close()
        return heard

    assert run(main, mode="real") == ["caller"] * 4 + ["timer"] + ["caller"] * 16


def test_real_timers_of_one_instant_keep_their_order() -> None:
    fired: list[int] = []

    async def main(clock: Clock) -> None:
        instant = clock.now() + 5 * MILLISECOND
        for place in range(200):
            clock.call_at(instant, fired.append, place)
        await clock.sleep_until(instant + MILLISECOND)

    run(main, mode="real")
    assert fired == list(range(200))


@given(st.lists(st.integers(-5, 1000), min_size=1, max_size=300))
def test_percentiles_of_lateness_are_exact_while_few(late_ns: list[int]) -> None:
    lateness = Lateness()
    for value in late_ns:
        lateness.record(value)
    kept = sorted(max(value, 0) for value in late_ns)
    assert lateness.count == len(kept)
    assert lateness.max_ns == kept[-1]
    assert lateness.p50_ns == kept[math.ceil(0.5 * len(kept)) - 1]
    assert lateness.p99_ns == kept[math.ceil(0.99 * len(kept)) - 1]


def test_lateness_of_many_timers_stays_bounded_and_close() -> None:
    lateness = Lateness()
    total = 5 * Lateness.KEPT
    for value in range(total):
        lateness.record(value)
    assert (lateness.count, lateness.max_ns) == (total, total - 1)
    assert len(lateness._samples) <= Lateness.KEPT
    assert lateness.p50_ns == pytest.approx(total / 2, rel=1e-3)
    assert lateness.p99_ns == pytest.approx(total * 0.99, rel=1e-3)


def test_asyncio_still_has_the_parts_the_virtual_loop_is_built_of() -> None:
    loop = VirtualLoop()
    try:
        for name in ("_ready", "_scheduled", "_timer_cancelled_count", "_stopping", "_selector", "_default_executor"):
            assert hasattr(loop, name), name
        for name in ("_process_events", "_write_to_self", "_start_serving", "_stop_serving", "_accept_connection2"):
            assert callable(getattr(asyncio.SelectorEventLoop, name)), name
        for name in ("_run_once", "_add_reader", "_make_socket_transport", "_ensure_resolved", "_check_closed"):
            assert callable(getattr(asyncio.SelectorEventLoop, name)), name
        assert issubclass(vars(pools)["_WorkItem"], object)
        assert threading.main_thread() not in vars(pools)["_threads_queues"]
    finally:
        loop.close()


def test_a_callback_that_fails_is_reported_and_the_run_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    def fail() -> None:
        raise LookupError("callback")

    async def main(clock: Clock) -> int:
        clock.call_at(SECOND, fail)
        await clock.sleep(2 * SECOND)
        return clock.now()

    with caplog.at_level(logging.ERROR, "asyncio"):
        assert run(main) == 2 * SECOND
    assert "callback" in caplog.text


def test_a_stepped_clock_rests_between_steps_and_its_tasks_wait() -> None:
    ticks: list[int] = []

    async def tick(clock: Clock) -> None:
        while True:
            await clock.sleep(SECOND)
            ticks.append(clock.now())

    async def begin(clock: Clock) -> asyncio.Task[None]:
        return asyncio.create_task(tick(clock))

    with stepped() as (clock, do):
        task = do(begin(clock))
        do(clock.sleep(2 * SECOND + 1))
        assert ticks == [SECOND, 2 * SECOND]
        assert clock.now() == 2 * SECOND + 1
        do(clock.sleep(SECOND))
        assert len(ticks) == 3
    assert task.cancelled()
