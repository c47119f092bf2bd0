"""What AxeOS shows of its one chip: a rate each second, rings of averages, watts that are partly a constant.

Owns the names that `bitaxe.json` uses; state and commands are in `bitaxe.py`, figures with sources in `bitaxe.toml`.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from emulator.catalogue import Phase
from emulator.wire import MINUTE, SECOND, Instant
from firmware_mocks.miners.bitaxe_conf import METER, Board, Build, board, settings
from firmware_mocks.miners.lazy import cached_property
from firmware_mocks.miners.readings import Readings, Window

if TYPE_CHECKING:
    from firmware_mocks.miners.bitaxe import BitaxeDevice

MOST_ROWS = 720  # S: MAX_STATISTICS_COUNT
_SUFFIXES = ((10**18, "E"), (10**15, "P"), (10**12, "T"), (10**9, "G"), (10**6, "M"), (10**3, "k"))
COLUMNS = {
    "hashrate": "hash_ghs", "hashrate_1m": "averages.1m", "hashrate_10m": "averages.10m", "hashrate_1h": "averages.1h",
    "errorPercentage": "error_percent", "asicTemp": "temp", "asicTemp2": "temp2", "vrTemp": "vr_temp",
    "asicVoltage": "core_mv", "voltage": "voltage", "power": "power", "current": "current", "fanSpeed": "fan_percent",
    "fanRpm": "fan_rpm", "fan2Rpm": "fan2_rpm", "wifiRssi": "rssi", "freeHeap": "free_heap",
    "responseTime": "response_ms",
}  # fmt: skip
"""Columns of the statistics since v2.11, in their order, and what fills them."""
OLD_COLUMNS = {
    "hashRate": "hash_ghs", "temp": "temp", "vrTemp": "vr_temp", "power": "power", "voltage": "voltage",
    "current": "current", "coreVoltageActual": "core_mv", "fanspeed": "fan_percent", "fanrpm": "fan_rpm",
    "wifiRSSI": "rssi", "freeHeap": "free_heap",
}  # fmt: skip
"""The twelve of v2.9.0; the time stamp comes last in both."""
DASHBOARD_COLUMNS = {"hashRate": "hash_ghs", "temp": "temp", "power": "power"}


class BitaxeReadings(Readings):
    """What the firmware's tasks have noted down at one instant."""

    device: BitaxeDevice
    windows: ClassVar[Mapping[str, Window]] = {"av": Window(None)}
    tick_ns = SECOND
    """The hash-rate monitor and the statistics poll each second (S)."""

    @property
    def build(self) -> Build:
        """The release."""
        return self.device.build

    @property
    def board(self) -> Board:
        """The board."""
        return board(self.model.id)

    @property
    def share_difficulty(self) -> float:  # type: ignore[override]
        """Difficulty of the pool's shares."""
        return self.device.knobs.pool_difficulty

    @cached_property
    def set(self) -> dict[str, Any]:
        """Every setting of the build: what was written, or the default of firmware, board, host and rig."""
        known = {name: setting.default for name, setting in settings(self.build.rank).items()}
        first, second = self.device.knobs.pool_urls
        user = f"farm.{self.host.hostname}"
        own = {
            "stratumURL": first, "fallbackStratumURL": second, "stratumUser": user, "fallbackStratumUser": user,
            "ssid": self.device.knobs.ssid, "hostname": self.host.hostname, "frequency": self.default_mhz,
            "coreVoltage": self.default_mv,
        }  # fmt: skip
        return {**known, **own, **self.device.conf}

    @property
    def flag(self) -> dict[str, bool]:
        """Settings that this build writes as true and false."""
        return {name: bool(value) for name, value in self.set.items()}

    @property
    def default_mhz(self) -> int:
        """Clock of the device table."""
        return round(self.model.frequency_mhz)

    @property
    def default_mv(self) -> int:
        """Core voltage of the device table."""
        return round(self.model.voltage_v * 1e3)

    # ---- rate -----------------------------------------------------------------------------------------------------

    @cached_property
    def chip_nonces_per_s(self) -> float:
        """Nonces the chip returns each second at its present rate."""
        per_nonce = float(METER["asic_difficulty"]) * 2.0**32
        return max(1e-3, self.unit.hash_ths(self.now) * 1e12 / per_nonce)

    @property
    def _tick(self) -> Instant:
        """The last full second of the monitor."""
        return self.since_ns + (self.now - self.since_ns) // SECOND * SECOND

    @cached_property
    def hash_ghs(self) -> float:
        """The rate as shown, GH/s: from the chip's counter of the last second, or from the last 100 nonces (v2.9.0)."""
        if self.build.rank < 11:
            span_ns = round(METER["nonces_averaged"] / self.chip_nonces_per_s * SECOND)
            depth = METER["nonces_averaged"] ** -0.5
            step = int((self.now - self.since_ns) * self.chip_nonces_per_s / SECOND / 10.0)  # smoothed over ten nonces
            return self._shown(self._mean(self.now, span_ns) * 1e3 * (1.0 + depth * self._draw("nonces", step)))
        if self.device.is_held(self.now) or not self.is_hashing:
            return 0.0
        step = (self.now - self.since_ns) // SECOND
        rate = self._mean(self._tick, SECOND) * 1e3
        return self._shown(max(0.0, rate * (1.0 + METER["hash_noise"] * self._draw("counter", step))))

    @cached_property
    def averages(self) -> dict[str, float]:
        """Rings of a minute, ten and sixty. Seconds without a rate are left out: paused, they stand still (S)."""
        spans = {"1m": MINUTE, "10m": 10 * MINUTE, "1h": 60 * MINUTE}
        return {name: self._shown(self._hashing_mean(span) * 1e3) for name, span in spans.items()}

    def _hashing_mean(self, span_ns: int) -> float:
        """Mean rate over the last `span_ns` of hashing, TH/s."""
        work = seconds = 0.0
        left_ns = span_ns
        for start, stop in self._stretches():
            start = max(start, stop - left_ns)
            if stop <= start:
                continue
            work += self.unit.mean_hash_ths(start, stop) * (stop - start)
            seconds += stop - start
            left_ns -= stop - start
            if left_ns <= 0:
                break
        return work / seconds if seconds else 0.0

    def _stretches(self) -> Iterator[tuple[Instant, Instant]]:
        """The stretches in which the chip hashed since the boot, the newest first."""
        stop = self._tick
        for paused, resumed in reversed(self.device.pauses):
            yield (stop if resumed is None else min(stop, resumed)), stop
            stop = min(stop, paused)
        began = self.device.hash_began_ns
        if began is None:
            mining = self.unit.mining_since_ns(self.now)
            began = stop if mining is None else mining
        yield max(self.since_ns, min(began, stop)), stop

    @property
    def mhz(self) -> float:
        """Clock as set."""
        return float(self.set["frequency"])

    @property
    def actual_mhz(self) -> float:
        """Clock as it is: 50 MHz while the chip is off, on its way while it winds down."""
        if self.phase is Phase.STOPPING:
            return round(max(50.0, self.mhz * self.unit.hash_ths(self.now) / self.model.nominal_ths), 2)
        return self.mhz if self.is_hashing else 50.0

    @property
    def expected_ghs(self) -> float:
        """Rate of the clock as set; zero while paused."""
        return 0.0 if self.device.paused else round(self.mhz * self.board.small_cores / 1e3, 3)

    @property
    def domain_ghs(self) -> list[float]:
        """The rate of each hash domain."""
        shares = 1.0 + 0.01 * (self.device.seed / "domain").normals(self.board.domains)
        return [round(self.hash_ghs * float(share) / float(shares.sum()), 3) for share in shares]

    @property
    def error_percent(self) -> float:
        """Share of wrong nonces."""
        return 0.0 if self.hash_ghs == 0.0 else self._shown(METER["error_percent"] * (1.0 + 0.2 * self._draw("wrong")))

    @property
    def error_count(self) -> int:
        """Wrong nonces counted by the chip."""
        return int(self._shares * self.share_difficulty / METER["asic_difficulty"] * METER["error_percent"] / 100.0)

    @property
    def best_diff(self) -> int:
        """Best share ever: of an earlier life, or of this one."""
        earlier = 5e7 * (0.4 + float((self.device.seed / "best").uniforms(1)[0]))
        return max(int(earlier), self.best_share)

    @property
    def best_text(self) -> str:
        """The same as text, as older builds write it."""
        return with_suffix(self.best_diff)

    @property
    def session_text(self) -> str:
        """Best share since the boot as text."""
        return with_suffix(self.best_share)

    @property
    def reject_reasons(self) -> list[dict[str, Any]]:
        """Refused shares by the pool's word."""
        return [{"message": "Above target", "count": self.rejected}] if self.rejected else []

    # ---- power: an INA260 measures the input; a TPS546 its own output, to which a constant is added -----------------

    @cached_property
    def _true_w(self) -> float:
        refresh_ns: int = METER["power_refresh_ns"]
        return self.unit.power_w(self.now // refresh_ns * refresh_ns)

    @property
    def _gain(self) -> float:
        error = METER["tps546_error" if self.board.regulator else "ina260_error"]
        return (
            1.0 + (self.character.watts_gain - 1.0) * float(error) + float(METER["power_noise"]) * self._draw("power")
        )

    @property
    def _core_w(self) -> float:
        """What the regulator puts out: nothing with the chip off, nominal less the constant at nominal power (D)."""
        idle_w, nominal_w = self.model.sleep_w, self.model.nominal_w
        share = max(0.0, self._true_w - idle_w) / (nominal_w - idle_w)
        return share * (nominal_w - self.board.offset_w)

    @property
    def power(self) -> float:
        """Watts as shown. With a regulator, a paused unit still shows the constant."""
        if self.board.regulator:
            return self._shown(self._core_w * self._gain + self.board.offset_w)
        return self._shown(self._true_w * self._gain)

    @property
    def voltage(self) -> float:
        """Input, millivolts."""
        volts = METER["input_v"] - METER["input_ohm"] * self._true_w / METER["input_v"]
        return self._shown(float(volts) * 1e3)

    @property
    def current(self) -> float:
        """Milliamperes: of the core with a regulator, of the input without."""
        if self.board.regulator:
            return self._shown(self._core_w * self._gain / max(0.5, self.set["coreVoltage"] / 1e3) * 1e3)
        return self._shown(self._true_w * self._gain / METER["input_v"] * 1e3)

    @property
    def core_mv(self) -> int:
        """Core voltage as it is."""
        return round(self.set["coreVoltage"] - 4) if self._has_core else 0

    @property
    def _has_core(self) -> bool:
        return self.phase not in (Phase.OFF, Phase.SLEEP, Phase.BOOT)

    # ---- temperatures, fan, radio ---------------------------------------------------------------------------------

    @property
    def temp(self) -> float:
        """Chip, degrees; -1 while it is held in reset (S)."""
        if not self.is_hashing or self.device.is_held(self.now):
            return -1
        return round(self.unit.temperature_c(self.now) * 8.0) / 8.0

    temp2 = -1
    fan2_rpm = 0

    @property
    def vr_temp(self) -> float:
        """Regulator, degrees; 0 on boards without its sensor (S)."""
        if not self.board.regulator:
            return 0
        inlet = self.unit.inlet_c(self.now)
        return round(inlet + float(METER["vr_rise"]) * (self.unit.temperature_c(self.now) - inlet))

    @property
    def fan_percent(self) -> int:
        """Fan speed: 30 % paused, what was set, or what the temperature asks for."""
        if self.device.paused:
            return int(METER["paused_fan_percent"])
        if not self.set["autofanspeed"]:
            return int(self.set["manualFanSpeed" if self.build.rank >= 11 else "fanspeed"])
        return max(int(self.set.get("minFanSpeed", 0)), round(100.0 * self.unit.fan_share(self.now)))

    @property
    def fan_rpm(self) -> int:
        """Revolutions a minute."""
        full = self.board.full_rpm[0] * self.character.fan_gain[0]
        return round(full * self.fan_percent / 100.0)

    @property
    def rssi(self) -> int:
        """Strength of the radio, dBm: it wanders by some."""
        return self.device.knobs.rssi_dbm + round(2.0 * self._draw("rssi"))

    @property
    def response_ms(self) -> float:
        """Round trip to the pool."""
        return round(float(METER["ping_ms"]) * (1.0 + 0.1 * self._draw("ping")), 1)

    @property
    def free_heap(self) -> int:
        """Bytes free, a few kB up and down."""
        return int(METER["free_heap"]) + 512 * round(4.0 * self._draw("heap"))

    @property
    def free_spiram(self) -> int:
        """Of these in the external memory."""
        return self.free_heap - 161_420

    @property
    def reset_reason(self) -> str:
        """Why the processor started."""
        if self.device.was_told_to_restart(self.now):
            return "Software reset via esp_restart"
        return "Reset due to power-on event"

    # ---- statistics -----------------------------------------------------------------------------------------------

    @property
    def boot_ms(self) -> int:
        """Milliseconds since the boot."""
        return (self.now - self.since_ns) // 1_000_000

    def row(self, columns: Mapping[str, str]) -> list[Any]:
        """One line of the statistics at this instant."""
        found: list[Any] = []
        for path in columns.values():
            name, _, key = path.partition(".")
            value = getattr(self, name)
            found.append(value[key] if key else value)
        return [*found, self.boot_ms]

    # ---- small things ---------------------------------------------------------------------------------------------

    def _draw(self, name: str, step: int | None = None) -> float:
        """A normal number that belongs to the unit, the quantity and the second."""
        index = max(0, self.now // SECOND) if step is None else step
        return float((self.device.seed / "meter" / name).normals(1, start=index)[0])

    def _shown(self, value: float) -> float:
        """As the JSON library of the build prints a float: older ones show the noise of single precision."""
        if self.build.rank >= 11:
            return round(value, 3)
        return float(f"{struct.unpack('f', struct.pack('f', value))[0]:.15g}")


def with_suffix(number: int) -> str:
    """48300000 as "48.30M" (S: suffixString)."""
    for size, letter in _SUFFIXES:
        if number >= size:
            return f"{number // (size // 1000) / 1000:.2f}{letter}"
    return str(number)
