"""How a controller under test is started, known ready, and stopped, whatever it is.

Owns the tables of a case's `sut` key (those of a serial line stand in `serial_tables.py`) and the interface all kinds
share. What a controller does is its own business: a crash is an outcome with a reason, never an exception of the bench.
`attach_python.py`, `attach_process.py` and `attach_serial.py` are the kinds that have something to start.
"""

from __future__ import annotations

import asyncio
import shlex
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self, TypeAlias

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from bench.config import ConfigError, DurationNs, Table, did_you_mean
from bench.inventory import Port
from bench.serial_tables import SerialSut
from bench.signs import url
from bench.watchdog import PATIENCE_NS
from emulator.clock import Clock
from emulator.wire import SECOND, Instant

if TYPE_CHECKING:
    from bench.rig import Rig

CONTROLLERS = "firmware_mocks.controllers"
GRACE_NS = 5 * SECOND
FIRST_REQUEST = "first request to the rig"


class RestartTable(Table):
    """A planned end of the controller during the run, and its new start."""

    at: DurationNs
    """From the profile's zero."""
    down: DurationNs = 0
    """From its end to its new start."""


class PythonSut(Table):
    """An asyncio controller in the bench's own loop, in virtual or real time."""

    kind: Literal["python"]
    factory: str
    """`module:name` or `path/to/file.py:name`; called with (inventory, config), returns the coroutine to run."""
    config: str | dict[str, Any] | None = None
    """Handed to the factory: a table as it is, a text as a path relative to the file that says it."""
    restart: tuple[RestartTable, ...] = ()


class ReadyTable(Table):
    """By what a program shows that it is ready: a line of output with this text, a port that takes a connection, or a
    page that is answered with a status from 200 to 299."""

    log: str | None = Field(default=None, min_length=1)
    port: Port | None = None
    host: str = "127.0.0.1"
    http: Annotated[str, AfterValidator(url)] | None = None

    @model_validator(mode="after")
    def _one_sign(self) -> Self:
        if [self.log, self.port, self.http].count(None) != 2:
            raise ValueError(
                'say one sign, { log = "ready" }, { port = 8080 } or { http = "http://127.0.0.1:8080/health" }; '
                "without ready it is the first request"
            )
        return self


class ProgramRestartTable(RestartTable):
    """The same of a program."""

    how: Literal["terminate", "kill"] = "terminate"
    """SIGTERM, and SIGKILL where that does not help within `stop_within`; or SIGKILL at once."""


class SubprocessSut(Table):
    """A program of its own, in real time or, in lockstep, in virtual time. `bench/templates.py` has the placeholders of
    its texts."""

    kind: Literal["subprocess"]
    command: str
    args: tuple[str, ...] = ()
    env: dict[str, str] = {}
    cwd: str = "."
    """Relative to the file that says it."""
    config: str | None = None
    lockstep: bool = False
    """Whether it joins virtual time (decision 14); in real time that changes nothing."""
    ready: ReadyTable | None = None
    """Default: its first request to the rig."""
    stop_within: DurationNs = GRACE_NS
    """From SIGTERM to SIGKILL."""
    restart: tuple[ProgramRestartTable, ...] = ()


class NetworkSut(Table):
    """It is running there already; the bench only answers on its addresses. Real time."""

    kind: Literal["network"]


class NullSut(Table):
    """Nothing is attached: the control experiment, which must never pass."""

    kind: Literal["null"]


