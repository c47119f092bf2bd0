"""ePIC PowerPlay on Antminers: an HTTP interface on 4028, where other firmware has cgminer, and a dashboard on port 80.

Owns this vendor's state (configuration, password, running command) and what its POSTs do to the miner. Replies stand in
`epic.json`, figures with sources in `epic.toml`, settings in `epic_conf.py`, what is shown in `epic_readings.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from emulator.seed import Seed
from emulator.wire import SECOND, Conversation, Instant
from firmware_mocks.miners.base import API, WEB, Credentials, Firmware, HostInfo, MinerDevice, MinerUnit
from firmware_mocks.miners.epic_conf import (
    EDITS,
    FACTORY,
    POWER_ALGORITHMS,
    RATE_ALGORITHMS,
    Pool,
    RefusedError,
    flag,
    number,
    set_coin,
    text,
)
from firmware_mocks.miners.epic_readings import FIGURES, MODELS, TUNE, EpicReadings, bounds, default_ths, power_share
from firmware_mocks.miners.http import HTML, TEXT, HttpConversation, HttpRequest, HttpResponse, error_page, json_object
from firmware_mocks.miners.readings import HASH_EXPONENT
from firmware_mocks.miners.replies import templates, values

TEMPLATES = templates(__package__, "epic.json")
INDEX = b"<!doctype html><html><head><title>Miner Web Dashboard</title></head><body><div id=root></div></body></html>"
LONGEST_DELAY_S = 7 * 86_400  # estimate: a bound on the delay of a reboot
Effect: TypeAlias = Callable[[Instant], None]


@dataclass(frozen=True, slots=True)
class Knobs:
    """Parameters of the face; defaults, sources and grades are in the TOML file."""

    read_reply_ns: int
    set_reply_ns: int
    command_reply_ns: int
    program_start_ns: int
    reboot_after_ns: int
    web_workers: int
    idle_style: str
    pool_urls: tuple[str, ...] = ("stratum+tcp://pool-a.example:3333", "stratum+tcp://pool-b.example:3333")


class EpicDevice(MinerDevice):
    """One Antminer under ePIC PowerPlay."""

    __slots__ = (
        "_pending_ns",
        "cleared_ns",
        "conf",
        "knobs",
        "last_command",
        "locate",
        "password",
        "stopping_state",
        "target_ns",
    )

    api_port = 0  # 4028 is no cgminer socket here: the interface outlives the mining program

    def __init__(self, unit: MinerUnit, host: HostInfo, seed: Seed, knobs: Knobs) -> None:
        super().__init__(unit, host, seed, tuple(FIRMWARE.ports.values()), knobs.web_workers)
        self.knobs = knobs
        self.conf = FACTORY
        self.password = FIRMWARE.credentials.password
        self.locate = False
        self.last_command: str | None = None
        self.stopping_state = "Stopping"
        self.target_ns: Instant | None = None
        self.cleared_ns: Instant | None = None
        self._pending_ns: Instant | None = None

    @property
    def pools(self) -> tuple[Pool, ...]:
        """All pools, the first is in use."""
        if self.conf.pools is not None:
            return self.conf.pools
        return tuple(Pool(url, f"farm.{self.host.hostname}", "x") for url in self.knobs.pool_urls)

    @property
    def target(self) -> int:
        """What the tuning algorithm holds: TH/s, or W for a power algorithm."""
        return default_ths(self.unit.model) if self.conf.target is None else self.conf.target

    @property
    def is_beyond_reach(self) -> bool:
        """Whether the target asks for more than the machine can do."""
        return self._asked_share > float(TUNE["reach"])

    @property
    def setpoint(self) -> float:
        """Share of nominal power that the configuration leads to."""
        return min(self._asked_share, float(TUNE["reach"]))

    @property
    def _asked_share(self) -> float:
        model, conf = self.unit.model, self.conf
        if conf.tuning:
            return 1.0 if conf.target is None else power_share(model, conf.algo, conf.target)
        clock_mhz = model.frequency_mhz if conf.clock_mhz is None else conf.clock_mhz
        return float((clock_mhz / model.frequency_mhz) ** (1.0 / HASH_EXPONENT))

    def _open(self, port: int, peer: str, now: Instant) -> Conversation:
        if port == FIRMWARE.ports[API]:
            return HttpConversation(self, self._serve_api, port, "PowerPlay", eager=True)  # Server header: estimate
        return HttpConversation(self, self._serve_page, port, "PowerPlay")

    def _booted(self) -> None:
        self.locate, self.last_command, self._pending_ns = False, None, None
        self.cleared_ns = None

    def _serve_page(self, request: HttpRequest, now: Instant) -> HttpResponse:
        if request.path in ("/", "/index.html") and request.method in ("GET", "HEAD"):
            return HttpResponse(body=INDEX, content_type=HTML)
        return error_page(404)

    # ---- port 4028 ------------------------------------------------------------------------------------------------

    def _serve_api(self, request: HttpRequest, now: Instant) -> HttpResponse:
        path = request.path.strip("/")
        if request.method in ("GET", "HEAD"):
            if path in LOGS:
                return HttpResponse(body=self._log(path, now), content_type=TEXT, takes_ns=self.knobs.read_reply_ns)
            if path in REPORTS:
                body = TEMPLATES[REPORTS[path]].text(EpicReadings(self, now))
                return HttpResponse(body=body, takes_ns=self.knobs.read_reply_ns)
            return self._answer(f"Invalid URL: /{path}")
        if request.method != "POST":
            return self._answer(f"Invalid method: {request.method}")
        if path not in EDITS and path not in COMMANDS:
            return self._answer(f"Invalid URL: /{path}")
        asked = json_object(request.body)
        if asked is None:
            return self._answer("Invalid JSON")
        if asked.get("password") != self.password:
            return self._answer("Bad password")
        try:
            return self._obey(path, asked, now)
        except RefusedError as refused:
            return self._answer(str(refused))

    def _obey(self, path: str, asked: Mapping[str, Any], now: Instant) -> HttpResponse:
        if path in EDITS:
            if "param" not in asked:
                raise RefusedError("Missing param")
            self.conf = EDITS[path](self.conf, asked["param"])
            return self._answer()
        return COMMANDS[path](self, asked.get("param"), now)

    def _answer(
        self, error: str | None = None, takes_ns: int | None = None, then: Effect | None = None
    ) -> HttpResponse:
        body = TEMPLATES["answer"].text(None, {"result": error is None, "error": error})
        return HttpResponse(body=body, takes_ns=self.knobs.set_reply_ns if takes_ns is None else takes_ns, then=then)

    def _log(self, path: str, now: Instant) -> bytes:
        if path == "log/error":
            return b""
        state = EpicReadings(self, now).state
        return f"{self.host.wall(now):%Y-%m-%dT%H:%M:%SZ} INFO powerplay: {state}\n".encode()

    # ---- power ----------------------------------------------------------------------------------------------------

    def set_miner(self, param: Any, now: Instant) -> HttpResponse:
        """Stop or Autostart. The reply comes when it is done; until then another such command is refused."""
        if param not in ("Stop", "Autostart"):
            raise RefusedError("Missing param" if param is None else "Invalid param: expected Stop or Autostart")
        self._refuse_while_pending(now)
        self.last_command = param
        stop, was_stopped = param == "Stop", self.conf.stopped
        self.conf = replace(self.conf, stopped=stop)
        setpoint = self.setpoint

        def begin(at: Instant) -> None:
            if stop and not was_stopped:
                self.stopping_state = "Stopping"
                self.unit.run("sleep", at)
            elif not stop and was_stopped:
                self.unit.run("wake", at, setpoint=setpoint)

        return self._slow(begin)

    def set_pools(self, param: Any, now: Instant) -> HttpResponse:
        """coin: new pools; the miner reconnects and hashes on."""
        self._refuse_while_pending(now)
        self.conf, self.last_command = set_coin(self.conf, param), "Coin"
        return self._slow(lambda _at: None)

    def _slow(self, begin: Effect) -> HttpResponse:
        takes_ns = self.knobs.command_reply_ns

        def then(done: Instant) -> None:
            self._pending_ns = done
            begin(done - takes_ns)  # the miner acts when a worker takes the request, the reply follows the deed

        return self._answer(takes_ns=takes_ns, then=then)

    def _refuse_while_pending(self, now: Instant) -> None:
        if self._pending_ns is not None and now < self._pending_ns:
            raise RefusedError(f"Last command still pending: {self.last_command}")

    def set_tuning(self, param: Any, now: Instant) -> HttpResponse:
        """perpetualtune: the tuning algorithm on or off; off, the manual clock rules."""
        return self._retune(now, tuning=flag(param))

    def set_algorithm(self, param: Any, now: Instant) -> HttpResponse:
        """perpetualtune/algo: algorithm and target, in TH/s or W, with optional throttling; it switches tuning on."""
        given = param if isinstance(param, Mapping) else {}
        algo = given.get("algo")
        if algo not in (*RATE_ALGORITHMS, *POWER_ALGORITHMS):
            raise RefusedError("Invalid param: unknown algorithm")
        least, most = bounds(self.unit.model, algo)
        target = number(given.get("target"), least, most)
        throttle = {
            field: None if given.get(key) is None else number(given[key], 0, most)
            for key, field in (("min_throttle", "min_throttle"), ("throttle_step", "throttle_step"))
        }
        return self._retune(now, tuning=True, algo=algo, target=target, **throttle)

    def reset_tuning(self, param: Any, now: Instant) -> HttpResponse:
        """perpetualtune/reset: the search begins anew, the target stays."""
        if param not in (*RATE_ALGORITHMS, *POWER_ALGORITHMS):
            raise RefusedError("Invalid param: unknown algorithm")
        self.target_ns = now
        return self._answer()

    def set_clock_and_voltage(self, param: Any, now: Instant) -> HttpResponse:
        """tune: clock in MHz and voltage in mV as text; beyond 1000 MHz and 15 V they are cut."""
        given = param if isinstance(param, Mapping) else {}
        clock_mhz, target_mv = number(given.get("clks"), 50, 99_999), number(given.get("voltage"), 1000, 99_999)
        return self._retune(now, tuning=False, clock_mhz=float(min(clock_mhz, 1000)), target_mv=min(target_mv, 15_000))

    def set_clock(self, param: Any, now: Instant) -> HttpResponse:
        """tune/clock/all: the clock of all chips, MHz."""
        is_number = isinstance(param, int | float) and not isinstance(param, bool)
        clock_mhz = float(param) if is_number else float(number(param, 50, 1000))
        if not 50.0 <= clock_mhz <= 1000.0:
            raise RefusedError("Invalid param: expected a number from 50 to 1000")
        return self._retune(now, tuning=False, clock_mhz=clock_mhz)

    def set_voltage(self, param: Any, now: Instant) -> HttpResponse:
        """tune/voltage: kept and shown, in mV; the emulated power follows the clock."""
        return self._retune(now, tuning=False, target_mv=min(number(param, 1000, 99_999), 15_000))

    def _retune(self, now: Instant, **changes: Any) -> HttpResponse:
        before = self.setpoint
        self.conf = replace(self.conf, **changes)
        self.target_ns = now
        setpoint = self.setpoint
        idle = self.conf.stopped or setpoint == before  # stopped, the new target is for the next start
        return self._answer(then=None if idle else lambda done: self.unit.run("retune", done, setpoint=setpoint))

    # ---- reboot and the rest --------------------------------------------------------------------------------------

    def reboot(self, param: Any, now: Instant) -> HttpResponse:
        """Answer, then restart the control board, after the seconds given (none: at once)."""
        delay_ns = (0 if param is None else number(param, 0, LONGEST_DELAY_S)) * SECOND

        def then(done: Instant) -> None:
            self.stopping_state = "Rebooting"
            self.unit.run("reboot", done + self.knobs.reboot_after_ns + delay_ns)

        return self._answer(then=then)

    def softreboot(self, param: Any, now: Instant) -> HttpResponse:
        """Answer early, then restart the mining program; a stopped miner stays stopped. 4028 stays up."""
        delay_ns = (number(param, 0, LONGEST_DELAY_S) if param not in (None, "") else 0) * SECOND

        def then(done: Instant) -> None:
            at = done + delay_ns
            self.restart_process(at, at + self.knobs.program_start_ns, now)
            if not self.conf.stopped:
                self.stopping_state = "SoftRebooting"
                self.unit.run("restart", at)

        return self._answer(then=then)

    def identify(self, param: Any, now: Instant) -> HttpResponse:
        """The LED, on or off."""
        self.locate = flag(param)
        return self._answer()

    def set_password(self, param: Any, now: Instant) -> HttpResponse:
        """A new password."""
        self.password = text(param)
        return self._answer()

    def authenticate(self, param: Any, now: Instant) -> HttpResponse:
        """The password was right."""
        return self._answer()

    def clear_hashrate(self, param: Any, now: Instant) -> HttpResponse:
        """Forget the rates recorded so far."""
        self.cleared_ns = now
        return self._answer()

    def default_config(self, param: Any, now: Instant) -> HttpResponse:
        """Back to factory settings; a stopped miner starts."""
        was_stopped, before = self.conf.stopped, self.setpoint
        self.conf, self.target_ns = FACTORY, now
        script = "wake" if was_stopped else None if before == self.setpoint else "retune"
        if script is None:
            return self._answer()
        return self._answer(then=lambda done: self.unit.run(script, done, setpoint=self.setpoint))

    def enable_split(self, param: Any, now: Instant) -> HttpResponse:
        """hashratesplit/enable: off is what it is; on needs a configuration, and none is taken here."""
        if flag(param):
            raise RefusedError("Invalid hashrate split config")
        return self._answer()

    def refuse_split(self, param: Any, now: Instant) -> HttpResponse:
        """hashratesplit: more than one pool at a time is not emulated."""
        raise RefusedError("Invalid hashrate split config")


Command: TypeAlias = Callable[[EpicDevice, Any, Instant], HttpResponse]
LOGS = ("log", "log/error")
REPORTS = {
    **{
        name: name
        for name in (
            "summary", "capabilities", "network", "hashrate", "temps", "temps/chip", "clocks", "voltages", "history",
            "hashrate/history/continuous", "perpetualtune", "hashratesplit/config", "hashratesplit/status", "timezone",
        )
    },
    "ethernet": "network",
    "temps/board": "temps",
}  # fmt: skip
COMMANDS: dict[str, Command] = {
    "miner": EpicDevice.set_miner, "coin": EpicDevice.set_pools, "perpetualtune": EpicDevice.set_tuning,
    "perpetualtune/algo": EpicDevice.set_algorithm, "perpetualtune/reset": EpicDevice.reset_tuning,
    "tune": EpicDevice.set_clock_and_voltage, "tune/clock/all": EpicDevice.set_clock,
    "tune/voltage": EpicDevice.set_voltage, "reboot": EpicDevice.reboot, "softreboot": EpicDevice.softreboot,
    "identify": EpicDevice.identify, "password": EpicDevice.set_password, "authenticate": EpicDevice.authenticate,
    "clearhashrate": EpicDevice.clear_hashrate, "defaultconfig": EpicDevice.default_config,
    "hashratesplit": EpicDevice.refuse_split, "hashratesplit/enable": EpicDevice.enable_split,
}  # fmt: skip

FIRMWARE = Firmware(
    name="epic",
    title="ePIC PowerPlay",
    make="Antminer",
    models=MODELS,
    phases="epic",
    ports={API: 4028, WEB: 80},
    credentials=Credentials("", "letmein"),
    start=EpicDevice,
    knobs=Knobs(**values(FIGURES, "knobs")),
)
