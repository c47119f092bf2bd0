"""A controller as a coroutine in the bench's own loop, in virtual or real time.

Owns how its factory is found, what it logs and prints is kept, and how it ends; the interface is `attach.py`'s. Tasks
it leaves behind end with the loop of the run.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import importlib.util
import inspect
import io
import logging
import sys
import traceback
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from types import ModuleType
from typing import Any, cast

from bench.attach import FIRST_REQUEST, GRACE_NS, Adapter, Context, PythonSut, Readiness, at, first_sign, path_from
from bench.config import ConfigError, did_you_mean
from bench.watchdog import PATIENCE_NS, BlockedError, Watchdog, under_test
from emulator.clock import Clock
from emulator.wire import SECOND, Instant

_OF_THE_BENCH = ("ramprig.", "emulator.", "bench.", "firmware_mocks.miners.")
_MOST_RECORDS = 20_000
"""Of the log, and lines of each printed stream; what comes after is counted, not kept."""

Factory = Callable[..., Coroutine[Any, Any, object]]


class PythonAdapter(Adapter):
    """Runs `factory(inventory, config)`. A factory that takes a keyword `ready` is handed a function to say so with;
    without one the first request to the rig is the sign."""

    def __init__(self, table: PythonSut, base: Path) -> None:
        super().__init__()
        self._table = table
        self._started = False
        self._stopping = False
        self._clock: Clock
        self._context: Context
        self._folder: Path
        self._log: _Log
        self._prints: contextlib.ExitStack
        self._watchdog: Watchdog
        self._pool: ThreadPoolExecutor
        self._said_ready: asyncio.Future[None]
        self._contact: asyncio.Future[object]
        self._task: asyncio.Task[None]
        self._config: Mapping[str, Any] | Path
        self._schedule: asyncio.Task[None] | None = None
        self._restarting = False
        if isinstance(table.config, str):
            self._config = path_from(base, table.config, "sut.config")
        else:
            self._config = table.config or {}
        self._base = base
        self._factory = _find_or_break(table.factory, base)

    async def start(self, context: Context) -> None:
        self._started = True
        self._clock = context.clock
        self._folder = context.folder
        self._log = _Log(context.clock, context.folder / "log.txt", self._factory.__module__)
        self._prints = contextlib.ExitStack()
        for name, redirect in (("stdout", contextlib.redirect_stdout), ("stderr", contextlib.redirect_stderr)):
            kept = self._prints.enter_context(_Printed(context.clock, context.folder / f"{name}.log"))
            self._prints.enter_context(redirect(kept))
        self._pool = ThreadPoolExecutor(thread_name_prefix="controller")
        context.clock.loop.set_default_executor(self._pool)
        self._watchdog = Watchdog(context.patience_ns, self._blocked)
        self._watchdog.start()
        self._said_ready = context.clock.loop.create_future()
        self._contact = asyncio.ensure_future(context.first_contact())
        self._context = context
        self._launch()

    def _launch(self) -> None:
        self._task = asyncio.create_task(self._guard(self._context), name="controller under test")

    async def _keep_schedule(self, armed_ns: Instant) -> None:
        for restart in sorted(self._table.restart, key=lambda one: one.at):
            await self._clock.sleep_until(armed_ns + restart.at)
            await self.restart(restart.down)

    async def restart(self, down_ns: Instant = 0) -> None:
        """Cancel the controller and start it anew, as a fresh import of its file where it is one. One that has ended
        by itself stays so."""
        if self.exit:
            return
        self._restarting = True
        self._task.cancel()
        await self._let_end()
        self._factory = _find_or_break(self._table.factory, self._base)
        if down_ns:
            await self._clock.sleep(down_ns)
        self._restarting = False
        self._launch()

    async def ready(self, timeout_ns: Instant) -> Readiness:
        if self._table.restart and self._schedule is None:
            armed_ns = self._clock.now() + timeout_ns  # a controller has until the profile's zero to get ready
            self._schedule = asyncio.create_task(self._keep_schedule(armed_ns), name="restarts of the controller")
        signs: dict[str, asyncio.Future[Any]] = {FIRST_REQUEST: self._contact}
        if _takes_ready(self._factory):
            signs = {"call of ready()": self._said_ready}
        return await first_sign(self._clock, timeout_ns, signs, self, self._task)

    async def stop(self) -> None:
        if not self._started:
            return
        self._stopping = True
        self._contact.cancel()
        if self._schedule is not None:
            self._schedule.cancel()
        if not self._task.done():
            self._task.cancel()
            await self._let_end()
        # The loop waits for its executor when it closes; a job of the controller's may never end.
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._clock.loop.set_default_executor(ThreadPoolExecutor(thread_name_prefix="bench"))
        self._watchdog.stop()
        self._prints.close()
        self._log.close()

    async def _let_end(self) -> None:
        """Wait for a cancelled controller, and not for ever."""
        patience = asyncio.ensure_future(self._clock.sleep(self._clock.of_wall(GRACE_NS)))
        await asyncio.wait([self._task, patience], return_when=asyncio.FIRST_COMPLETED)
        patience.cancel()
        if not self._task.done():
            self.stubborn = f"did not end within {GRACE_NS / SECOND:g} s of being cancelled"
            await self._put_down()

    async def _put_down(self) -> None:
        """End a coroutine that swallows its cancellation, or the loop would wait for it for ever."""
        with contextlib.suppress(RuntimeError):  # it may swallow this as well, or its task finds it gone
            cast("Coroutine[Any, Any, None]", self._task.get_coro()).close()
            self._task.cancel()
            await self._task

    def evidence(self) -> dict[str, object]:
        return {"kind": "python", "factory": self._table.factory, **super().evidence()}

    async def _guard(self, context: Context) -> None:
        """Run the controller; however it ends, the bench goes on."""
        under_test.set(True)
        try:
            await self._made(context)
        except asyncio.CancelledError:
            if not (self._stopping or self._restarting):
                self._end(f"controller was cancelled by itself {at(self._clock.now())}")
        except BlockedError:
            return  # the watchdog has said so
        except (Exception, SystemExit, KeyboardInterrupt) as error:  # noqa: BLE001 - any crash is an outcome
            (self._folder / "traceback.txt").write_text("".join(traceback.format_exception(error)), encoding="utf-8")
            told = str(error).splitlines()
            what = f"{type(error).__name__}: {told[0]}" if told else type(error).__name__
            self._end(f"controller raised {what} {at(self._clock.now())}")
        else:
            if not self._restarting:  # one that takes its cancellation for a wish to end has ended well
                self._end(f"controller returned {at(self._clock.now())}")

    def _made(self, context: Context) -> Coroutine[Any, Any, object]:
        if _takes_ready(self._factory):
            return self._factory(context.inventory, self._config, ready=self._say_ready)
        return self._factory(context.inventory, self._config)

    def _say_ready(self) -> None:
        if not self._said_ready.done():
            self._said_ready.set_result(None)

    def _blocked(self, reason: str) -> None:
        """The watchdog is about to raise in the controller's code, wherever that is: what is left of it ends too."""
        self._end(f"controller {reason}, {at(self._clock.now())}")
        self._clock.loop.call_soon(self._task.cancel)

    def _end(self, reason: str) -> None:
        if not self.exit:
            self.exit, self.exited_ns = reason, self._clock.now()


