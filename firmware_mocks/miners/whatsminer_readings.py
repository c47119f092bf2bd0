"""What btminer and its APIs show of a WhatsMiner: rates over six windows, the PSU's watts, boards, pools.

Owns the names that `whatsminer.json` and `whatsminer_v3.json` use; state and commands are in `whatsminer_machine.py`,
figures with sources in `whatsminer.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from emulator.catalogue import Phase
from emulator.wire import MINUTE, SECOND, Instant
from firmware_mocks.miners.lazy import cached_property
from firmware_mocks.miners.readings import Readings, Window
from firmware_mocks.miners.replies import values
from firmware_mocks.miners.whatsminer_conf import (
    FIGURES,
    default_limit_w,
    identity,
    is_liquid,
    shown_limit_w,
    target_clock,
)

if TYPE_CHECKING:
    from firmware_mocks.miners.whatsminer_machine import WhatsMinerDevice

METER = values(FIGURES, "meter")
REASONS = values(FIGURES, "reasons")
_CHIP_PARTS = {name: METER[f"chip_{name}"] for name in ("min", "avg", "max")}
_RAIL_OFF = (Phase.OFF, Phase.SLEEP)


class WhatsMinerReadings(Readings):
    """What the firmware shows at one instant."""

    device: WhatsMinerDevice
    windows: ClassVar[Mapping[str, Window]] = {
        "5s": Window(METER["tau_5s_ns"], exponential=True),
        "1m": Window(METER["tau_1m_ns"], exponential=True),
        "5m": Window(METER["tau_5m_ns"], exponential=True),
        "15m": Window(METER["tau_15m_ns"], exponential=True),
        "rt": Window(METER["tau_rt_ns"], exponential=True),
        "av": Window(None),
    }
    noises = ("power",)
    share_difficulty = 131_072.0

    @cached_property
    def image(self) -> dict[str, Any]:
        """Plain words and figures of the model's image."""
        return identity(self.model.id)

    @property
    def miner_type(self) -> str:
        """The model as the API spells it: M50S_VH35."""
        return f"{self.model.name}_{self.model.variant}"

    @property
    def hash_board(self) -> str:
        """Type of the hash board: the variant without its V."""
        return self.model.variant.removeprefix("V")

    @property
    def uptime_s(self) -> int:
        """Age of the control board's run."""
        return (self.now - (self.device.boot_ns or 0)) // SECOND

    @property
    def hostname(self) -> str:
        """Name of the host."""
        return self.device.conf.hostname or self.host.hostname

    @property
    def proto(self) -> str:
        """How the address was got."""
        return dict(self.device.conf.network).get("proto", "dhcp")

    # ---- rates ----------------------------------------------------------------------------------------------------

    @cached_property
    def mhs(self) -> dict[str, float]:
        """Every window in MH/s."""
        return {name: round(ths * 1e6, 2) for name, ths in self.rates_ths.items()}

    @cached_property
    def ths(self) -> dict[str, float]:
        """Every window in TH/s."""
        return {name: round(ths, 3) for name, ths in self.rates_ths.items()}

    @property
    def factory_ghs(self) -> int:
        """Nameplate in GH/s."""
        return round(self.model.nominal_ths * 1e3)

    @property
    def factory_ths(self) -> float:
        """Nameplate in TH/s."""
        return self.model.nominal_ths

    @property
    def target_mhs(self) -> int:
        """Rate aimed at, MH/s."""
        return round(self.model.nominal_ths * 1e6 * max(0.0, target_clock(self.device.conf)))

    @property
    def target_mhz(self) -> int:
        """Clock aimed at."""
        return round(self.model.frequency_mhz * max(0.0, target_clock(self.device.conf)))

    @cached_property
    def freq_avg(self) -> int:
        """Present clock: goes with the rate."""
        return round(self.model.frequency_mhz * self.unit.hash_ths(self.now) / self.model.nominal_ths)

    @property
    def is_tuned(self) -> bool:
        """Whether the up-frequency run is over."""
        return self.phase is Phase.HASHING

    @property
    def upfreq_complete(self) -> int:
        """The same as 0 or 1."""
        return int(self.is_tuned)

    @property
    def stable_cost_s(self) -> int:
        """How long the up-frequency run took; 0 while it lasts."""
        since = self.unit.mining_since_ns(self.now)
        return 0 if since is None or not self.is_tuned else max(0, since - self.since_ns) // SECOND

    @property
    def deviation_percent(self) -> float:
        """Rate against the one aimed at; 0 during the run."""
        return round(100.0 * (self.mhs["15m"] / max(1, self.target_mhs) - 1.0), 2) if self.is_tuned else 0.0

    @property
    def last_share_unix_s(self) -> int:
        """When the last share was sent; 0 before the first one."""
        age_s = self.last_share_s
        return 0 if age_s is None else self.when - age_s

    # ---- power ----------------------------------------------------------------------------------------------------

    @cached_property
    def _seen_ns(self) -> Instant:
        refresh_ns: int = METER["power_refresh_ns"]
        return max(0, self.now // refresh_ns * refresh_ns)

    @cached_property
    def is_rail_on(self) -> bool:
        """Whether the PSU's main output feeds the boards."""
        return self.unit.phase(self._seen_ns) not in _RAIL_OFF

    @property
    def _psu_gain(self) -> float:
        return 1.0 + (self.character.watts_gain - 1.0) * float(METER["power_bias"])

    @cached_property
    def watts_now(self) -> float:
        """Input power as the PSU measures it, as of its last look; with the output off it sees next to nothing."""
        if not self.is_rail_on:
            return float(METER["off_w"])
        tick = self._seen_ns // METER["power_refresh_ns"]
        noise = self.noise("power", tick)
        return self.unit.power_w(self._seen_ns) * self._psu_gain * (1.0 + float(METER["power_noise"]) * noise)

    @property
    def watts(self) -> int:
        """The same, whole watts."""
        return round(self.watts_now)

    @property
    def watts_float(self) -> float:
        """The same, one decimal."""
        return round(self.watts_now, 1)

    @property
    def watts_5m(self) -> float:
        """Mean over five minutes."""
        return round(self.unit.energy_j(self.now - 5 * MINUTE, self.now) / 300.0 * self._psu_gain, 1)

    @property
    def energy_ws(self) -> int:
        """Energy since the control board started, watt-seconds."""
        return round(self.unit.energy_j(self.device.boot_ns or 0, self.now) * self._psu_gain)

    @property
    def total_ths(self) -> float:
        """Work since the mining process started, 10^12 hashes."""
        return round(self.total_mh / 1e6, 1)

    @property
    def watts_per_ths(self) -> float:
        """Power by rate; 0 without a rate."""
        rate = self.rates_ths["rt"]
        return round(self.watts_now / rate, 2) if rate > 1.0 else 0.0

    @property
    def limit_w(self) -> int:
        """Power limit in force; 0 while stopped."""
        return 0 if self.device.is_stopped else self.limit_set_w

    @property
    def limit_set_w(self) -> int:
        """Power limit in force."""
        return shown_limit_w(self.model, self.device.conf)

    @property
    def limit_text(self) -> str:
        """The user's power limit as text; the factory's where there is none."""
        return str(self.device.conf.limit_w or default_limit_w(self.model))

    @property
    def asked_w(self) -> int:
        """Power that was asked for in watts; 0 without."""
        return self.device.conf.watts or 0

    @property
    def mode_title(self) -> str:
        """Power mode with a capital."""
        return self.device.conf.mode.capitalize()

    @property
    def mode_number(self) -> str:
        """Power mode as 0, 1 or 2."""
        return str(("low", "normal", "high").index(self.device.conf.mode))

    @property
    def percent(self) -> int:
        """Trim in force; 100 without."""
        return 100 if self.device.percent is None else self.device.percent

    @cached_property
    def psu(self) -> dict[str, Any]:
        """Input and output of the PSU, as numbers."""
        volts = float(METER["input_v"])
        amps = self.watts_now / volts
        load = min(1.0, self.watts_now / self.model.nominal_w)
        rpm = round(self.image["psu_rpm"] * (METER["psu_idle"] + (1.0 - METER["psu_idle"]) * load))
        rail_v = self.model.voltage_v if self.is_rail_on else 0.0
        celsius = round(self.inlet_c + 17.0 * load, 1)  # 2.2-4.1 K/kW and an offset (physics sheet D)
        return {
            "iin_a": round(amps, 2), "vin_v": volts, "vout_cv": round(rail_v * 100.0), "rpm": rpm, "temp_c": celsius,
            "iin_ma": str(round(amps * 1e3)), "vin_cv": str(round(volts * 100)), "enable": str(int(self.is_rail_on)),
        }  # fmt: skip

    # ---- heat -----------------------------------------------------------------------------------------------------

    @cached_property
    def inlet_c(self) -> float:
        """Inlet, one decimal."""
        return round(self.unit.inlet_c(self.now), 1)

    def fan_rpm(self, full_rpm: float, which: int) -> int:
        """One fan, in steps of 30 rpm; 0 where there is none."""
        if not self.model.fans:
            return 0
        gain = self.character.fan_gain[which % len(self.character.fan_gain)]
        return 30 * round(self._fan_share * full_rpm * gain / 30.0)

    @cached_property
    def _fan_share(self) -> float:
        return self.unit.fan_share(self.now)

    @property
    def fan_in_rpm(self) -> int:
        """Fan at the inlet."""
        return self.fan_rpm(self.image["fan_in_rpm"], 0)

    @property
    def fan_out_rpm(self) -> int:
        """Fan at the outlet."""
        return self.fan_rpm(self.image["fan_out_rpm"], 1)

    @cached_property
    def boards(self) -> list[dict[str, Any]]:
        """One row a hash board, with its own rates, clock and temperatures."""
        rows, status = [], "Alive" if self.is_rail_on else "Initialising"  # asleep: S2
        for index, share in enumerate(self.character.board_share):
            rows.append({
                "id": index, "temp": self.board_temps[index], "chip": self._chips[index],
                "sn": f"{self.host.serial}B{index + 1}",
                "mhs": {name: round(ths * 1e6 * share, 2) for name, ths in self.rates_ths.items()},
                "ths": {name: round(ths * share, 3) for name, ths in self.rates_ths.items()},
                "mhz": round(self.freq_avg * share * self.model.boards),
                "factory_ghs": round(self.factory_ghs / self.model.boards),
                "factory_ths": round(self.model.nominal_ths / self.model.boards, 3),
                "accepted": int(self.accepted * share), "spread_mv": 5 + index,
                "status": status, "status_low": status.lower(),
            })  # fmt: skip
        return rows

    @property
    def detected(self) -> str:
        """What the boards' factory test found, GH/s, one number a board."""
        return ":".join(str(round(self.factory_ghs * share)) for share in self.character.board_share)

    @property
    def board_max_c(self) -> float:
        """Hottest board."""
        return max(self.board_temps)

    @cached_property
    def _rises_k(self) -> list[float]:
        """Rise of each board over the inlet."""
        inlet, hottest = self._air_and_board_c
        return [(hottest - inlet) * heat for heat in self.character.board_heat]

    @cached_property
    def board_temps(self) -> list[float]:
        """All boards."""
        inlet, _ = self._air_and_board_c
        return [round(inlet + rise, 1) for rise in self._rises_k]

    @cached_property
    def _chips(self) -> list[dict[str, float]]:
        """Coldest, mean and hottest chip of each board."""
        inlet, _ = self._air_and_board_c
        return [{name: round(inlet + rise * part, 1) for name, part in _CHIP_PARTS.items()} for rise in self._rises_k]

    @cached_property
    def chip_c(self) -> dict[str, float]:
        """Coldest, mean and hottest chip of all boards."""
        mean = sum(chips["avg"] for chips in self._chips) / len(self._chips)
        least, most = min(chips["min"] for chips in self._chips), max(chips["max"] for chips in self._chips)
        return {"min": least, "avg": round(mean, 1), "max": most}

    @property
    def is_liquid(self) -> bool:
        """Whether it is cooled by water or oil."""
        return is_liquid(self.model)

    # ---- pools and errors -----------------------------------------------------------------------------------------

    @property
    def pool_count(self) -> int:
        """Pools configured."""
        return len(self.device.pools)

    @property
    def pool_list(self) -> list[dict[str, Any]]:
        """One row a pool; all shares go to the first, and a stopped miner has no connection to any."""
        rows = []
        for place, pool in enumerate(self.device.pools):
            active = place == 0 and not self.device.is_stopped
            row = {"id": place + 1, "place": place, "url": pool.url, "user": pool.user, "active": active}
            status = "Dead" if self.device.is_stopped else "Alive"
            row |= {"status": status, "status_low": status.lower()}
            row |= {"difficulty": round(self.share_difficulty) if active else 0}
            if place:
                row |= dict.fromkeys(("accepted", "rejected", "works", "last_share_unix_s"), 0)
                row |= {"rejected_percent": 0.0}
            else:
                row |= {"works": self.local_work}
            rows.append(row)
        return rows

    @property
    def error_count(self) -> int:
        """Errors that are present."""
        return len(self.device.knobs.error_codes)

    @property
    def error_list(self) -> list[dict[str, str]]:
        """One object an error: its code and since when."""
        since = self._clock_text(self.device.boot_ns or 0)
        return [{str(code): since} for code in self.device.knobs.error_codes]

    @property
    def errors_with_reason(self) -> list[dict[str, str]]:
        """The same with the reason in words."""
        return [row | {"reason": REASONS.get(next(iter(row)), "Unknown error.")} for row in self.error_list]

    # ---- words ----------------------------------------------------------------------------------------------------

    @property
    def fast_boot_word(self) -> str:
        """enable or disable."""
        return "enable" if self.device.conf.fast_boot else "disable"

    @property
    def fast_hash_word(self) -> str:
        """enable or disable."""
        return "enable" if self.device.conf.fast_hash else "disable"

    @property
    def stopped_word(self) -> str:
        """Whether mining is off, as text."""
        return str(self.device.is_stopped).lower()

    @property
    def working_word(self) -> str:
        """Whether mining is on, as text."""
        return str(not self.device.is_stopped).lower()

    @property
    def stop_reason(self) -> str:
        """Why mining is off."""
        return "by whatsminer API" if self.device.is_stopped else ""

    @property
    def stop_time(self) -> str:
        """Since when mining is off."""
        since = self.device.stopped_ns
        return "" if since is None else self._clock_text(since)

    def _clock_text(self, at: Instant) -> str:
        return f"{self.host.wall(at):%Y-%m-%d %H:%M:%S}"

    @property
    def fan_flags(self) -> dict[str, int]:
        """Switches of the fans as 0 and 1."""
        conf = self.device.conf
        return {"cool": int(conf.poweroff_cool), "zero": int(conf.fan_zero_speed)}

    @property
    def web_pools(self) -> int:
        """Whether pools may be set on the web page."""
        return int(self.device.conf.web_pools)

    @property
    def custom(self) -> dict[str, str]:
        """The owner's own texts."""
        return {"CustomerSn": "", **{f"msg{n}": "" for n in range(10)}} | dict(self.device.conf.custom)

    @property
    def ntp_servers(self) -> list[str]:
        """Time servers."""
        return self.device.conf.ntp.split(",")

    @property
    def switch_word(self) -> str:
        """Whether the API may write, as 0 or 1."""
        return str(int(self.device.access.doors.is_open))
