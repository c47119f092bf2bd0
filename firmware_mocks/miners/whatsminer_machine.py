"""A WhatsMiner's control board: what its commands do, whichever of the two APIs they come by.

Owns the state in memory (stopped or not, trim, LED) and the choice of phase script for each command, so the three power
knobs and their three time scales stand here. Dialects are `whatsminer_v2.py` and `whatsminer_v3.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from emulator.catalogue import Phase
from emulator.seed import Seed
from emulator.wire import SECOND, Instant
from firmware_mocks.miners.base import HostInfo, MinerDevice, MinerUnit
from firmware_mocks.miners.whatsminer_access import Access, Doors
from firmware_mocks.miners.whatsminer_conf import (
    HEAT_MODES,
    MAX_POOLS,
    MODES,
    POWER,
    Conf,
    Pool,
    base_share,
    default_limit_w,
    is_liquid,
    speed_suffix,
)

Effect = Callable[[Instant], None]
MAX_WATTS = 99_999
LED_COLORS = ("red", "green")
MAX_TEXT = 255


@dataclass(frozen=True, slots=True)
class Knobs:
    """Parameters of the face; defaults, sources and grades are in the TOML file."""

    api_reply_ns: int
    v3_reply_ns: int
    power_off_ns: int
    process_stop_ns: int
    process_start_ns: int
    preheat_ns: int
    reboot_after_ns: int
    web_workers: int
    one_recv: bool
    asleep_style: str
    mode_answers: bool
    reboot_answers: bool
    v3_reply_style: str
    api_switch: bool
    password_changed: bool
    open_write_api: bool
    broken_error_list: bool
    token_life_ns: int
    token_clients: int
    tokens_per_client: int
    v3_clients: int
    error_codes: tuple[int, ...] = ()
    pool_urls: tuple[str, ...] = tuple(f"stratum+tcp://pool-{letter}.example:3333" for letter in "abc")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a command. `then` is called with the instant the reply leaves; without `answers` none does."""

    ok: bool = True
    then: Effect | None = None
    takes_ns: int = 0
    answers: bool = True
    said: Mapping[str, str] | None = None


DONE = Outcome()
REFUSED = Outcome(ok=False)


