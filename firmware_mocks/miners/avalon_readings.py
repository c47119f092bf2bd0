"""What an Avalon shows of its miner: cgminer's averages in MH/s and one long text of bracketed items, MM ID0.

Owns the names that `avalon.json` uses; state and commands are in `avalon.py`, figures with sources in `avalon.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, ClassVar
from urllib.parse import urlsplit

import numpy as np

from emulator.catalogue import Phase
from emulator.seed import Seed
from emulator.wire import SECOND
from firmware_mocks.miners.avalon_conf import FIGURES, Identity, identity
from firmware_mocks.miners.lazy import cached_property
from firmware_mocks.miners.readings import Readings, Window
from firmware_mocks.miners.replies import templates, values

if TYPE_CHECKING:
    from firmware_mocks.miners.avalon import AvalonDevice

TEMPLATES = templates(__package__, "avalon.json")
METER = values(FIGURES, "meter")
STARTING = (Phase.BOOT, Phase.WAKE)


@dataclass(frozen=True, slots=True)
class Chips:
    """How the chips of one board differ: kelvin from the board's mean, millivolts from the cell's, share of work."""

    heat_k: tuple[float, ...]
    millivolt: tuple[int, ...]
    work: tuple[float, ...]


@lru_cache(maxsize=16_384)
def chips_of(seed: Seed, board: int, count: int) -> Chips:
    """The chips of one board: sd 3.5 K, 3 mV and 20 % (M: the capture of an A1566 lists 480 of each)."""
    own = seed / "chips" / board
    heat, volts, work = ((own / name).normals(count) for name in ("heat", "volts", "work"))
    return Chips(
        tuple((3.5 * np.clip(heat, -2.0, 2.0)).tolist()),
        tuple(np.rint(3.0 * volts).astype(int).tolist()),
        tuple(np.maximum(0.2, 1.0 + 0.2 * work).tolist()),
    )


class AvalonReadings(Readings):
    """What cgminer and the main processor show at one instant."""

    device: AvalonDevice
    windows: ClassVar[Mapping[str, Window]] = {
        "30s": Window(METER["tau_30s_ns"], exponential=True),
        "1m": Window(METER["tau_1m_ns"], exponential=True),
        "5m": Window(METER["tau_5m_ns"], exponential=True),
        "15m": Window(METER["tau_15m_ns"], exponential=True),
        "av": Window(None),
    }
    sensor_rise = (0.97, 1.24)
    """Mean and hottest chip of a board (D: captures, 35 to 39 K and 47 K above the inlet)."""

    @property
    def image(self) -> Identity:
        """What the firmware image says of itself."""
        return identity(self.model.id)

    @property
    def dna(self) -> str:
        """Sixteen hexadecimal digits of the control board."""
        return f"0201{self.device.seed.key & (1 << 48) - 1:012x}"

    @property
    def plain_mac(self) -> str:
        """Hardware address, lower case, without colons."""
        return self.host.mac.replace(":", "").lower()

    @property
    def version_word(self) -> str:
        """Model and build, as MM ID0 begins."""
        return f"{self.image.model}-{self.image.build}"

    @cached_property
    def mhs(self) -> dict[str, float]:
        """Every window in MH/s, two decimals."""
        return {name: round(ths * 1e6, 2) for name, ths in self.rates_ths.items()}

    @property
    def last_share_boot_s(self) -> int:
        """When the last share was found, in seconds since the boot; 0 before the first."""
        if not self.accepted:
            return 0
        since_boot = (self.now - (self.device.boot_ns or 0)) // SECOND
        return max(0, since_boot - (self.last_share_s or 0))

    # ---- state ----------------------------------------------------------------------------------------------------

    @cached_property
    def is_off(self) -> bool:
        """Whether the boards have been switched off by softoff or hashpower."""
        return self.device.is_soft_off(self.now)

    @property
    def soft_off(self) -> int:
        """SoftOFF: 0 while mining is wanted."""
        return int(self.is_off)

    @property
    def is_rail_on(self) -> bool:
        """Whether the hash rail feeds the boards."""
        return self.phase not in (Phase.OFF, Phase.SLEEP)

    @property
    def work_state(self) -> str:
        """SYSTEMSTATU: In Work, In Init while it starts, In Idle when switched off."""
        if self.is_hashing:
            return "In Work"
        return "In Init" if self.phase in STARTING else "In Idle"

    @property
    def led(self) -> int:
        """1 while the unit is to be found."""
        return int(self.device.led)

    @property
    def level_item(self) -> str:
        """WORKLEVEL, on firmware that has levels."""
        return f" WORKLEVEL[{self.device.conf.level}]" if self.image.has_levels else ""

    # ---- rates: GHSmm is what the clocks should give, MGHS is the mean since the process began --------------------

    @property
    def dh_percent(self) -> str:
        """Share of wrong hashes, percent."""
        return f"{100.0 * self.image.hash_error:.3f}"

    @property
    def ghs_spd(self) -> str:
        """Present rate, by the main processor: it does not wait for cgminer's averages."""
        return f"{self._mean(self.now, METER['spd_window_ns']) * 1e3:.2f}"

    @property
    def ghs_mm(self) -> str:
        """Rate of the clocks without wrong hashes; it does not fall when the unit is switched off."""
        return f"{self.ideal_ghs / (1.0 - self.image.hash_error):.2f}"

    @property
    def ghs_avg(self) -> str:
        """Mean since the process began: hours after a stop it still says a rate."""
        return f"{self.ghs['av']:.2f}"

    @property
    def mghs(self) -> str:
        """The same mean, for each board (M: both captures, the boards sum to GHSavg)."""
        return " ".join(f"{self.ghs['av'] * share:.2f}" for share in self.character.board_share)

    @property
    def wu(self) -> str:
        """Difficulty-1 shares a minute of that mean (M: exact in both captures)."""
        return f"{self.ghs['av'] * 1e9 * 60.0 / 2.0**32:.2f}"

    @cached_property
    def clock_share(self) -> float:
        """Chip clock as a share of nominal: here the configuration tells it, not the power."""
        return self.device.hash_share()

    @property
    def freq_text(self) -> str:
        """Mean clock, MHz."""
        return f"{self.model.frequency_mhz * self.clock_share:.2f}"

    @property
    def sf_items(self) -> str:
        """The four clocks of each board."""
        return self._per_board("SF", self._clocks)

    @property
    def atabd_items(self) -> str:
        """The four clocks of each board as tuned."""
        return self._per_board("ATABD", self._clocks)

    @property
    def _clocks(self) -> str:
        mhz = self.model.frequency_mhz * self.clock_share
        return " ".join(str(round(mhz * share)) for share in self.image.clocks)

    @property
    def pll_items(self) -> str:
        """How many chips' jobs ran at each clock."""
        words = []
        for board in range(self.model.boards):
            counts = (self.device.seed / "pll" / board).uniforms(4)
            words.append(f"PLL{board}[{' '.join(str(round(1000 + 5000 * float(part))) for part in counts)}]")
        return " ".join(words)

    # ---- power: PS[4] is DC, PS[6] and WALLPOWER are at the wall --------------------------------------------------

    @cached_property
    def wall_w(self) -> int:
        """Wall power as the power supply tells it."""
        refresh_ns: int = METER["power_refresh_ns"]
        tick = max(0, self.now // refresh_ns)
        noise = float((self.device.seed / "power").normals(1, start=tick)[0]) * float(METER["power_noise"])
        error = 1.0 + (self.character.watts_gain - 1.0) * float(METER["power_error"]) + noise
        return round(self.unit.power_w(tick * refresh_ns) * error)

    @property
    def ps_text(self) -> str:
        """Error, control and bus voltage (0.01 V), amps, DC watts, set voltage, wall watts."""
        control = 1209 + (self.device.seed.key >> 8) % 6  # captures: 1209 to 1221
        wanted = round(self.model.voltage_v * 100.0) + 2
        if not self.is_rail_on:
            return f"0 {control} 4 0 0 {wanted} {self.wall_w}"
        dc_w = self.wall_w * self.image.efficiency
        return f"0 {control} {wanted - 2} {round(dc_w / self.model.voltage_v)} {round(dc_w)} {wanted} {self.wall_w}"

    @property
    def wall_item(self) -> str:
        """WALLPOWER, on firmware that has it."""
        return f"WALLPOWER[{self.wall_w}] " if self.image.wall_power else ""

    @property
    def mpo(self) -> int:
        """Power the unit aims at: DC, so below what the wall sees (M: 3200 for 3189 W, 3515 for 3526 W)."""
        return round(self.model.nominal_w * self.image.efficiency * self.device.setpoint())

    # ---- temperatures, fans, chips --------------------------------------------------------------------------------

    @property
    def inlet_int(self) -> int:
        """Inlet air."""
        return round(self.unit.inlet_c(self.now))

    @cached_property
    def _heat(self) -> list[list[int]]:
        """Mean and hottest chip of each board; 0 where no rail feeds the sensors."""
        if not self.is_rail_on:
            return [[0, 0]] * self.model.boards
        return [self.sensors_c(board) for board in range(self.model.boards)]

    @property
    def t_max(self) -> int:
        """Hottest chip."""
        return max(hottest for _, hottest in self._heat)

    @property
    def t_avg(self) -> int:
        """Mean of the boards."""
        return round(sum(mean for mean, _ in self._heat) / self.model.boards)

    @property
    def mt_max(self) -> str:
        """Hottest chip of each board."""
        return _words(hottest for _, hottest in self._heat)

    @property
    def mt_avg(self) -> str:
        """Mean of each board."""
        return _words(mean for mean, _ in self._heat)

    @property
    def cell_mv(self) -> int:
        """Mean voltage of a chip."""
        return self.image.cell_mv if self.is_rail_on else 0

    @property
    def mv_avg(self) -> str:
        """The same, for each board."""
        return " ".join([f"{self.cell_mv:.1f}"] * self.model.boards)

    @property
    def fan_percent(self) -> int:
        """Fan speed; the fans stop in soft-off."""
        return round(100.0 * self.unit.fan_share(self.now)) if self.is_rail_on else 0

    @property
    def fan_items(self) -> str:
        """Fan1 and so on, rpm."""
        rows = self.fan_rows(self.image.full_rpm)
        return " ".join(f"Fan{row['n']}[{row['rpm'] if self.is_rail_on else 0}]" for row in rows)

    @property
    def chip_items(self) -> str:
        """The long lists: degrees, millivolts and work of each chip."""
        if self.is_lite:
            return ""
        count, lists = self.model.chips_per_board, {"PVT_T": "", "PVT_V": "", "MW": ""}
        work = self.ghs["av"] * self.elapsed_s / self.all_chips / 2.0**32 * 1e9 / 64.0
        for board, (mean, hottest) in enumerate(self._heat):
            chips = chips_of(self.device.seed, board, count)
            degrees = [min(hottest, round(mean + part)) if mean else 0 for part in chips.heat_k]
            volts = [self.cell_mv + part if self.cell_mv else 0 for part in chips.millivolt]
            lists["PVT_T"] += f"PVT_T{board}[{_padded(degrees)}] "
            lists["PVT_V"] += f"PVT_V{board}[{_padded(volts)}] "
            lists["MW"] += f"MW{board}[{_words(round(work * part) for part in chips.work)}] "
        return "".join(lists.values())

    is_lite = False

    @property
    def mm_text(self) -> str:
        """MM ID0, whole."""
        return str(TEMPLATES["mm"].body(self, {}))

    @property
    def lite_text(self) -> str:
        """MM ID0 without the lists of chips."""
        return str(TEMPLATES["mm"].body(_LiteReadings(self.device, self.now), {}))

    @property
    def zeros(self) -> str:
        """A zero for each board."""
        return _words([0] * self.model.boards)

    @property
    def eeprom(self) -> str:
        """Chips for each board, as its memory says."""
        return _words([self.model.chips_per_board] * self.model.boards)

    @property
    def ping_ms(self) -> int:
        """Round trip to the pool: 17 to 443 in the captures."""
        return 17 + (self.device.seed.key >> 16) % 120

    def _per_board(self, name: str, text: str) -> str:
        return "".join(f"{name}{board}[{text}] " for board in range(self.model.boards))

    # ---- pools ----------------------------------------------------------------------------------------------------

    @property
    def pool_count(self) -> int:
        """Pools in use."""
        return len(self.device.running_pools)

    @property
    def pool_list(self) -> list[dict[str, Any]]:
        """One row a pool; the first one takes all work and stays alive in soft-off (S2: capture of a home model)."""
        rows: list[dict[str, Any]] = []
        for n, (url, user, _) in enumerate(self.device.running_pools):
            active = n == 0
            row: dict[str, Any] = {"n": n, "url": url, "user": user, "status": "Alive" if url else "Dead"}
            row |= {"active": active, "stratum_host": urlsplit(url).hostname or "", "stats_n": n + 1}
            row |= {"difficulty": self.share_difficulty if active else 0.0, "works": self.local_work if active else 0}
            row |= {"sent": self.accepted + self.rejected + 3 if active else 3}
            row |= {"heard": row["sent"] + self.getworks if active else 6}
            row |= {"sent_bytes": 176 * row["sent"], "heard_bytes": 340 * row["heard"]}
            if not active:
                row |= dict.fromkeys(("accepted", "rejected", "getworks", "best_share", "diff1_work"), 0)
                row |= dict.fromkeys(("difficulty_accepted", "difficulty_rejected", "rejected_percent"), 0.0)
                row |= {"last_share_boot_s": 0}
            rows.append(row)
        return rows


class _LiteReadings(AvalonReadings):
    is_lite = True


def _words(numbers: Any) -> str:
    return " ".join(map(str, numbers))


def _padded(numbers: Sequence[int]) -> str:
    return " ".join(f"{number:3d}" for number in numbers)
