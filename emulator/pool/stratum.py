"""Stratum V1, the pool's side of one connection, sans I/O: newline-delimited JSON-RPC in any fragmentation.

Owns the dialect (subscribe, authorize, configure with version rolling, difficulty, jobs, submit) and the judgement of a
share; which job is current is `emulator/pool/job.py`, the books are `emulator/pool/accounts.py`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

import fastpath
from emulator.pool.accounts import Accounts, Verdict
from emulator.pool.job import EXTRANONCE2_BYTES, VERSION_MASK, Job, JobPlan, difficulty_of, target_of
from emulator.wire import SECOND, Action, Close, Instant, Send

OTHER, STALE, DUPLICATE, LOW_DIFFICULTY, UNAUTHORIZED, NOT_SUBSCRIBED = 20, 21, 22, 23, 24, 25
"""Error codes every pool and every firmware knows. GK"""

_MAX_LINE_BYTES = 16_384
_KEPT_JOBS = 8
_MAX_SHARES_A_JOB = 65_536
_MAX_WORKERS_A_CONNECTION = 64
_NTIME_ROLL_S = 7_000
"""How far ahead of the job's time a miner may set it. GK"""
_IDLE_NS = 600 * SECOND
"""ckpool takes a worker for idle after 10 min and drops it where told so (S: ckpool)."""
_NOTHING: tuple[Action, ...] = ()

Message = dict[str, Any]


class _RefusedError(Exception):
    """A request that is answered with an error instead of a result."""

    def __init__(self, code: int, text: str, verdict: Verdict = Verdict.REJECTED) -> None:
        super().__init__(text)
        self.code = code
        self.text = text
        self.verdict = verdict


@dataclass(frozen=True, slots=True)
class Terms:
    """What a pool offers: start difficulty, the lowest one it grants, and the version bits it lets miners roll."""

    difficulty: float = 65_536.0
    minimum_difficulty: float = 1e-9
    version_mask: int = VERSION_MASK

    def __post_init__(self) -> None:
        if not 0.0 < self.minimum_difficulty <= self.difficulty < math.inf:
            raise ValueError(
                f"pool difficulty {self.difficulty} with minimum {self.minimum_difficulty}: both must be positive, "
                "finite and the minimum not above the start difficulty"
            )


@dataclass(slots=True)
class _Issued:
    """A job as this connection got it: with the difficulty in force then (it changes with the *next* job)."""

    job: Job
    difficulty: float
    target: int
    shares: set[tuple[bytes, int, int, int]] = field(default_factory=set)


