"""While anything runs beside the loop, virtual time stands still, and results come back in an order of their own."""

import asyncio
import concurrent.futures
import contextlib
import subprocess
import sys
import threading
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor

import anyio.to_thread
import pytest

from emulator.clock import Clock, ClockStalledError, VirtualLoop, run
from emulator.wire import SECOND

REAL_50_MS = 0.05


def pause(seconds: float = REAL_50_MS) -> str:
    """A job that takes real time without the banned clock."""
    threading.Event().wait(seconds)
    return "done"


def test_a_job_of_50_ms_in_a_thread_takes_no_virtual_time() -> None:
    async def main(clock: Clock) -> tuple[str, int]:
        racing = asyncio.create_task(clock.sleep(1))
        result = await asyncio.to_thread(pause)
        assert not racing.done()
        await racing
        return result, clock.now()

    assert run(main) == ("done", 1)


def test_a_name_lookup_takes_no_virtual_time() -> None:
    async def main(clock: Clock) -> int:
        await clock.loop.getaddrinfo("localhost", 80)
        return clock.now()

    assert run(main) == 0


def test_work_submitted_straight_to_a_pool_takes_no_virtual_time() -> None:
    async def main(clock: Clock) -> int:
        with ThreadPoolExecutor(2) as pool:
            await asyncio.gather(*(asyncio.wrap_future(pool.submit(pause, 0.01)) for _ in range(6)))
            at = clock.now()
            await clock.sleep(1)  # idle workers of a living pool hold nothing up
        return at

    assert run(main) == 0


def test_a_pool_dropped_with_its_work_holds_nothing_up() -> None:
    async def main(clock: Clock) -> int:
        pool = ThreadPoolExecutor(1)
        jobs = [pool.submit(pause, 0.01) for _ in range(20)]
        pool.shutdown(wait=False, cancel_futures=True)
        await clock.sleep(SECOND)
        assert sum(job.cancelled() for job in jobs) >= 18
        return clock.now()

    assert run(main) == SECOND


def test_a_job_in_a_process_pool_takes_no_virtual_time() -> None:
    async def main(clock: Clock) -> int:
        import multiprocessing

        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
            assert await clock.loop.run_in_executor(pool, abs, -7) == 7
            at = clock.now()
            await clock.sleep(SECOND)  # the idle pool holds nothing up
        return at

    assert run(main) == 0


def test_a_job_in_anyios_own_pool_takes_no_virtual_time() -> None:
    async def main(clock: Clock) -> tuple[int, int]:
        await anyio.to_thread.run_sync(pause)
        at = clock.now()
        await clock.sleep(SECOND)  # the idle worker holds nothing up
        return at, clock.now()

    assert run(main) == (0, SECOND)


def test_a_plain_thread_holds_time_while_it_lives() -> None:
    async def main(clock: Clock) -> int:
        seen: list[int] = []
        thread = threading.Thread(target=lambda: (pause(), seen.append(clock.now())))
        thread.start()
        await clock.sleep(SECOND)
        assert seen == [0]
        return clock.now()

    assert run(main) == SECOND


def test_a_thread_declared_harmless_holds_nothing() -> None:
    release = threading.Event()

    async def main(clock: Clock) -> int:
        assert isinstance(clock.loop, VirtualLoop)
        thread = threading.Thread(target=release.wait, daemon=True)
        clock.loop.ignore_thread(thread)
        thread.start()
        await clock.sleep(SECOND)
        release.set()
        thread.join()
        return clock.now()

    assert run(main) == SECOND


def test_a_thread_that_never_ends_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VirtualLoop, "stall_limit_s", 0.1)
    release = threading.Event()

    async def main(clock: Clock) -> None:
        threading.Thread(target=release.wait, name="telemetry uploader", daemon=True).start()
        await clock.sleep(SECOND)

    with pytest.raises(ClockStalledError, match=r"telemetry uploader.*ignore_thread"):
        run(main)
    release.set()


def test_a_job_that_never_ends_is_named_even_if_its_thread_keeps_calling_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(VirtualLoop, "stall_limit_s", 0.1)
    release = threading.Event()

    async def main(clock: Clock) -> None:
        def chatter() -> None:
            while not release.wait(0.01):
                with contextlib.suppress(RuntimeError):  # the loop may be closed by now
                    clock.loop.call_soon_threadsafe(int)

        jobs = asyncio.gather(asyncio.to_thread(chatter), clock.sleep(SECOND))
        try:
            await jobs
        finally:
            release.set()

    with pytest.raises(ClockStalledError, match="1 job"):
        run(main)


def test_short_threads_one_after_another_are_no_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(VirtualLoop, "stall_limit_s", 0.5)

    async def main(clock: Clock) -> int:
        for _ in range(12):
            done = asyncio.Event()
            threading.Thread(target=lambda done=done: (pause(0.06), clock.loop.call_soon_threadsafe(done.set))).start()
            await done.wait()
        return clock.now()

    assert run(main) == 0


