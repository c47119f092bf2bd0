"""What FluxOS shows of its miner: rates that scatter by a fifth, PSU telemetry as text, one row a chip.

Owns the names that `auradine.json` uses; state and commands are in `auradine.py`, figures with sources in
`auradine.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from emulator.catalogue import Phase
from firmware_mocks.miners.auradine_conf import FIGURES, IMAGE, power_share
from firmware_mocks.miners.lazy import cached_property
from firmware_mocks.miners.readings import HASH_EXPONENT, Readings, Window
from firmware_mocks.miners.replies import values

if TYPE_CHECKING:
    from firmware_mocks.miners.auradine import AuradineDevice

METER = values(FIGURES, "meter")


class AuradineReadings(Readings):
    """What gcminer and the API server show at one instant."""

    device: AuradineDevice
    windows: ClassVar[Mapping[str, Window]] = {
        "5s": Window(METER["tau_5s_ns"], exponential=True),
        "1m": Window(METER["tau_1m_ns"], exponential=True),
        "5m": Window(METER["tau_5m_ns"], exponential=True),
        "15m": Window(METER["tau_15m_ns"], exponential=True),
        "av": Window(None),
    }
    noises = ("psu",)
    sensor_rise = (0.06, 0.03, 0.10, 1.0, 0.97)
    """Three sensors at the inlet, two at the outlet (D: capture)."""

    @property
    def nonces_per_s(self) -> float:
        """Nonces that gcminer counts, at nominal rate: few, so its short averages scatter."""
        return self.model.nominal_ths * 1e12 / (float(METER["count_difficulty"]) * 2.0**32)

    @cached_property
    def figures(self) -> dict[str, Any]:
        """Plain words of the image and of the model."""
        return IMAGE | values(FIGURES, self.model.id)

    @cached_property
    def are_boards_on(self) -> bool:
        """Whether the PSU's output feeds the boards."""
        if self.phase is Phase.WAKE:
            return self.unit.power_w(self.now) > 2.0 * self.model.sleep_w
        return self.phase in (Phase.HASHING, Phase.RETUNE, Phase.STOPPING)

    @cached_property
    def mhs(self) -> dict[str, float]:
        """Every window in MH/s."""
        return {name: round(ths * 1e6, 4) for name, ths in self.rates_ths.items()}

    # ---- mode -----------------------------------------------------------------------------------------------------

    @property
    def sleep_text(self) -> str:
        """on as soon as it is asked for, whatever the boards still draw."""
        return "on" if self.device.conf.asleep else "off"

    @property
    def is_asleep_text(self) -> str:
        """The same as in the message."""
        return str(self.device.conf.asleep).lower()

    @property
    def mode_w(self) -> int:
        """Power of the mode."""
        conf = self.device.conf
        return round(self.model.nominal_w * power_share(conf, self.model)) if conf.power_w is None else conf.power_w

    @property
    def mode_ths(self) -> int:
        """Rate of the mode."""
        conf = self.device.conf
        share = power_share(conf, self.model)
        return round(self.model.nominal_ths * float(share**HASH_EXPONENT)) if conf.ths is None else conf.ths

    # ---- boards ---------------------------------------------------------------------------------------------------

    @cached_property
    def boards(self) -> list[dict[str, Any]]:
        """One row a board with its sensors and chips; boards count from 1, chips from 0."""
        total_mhs = self.rates_ths["5s"] * 1e6
        rows = []
        for index, share in enumerate(self.character.board_share):
            sensors = self._sensors(index)
            rows.append({
                "id": index, "n": index + 1, "mhs": round(total_mhs * share, 1), "sensors": sensors,
                "board_c": round(sum(sensors) / len(sensors), 2), "sn": f"{self.host.serial}B{index + 1}",
                "chip_clocks": self._chips(index, "Frequency"), "chip_volts": self._chips(index, "Voltage"),
            })  # fmt: skip
        return rows

    def _sensors(self, board: int) -> list[float]:
        inlet, hottest = self._air_and_board_c
        rise_k = (hottest - inlet) * self.character.board_heat[board]
        return [round(2.0 * (inlet + rise_k * share)) / 2.0 for share in self.sensor_rise]

    def _chips(self, board: int, what: str) -> list[dict[str, Any]]:
        """One row a chip. How chips of a board differ belongs to the unit."""
        deviations = (self.device.seed / "chip" / board / what).normals(self.model.chips_per_board).tolist()
        if what == "Temperature":
            base_c = max(self._sensors(board)) + (float(METER["chip_k"]) if self.are_boards_on else 0.0)
            found = [base_c + float(METER["chip_spread_k"]) * draw for draw in deviations]
        elif not self.are_boards_on:
            found = [0.0] * len(deviations)
        elif what == "Voltage":
            mean_v = self._psu_v / float(self.figures["chips_in_series"])
            found = [mean_v * (1.0 + 0.01 * draw) for draw in deviations]
        else:
            mean, grid = self._board_mhz(board + 1), float(METER["chip_mhz_grid"])
            spread = float(METER["chip_mhz_spread"])
            found = [grid * round(mean * max(0.4, 1.0 + spread * draw) / grid) for draw in deviations]
        return [{what: figure, "ID": chip} for chip, figure in enumerate(found)]

    def _board_mhz(self, n: int) -> float:
        clock_mhz = self.model.frequency_mhz * self.clock_share
        return float(dict(self.device.conf.board_mhz).get(n, clock_mhz))

    @property
    def temperature_list(self) -> list[dict[str, Any]]:
        """The control board, then one row a board with its sensors and chips."""
        control = {"BoardTemp": [{"ID": 0, "Temperature": round(self.unit.inlet_c(self.now) + 4.0, 4)}]}
        rows: list[dict[str, Any]] = [{**control, "ChipTemp": None, "ID": 0, "Name": "Control Board"}]
        for board in self.boards:
            sensors = [{"ID": n, "Temperature": degrees} for n, degrees in enumerate(board["sensors"])]
            chips = self._chips(board["id"], "Temperature")
            rows.append({"BoardTemp": sensors, "ChipTemp": chips, "ID": board["n"], "Name": f"Hash Board {board['n']}"})
        return rows

    # ---- power and fans -------------------------------------------------------------------------------------------

    @property
    def _psu_v(self) -> float:
        return self.device.conf.psu_v + float(self.figures["psu_v_error"])

    @cached_property
    def psu(self) -> dict[str, str]:
        """PSU telemetry, each value as text with its unit; renewed every few seconds."""
        refresh_ns: int = METER["psu_refresh_ns"]
        tick = max(0, self.now // refresh_ns)
        error = 1.0 + (self.character.watts_gain - 1.0) / 0.03 * float(METER["psu_error"])  # the unit's own deviation
        seen = 1.0 + float(METER["psu_noise"]) * self.noise("psu", tick)
        watts = self.unit.power_w(tick * refresh_ns) * error * seen
        shared, on = self.figures, self.are_boards_on
        factor = shared["power_factor" if on else "power_factor_off"]
        out_w = watts * shared["psu_efficiency"] if on else 0.0
        rise_rpm = shared["psu_fan_rise_rpm"] * min(1.0, out_w / shared["psu_max_w"])
        fans = [rpm + rise_rpm for rpm in shared["psu_fan_rpm"]]
        return {
            "fan1": f"{fans[0]:.2f} RPM", "fan2": f"{fans[1]:.2f} RPM",
            "volts_in": f"{shared['mains_v']:.2f}V", "amps_in": f"{watts / (shared['mains_v'] * factor):.2f}A",
            "watts_in": f"{watts:.2f}W", "watts_out": f"{out_w:.2f}W", "most": f"{shared['psu_max_w']:.2f}W",
            "volts_out": f"{self._psu_v:.2f}V", "volts_set": f"{self.device.conf.psu_v:.2f}V",
            "amps_out": f"{out_w / self._psu_v:.2f}A",
        }  # fmt: skip

    @property
    def fan_list(self) -> list[dict[str, Any]]:
        """One row a fan; the target is what was set, or follows temperature."""
        full: int = self.figures["fan_max_rpm"]
        auto = round(100.0 * self.unit.fan_share(self.now))
        wanted = dict(self.device.conf.fan_percent)
        rows = self.fan_rows([full])
        return [row | {"target_rpm": round(full * wanted.get(row["n"], auto) / 100.0)} for row in rows]

    # ---- identity and pools ---------------------------------------------------------------------------------------

    @property
    def hostname(self) -> str:
        """Name of the host; what was written is shown."""
        return dict(self.device.conf.network).get("hostname", self.host.hostname)

    @property
    def network(self) -> dict[str, str]:
        """The network configuration."""
        shown = {"protocol": "DHCP", "ip": self.host.address, "netmask": "255.255.0.0", "gateway": self.gateway}
        return shown | {"hostname": self.host.hostname, "mac": self.host.mac} | dict(self.device.conf.network)

    @property
    def chassis(self) -> str:
        """Six digits of the chassis."""
        return f"{self.device.seed.key % 1_000_000:06d}"

    @property
    def board_serials(self) -> list[str]:
        """Serial numbers of the boards, in order."""
        return [board["sn"] for board in self.boards]

    @property
    def pool_count(self) -> int:
        """Pools configured."""
        return len(self.device.pools)

    @property
    def pool_list(self) -> list[dict[str, Any]]:
        """One row a pool; all shares go to the first."""
        rows = []
        for n, pool in enumerate(self.device.pools):
            active = n == 0 and not self.device.conf.asleep
            row = {"n": n, "url": pool.url, "user": pool.user, "active": active}
            row |= {"status": "Dead" if self.device.conf.asleep else "Alive"}
            rows.append(row if n == 0 else row | {"accepted": 0, "rejected": 0})
        return rows