def from_text(text: object) -> object:
    """The short forms: `null`, `network`, `controller:NAME`, `python:MODULE:FACTORY`, `subprocess:COMMAND ARGS`,
    `lockstep:PROGRAM ARGS`, `serial:LINE` for a master on a line.

    Raises ValueError for another text; what is no text is returned as it is.
    """
    if not isinstance(text, str):
        return text
    kind, _, rest = text.partition(":")
    if kind in ("null", "network") and not rest:
        return {"kind": kind}
    if kind == "controller":
        return {"kind": "python", "factory": f"{shipped(rest)}:controller"}
    if kind == "python" and rest:
        return {"kind": "python", "factory": rest}
    if kind == "subprocess" and rest.strip():
        command, *args = shlex.split(rest)
        return {"kind": "subprocess", "command": command, "args": tuple(args)}
    if kind == "lockstep" and rest.strip():
        words = ("{lockstep}", *shlex.split(rest))
        return {"kind": "subprocess", "command": "{python}", "args": words, "lockstep": True}
    if kind == "serial" and rest:
        return {"kind": "serial", "role": "master", "line": rest}
    forms = "null, network, controller:NAME, python:MODULE:FACTORY, subprocess:COMMAND, lockstep:PROGRAM or serial:LINE"
    raise ValueError(f"{text!r} names no controller; write {forms}")


AnySut: TypeAlias = PythonSut | SubprocessSut | NetworkSut | SerialSut | NullSut
SutTable = Annotated[Annotated[AnySut, Field(discriminator="kind")], BeforeValidator(from_text)]
"""The `sut` key of a case: a table, or one of the short forms of `from_text`."""


def controllers() -> list[str]:
    """Names of the controllers that ship: the reference, and the faulty ones."""
    folder = Path(__file__).parent.parent.joinpath(*CONTROLLERS.split("."), "faulty")
    return ["reference", *sorted(path.stem for path in folder.glob("*.py") if path.stem != "__init__")]


def shipped(name: str) -> str:
    """Module of a controller that ships. Raises ValueError with a near match where there is none."""
    if name not in controllers():
        raise ValueError(f"controller {name!r} does not ship with ramprig{did_you_mean(name, controllers())}")
    return f"{CONTROLLERS}.reference" if name == "reference" else f"{CONTROLLERS}.faulty.{name}"


@dataclass(frozen=True, slots=True)
class Context:
    """What an attached controller is given by the bench."""

    clock: Clock
    inventory: Mapping[str, Any]
    inventory_path: Path
    folder: Path
    """Where evidence goes: `sut/` of the run folder."""
    first_contact: Callable[[], Awaitable[object]]
    """Returns an awaitable that is done once the controller has sent a first request to any device of the rig."""
    patience_ns: Instant = PATIENCE_NS
    """Real time that a controller in virtual time may run without giving way to the bench."""
    armed_ns: Instant = 0
    """The profile's zero."""
    seed: int = 0
    tell: Callable[[str, str], object] = lambda _what, _reason: None
    """Takes down that something happened to the controller: what, and why."""
    rig: Rig | None = None
    """The live rig, for a controller that hangs on one of its lines."""


@dataclass(frozen=True, slots=True)
class Readiness:
    """Whether the controller is ready, by what sign, or why not."""

    ok: bool
    reason: str


class Adapter(ABC):
    """A controller under test: start, ready, stop. None of these raises because of what the controller does."""

    def __init__(self) -> None:
        self.exit = ""
        """Why the controller ended before it was stopped, with the instant; empty while it did not."""
        self.exited_ns: Instant | None = None
        self.stubborn = ""
        """What it took to stop it, where asking was not enough."""

    @property
    def switching_ns(self) -> Instant:
        """How much the bench itself may delay what the controller does, as the half-width of an uncertainty."""
        return 0

    @property
    def contacts(self) -> dict[str, int]:
        """What it said that no device of the rig has counted, by kind."""
        return {}

    def notes(self) -> list[str]:
        """What a reader of the verdict should know of how it behaved, beside what it did to the site."""
        return [self.stubborn] if self.stubborn else []

    @abstractmethod
    async def start(self, context: Context) -> None:
        """Set it going; does not wait for it."""

    @abstractmethod
    async def ready(self, timeout_ns: Instant) -> Readiness:
        """Wait until it is ready, has ended, or `timeout_ns` have passed."""

    async def stop(self) -> None:
        """End it and leave nothing of it behind. May be called at any time, also twice."""
        return

    def evidence(self) -> dict[str, object]:
        """What the run folder keeps about it, fit for JSON."""
        return {"exit": self.exit, "exited_ns": self.exited_ns, "stubborn": self.stubborn}