def _find_or_break(reference: str, base: Path) -> Factory:
    """The factory; for one that fails on import, a stand-in that fails when played: that is an outcome of the case."""
    watchdog = Watchdog(PATIENCE_NS)
    watchdog.start()
    try:
        # What a module prints on import must not stand among the bench's results, and there is no run folder yet.
        with contextlib.redirect_stdout(sys.stderr):
            return copy_context().run(_imported, reference, base)
    except ConfigError:
        raise
    except (Exception, SystemExit, BlockedError) as error:  # noqa: BLE001 - whatever a controller's module does
        failed = RuntimeError(f"on import, it {error}") if isinstance(error, BlockedError) else error
    finally:
        watchdog.stop()

    def broken(_inventory: object, _config: object) -> Coroutine[Any, Any, object]:
        raise failed

    return broken


def _imported(reference: str, base: Path) -> Factory:
    under_test.set(True)
    return _find(reference, base)


def _find(reference: str, base: Path) -> Factory:
    """The factory. Raises ConfigError for what is not there, and whatever the module raises on import."""
    where, colon, name = reference.rpartition(":")
    if not colon or not where or not name:
        raise ConfigError(f"sut.factory: {reference!r}: write module:factory or path/to/file.py:factory")
    module = _from_file(path_from(base, where, "sut.factory")) if where.endswith(".py") else _from_path(where)
    factory = getattr(module, name, None)
    if factory is None:
        known = [key for key, value in vars(module).items() if callable(value) and not key.startswith("_")]
        raise ConfigError(f"sut.factory: {where} has no {name!r}{did_you_mean(name, known)}")
    if not callable(factory):
        raise ConfigError(f"sut.factory: {reference} is not callable; name a function of (inventory, config)")
    found: Factory = factory
    return found


