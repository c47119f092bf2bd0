"""Braiins OS on Antminers: the public API over gRPC and REST, GraphQL, the socket on 4028, and the pages on port 80.

Owns this firmware's state (configuration, pause, BOSminer process, tuner, tokens) and what becomes of the miner; what
calls say is in `braiins_calls.py` and `braiins_socket.py`, what is shown in `braiins_readings.py`, figures in the TOML.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from emulator.seed import Seed
from emulator.wire import Conversation, Instant
from firmware_mocks.miners.base import API, WEB, Credentials, Firmware, HostInfo, Lanes, MinerDevice, MinerUnit
from firmware_mocks.miners.braiins_calls import grpc_app
from firmware_mocks.miners.braiins_conf import (
    FACTORY,
    FIGURES,
    HASHRATE,
    MANUAL,
    POWER,
    SAVE,
    TUNER,
    Conf,
    Group,
    Pool,
    limits,
    setpoint,
    target_ths,
    target_w,
    uid,
)
from firmware_mocks.miners.braiins_socket import ONE_RECV, PATIENT
from firmware_mocks.miners.braiins_web import serve
from firmware_mocks.miners.cgminer import ApiConversation
from firmware_mocks.miners.grpc import GrpcConversation
from firmware_mocks.miners.http import HttpConversation, HttpRequest, HttpResponse
from firmware_mocks.miners.replies import values
from firmware_mocks.miners.tokens import Tokens

GRPC = "grpc"
CREDENTIALS = Credentials("root", "root")
Then = Callable[[Instant], None]
MOST_PROFILES = 64
"""Tuned profiles that are kept. estimate: a bound on memory"""
_NEVER = 1 << 62
_RAMPS_S = {1: "_1", 6: "", 15: "_15", 30: "_30", 60: "_60", 120: "_120", 300: "_300"}
"""Ramp times the phase scripts know; a configured time takes the nearest."""


@dataclass(frozen=True, slots=True)
class Knobs:
    """Parameters of the face; defaults, sources and grades are in the TOML file."""

    api_reply_ns: int
    rest_reply_ns: int
    grpc_reply_ns: int
    workers: int
    token_life_ns: int
    process_stop_ns: int
    process_start_ns: int
    reboot_after_ns: int
    pause_settles_ns: int
    tuning_ns: int
    one_recv: bool
    paused_style: str
    increments_apply: bool
    password: str = CREDENTIALS.password
    pool_urls: tuple[str, ...] = ("stratum+tcp://pool-a.example:3333", "stratum+tcp://pool-b.example:3333")


class BraiinsDevice(MinerDevice):
    """One Antminer under Braiins OS. `saved` is the configuration file, `conf` what BOSminer runs with."""

    __slots__ = (
        "_profiles", "_tuning", "conf", "grpc_lanes", "knobs", "light", "password", "paused_ns", "saved", "sessions",
        "tokens",
    )  # fmt: skip

    api_port = 0  # BOSer keeps the socket open while BOSminer is away

    def __init__(self, unit: MinerUnit, host: HostInfo, seed: Seed, knobs: Knobs) -> None:
        super().__init__(unit, host, seed, tuple(FIRMWARE.ports.values()), knobs.workers)
        self.knobs = knobs
        self.saved = self.conf = FACTORY
        self.password: str | None = knobs.password
        self.light = False
        self.paused_ns: Instant | None = None
        self.tokens = Tokens(seed / "token", knobs.token_life_ns)
        self.sessions = Tokens(seed / "session", knobs.token_life_ns)
        self.grpc_lanes = Lanes(knobs.workers)
        default = (POWER, float(limits(unit.model).power_w[0]))
        self._profiles = {default: -round(TUNER["profile_age_s"] * 1e9)}
        self._tuning: tuple[tuple[str, float], Instant] | None = None

    def _open(self, port: int, peer: str, now: Instant) -> Conversation:
        if port == FIRMWARE.ports[API]:
            return ApiConversation(self, ONE_RECV if self.knobs.one_recv else PATIENT)
        if port == FIRMWARE.ports[GRPC]:
            return GrpcConversation(self, grpc_app(self), port, self.grpc_lanes)
        return HttpConversation(self, self._serve_web, port, "nginx")  # Server header: estimate

    def _serve_web(self, request: HttpRequest, now: Instant) -> HttpResponse:
        return serve(self, request, now)

    def _booted(self) -> None:
        self.conf = self.saved
        self.paused_ns = self._tuning = None
        self.light = False
        self.tokens.forget()
        self.sessions.forget()

    # ---- configuration --------------------------------------------------------------------------------------------

    def groups(self, conf: Conf) -> tuple[Group, ...]:
        """Pool groups of a configuration; the factory's when it names none."""
        if conf.groups is not None:
            return conf.groups
        user = f"farm.{self.host.hostname}"
        named = enumerate(self.knobs.pool_urls)
        pools = tuple(Pool(uid(self.seed / "pool" / n), url, user, "x") for n, url in named)
        return (Group("0", "default", pools),)

    def is_running(self, now: Instant) -> bool:
        """Whether BOSminer runs."""
        return self.process_since_ns(now) is not None

    def apply(self, conf: Conf, action: int, now: Instant) -> Then | None:
        """Write a configuration and, unless it is only to be saved, let BOSminer follow; what starts at the reply."""
        self.saved = conf
        if action == SAVE:
            return None
        before, self.conf = self.conf, conf
        goal = _goal(conf, self.unit)
        if goal == _goal(before, self.unit) and conf.boards_off == before.boards_off:
            return None

        def then(done: Instant) -> None:
            if self.paused_ns is None and self.is_running(now):
                hashing = self.unit.mining_since_ns(now) is not None
                self.unit.run("retune" if self._tune(done) or not hashing else "retune_new", done, setpoint=self._share)
            else:
                self._tuning = None

        return then

    @property
    def _share(self) -> float:
        return setpoint(self.conf, self.unit.model)

    # ---- tuner ----------------------------------------------------------------------------------------------------

    def profiles(self, now: Instant) -> dict[tuple[str, float], Instant]:
        """Tuned profiles: (mode, target) and when each was made."""
        if self._tuning is not None and now >= self._tuning[1]:
            goal, made_ns = self._tuning
            self._tuning = None
            self._profiles[goal] = made_ns
            while len(self._profiles) > MOST_PROFILES:
                del self._profiles[next(iter(self._profiles))]
        return self._profiles

    def is_tuning(self, now: Instant) -> bool:
        """Whether the tuner works on a target it has no profile for."""
        self.profiles(now)
        return self._tuning is not None

    def forget_profiles(self) -> None:
        """Remove all tuned profiles."""
        self._profiles.clear()

    def _tune(self, at: Instant) -> bool:
        """Begin to tune for the present target unless a profile is there, or the tuner is off; whether it is."""
        goal = _goal(self.conf, self.unit)
        ready = self.conf.mode == MANUAL or goal in self.profiles(at)
        self._tuning = None if ready else (goal, at + self.knobs.tuning_ns)
        return ready

    # ---- actions --------------------------------------------------------------------------------------------------

    def pause(self, now: Instant) -> Then | None:
        """Stop hashing, BOSminer goes on; None when it is paused already. A pause does not survive a restart."""
        if self.paused_ns is not None:
            return None

        def then(done: Instant) -> None:
            self.profiles(done)
            self.paused_ns, self._tuning = done, None
            self.unit.run(f"sleep{_ramp(self.conf.down_s)}", done)

        return then

    def resume(self, now: Instant) -> Then | None:
        """Hash again; None when it does."""
        if self.paused_ns is None:
            return None

        def then(done: Instant) -> None:
            self.paused_ns = None
            self._tune(done)
            self.unit.run(f"wake{_ramp(self.conf.up_s)}", done, setpoint=self._share)

        return then

    def stop(self, now: Instant) -> Then | None:
        """End BOSminer; None when it has ended, or is about to."""
        if not self.is_running(now) or self._since_ns == _NEVER:
            return None

        def then(done: Instant) -> None:
            if self.paused_ns is None:
                self.unit.run("stop", done)
            self.restart_process(done + self.knobs.process_stop_ns, _NEVER, now)
            self.paused_ns = self._tuning = None

        return then

    def start(self, now: Instant) -> Then | None:
        """Start BOSminer; None when it runs, and is not about to end."""
        if self.is_running(now) and self._since_ns != _NEVER:
            return None

        def then(done: Instant) -> None:
            self.conf = self.saved
            ends = self._ends_ns if self.is_running(now) else 0
            self.restart_process(ends, max(done, ends) + self.knobs.process_start_ns, now)
            self._tune(done)
            self.unit.run("start", done, setpoint=self._share)

        return then

    def restart(self, now: Instant) -> Then:
        """End BOSminer and start it again; it comes back with the saved configuration, and hashing."""
        start = self.start(now)
        if start is not None:
            return start

        def then(done: Instant) -> None:
            self.conf, self.paused_ns = self.saved, None
            ends = done + self.knobs.process_stop_ns
            self.restart_process(ends, ends + self.knobs.process_start_ns, now)
            self._tune(done)
            self.unit.run("restart", done, setpoint=self._share)

        return then

    def reboot(self, now: Instant) -> Then:
        """Restart the control board a moment after the reply."""
        return lambda done: self.unit.run(
            "reboot", done + self.knobs.reboot_after_ns, setpoint=setpoint(self.saved, self.unit.model)
        )


FIRMWARE = Firmware(
    name="braiins",
    title="Braiins OS",
    make="Antminer",
    models=frozenset({"s19j_pro", "s19_xp", "s19k_pro", "s21"}),
    phases="braiins",
    ports={API: 4028, WEB: 80, GRPC: 50051},
    credentials=CREDENTIALS,
    start=BraiinsDevice,
    knobs=Knobs(**values(FIGURES, "knobs")),
)


def _goal(conf: Conf, unit: MinerUnit) -> tuple[str, float]:
    """What the tuner is to reach: mode and target; in manual mode the clocks' share of power stands for them."""
    if conf.mode == HASHRATE:
        return HASHRATE, target_ths(conf, unit.model)
    return (MANUAL, setpoint(conf, unit.model)) if conf.mode == MANUAL else (POWER, float(target_w(conf, unit.model)))


def _ramp(configured_s: int | None) -> str:
    """Name of the phase script's variant for a configured ramp time."""
    return "" if configured_s is None else _RAMPS_S[min(_RAMPS_S, key=lambda known: abs(known - configured_s))]
