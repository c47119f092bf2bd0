"""Canaan's firmware on Avalon miners: the cgminer socket for one caller at a time, and `ascset` with its verbs.

Owns this vendor's state (configuration, soft-off, pools in use) and the reports; the verbs are in `avalon_ascset.py`,
what is shown in `avalon_readings.py`, replies in `avalon.json`, figures with sources in `avalon.toml`.
"""

from __future__ import annotations

from dataclasses import replace

from emulator.seed import Seed
from emulator.wire import Conversation, Instant, Reach
from firmware_mocks.miners.avalon_ascset import ascset
from firmware_mocks.miners.avalon_conf import FACTORY, FIGURES, MODELS, MODES, Conf, Knobs, Pools
from firmware_mocks.miners.avalon_readings import TEMPLATES, AvalonReadings
from firmware_mocks.miners.base import API, Credentials, Firmware, HostInfo, MinerDevice, MinerUnit
from firmware_mocks.miners.cgminer import Command, Dialect, Handler, Reply, Request, render
from firmware_mocks.miners.readings import HASH_EXPONENT
from firmware_mocks.miners.replies import values
from firmware_mocks.miners.turnstile import QueuedConversation, Turnstile

REPORTS = (
    "version", "summary", "devs", "devdetails", "pools", "estats", "litestats", "config", "coin", "asccount",
)  # fmt: skip
SLOW = ("estats", "stats", "litestats")
DENIED = (
    "addpool", "removepool", "switchpool", "enablepool", "disablepool", "poolpriority", "poolquota", "save", "quit",
    "privileged", "notify", "setconfig", "zero", "debug", "ascenable", "ascdisable", "ascidentify", "failover-only",
)  # fmt: skip
MOST_SWITCHES = 16