class NullAdapter(Adapter):
    """Nothing attached."""

    async def start(self, context: Context) -> None:
        return

    async def ready(self, timeout_ns: Instant) -> Readiness:
        return Readiness(True, "nothing is attached")


class NetworkAdapter(Adapter):
    """A controller that runs elsewhere and is known by its first request."""

    def __init__(self) -> None:
        super().__init__()
        self._clock: Clock
        self._contact: asyncio.Future[object] | None = None

    async def start(self, context: Context) -> None:
        self._clock = context.clock
        self._contact = asyncio.ensure_future(context.first_contact())

    async def ready(self, timeout_ns: Instant) -> Readiness:
        signs = {FIRST_REQUEST: self._contact} if self._contact is not None else {}
        return await first_sign(self._clock, timeout_ns, signs, self)

    async def stop(self) -> None:
        if self._contact is not None:
            self._contact.cancel()


def build(table: AnySut, base: Path, time: str, inventory: Callable[[], Mapping[str, Any]] | None = None) -> Adapter:
    """The adapter for a `sut` table; paths in it are relative to `base`, `time` is "virtual" or "real".

    `inventory`, where it can be told already, lets ids of devices be checked. Raises ConfigError where the controller
    cannot be attached: a kind that lives in real time, an unknown module, a missing file, an unknown placeholder.
    """
    match table:
        case NullSut():
            return NullAdapter()
        case PythonSut():
            from bench.attach_python import PythonAdapter

            return PythonAdapter(table, base)
        case SubprocessSut():
            if time == "virtual" and not table.lockstep:
                raise ConfigError(
                    'sut.kind: a subprocess lives in real time; write time = "real", or attach with kind = "python", '
                    "or write lockstep = true for an asyncio program that is run with {lockstep}"
                )
            from bench.attach_process import ProcessAdapter

            return ProcessAdapter(table, base, inventory)
        case NetworkSut():
            if time == "virtual":
                raise ConfigError(
                    'sut.kind: a controller on the network lives in real time; write time = "real", or attach with '
                    'kind = "python"'
                )
            return NetworkAdapter()
        case SerialSut():
            if time == "virtual":
                raise ConfigError(
                    'sut.kind: a controller on a serial line lives in real time; write time = "real", or attach '
                    'its logic with kind = "python"'
                )
            from bench.attach_serial import SerialAdapter

            return SerialAdapter(table)


def path_from(base: Path, text: str, key: str) -> Path:
    """The absolute path of a file a table names. Raises ConfigError where there is none."""
    path = (base / text).resolve()
    if not path.exists():
        raise ConfigError(f"{key}: {path}: no such file; the path counts from {base}")
    return path


async def first_sign(
    clock: Clock, timeout_ns: Instant, signs: Mapping[str, asyncio.Future[Any]], adapter: Adapter,
    ended: asyncio.Future[Any] | None = None,
) -> Readiness:  # fmt: skip
    """Wait for one of `signs` (its name -> future), for the controller's end, or until `timeout_ns` have passed."""
    timer = asyncio.ensure_future(clock.sleep(timeout_ns))
    others = [] if ended is None else [ended]
    try:
        await asyncio.wait([*signs.values(), *others, timer], return_when=asyncio.FIRST_COMPLETED)
        for name, sign in signs.items():
            if sign.done() and not sign.cancelled():
                return Readiness(True, name)
        if adapter.exit:
            return Readiness(False, adapter.exit)
        waited = " or ".join(signs)
        return Readiness(False, f"controller was not ready after {timeout_ns / SECOND:g} s: no {waited}")
    finally:
        timer.cancel()


def at(instant_ns: Instant) -> str:
    """An instant in a reason."""
    return f"at t = {instant_ns / SECOND:.1f} s"
