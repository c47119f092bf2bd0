"""What ePIC PowerPlay shows of its miner: rates in MH/s, one row a chip, a power figure that is often only a model.

Owns the names that `epic.json` uses; state and commands are in `epic.py`, figures with sources in `epic.toml`.
"""

from __future__ import annotations

from email.utils import format_datetime
from typing import TYPE_CHECKING, Any, ClassVar

from emulator.catalogue import MinerModel, Phase
from emulator.wire import SECOND, Instant
from firmware_mocks.miners.epic_conf import POWER_ALGORITHMS, RATE_ALGORITHMS, Pool
from firmware_mocks.miners.lazy import cached_property
from firmware_mocks.miners.readings import HASH_EXPONENT, Readings, Window
from firmware_mocks.miners.replies import figures, values

if TYPE_CHECKING:
    from collections.abc import Mapping

    from firmware_mocks.miners.epic import EpicDevice

FIGURES = figures(__package__, "epic.toml")
METER = values(FIGURES, "meter")
TUNE = values(FIGURES, "tune")
SHARED = values(FIGURES, "image") | METER | TUNE
MODELS = frozenset(key.removesuffix(".model_string") for key in FIGURES if key.endswith(".model_string"))
"""Models with a table of their own in the figures: those that this firmware runs on."""
FAN_SLOTS = 12
_HOUR_S = 3600
_NAMES = {
    "VoltageOptimizer": ("Voltage Optimizer", "holds a hash rate, searches the lowest voltage for it"),
    "ChipTune": ("Chip Tune", "holds a hash rate with a clock for each chip"),
    "BoardTune": ("Board Tune", "holds a hash rate with a clock for each board"),
    "Power": ("Power", "holds the input power"),
}


def default_ths(model: MinerModel) -> int:
    """Hash rate that the board's EEPROM promises, TH/s."""
    return round(model.nominal_ths)


def bounds(model: MinerModel, algo: str) -> tuple[int, int]:
    """Least and greatest target that `algo` takes: W for a power algorithm, TH/s for the others."""
    if algo in POWER_ALGORITHMS:
        least: float = TUNE["min_share"] ** (1.0 / HASH_EXPONENT)
        return round(model.nominal_w * least), round(model.nominal_w * TUNE["reach"])
    return round(model.nominal_ths * TUNE["min_share"]), round(model.nominal_ths * TUNE["max_share"])


def power_share(model: MinerModel, algo: str, target: float) -> float:
    """Share of nominal power that a target leads to, unbounded."""
    if algo in POWER_ALGORITHMS:
        return target / model.nominal_w
    return float((target / model.nominal_ths) ** (1.0 / HASH_EXPONENT))