def test_results_arrive_in_the_order_of_submission_whichever_thread_is_faster() -> None:
    async def main(clock: Clock) -> list[float]:
        order: list[float] = []

        async def job(seconds: float) -> None:
            await asyncio.to_thread(pause, seconds)
            order.append(seconds)

        await asyncio.gather(*(job(seconds) for seconds in (0.04, 0.0, 0.02, 0.01)))
        return order

    assert run(main) == [0.04, 0.0, 0.02, 0.01]


def test_a_job_that_waits_for_a_younger_one_is_overtaken() -> None:
    async def main(clock: Clock) -> int:
        opened = threading.Event()

        async def older() -> None:
            assert await asyncio.to_thread(opened.wait, 10)

        async def younger() -> None:
            await asyncio.to_thread(pause, 0.0)
            opened.set()

        await asyncio.gather(older(), younger())
        return clock.now()

    assert run(main) == 0


def test_what_a_thread_posts_waits_until_the_loop_is_at_rest() -> None:
    """Else its place among the callbacks of the instant would be a matter of luck."""

    async def main(clock: Clock) -> list[str]:
        order: list[str] = []
        posted = threading.Event()

        def work() -> None:
            clock.loop.call_soon_threadsafe(order.append, "posted first")
            clock.loop.call_soon_threadsafe(order.append, "posted second")
            posted.set()

        job = asyncio.ensure_future(asyncio.to_thread(work))
        await asyncio.sleep(0)
        posted.wait()
        for step in range(50):
            await asyncio.sleep(0)
            order.append(f"step {step}")
        await job
        return order

    assert run(main) == [*(f"step {step}" for step in range(50)), "posted first", "posted second"]


def test_a_task_that_spins_for_a_thread_gets_its_result() -> None:
    async def main(clock: Clock) -> str:
        job = asyncio.ensure_future(asyncio.to_thread(pause, 0.01))
        while not job.done():  # noqa: ASYNC110 - the habit that is tested
            await asyncio.sleep(0)
        return job.result()

    assert run(main) == "done"


def test_errors_and_cancellation_of_jobs_reach_the_right_side() -> None:
    def fail() -> None:
        raise LookupError("no such outlet")

    def stop() -> None:
        raise StopIteration

    async def main(clock: Clock) -> None:
        with pytest.raises(LookupError, match="outlet"):
            await asyncio.to_thread(fail)
        with pytest.raises(RuntimeError, match="StopIteration"):
            await asyncio.to_thread(stop)
        with ThreadPoolExecutor(1) as pool:
            running = clock.loop.run_in_executor(pool, pause)
            waiting = clock.loop.run_in_executor(pool, pause)
            waiting.cancel()
            with pytest.raises(asyncio.CancelledError):
                await waiting
            assert await running == "done"

    run(main)


def test_a_result_posted_by_a_pool_is_never_overtaken_by_time() -> None:
    """The race that counting futures would lose: the job is done, its callback not yet called."""

    async def main(clock: Clock) -> None:
        with ThreadPoolExecutor(1) as pool:
            for _ in range(200):
                before = clock.now()
                timer = clock.call_at(before + 1, pytest.fail, "time overtook a result")
                source = pool.submit(int)
                source.add_done_callback(lambda _: pause(0.0002))
                await asyncio.wrap_future(source)
                assert clock.now() == before
                timer.cancel()

    run(main)


def test_two_loops_one_after_the_other_leave_the_pools_as_they_were() -> None:
    async def main(clock: Clock) -> None:
        await asyncio.to_thread(int)

    run(main)
    run(main)
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(abs, -1).result(timeout=5) == 1
    assert concurrent.futures.thread.__dict__["_WorkItem"].__module__ == "concurrent.futures.thread"


def test_threads_that_lived_before_the_run_hold_nothing() -> None:
    release = threading.Event()
    thread = threading.Thread(target=release.wait, daemon=True)
    thread.start()
    try:
        assert run(lambda clock: clock.sleep(SECOND)) is None
    finally:
        release.set()
        thread.join()


def test_a_run_may_end_while_a_thread_goes_on() -> None:
    release = threading.Event()

    async def main(clock: Clock) -> str:
        threading.Thread(target=release.wait, daemon=True).start()
        return "done"

    assert run(main) == "done"
    release.set()


def test_a_child_started_by_a_job_takes_no_virtual_time() -> None:
    async def main(clock: Clock) -> tuple[int, int]:
        done = await asyncio.to_thread(subprocess.run, [sys.executable, "-c", "pass"], check=True)
        return done.returncode, clock.now()

    assert run(main) == (0, 0)