def _from_path(name: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and (name == error.name or name.startswith(f"{error.name}.")):
            raise ConfigError(
                f"sut.factory: no module {name!r}; install it, or name its file as path/to/file.py:factory"
            ) from None
        raise


def _from_file(path: Path) -> ModuleType:
    name = f"controller_under_test_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ConfigError(f"sut.factory: {path} cannot be read as a Python module")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up there
    if str(path.parent) not in sys.path:
        sys.path.insert(0, str(path.parent))  # its own modules stand beside it, as for a program that is run
    spec.loader.exec_module(module)
    return module


def _takes_ready(factory: Factory) -> bool:
    with contextlib.suppress(TypeError, ValueError):  # some callables have no signature to read
        return "ready" in inspect.signature(factory).parameters
    return False


class _Printed(io.TextIOBase):
    """What the controller prints to one stream, line by line with bench time; the file is made with the first line."""

    def __init__(self, clock: Clock, path: Path) -> None:
        super().__init__()
        self._clock = clock
        self._path = path
        self._partial = ""
        self._lines = 0

    def writable(self) -> bool:
        return True

    def write(self, text: str, /) -> int:
        if not self.closed:  # a handler of the controller may outlive its run
            *lines, self._partial = (self._partial + text).split("\n")
            self._keep(lines)
        return len(text)

    def close(self) -> None:
        if not self.closed:
            self._keep([self._partial] if self._partial else [])
            if self._lines > _MOST_RECORDS:
                self._lines = 0
                self._keep([f"[ramprig keeps {_MOST_RECORDS} lines; the rest was thrown away]"])
        super().close()

    def _keep(self, lines: list[str]) -> None:
        room = max(0, _MOST_RECORDS - self._lines)
        self._lines += len(lines)
        if lines[:room]:
            with self._path.open("a", encoding="utf-8", errors="replace") as file:
                file.writelines(f"{self._clock.now() / SECOND:14.6f} {line}\n" for line in lines[:room])


class _Log(logging.Handler):
    """The controller's log records with bench time, in one file.

    Records are told apart by the context they come from. The package of the factory is heard from INFO on and kept
    from other handlers, so that a controller does not talk into the bench's own output.
    """

    def __init__(self, clock: Clock, path: Path, module: str) -> None:
        super().__init__()
        self._clock = clock
        self._file = path.open("w", encoding="utf-8")
        self._records = 0
        self._package = logging.getLogger(module.rpartition(".")[0] or module)
        self._was = (self._package.level, self._package.propagate)
        self._package.setLevel(logging.INFO)
        self._package.propagate = False
        self.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
        self.addFilter(lambda record: under_test.get() and not record.name.startswith(_OF_THE_BENCH))
        self._package.addHandler(self)
        logging.getLogger().addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        self._records += 1
        if self._records <= _MOST_RECORDS:
            self._file.write(f"{self._clock.now() / SECOND:14.6f} {self.format(record)}\n")
            self._file.flush()

    def close(self) -> None:
        if self._file.closed:
            return
        for logger in (self._package, logging.getLogger()):
            logger.removeHandler(self)
        self._package.setLevel(self._was[0])
        self._package.propagate = self._was[1]
        if self._records > _MOST_RECORDS:
            self._file.write(f"{self._records - _MOST_RECORDS} more records were left out\n")
        self._file.close()
        super().close()
