"""What MARA firmware shows of its miner: a status that lags, an estimate of watts, temperatures with their offsets.

Owns the names that `mara.json` uses; configuration and commands are elsewhere, figures with sources in `mara.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from emulator.catalogue import Phase
from emulator.wire import MINUTE, Instant
from firmware_mocks.miners.lazy import cached_property
from firmware_mocks.miners.mara_conf import Conf, setpoint
from firmware_mocks.miners.readings import HASH_EXPONENT, Readings, Window
from firmware_mocks.miners.replies import figures, values

if TYPE_CHECKING:
    from firmware_mocks.miners.mara import MaraDevice

FIGURES = figures(__package__, "mara.toml")
METER = values(FIGURES, "meter")
IMAGE = values(FIGURES, "image")
STATUS = {
    Phase.OFF: "Off", Phase.BOOT: "Starting", Phase.HASHING: "Mining", Phase.RETUNE: "Mining", Phase.SLEEP: "Sleep",
    Phase.WAKE: "Starting", Phase.STOPPING: "Stopping",
}  # fmt: skip
""""Mining" (S) and "Sleep" (S2, capture of a stopped unit) are known, the others are estimates."""


class MaraReadings(Readings):
    """What the firmware shows at one instant."""

    device: MaraDevice
    windows: ClassVar[Mapping[str, Window]] = {
        "realtime": Window(METER["tau_realtime_ns"], exponential=True),
        "5s": Window(METER["tau_realtime_ns"], exponential=True),
        "10m": Window(METER["window_10m_ns"]),
        "30m": Window(30 * MINUTE),
        "av": Window(None),
    }
    noises = ("power",)
    pcb_k = round(METER["pcb_k"])
    chip_k = round(METER["chip_k"])

    @cached_property
    def figures(self) -> dict[str, Any]:
        """Plain words of the image and of the model."""
        return IMAGE | values(FIGURES, self.model.id)

    @property
    def conf(self) -> Conf:
        """The configuration."""
        return self.device.conf

    # ---- brief ----------------------------------------------------------------------------------------------------

    @cached_property
    def as_of(self) -> Instant:
        """The last instant at which status and watts were renewed."""
        return self.renewed(self.device.knobs.status_refresh_ns)

    @cached_property
    def status_phase(self) -> Phase:
        """What the miner did when the status was renewed."""
        return self.unit.phase(self.as_of)

    @property
    def status(self) -> str:
        """Word of the brief."""
        return STATUS[self.status_phase]

    @property
    def work_mode(self) -> str:
        """Configured work mode; it is ahead of the status."""
        return self.conf.mode

    @property
    def ths(self) -> dict[str, float]:
        """Every window in TH/s."""
        return {name: round(rate, 4) for name, rate in self.rates_ths.items()}

    @cached_property
    def watts(self) -> float:
        """Estimated wall power: a constant asleep, else the truth with the unit's error and a little noise."""
        if self.status_phase is Phase.SLEEP:
            return float(METER["sleep_w"])
        return round(self.modelled_w(self.as_of, self.device.knobs.status_refresh_ns, METER["power_noise"]), 1)

    @property
    def shown_ideal_ghs(self) -> float:
        """Rate expected of the target; asleep nothing is expected."""
        return 0.0 if self.status_phase is Phase.SLEEP else self.ideal_ghs

    @property
    def raw_max(self) -> float:
        """Hottest sensor without an offset."""
        return max(max(self._raw_c(board)) for board in range(self.model.boards))

    @property
    def hostname(self) -> str:
        """Name of the host."""
        return self.conf.hostname or self.host.hostname

    # ---- boards and fans ------------------------------------------------------------------------------------------

    @property
    def slots(self) -> list[dict[str, Any]]:
        """The four board connectors of the socket; this firmware lists all four temperatures (S2: live S21)."""
        return [{"pcb_max": 0, "chip_max": 0} | row for row in self.four_slots("")]

    @cached_property
    def chain_list(self) -> list[dict[str, Any]]:
        """One row a board; temperatures have the decimals that this firmware shows."""
        asleep = self.status_phase is Phase.SLEEP
        rows = []
        for row in self.board_list:
            share = row["share"]
            raw = self._raw_c(row["id"])
            rate = round(self.rates_ths["10m"] * 1e3 * share, 4)
            volts = 0.0 if asleep else round(self.fixed_v, 2)
            mhz = 0.0 if asleep else float(row["mhz"])
            rows.append(row | {
                "raw_c": raw, "pcb_c": [round(c + METER["pcb_k"], 6) for c in raw],
                "chip_c": [round(c + METER["chip_k"], 6) for c in raw], "ghs_10m": rate,
                "shown_ideal": 0.0 if asleep else row["ideal"], "volts": volts, "shown_mhz": mhz,
                "mhs_av": round(self.rates_ths["av"] * 1e6 * share, 2),
                "mhs_5s": round(self.rates_ths["realtime"] * 1e6 * share, 2),
                "share_accepted": int(self.accepted * share),
            })  # fmt: skip
        return rows

    @property
    def detail_list(self) -> list[dict[str, Any]]:
        """The boards with a row for each of their chips."""
        rows = []
        for row in self.chain_list:
            chips = row["chips"]
            chip = {"hashrate_avg": round(row["ghs_10m"] / chips, 4), "voltage": round(row["volts"] / chips, 4)}
            chip |= {"frequency": row["shown_mhz"]}
            rows.append(row | {"chip_rows": [{"index": n, **chip} for n in range(chips)]})
        return rows

    def _raw_c(self, board: int) -> list[float]:
        inlet, hottest = self._air_and_board_c
        rise = (hottest - inlet) * self.character.board_heat[board]
        return [round(inlet + rise * part, 6) for part in self.sensor_rise]

    @property
    def fan_list(self) -> list[dict[str, Any]]:
        """One row a fan; asleep they stand, whatever the tail of the real ones."""
        rows = self.fan_rows(self.figures["full_rpm"])
        return [row | {"rpm": 0} for row in rows] if self.status_phase is Phase.SLEEP else rows

    # ---- configuration --------------------------------------------------------------------------------------------

    @property
    def power_target(self) -> int:
        """Target of Auto by power, watts."""
        return round(self.conf.power_target_w or self.model.nominal_w)

    @property
    def hash_target(self) -> float:
        """Target of Auto by rate, TH/s."""
        return self.conf.hash_target_ths or self.model.nominal_ths

    @property
    def fixed_mhz(self) -> int:
        """Clock of Fixed."""
        return round(self.conf.fixed_mhz or self.model.frequency_mhz)

    @property
    def fixed_v(self) -> float:
        """Voltage of Fixed."""
        return self.conf.fixed_v or self.model.voltage_v

    @property
    def frequency_mhz(self) -> int:
        """Clock the configuration leads to."""
        share = float(setpoint(self.conf, self.model) ** HASH_EXPONENT)
        return round(self.model.frequency_mhz * share)

    @property
    def group_list(self) -> list[dict[str, Any]]:
        """One row a pool group."""
        return [{"gid": n, "alias": group.alias, "percent": group.percent} for n, group in enumerate(self.conf.groups)]

    @property
    def conf_pools(self) -> list[dict[str, Any]]:
        """The pools as the configuration has them."""
        return [
            {"url": pool.url, "user": pool.user, "pass": pool.password, "gid": pool.gid} for pool in self.device.pools
        ]

    @property
    def pool_count(self) -> int:
        """Pools configured."""
        return len(self.device.pools)

    @property
    def pool_list(self) -> list[dict[str, Any]]:
        """One row a pool; all shares go to the first."""
        rows = []
        for n, pool in enumerate(self.device.pools):
            alive, first = bool(pool.url), n == 0
            row = {"index": n, "url": pool.url, "user": pool.user, "status": "Alive" if alive else "Dead"}
            row |= {"active": alive and first, "accepted": self.accepted if first else 0}
            row |= {"rejected": self.rejected if first else 0, "diff": f"{self.share_difficulty / 1e3:.0f}K"}
            rows.append(row | {"difficulty_accepted": self.difficulty_accepted if first else 0.0})
        return rows

    # ---- history --------------------------------------------------------------------------------------------------

    @property
    def history_list(self) -> list[dict[str, Any]]:
        """The changes of the work mode, oldest first."""
        rows = []
        for at, before, after in self.device.history:
            change = {"type": "update", "path": ["Mode", "WorkModeSelector"], "from": before, "to": after}
            rows.append({"timestamp": self.host.unix_s(at), "changes": [change]})
        return rows

    @property
    def event_list(self) -> list[dict[str, Any]]:
        """The same as sentences."""
        return [
            {"timestamp": self.host.unix_s(at), "message": f"Work mode changed from {before} to {after}"}
            for at, before, after in self.device.history
        ]
