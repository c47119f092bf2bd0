"""What LuxOS shows of its miner: rates over seven windows, modelled watts, a ladder of profiles.

Owns the names that `luxos.json` uses; state and commands are in `luxos.py`, figures with sources in `luxos.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, ClassVar

from emulator.catalogue import MinerModel, Phase
from emulator.wire import MINUTE
from firmware_mocks.miners.lazy import cached_property
from firmware_mocks.miners.readings import Readings, Window, clock_text
from firmware_mocks.miners.replies import figures, values

if TYPE_CHECKING:
    from firmware_mocks.miners.luxos import LuxDevice

FIGURES = figures(__package__, "luxos.toml")
METER = values(FIGURES, "meter")
LADDER = values(FIGURES, "ladder")
IMAGE = values(FIGURES, "image")


@dataclass(frozen=True, slots=True)
class Profile:
    """One rung: clock, board voltage, and the rate and wall power the firmware expects of it."""

    name: str
    step: int
    frequency_mhz: int
    voltage_v: float
    hash_ths: float
    watts: int


def ladder(model: MinerModel) -> tuple[Profile, ...]:
    """The built-in profiles of a model, slowest first: 16 steps below the default, 8 above."""
    return _ladder(model.id, model.frequency_mhz, model.voltage_v, model.nominal_ths, model.nominal_w)


def default_profile(model: MinerModel) -> Profile:
    """Step 0: what the board's EEPROM says."""
    return next(profile for profile in ladder(model) if profile.step == 0)


def watts_share(model: MinerModel, frequency_mhz: float) -> float:
    """Share of nominal power that the firmware's own polynomial gives for a clock."""
    scale = LADDER["watts_reference_mhz"] / model.frequency_mhz
    return _polynomial(frequency_mhz * scale) / _polynomial(LADDER["watts_reference_mhz"])


@cache
def _ladder(model_id: str, nominal_mhz: float, nominal_v: float, ths: float, watts: float) -> tuple[Profile, ...]:
    step_v = values(FIGURES, model_id).get("step_v", LADDER["step_v"])
    rungs = []
    for step in range(-LADDER["steps_down"], LADDER["steps_up"] + 1):
        mhz = round(nominal_mhz) + step * LADDER["step_mhz"]
        if mhz <= 0:
            continue
        volts = round(max(LADDER["min_v"], nominal_v + step * step_v), 2)
        scale = LADDER["watts_reference_mhz"] / nominal_mhz
        share = 1.0 if step == 0 else _polynomial(mhz * scale) / _polynomial(LADDER["watts_reference_mhz"])
        rate = ths if step == 0 else ths * mhz / nominal_mhz
        name = f"{mhz}MHz" if step else "default"  # the capture of an S19k Pro names step 0 so
        rungs.append(Profile(name, step, mhz, volts, round(rate, 1), round(watts * share)))
    return tuple(rungs)


def _polynomial(mhz: float) -> float:
    return float(LADDER["watts_square"] * mhz * mhz + LADDER["watts_linear"] * mhz + LADDER["watts_constant"])