class EpicReadings(Readings):
    """What the mining program shows at one instant."""

    device: EpicDevice
    windows: ClassVar[Mapping[str, Window]] = {"5s": Window(METER["tau_now_ns"], exponential=True), "av": Window(None)}
    noises = ("power",)
    """The short window bears the name that the board rows look for."""

    @cached_property
    def figures(self) -> dict[str, Any]:
        """Plain words of the image and of the model."""
        return SHARED | values(FIGURES, self.model.id)

    # ---- state ----------------------------------------------------------------------------------------------------

    @cached_property
    def are_boards_on(self) -> bool:
        """Whether chips run: hashing, or on the way up or down."""
        if self.phase in (Phase.HASHING, Phase.RETUNE, Phase.STOPPING):
            return True
        return self.phase is Phase.WAKE and self.unit.hash_ths(self.now) > 0.01 * self.model.nominal_ths

    @property
    def state(self) -> str:
        """Operating State."""
        if self.device.process_since_ns(self.now) is None:
            return "SoftRebooting"
        if self.phase is Phase.HASHING:
            return "Mining"
        if self.phase is Phase.STOPPING:
            return self.device.stopping_state
        if self.phase is Phase.RETUNE or self.are_boards_on:
            return "AdjustingClockVoltage"
        return {Phase.SLEEP: "Idling", Phase.WAKE: "Initializing"}.get(self.phase, "Loading")

    @property
    def getworks(self) -> int:
        """Jobs the pool sent."""
        return self.elapsed_s // int(METER["work_s"])

    @property
    def submitted(self) -> int:
        """Shares sent to the pool."""
        return self.accepted + self.rejected

    @property
    def started_unix_s(self) -> int:
        """Start of the mining program."""
        return self.when - self.elapsed_s

    @property
    def started_text(self) -> str:
        """The same as a date of RFC 2822."""
        return format_datetime(self.host.wall(self.since_ns))

    @property
    def work_age_s(self) -> int:
        """Age of the last job."""
        return self.elapsed_s % int(METER["work_s"])

    @property
    def work_unix_s(self) -> int:
        """When the last job came."""
        return self.when - self.work_age_s

    @property
    def share_unix_s(self) -> int | None:
        """When the last share was taken."""
        return None if self.last_share_s is None else self.when - self.last_share_s

    # ---- boards ---------------------------------------------------------------------------------------------------

    @property
    def target_mhz(self) -> float:
        """Clock that the set-point asks for."""
        return round(self.model.frequency_mhz * self.clock_share, 1)

    @property
    def actual_mhz(self) -> float:
        """Clock of the chips: the next one that their PLL can make."""
        grid: float = METER["clock_grid_mhz"]
        return round(self.target_mhz / grid) * grid

    @property
    def target_mv(self) -> int:
        """Board voltage asked for, millivolts."""
        if self.device.conf.target_mv is not None and not self.device.conf.tuning:
            return self.device.conf.target_mv
        rise_v = float(TUNE["volts_per_mhz"]) * (self.target_mhz - self.model.frequency_mhz)
        return 10 * round(100.0 * (self.model.voltage_v + rise_v))

    @property
    def hashes_per_clock(self) -> float:
        """Hashes of one chip in one clock."""
        return round(self.default_ths * 1e6 / (self.all_chips * self.model.frequency_mhz), 1)

    @cached_property
    def boards(self) -> list[dict[str, Any]]:
        """One row a board, whether it runs or not; sensors at the air inlet and outlet side."""
        ideal_mhs = self.hashes_per_clock * self.actual_mhz * self.model.chips_per_board
        rows = []
        for row in self.board_list:
            mhs = round(row["rate"] * 1e3, 1)
            sensors = [self._sensor(row["id"], at) for at in (0, -1)]
            rows.append({
                "id": row["id"], "share": row["share"], "mhs": mhs, "percent": round(100.0 * mhs / ideal_mhs, 1),
                "mhz": self.actual_mhz, "volts": self.target_mv / 1e3, "sensors": sensors, "hottest": max(sensors),
                "target_mhz": self.target_mhz, "no_chips": [0.0] * self.model.chips_per_board,
                "chip_clocks": [self.actual_mhz] * self.model.chips_per_board,
            })  # fmt: skip
        return rows

    def _sensor(self, board: int, at: int) -> float:
        inlet, hottest = self._air_and_board_c
        rise_k = (hottest - inlet) * self.character.board_heat[board] * self.sensor_rise[at]
        grid: float = METER["sensor_grid_k"]
        return round(round((inlet + rise_k) / grid) * grid, 3)

    @property
    def running_boards(self) -> list[dict[str, Any]]:
        """The boards whose chips run; the knob `idle_style` "zeros" keeps the others in the list."""
        return self.boards if self.are_boards_on or self.device.knobs.idle_style == "zeros" else []

    @property
    def active_boards(self) -> int:
        """How many boards run."""
        return self.model.boards if self.are_boards_on else 0

    @property
    def chip_boards(self) -> list[dict[str, Any]]:
        """One row a running board with (MH/s, percent of the ideal, third number) of each chip; chips are noisy."""
        chips, window_s = self.model.chips_per_board, METER["chip_window_s"]
        tick = self.now // (10 * SECOND)
        rows = []
        for row in self.running_boards:
            mean_mhs = row["mhs"] / chips
            nonces = max(1e-9, mean_mhs * 1e6 * window_s / 2.0**40)
            draws = (self.device.seed / "chips" / row["id"]).normals(chips, start=tick * chips)
            ideal_mhs = self.hashes_per_clock * self.actual_mhz
            found = [self._triple(mean_mhs * max(0.0, 1.0 + draw * nonces**-0.5), ideal_mhs) for draw in draws.tolist()]
            rows.append({"id": row["id"], "chips": found, "total": self._triple(row["mhs"], ideal_mhs * chips)})
        return rows

    def _triple(self, mhs: float, ideal_mhs: float) -> list[float]:
        percent = round(100.0 * mhs / ideal_mhs, 1)
        return [round(mhs, 2), percent, round(percent * METER["chip_third"], 1)]

    # ---- averages -------------------------------------------------------------------------------------------------

    @property
    def average_mhs(self) -> float:
        """Mean rate since the mining program started."""
        return round(self.rates_ths["av"] * 1e6, 1)

    @property
    def last_hour(self) -> dict[str, Any] | None:
        """The last full hour of the clock: a curtailed miner shows the old rate for up to an hour."""
        return self.hours[-1] if self.hours else None

    @cached_property
    def hours(self) -> list[dict[str, Any]]:
        """Full hours of the clock since the mining program started, up to 48."""
        points = self._points(_HOUR_S, 48)
        return [{"Hashrate": mhs, "Timestamp": unix_s} for unix_s, mhs in points]

    @property
    def ten_seconds(self) -> list[dict[str, Any]]:
        """Ten seconds each, up to an hour."""
        return [{"hashrate": mhs, "timestamp": unix_s} for unix_s, mhs in self._points(10, 360)]

    def _points(self, every_s: int, most: int) -> list[tuple[int, float]]:
        last_unix_s = self.when // every_s * every_s
        last_ns = self.now - (self.when - last_unix_s) * SECOND
        points = []
        for back in range(self._since(self.device.cleared_ns, last_ns, every_s, most), 0, -1):
            stop = last_ns - (back - 1) * every_s * SECOND
            mhs = self.unit.mean_hash_ths(stop - every_s * SECOND, stop) * 1e6
            points.append((last_unix_s - (back - 1) * every_s, round(mhs, 1)))
        return points

    def _since(self, cleared_ns: Instant | None, last_ns: Instant, every_s: int, most: int) -> int:
        begin = self.since_ns if cleared_ns is None else max(self.since_ns, cleared_ns)
        return max(0, min(most, (last_ns - begin) // (every_s * SECOND)))

    # ---- power ----------------------------------------------------------------------------------------------------

    @cached_property
    def psu(self) -> dict[str, float]:
        """Volts, amperes and watts. Without metering, input power is a model: nothing while the boards are off."""
        refresh_ns: int = METER["power_refresh_ns"]
        tick = max(0, self.now // refresh_ns)
        noise = self.noise("power", tick)
        gain = self.character.watts_gain
        metered = bool(self.figures["true_power"])
        error = 1.0 + (gain - 1.0) * (2.0 / 3.0 if metered else 1.0)  # PSU telemetry 2 %, a model 3 %: estimates
        watts = self.unit.power_w(tick * refresh_ns) * error * (1.0 + float(METER["power_noise"]) * noise)
        if not metered:
            on = self.are_boards_on
            shown = {
                "watts_in": round(watts, 4) if on else 0.0,
                "volts_out": self.target_mv / 1e3 - 0.005 if on else 0.0,
            }
            return dict.fromkeys(("volts_in", "amps_in", "amps_out", "watts_out"), 0.0) | shown
        mains_v, volts = SHARED["mains_v"], self.target_mv / 1e3 if self.are_boards_on else 0.0
        out_w = watts * SHARED["psu_efficiency"] if volts else 0.0
        return {
            "volts_in": mains_v, "amps_in": round(watts / mains_v, 2), "watts_in": round(watts, 1),
            "volts_out": volts, "amps_out": round(out_w / volts, 1) if volts else 0.0, "watts_out": round(out_w, 1),
        }  # fmt: skip

    @property
    def target_w(self) -> int:
        """Power that the configuration is expected to draw."""
        return round(self.model.nominal_w * self.device.setpoint)

    # ---- tuning ---------------------------------------------------------------------------------------------------

    @property
    def tuning(self) -> dict[str, Any]:
        """The algorithm in use, under its name."""
        conf = self.device.conf
        return {conf.algo: {
            "Target": self.device.target, "Unit": "W" if conf.algo in POWER_ALGORITHMS else "TH/s",
            "Optimized": self.is_optimized, "Min Throttle Target": conf.min_throttle,
            "Throttle Step": conf.throttle_step, "Throttle Target": None, "Error Throttle Target": None,
        }}  # fmt: skip

    @property
    def is_optimized(self) -> bool:
        """Whether the search has ended: a while after each change, and never beyond the machine's reach."""
        mining_ns = self.unit.mining_since_ns(self.now)
        if self.phase is not Phase.HASHING or mining_ns is None or self.device.is_beyond_reach:
            return False
        since = mining_ns if self.device.target_ns is None else max(mining_ns, self.device.target_ns)
        return self.now - since >= int(TUNE["search_ns"])

    @property
    def algorithms(self) -> list[dict[str, Any]]:
        """One row an algorithm with its range."""
        rows = []
        for algo in (*RATE_ALGORITHMS, POWER_ALGORITHMS[0]):
            least, most = bounds(self.model, algo)
            name, description = _NAMES[algo]
            rows.append({"algorithm": algo, "name": name, "description": description, "min": least, "max": most})
        return rows

    @property
    def presets(self) -> list[dict[str, Any]]:
        """Clock, rate, power and voltage of the built-in presets, scaled to the model."""
        mhz, ths, watts, mv = TUNE["preset_reference"]
        if self.model.id == "s19_xp":
            scale, offset_mv = (1.0, 1.0, 1.0), 0
        else:
            scale = (self.model.frequency_mhz / mhz, self.model.nominal_ths / ths, self.model.nominal_w / watts)
            offset_mv = round(self.model.voltage_v * 1e3) - mv
        return [
            {
                "clk": round(row[0] * scale[0]), "ths": round(row[1] * scale[1], 1),
                "watts": round(row[2] * scale[2]), "mv": row[3] + offset_mv,
            }
            for row in TUNE["presets"]
        ]  # fmt: skip

    @property
    def default_ths(self) -> int:
        """Hash rate that the board's EEPROM promises."""
        return default_ths(self.model)

    @property
    def default_mhz(self) -> int:
        """Clock that the board's EEPROM promises."""
        return round(self.model.frequency_mhz)

    @property
    def default_mv(self) -> int:
        """Voltage that the board's EEPROM asks for."""
        return round(self.model.voltage_v * 1e3)

    @property
    def volts_at_zero(self) -> float:
        """Intercept of the voltage estimator."""
        return round(self.model.voltage_v - float(TUNE["volts_per_mhz"]) * self.model.frequency_mhz, 2)

    # ---- identity, fans, pools, network ---------------------------------------------------------------------------

    @property
    def board_serials(self) -> list[str]:
        """Serial numbers of the boards, in order."""
        return [row["sn"] for row in self.board_list]

    @property
    def cpu_serial(self) -> str:
        """Twenty-four hexadecimal digits of the control board."""
        return f"{self.device.seed.key:024x}"

    @property
    def fan_percent(self) -> int:
        """Fan speed."""
        return round(100.0 * self.unit.fan_share(self.now))

    @property
    def fan_mode(self) -> dict[str, Any]:
        """The fan setting."""
        conf = self.device.conf
        if conf.fan_manual is not None:
            return {"Manual": conf.fan_manual}
        return {"Auto": {"Target Temperature": conf.fan_target_c, "Idle Speed": conf.fan_idle}}

    @property
    def fan_indices(self) -> list[int]:
        """Connectors at which a fan turns."""
        return [row["n"] for row in self.fan_rows(self.figures["full_rpm"]) if row["rpm"] > 0]

    @property
    def fans_rpm(self) -> dict[str, int | None]:
        """Twelve connectors, those without a fan null."""
        rows = {row["n"]: row["rpm"] for row in self.fan_rows(self.figures["full_rpm"])}
        return {f"Fans Speed {n}": rows.get(n) for n in range(1, FAN_SLOTS + 1)}

    @property
    def pool_list(self) -> list[dict[str, str]]:
        """The pools as configured."""
        return [{"url": pool.url, "login": pool.login, "password": pool.password} for pool in self.device.pools]

    @property
    def is_connected(self) -> bool:
        """Whether the pool is talked to; the mining program leaves it while it idles."""
        return not self.device.conf.stopped and self.device.process_since_ns(self.now) is not None

    @property
    def current_pool(self) -> str:
        """The pool in use, without its scheme."""
        url = self.device.pools[0].url
        return url.partition("://")[2] or url

    @property
    def current_user(self) -> str:
        """The login in use, with the unique id where it is wanted."""
        pool: Pool = self.device.pools[0]
        if not self.device.conf.unique_id:
            return pool.login
        octets = self.host.address.split(".")[1:]
        names = {"IpAddress": "x".join(octets), "MacAddress": self.host.mac.replace(":", ""), "CpuId": self.cpu_serial}
        return f"{pool.login}-{names[self.device.conf.id_variant]}"

    @property
    def network(self) -> dict[str, Any]:
        """The interface with its address; what was written as a static configuration is shown."""
        static = dict(self.device.conf.static)
        shown = {"address": self.host.address, "netmask": "255.255.0.0", "gateway": self.gateway, "dns": self.gateway}
        return {"static" if static else "dhcp": shown | static | {"dns2": "", "mac_address": self.mac}}