class AvalonDevice(MinerDevice):
    """One Avalon."""

    __slots__ = (
        "_new_boot", "_running", "_switches", "conf", "knobs", "led", "running_pools", "text_tail", "turns_away",
        "turnstile",
    )  # fmt: skip

    def __init__(self, unit: MinerUnit, host: HostInfo, seed: Seed, knobs: Knobs) -> None:
        super().__init__(unit, host, seed, tuple(FIRMWARE.ports.values()))
        self.knobs = knobs
        self.conf = self._running = FACTORY
        self.led = False
        self.turnstile = Turnstile()
        self.turns_away = knobs.when_busy == "reset"
        self.text_tail = knobs.text_tail.encode()
        self.running_pools = self.pools
        self._switches: list[tuple[Instant, bool]] = []
        self._new_boot = False

    @property
    def pools(self) -> Pools:
        """The pools as configured; those in use change at the next start."""
        if self.conf.pools is not None:
            return self.conf.pools
        return tuple((url, f"farm.{self.host.hostname}", "x") for url in self.knobs.pool_urls)

    @property
    def password(self) -> str:
        """What setpool and password ask for."""
        return self.conf.password or FIRMWARE.credentials.password

    def reach(self, port: int, now: Instant) -> Reach:
        """As any control board; the first look after a boot puts the configuration into force."""
        reach = super().reach(port, now)
        if self._new_boot:
            self._new_boot = False
            self.retune(now)
        return reach

    def _open(self, port: int, peer: str, now: Instant) -> Conversation:
        return QueuedConversation(self, ONE_RECV if self.knobs.one_recv else PATIENT)

    def _booted(self) -> None:
        self.led = False
        self.turnstile.clear()
        self._take_over()
        self._switches = [switch for switch in self._switches if switch[0] > (self.boot_ns or 0)]
        self._new_boot = True

    def _take_over(self) -> None:
        """A start makes the configuration the one in force."""
        self._running = self.conf
        self.running_pools = self.pools

    # ---- power ----------------------------------------------------------------------------------------------------

    def is_soft_off(self, now: Instant) -> bool:
        """Whether the boards are switched off at `now`."""
        return next((off for at, off in reversed(self._switches) if at <= now), False)

    def switch(self, off: bool, at: Instant) -> None:
        """Switch the boards off or on at `at`; what is so already stays so."""
        if self.is_soft_off(at) == off:
            return
        self._switches = sorted([*self._switches, (at, off)], key=lambda switch: switch[0])[-MOST_SWITCHES:]
        self.unit.run("sleep" if off else "wake", at)

    def setpoint(self) -> float:
        """Share of nominal power that the configuration in force asks for."""
        conf = self._running
        return float(MODES[f"power_{conf.mode}"]) * self._level(conf) * conf.clock_share * conf.voltage_share**2

    def hash_share(self) -> float:
        """Share of nominal hash rate, and of the clock, that goes with it."""
        conf = self._running
        return float(MODES[f"clock_{conf.mode}"]) * float(self._level(conf) ** HASH_EXPONENT) * conf.clock_share

    def _level(self, conf: Conf) -> float:
        return 1.0 + float(MODES["level_step"]) * conf.level

    def configure(self, conf: Conf, done: Instant, *, at_once: bool) -> None:
        """Keep a new configuration, and let the miner follow it now or at its next start."""
        self.conf = conf
        if at_once:
            kept = replace(conf, mode=self._running.mode) if self.knobs.mode_needs_reboot else conf
            self._running = kept
            self.retune(done)

    def retune(self, at: Instant) -> None:
        """Let the boards follow the configuration in force, if they do not already."""
        if self.unit.setpoint(at) != self.setpoint():
            self.unit.run("retune", at, setpoint=self.setpoint(), hash_share=self.hash_share())

    def reboot(self, at: Instant) -> None:
        """Restart the control board."""
        self._take_over()
        self.unit.run("reboot", at, setpoint=self.setpoint(), hash_share=self.hash_share())

    def restart(self, request: Request, now: Instant) -> Reply:
        """Answer, then restart cgminer: boards, averages, uptime begin anew, soft-off is forgotten (estimate)."""

        def then(done: Instant) -> None:
            stops = done + self.knobs.process_stop_ns
            self.restart_process(stops, stops + self.knobs.process_start_ns, now)
            self._take_over()
            self._switches = [(at, off) for at, off in self._switches if at > stops]
            self.unit.run("restart", done, setpoint=self.setpoint(), hash_share=self.hash_share())

        return Reply("S", 0, "", bare="RESTART", then=then)

    # ---- reports --------------------------------------------------------------------------------------------------

    def report(self, name: str, now: Instant) -> Reply:
        """A plain report; the long ones are slow."""
        readings = AvalonReadings(self, now)
        reply = render(TEMPLATES[name], readings)
        if name == "stats":
            pools = [TEMPLATES["pool_stats"].body(readings, row) for row in readings.pool_list]
            reply = replace(reply, sections={"STATS": [*reply.sections["STATS"], *pools]})
        return replace(reply, takes_ns=self.knobs.stats_reply_ns if name in SLOW else 0)

    def check(self, request: Request, now: Instant) -> Reply:
        """Whether a command exists, and whether this caller may use it."""
        command = COMMANDS.get(request.parameter)
        row = {"exists": "N" if command is None else "Y"}
        row |= {"access": "N" if command is None or command.denied else "Y"}
        return render(TEMPLATES["check"], AvalonReadings(self, now), row=row)


def _report(name: str) -> Handler[AvalonDevice]:
    return lambda device, _request, now: device.report(name, now)


COMMANDS: dict[str, Command[AvalonDevice]] = {name: Command(_report(name)) for name in (*REPORTS, "stats")}
COMMANDS["edevs"] = COMMANDS["devs"]
COMMANDS["check"] = Command(AvalonDevice.check, joinable=False)
COMMANDS["restart"] = Command(AvalonDevice.restart, joinable=False)
COMMANDS["ascset"] = Command(ascset, joinable=False)
COMMANDS |= {name: Command(_report("version"), denied=True) for name in DENIED}

_KNOBS = values(FIGURES, "knobs")
ONE_RECV = Dialect("cgminer 4.11.1", COMMANDS, service_ns=_KNOBS["api_reply_ns"], when_since_boot=True)
PATIENT = replace(ONE_RECV, one_recv=False)

FIRMWARE = Firmware(
    name="avalon",
    title="Canaan Avalon firmware",
    make="Avalon",
    models=MODELS,
    phases="avalon",
    ports={API: 4028},
    credentials=Credentials("root", "root"),
    start=AvalonDevice,
    knobs=Knobs(**_KNOBS),
)