class LuxReadings(Readings):
    """What LUXminer shows at one instant."""

    device: LuxDevice
    share_difficulty: int = 262_144  # LUXminer counts difficulty in whole numbers (S2: worked replies)
    windows: ClassVar[Mapping[str, Window]] = {
        "5s": Window(METER["tau_5s_ns"], exponential=True),
        "1m": Window(METER["tau_1m_ns"], exponential=True),
        "5m": Window(5 * MINUTE),
        "15m": Window(15 * MINUTE),
        "30m": Window(30 * MINUTE),
        "60m": Window(60 * MINUTE),
        "24h": Window(1440 * MINUTE),
        "av": Window(None),
    }
    noises = ("power",)
    sensor_rise = (1.0, 0.62, 0.60, 0.97)
    """Order top left, top right, bottom right, bottom left; exhaust is left (D: worked reply at 25 °C)."""
    chip_group = 4

    @cached_property
    def figures(self) -> dict[str, Any]:
        """Plain words of the image and of the model."""
        return IMAGE | values(FIGURES, self.model.id)

    @property
    def session(self) -> str:
        """Id of the active session, empty when there is none."""
        return self.device.session_id(self.now)

    @property
    def curtail_mode(self) -> str:
        """What config says of curtailment."""
        return "Sleep" if self.device.conf.asleep else "None"

    @property
    def is_psu_on(self) -> bool:
        """Whether the main output of the PSU feeds the boards."""
        return self.phase not in (Phase.OFF, Phase.SLEEP)

    @cached_property
    def watts(self) -> int:
        """Modelled wall power: the unit's model error and a little noise, renewed each second."""
        refresh_ns: int = METER["power_refresh_ns"]
        return round(self.modelled_w(max(0, self.now - self.now % refresh_ns), refresh_ns, METER["power_noise"]))

    @property
    def miner_id(self) -> str:
        """Twelve hexadecimal digits: the hardware address."""
        return self.host.mac.replace(":", "").lower()

    @property
    def broadcast(self) -> str:
        """Broadcast address of the rig's /16."""
        return ".".join([*self.host.address.split(".")[:2], "255", "255"])

    # ---- clock ----------------------------------------------------------------------------------------------------

    @property
    def frequency_mhz(self) -> int:
        """Clock of the profile, or the one that a power target leads to."""
        return super().frequency_mhz if self.device.conf.target_w is not None else self.device.profile.frequency_mhz

    @property
    def ideal_ghs(self) -> float:
        """Rate that the profile promises, or the set-point where it is not the profile's."""
        conf = self.device.conf
        off_ladder = conf.target_w is not None or bool(conf.board_mhz)
        return super().ideal_ghs if off_ladder else round(self.device.profile.hash_ths * 1e3, 2)

    def board_mhz(self, board: int) -> int:
        """Clock of one board; frequencyset gives it one of its own."""
        return dict(self.device.conf.board_mhz).get(board, self.frequency_mhz)

    # ---- boards and fans ------------------------------------------------------------------------------------------

    @property
    def slots(self) -> list[dict[str, Any]]:
        """The four board connectors; an empty one has zeros."""
        return self.four_slots("0")

    @property
    def dev_list(self) -> list[dict[str, Any]]:
        """One row a board with its own averages, in MH/s."""
        last_s = self.last_share_s
        common = {"last_share_unix_s": 0 if last_s is None else self.when - last_s}
        rows = []
        for row in self.board_list:
            share = row["share"]
            own = {
                "mhs": {name: round(ths * 1e6 * share, 1) for name, ths in self.rates_ths.items()},
                "nominal_mhs": round(self.ideal_ghs * 1e3 / self.model.boards, 1),
                "board_mh": round(self.total_mh * share, 1), "board_accepted": int(self.accepted * share),
                "board_diff1": int(self.difficulty_accepted * share),
                "board_utility": round(self.shares_per_min * share, 2), "connector": row["id"] + 5,
            }  # fmt: skip
            rows.append(row | common | own)
        return rows

    @property
    def temp_list(self) -> list[dict[str, Any]]:
        """One row a board with its four corners."""
        corners = ("tl", "tr", "br", "bl")
        return [{"id": row["id"], **dict(zip(corners, map(float, row["pcb"]), strict=True))} for row in self.board_list]

    @property
    def fan_percent(self) -> int:
        """Fan speed."""
        return round(100.0 * self.unit.fan_share(self.now))

    @property
    def fan_mode(self) -> str:
        """Whether the fans follow temperature."""
        return "Automatic" if self.device.conf.fan_percent < 0 else "Manual"

    @property
    def fan_list(self) -> list[dict[str, Any]]:
        """One row a fan."""
        return self.fan_rows(self.figures["full_rpm"])

    @property
    def board_voltage_v(self) -> float:
        """Voltage of the hash rail, 0 while it is off."""
        return self.device.profile.voltage_v if self.is_psu_on else 0.0

    def chips(self, board: int, chip: int | None) -> list[dict[str, Any]]:
        """One row a chip of `board`, or the one asked for; seven columns, as in the vendor's example."""
        wanted = range(self.model.chips_per_board) if chip is None else (chip,)
        share = self.character.board_share[board] / self.model.chips_per_board
        rates = {f"chip_ghs_{name}": round(self.rates_ths[name] * 1e3 * share, 2) for name in ("1m", "5m", "15m")}
        common = {"board": board, "mhz": self.board_mhz(board), **rates}
        return [{"chip": n, "column": n // 7, "row": n % 7, **common} for n in wanted]

    # ---- profiles and pools ---------------------------------------------------------------------------------------

    @property
    def profile_count(self) -> int:
        """Rungs of the ladder."""
        return len(ladder(self.model))

    @property
    def profile_list(self) -> list[dict[str, Any]]:
        """One row a profile."""
        rows = []
        for rung in ladder(self.model):
            row = {name: getattr(rung, name) for name in ("name", "frequency_mhz", "voltage_v", "hash_ths", "watts")}
            rows.append(row | {"step_text": f"{rung.step:+d}" if rung.step else "0", "is_default": rung.step == 0})
        return rows

    @property
    def slowest(self) -> Profile:
        """Lowest rung."""
        return ladder(self.model)[0]

    @property
    def fastest(self) -> Profile:
        """Highest rung."""
        return ladder(self.model)[-1]

    @property
    def profile_step(self) -> str:
        """Step of the present profile."""
        step = self.device.profile.step
        return f"{step:+d}" if step else "0"

    @property
    def group_count(self) -> int:
        """Pool groups."""
        return len(self.device.conf.groups)

    @property
    def group_list(self) -> list[dict[str, Any]]:
        """One row a group."""
        return [{"n": n, "name": name, "quota": quota} for n, (name, quota) in enumerate(self.device.conf.groups)]

    @property
    def pool_count(self) -> int:
        """Pools configured."""
        return len(self.device.pools)

    @property
    def pool_list(self) -> list[dict[str, Any]]:
        """One row a pool; all shares go to the active one, and asleep every pool is dead."""
        rows = []
        for n, pool in enumerate(self.device.pools):
            alive = pool.enabled and bool(pool.url) and not self.device.conf.asleep
            active = n == self.device.conf.active_pool
            row = {"n": n, "group": pool.group, "url": pool.url, "stratum": pool.url.partition("://")[2] or pool.url}
            row |= {"user": pool.user, "active": active and alive}
            row |= {"status": "Alive" if alive else "Dead" if pool.enabled else "Disabled"}
            if active and self.accepted:
                row |= {"diff": f"{self.share_difficulty / 1e3:.0f}K", "last_difficulty": self.share_difficulty}
                row |= {"last_share": clock_text(self.last_share_s)}
            else:
                row |= {"diff": "", "last_difficulty": 0, "last_share": "0"}
            if not active:
                row |= dict.fromkeys(("accepted", "rejected", "getworks", "best_share"), 0)
                row |= dict.fromkeys(("difficulty_accepted", "difficulty_rejected", "rejected_percent"), 0)
            rows.append(row)
        return rows