class StratumConversation:
    """One miner's connection.

    Unread input is bounded by a line of 16 KiB. New work is due at `wake_ns`; `woken` hands it out, and so does any
    request that comes later than that.
    """

    __slots__ = (
        "_accounts", "_buffer", "_closed", "_difficulty", "_extranonce1", "_issued", "_jobs", "_mask", "_methods",
        "_sent_difficulty", "_session", "_subscribed", "_terms", "_workers", "idle_timeout_ns", "wake_ns",
    )  # fmt: skip

    def __init__(self, jobs: JobPlan, accounts: Accounts, terms: Terms, extranonce1: bytes) -> None:
        self.idle_timeout_ns: int | None = _IDLE_NS
        self.wake_ns: Instant | None = None
        """When the pool will speak unasked; None while it has nothing to say."""
        self._jobs = jobs
        self._accounts = accounts
        self._terms = terms
        self._extranonce1 = extranonce1
        self._session = extranonce1.hex()
        self._buffer = b""
        self._closed = False
        self._subscribed = False
        self._workers: set[str] = set()
        self._mask = 0
        self._difficulty = terms.difficulty
        self._sent_difficulty: float | None = None
        self._issued: dict[str, _Issued] = {}
        self._methods: dict[str, Callable[[list[Any], Instant], object]] = {
            "mining.configure": self._configure,
            "mining.subscribe": self._subscribe,
            "mining.authorize": self._authorize,
            "mining.suggest_difficulty": self._suggest,
            "mining.extranonce.subscribe": lambda _params, _now: True,
            "mining.submit": self._submit,
            "mining.ping": lambda _params, _now: "pong",
        }

    # ---- the border -----------------------------------------------------------------------------------------------

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Answers to every line completed by `data`; a line that is no JSON object ends the connection."""
        if self._closed:
            return _NOTHING
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        out: list[Message] = []
        for line in lines:
            if len(line) > _MAX_LINE_BYTES or not self._line(line, now, out):
                return self._end(out)
            self._push(now, out)
        if len(self._buffer) > _MAX_LINE_BYTES:
            return self._end(out)
        self._push(now, out)
        return _sends(out)

    def woken(self, now: Instant) -> Sequence[Action]:
        """What the pool says unasked at `wake_ns`: the next job."""
        out: list[Message] = []
        if not self._closed:
            self._push(now, out)
        return _sends(out)

    def ended(self, now: Instant) -> Sequence[Action]:
        """The miner is gone."""
        return self._end([])

    def _end(self, out: list[Message]) -> Sequence[Action]:
        self._closed = True
        self._buffer = b""
        self._issued.clear()
        self.wake_ns = None
        return (*_sends(out), Close())

    def _line(self, line: bytes, now: Instant, out: list[Message]) -> bool:
        """Handle one line; False when it makes no sense as JSON-RPC."""
        if not line.strip():
            return True
        try:
            message = json.loads(line.decode(), parse_constant=_no_constant)
        except (ValueError, RecursionError):
            return False
        if not isinstance(message, dict):
            return False
        method, params, number = message.get("method"), message.get("params", []), message.get("id")
        if method is None and ("result" in message or "error" in message):
            return True  # an answer to something the pool sent
        if not isinstance(method, str) or not isinstance(number, int | str | None):
            return False
        reply: Message = {"id": number, "result": None, "error": None}
        out.append(reply)
        try:
            reply["result"] = self._call(method, params, now)
        except _RefusedError as refused:
            reply["error"] = [refused.code, refused.text, None]
        return True

    def _call(self, method: str, params: object, now: Instant) -> object:
        handler = self._methods.get(method)
        if handler is None:
            raise _RefusedError(OTHER, f"Unsupported method {method[:64]}")
        if not isinstance(params, list):
            raise _RefusedError(OTHER, "Parameters must be a list")
        return handler(params, now)

    # ---- requests -------------------------------------------------------------------------------------------------

    def _configure(self, params: list[Any], now: Instant) -> object:
        """Extensions (S: BIP 310): the mask granted is the intersection of the two sides'."""
        names = params[0] if params else []
        options = params[1] if len(params) > 1 else {}
        if not isinstance(names, list) or not isinstance(options, dict):
            raise _RefusedError(OTHER, "mining.configure takes a list of extensions and a map of their parameters")
        result: dict[str, object] = {name: False for name in names[:16] if isinstance(name, str)}
        if "version-rolling" in result:
            wanted = _hex(options.get("version-rolling.mask", "ffffffff"), 4)
            if wanted is None:
                result["version-rolling"] = "version-rolling.mask must be 8 hexadecimal digits"
            else:
                self._mask = int.from_bytes(wanted) & self._terms.version_mask
                result |= {"version-rolling": True, "version-rolling.mask": f"{self._mask:08x}"}
        if "minimum-difficulty" in result:
            floor = _number(options.get("minimum-difficulty.value"))
            result["minimum-difficulty"] = floor is not None
            if floor is not None:
                self._difficulty = max(self._difficulty, floor)
        if "subscribe-extranonce" in result:
            result["subscribe-extranonce"] = True
        return result

    def _subscribe(self, params: list[Any], now: Instant) -> object:
        self._subscribed = True
        topics = [["mining.set_difficulty", self._session], ["mining.notify", self._session]]
        return [topics, self._extranonce1.hex(), EXTRANONCE2_BYTES]

    def _authorize(self, params: list[Any], now: Instant) -> object:
        worker = params[0] if params else None
        if not isinstance(worker, str) or not worker.isprintable():
            raise _RefusedError(OTHER, "mining.authorize takes a worker name and a password")
        if len(self._workers) >= _MAX_WORKERS_A_CONNECTION or not self._accounts.open(worker):
            raise _RefusedError(UNAUTHORIZED, "Unauthorized worker")
        self._workers.add(worker)
        return True

    def _suggest(self, params: list[Any], now: Instant) -> object:
        wanted = _number(params[0] if params else None)
        if wanted is None or wanted <= 0.0:
            raise _RefusedError(OTHER, "mining.suggest_difficulty takes a positive number")
        self._difficulty = max(wanted, self._terms.minimum_difficulty)
        return True

    def _submit(self, params: list[Any], now: Instant) -> object:
        if not self._subscribed:
            raise _RefusedError(NOT_SUBSCRIBED, "Not subscribed")
        if not 5 <= len(params) <= 6 or not all(isinstance(part, str) for part in params):
            raise _RefusedError(OTHER, "mining.submit takes worker, job, extranonce2, ntime, nonce and version bits")
        if params[0] not in self._workers:
            raise _RefusedError(UNAUTHORIZED, "Unauthorized worker")
        try:
            difficulty = self._judge(params[1:], now)
        except _RefusedError as refused:
            self._accounts.enter(params[0], refused.verdict, 0.0, now)
            raise
        self._accounts.enter(params[0], Verdict.ACCEPTED, difficulty, now)
        return True

    def _judge(self, share: list[str], now: Instant) -> float:
        """The difficulty a share is credited with. Raises _RefusedError for one that is no good."""
        issued = self._issued.get(share[0])
        if issued is None or issued.job.block != self._jobs.at(now).block:
            raise _RefusedError(STALE, "Job not found", Verdict.STALE)
        job = issued.job
        extranonce2, ntime_bytes, nonce_bytes = _hex(share[1], EXTRANONCE2_BYTES), _hex(share[2], 4), _hex(share[3], 4)
        if extranonce2 is None or ntime_bytes is None or nonce_bytes is None:
            raise _RefusedError(
                OTHER, f"Hexadecimal extranonce2 of {EXTRANONCE2_BYTES} bytes, ntime and nonce of 4 expected"
            )
        ntime, nonce = int.from_bytes(ntime_bytes), int.from_bytes(nonce_bytes)
        if not job.ntime <= ntime <= job.ntime + _NTIME_ROLL_S:
            raise _RefusedError(OTHER, "Ntime out of range")
        version = self._version(job, share[4] if len(share) == 5 else None)
        found = (extranonce2, ntime, nonce, version)
        if found in issued.shares:
            raise _RefusedError(DUPLICATE, "Duplicate share")
        digest = fastpath.sha256d(job.header(self._extranonce1, extranonce2, ntime, nonce, version))
        if int.from_bytes(digest, "little") > issued.target:
            raise _RefusedError(LOW_DIFFICULTY, f"Low difficulty share of {difficulty_of(digest):.6g}")
        if len(issued.shares) >= _MAX_SHARES_A_JOB:
            raise _RefusedError(OTHER, "Too many shares for one job; ask for a higher difficulty")
        issued.shares.add(found)
        return issued.difficulty

    def _version(self, job: Job, bits_text: str | None) -> int:
        """The header's version with the rolled bits; only negotiated bits may be set."""
        if bits_text is None:
            return job.version
        bits = _hex(bits_text, 4)
        if bits is None or int.from_bytes(bits) & ~self._mask:
            raise _RefusedError(OTHER, "Invalid version mask")
        return (job.version & ~self._mask) | int.from_bytes(bits)

    # ---- unasked --------------------------------------------------------------------------------------------------

    def _push(self, now: Instant, out: list[Message]) -> None:
        """Difficulty where it changed, then the current job where the miner does not have it yet."""
        if not self._subscribed or not self._workers:
            return
        if self._sent_difficulty != self._difficulty:
            self._sent_difficulty = self._difficulty
            out.append({"id": None, "method": "mining.set_difficulty", "params": [_plain(self._difficulty)]})
        job = self._jobs.at(now)
        self.wake_ns = self._jobs.next_ns(now)
        if job.id in self._issued:
            return
        clean = True if not self._issued else any(old.job.block != job.block for old in self._issued.values())
        if clean:
            self._issued.clear()
        self._issued[job.id] = _Issued(job, self._difficulty, target_of(self._difficulty))
        for old in list(self._issued)[:-_KEPT_JOBS]:
            del self._issued[old]
        out.append({"id": None, "method": "mining.notify", "params": job.notify(clean=clean)})


def _sends(messages: list[Message]) -> Sequence[Action]:
    if not messages:
        return _NOTHING
    return (Send(b"".join(json.dumps(m, allow_nan=False, separators=(",", ":")).encode() + b"\n" for m in messages)),)


def _plain(value: float) -> float | int:
    """Whole numbers without a point: old firmware reads them as integers."""
    return int(value) if value.is_integer() else value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON")


def _hex(text: object, size: int) -> bytes | None:
    """`size` bytes from hexadecimal without blanks; None for anything else."""
    if not isinstance(text, str) or len(text) != 2 * size:
        return None
    try:
        found = bytes.fromhex(text)
    except ValueError:
        return None
    return found if len(found) == size else None


def _number(text: object) -> float | None:
    """A finite number that is not negative."""
    if isinstance(text, bool) or not isinstance(text, int | float):
        return None
    try:
        value = float(text)
    except OverflowError:
        return None
    return value if 0.0 <= value < math.inf else None