class WhatsMinerDevice(MinerDevice):
    """One WhatsMiner; its API is a program of its own and outlives the mining process (S2: disassembly of API 1.3)."""

    __slots__ = ("_busy_ns", "_stops", "_trims", "_warm_ns", "access", "conf", "knobs", "led", "percent", "stopped_ns")

    api_port = 0

    def __init__(self, unit: MinerUnit, host: HostInfo, seed: Seed, ports: tuple[int, ...], knobs: Knobs) -> None:
        super().__init__(unit, host, seed, ports, knobs.web_workers)
        self.knobs = knobs
        self.conf = Conf()
        doors = Doors(switch=knobs.api_switch, changed=knobs.password_changed)
        self.access = Access(seed / "access", doors, knobs.token_clients, knobs.tokens_per_client, knobs.token_life_ns)
        self.led = "auto"
        self.percent: int | None = None
        self.stopped_ns: Instant | None = None
        self._warm_ns: Instant | None = None
        self._busy_ns: Instant = -1
        self._stops = self._trims = 0

    @property
    def pools(self) -> tuple[Pool, ...]:
        """All pools, in order of priority."""
        if self.conf.pools is not None:
            return self.conf.pools
        return tuple(Pool(url, f"farm.{self.host.hostname}") for url in self.knobs.pool_urls)

    @property
    def is_stopped(self) -> bool:
        """Whether mining is switched off by a command."""
        return self.stopped_ns is not None

    def is_down(self, now: Instant) -> bool:
        """Whether there is no mining process that the API could ask."""
        return self.process_since_ns(now) is None or (self.is_stopped and self.knobs.asleep_style == "error")

    def is_tuned(self, now: Instant) -> bool:
        """Whether the up-frequency run is over: only then a trim is taken."""
        return not self.is_stopped and now > self._busy_ns and self.unit.phase(now) is Phase.HASHING

    def is_warm(self, now: Instant) -> bool:
        """Whether pre-heating has gone on for long enough."""
        return self._warm_ns is not None and now - self._warm_ns >= self.knobs.preheat_ns

    def _booted(self) -> None:
        self.led = "auto"
        self.percent = self._warm_ns = None
        self.stopped_ns = None if self.conf.init else self.boot_ns
        self.access.forget()

    # ---- on and off -----------------------------------------------------------------------------------------------

    def stop(self, now: Instant, reply_first: bool = True) -> Outcome:
        """Cut the hash boards; the control board stays. Without `reply_first` the answer comes when it is done."""
        if self.is_stopped and self._warm_ns is None:
            return DONE
        self.stopped_ns, self.percent, self._warm_ns = now, None, None
        cools = self.conf.poweroff_cool and not is_liquid(self.unit.model)
        script = "sleep" if cools else "sleep_no_cool"
        takes_ns = 0 if reply_first else self.knobs.power_off_ns
        lag_ns = self._random_stop_ns() - takes_ns
        return Outcome(then=lambda done: self.unit.run(script, done + lag_ns), takes_ns=takes_ns)

    def start(self, now: Instant) -> Outcome:
        """Mine again: rail on, chips found, up-frequency run; in a minute after pre-heating or with fast boot."""
        if not self.is_stopped:
            return DONE
        suffix = "_fast" if self.is_warm(now) else speed_suffix(self.conf)
        self.stopped_ns = self.percent = self._warm_ns = None

        def then(done: Instant) -> None:
            self.restart_process(done, done + self.knobs.process_start_ns, now)
            self._run(f"wake{suffix}", done)

        return Outcome(then=then)

    def restart(self, now: Instant, answers: bool = True) -> Outcome:
        """Restart the mining process, which starts a stopped miner too."""
        if self.is_stopped:
            return replace(self.start(now), answers=answers)
        self.percent = None
        return Outcome(then=lambda done: self._restart(f"restart{speed_suffix(self.conf)}", done, now), answers=answers)

    def reboot(self, now: Instant) -> Outcome:
        """Restart the control board; then the miner mines, unless its mining service does not start by itself."""
        script = f"reboot{speed_suffix(self.conf)}" if self.conf.init else "reboot"
        wait_ns = self.knobs.reboot_after_ns
        return Outcome(then=lambda done: self._run(script, done + wait_ns), answers=self.knobs.reboot_answers)

    def preheat(self, now: Instant) -> Outcome:
        """Warm the chips of a stopped miner; says whether that is done."""
        if not self.is_stopped:
            return Outcome(said={"complete": "true", "msg": "adjust complete"})
        if self._warm_ns is None:
            self._warm_ns = now
            waiting = {"complete": "false", "msg": "wait for adjust temp"}
            return Outcome(then=lambda done: self.unit.run("preheat", done), said=waiting)
        done = self.is_warm(now)
        word = "complete" if done else "continue"
        return Outcome(said={"complete": str(done).lower(), "msg": f"adjust {word}"})

    def set_init(self, on: bool, now: Instant) -> Outcome:
        """Whether mining starts by itself after a boot; not taken while the miner is on its way up."""
        if not self.is_stopped and not self.is_tuned(now):
            return REFUSED
        self.conf = replace(self.conf, init=on)
        script = f"init_{'on' if on else 'off'}{'_stopped' if self.is_stopped else ''}"
        return DONE if self._warm_ns is not None else Outcome(then=lambda done: self.unit.run(script, done))

    # ---- power, slow: a restart -----------------------------------------------------------------------------------

    def set_limit(self, watts: int | None, now: Instant) -> Outcome:
        """Store a power limit, at most the factory's, and restart to apply it: collapse, then a slow climb."""
        if watts is None or not 0 <= watts <= MAX_WATTS:
            return REFUSED
        limit_w = min(watts, default_limit_w(self.unit.model))
        self.conf = replace(self.conf, limit_w=limit_w or None)  # 0 means none (S2)
        self.percent = None
        if self.is_stopped:
            return DONE
        script = self._limit_script(now)
        return Outcome(then=lambda done: self._restart(script, done, now))

    def _limit_script(self, now: Instant) -> str:
        before, after = self.unit.setpoint(now), self._share
        if self.unit.phase(now) not in (Phase.HASHING, Phase.RETUNE):
            return f"restart{speed_suffix(self.conf)}"  # on its way up: the run begins anew
        if after < POWER["collapse_share"]:
            return "limit_floor"
        if before < POWER["lift_share"]:
            return "limit_lift"
        return "limit_down" if after < before else "retune"

    def set_target_freq(self, percent: int | None, now: Instant) -> Outcome:
        """Aim at another clock, in percent of nominal; up only with liquid cooling. Restarts."""
        highest = 100 if is_liquid(self.unit.model) else 0
        if percent is None or not -100 <= percent <= highest:
            return REFUSED
        self.conf = replace(self.conf, freq_percent=percent)
        return DONE if self.is_stopped else self.restart(now)

    def set_mode(self, mode: object, now: Instant) -> Outcome:
        """Low, normal or high power. Restarts; often the connection just ends."""
        if mode not in MODES:
            return REFUSED
        self.conf = replace(self.conf, mode=str(mode))
        if self.is_stopped:
            return Outcome(answers=self.knobs.mode_answers)
        return self.restart(now, answers=self.knobs.mode_answers)

    # ---- power, fast and gradual: no restart ----------------------------------------------------------------------

    def trim(self, percent: int | None, fast: bool, now: Instant) -> Outcome:
        """Go to a percentage of the stable power: within a second and roughly, or in minutes. Lost on restart.

        Refused before the up-frequency run is over. Too low a percentage makes the miner restart.
        """
        liquid = is_liquid(self.unit.model)
        lowest, highest = (0, 100) if fast else (1, 200 if liquid else 100)
        modes = ("normal",) if fast else MODES if liquid else ("low", "normal")
        if percent is None or not lowest <= percent <= highest or self.conf.mode not in modes or not self.is_tuned(now):
            return REFUSED
        if percent < POWER["trim_lowest_percent"]:
            return self.restart(now)
        self.percent = percent
        self._trims += 1
        miss = float((self.seed / "trim").normals(1, start=self._trims)[0]) * POWER["trim_miss"] if fast else 0.0
        share = self._share * percent / 100.0 * (1.0 + (miss if percent < 100 else 0.0))
        script = "trim" if fast else "trim_slow"
        return Outcome(then=lambda done: self.unit.run(script, done, setpoint=share))

    def restore_trim(self, now: Instant) -> Outcome:
        """Back to the stable power, without a restart."""
        return DONE if self.percent is None else self.trim(100, False, now)

    def set_watts(self, watts: int | None, now: Instant) -> Outcome:
        """Draw so many watts: at once if the up-frequency run is over, else from the next start on."""
        if watts is None or not 0 < watts <= default_limit_w(self.unit.model):
            return REFUSED
        self.conf = replace(self.conf, watts=watts)
        if not self.is_tuned(now):
            return DONE
        self.percent = None
        return Outcome(then=lambda done: self._run("watts", done))

    # ---- settings -------------------------------------------------------------------------------------------------

    def set_upfreq_speed(self, speed: int | None, fastest: int) -> Outcome:
        """Speed of the next up-frequency run, 0 to `fastest`; ends fast boot, which excludes it."""
        if speed is None or not 0 <= speed <= fastest:
            return REFUSED
        self.conf = replace(self.conf, upfreq_speed=speed, fast_boot=False)
        return DONE

    def set_fast_boot(self, on: bool) -> Outcome:
        """Full power first, from the next start on."""
        self.conf = replace(self.conf, fast_boot=on)
        return DONE

    def set_heat_mode(self, mode: object) -> Outcome:
        """Heating for liquid-cooled machines; kept and shown."""
        if mode not in HEAT_MODES or not is_liquid(self.unit.model):
            return REFUSED
        return self.keep(heat_mode=mode)

    def set_temp_offset(self, offset: int | None) -> Outcome:
        """Offset of the fan control's target, -30 to 0 K; kept and shown, physics keeps its own fans."""
        if offset is None or not -30 <= offset <= 0 or is_liquid(self.unit.model):
            return REFUSED
        return self.keep(temp_offset=offset)

    def set_flag(self, name: str, number: int | None) -> Outcome:
        """A setting that is 0 or 1."""
        return REFUSED if number not in (0, 1) else self.keep(**{name: bool(number)})

    def set_led(self, lights: object) -> Outcome:
        """ "auto", or a list of flashing patterns."""
        if lights == "auto":
            self.led = "auto"
            return DONE
        rows = lights if isinstance(lights, list) and 0 < len(lights) <= 2 else []
        if not rows or not all(_is_light(row) for row in rows):
            return REFUSED
        self.led = "manual"
        return DONE

    def set_pools(self, pools: list[Pool]) -> Outcome:
        """Up to three pools, used at once. The firmware keeps places without a URL out."""
        given = tuple(pool for pool in pools if pool.url)
        texts = [text for pool in given for text in (pool.url, pool.user, pool.password)]
        if not given or len(given) > MAX_POOLS or not all(len(text) <= MAX_TEXT for text in texts):
            return REFUSED
        return self.keep(pools=given)

    def keep(self, **changes: Any) -> Outcome:
        """Write settings that are only kept and shown."""
        self.conf = replace(self.conf, **changes)
        return DONE

    def restore_setting(self, now: Instant) -> Outcome:
        """Power settings back to the factory's, then a restart."""
        fresh = Conf()
        names = ("limit_w", "watts", "mode", "freq_percent", "upfreq_speed", "fast_boot", "fast_hash", "heat_mode")
        self.conf = replace(self.conf, **{name: getattr(fresh, name) for name in names})
        return DONE if self.is_stopped else self.restart(now)

    def factory_reset(self, now: Instant) -> Outcome:
        """Everything back to the factory's, the API switch off, then a reboot."""
        self.conf, self.led = Conf(), "auto"
        self.access.reset()
        wait_ns = self.knobs.reboot_after_ns
        return Outcome(then=lambda done: self._run("factory_reset", done + wait_ns))

    # ---- effects --------------------------------------------------------------------------------------------------

    @property
    def _share(self) -> float:
        return base_share(self.unit.model, self.conf)

    def _run(self, script: str, at: Instant) -> None:
        self._busy_ns = at
        self.unit.run(script, at, setpoint=self._share)

    def _restart(self, script: str, done: Instant, now: Instant) -> None:
        stops = done + self.knobs.process_stop_ns
        self.restart_process(stops, stops + self.knobs.process_start_ns, now)
        self._run(script, done)

    def _random_stop_ns(self) -> int:
        self._stops += 1
        draw = float((self.seed / "random-stop").uniforms(1, start=self._stops)[0])
        return round(draw * self.conf.random_stop_s * SECOND)


def _is_light(row: object) -> bool:
    if not isinstance(row, dict) or row.get("color") not in LED_COLORS:
        return False
    return all(isinstance(row.get(key), int) and row[key] >= 0 for key in ("period", "duration", "start"))
