"""What VNish shows of its miner: rates that fall to zero with the state, watts of the boards, presets, pools, history.

Owns the names that `vnish.json` uses; state and commands are elsewhere, figures with sources in `vnish.toml`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from emulator.wire import MINUTE, SECOND, Instant
from firmware_mocks.miners.lazy import cached_property
from firmware_mocks.miners.readings import HASH_EXPONENT, Readings, Window, clock_text
from firmware_mocks.miners.replies import figures, values
from firmware_mocks.miners.vnish_conf import DISABLED, LIMITS, Conf, Preset, ladder, present, preset_of, setpoint
from firmware_mocks.miners.vnish_state import HALTED, State, since

if TYPE_CHECKING:
    from firmware_mocks.miners.vnish import VnishDevice

FIGURES = figures(__package__, "vnish.toml")
METER = values(FIGURES, "meter")
IMAGE = values(FIGURES, "image")


class VnishReadings(Readings):
    """What VNish shows at one instant."""

    device: VnishDevice
    windows: ClassVar[Mapping[str, Window]] = {
        "5s": Window(METER["tau_5s_ns"], exponential=True),
        "1m": Window(METER["tau_1m_ns"], exponential=True),
        "5m": Window(5 * MINUTE),
        "15m": Window(15 * MINUTE),
        "30m": Window(30 * MINUTE),
        "av": Window(None),
    }
    noises = ("power",)
    chip_k = METER["chip_k"]

    @cached_property
    def figures(self) -> dict[str, Any]:
        """Plain words and limits of the image and of the model."""
        return IMAGE | LIMITS | METER | values(FIGURES, self.model.id)

    @property
    def conf(self) -> Conf:
        """The settings."""
        return self.device.conf

    # ---- state ----------------------------------------------------------------------------------------------------

    @cached_property
    def as_of(self) -> Instant:
        """The last instant at which the status pane was renewed."""
        return self.renewed(self.device.knobs.status_refresh_ns)

    @cached_property
    def state(self) -> State:
        """What the miner says it is doing."""
        return self.device.state(self.as_of)

    @property
    def state_word(self) -> str:
        """The state as the miner spells it."""
        return self.state.value

    @cached_property
    def state_s(self) -> int:
        """Seconds in this state."""
        order = self.device.orders.at(self.as_of)
        begin = self.as_of if self.device.boot_ns is None else self.device.boot_ns
        if order is not None:
            begin = order.at
        elif (mining := self.unit.mining_since_ns(self.as_of)) is not None:
            begin = mining
        # between two orders states only go forward, so one search serves every look until the next change
        key = (self.device.boot_ns, begin, self.state)
        if self.device.pane is None or self.device.pane[0] != key:
            self.device.pane = (key, since(self.device.state, min(begin, self.as_of), self.as_of))
        return (self.now - self.device.pane[1]) // SECOND

    @property
    def is_halted(self) -> bool:
        """Whether the pane says stopped or paused."""
        return self.state in HALTED

    @property
    def uptime(self) -> str:
        """Age of the control board: "0:06", "19:30", "10 days, 18:00"."""
        since_ns = self.device.boot_ns if self.device.boot_ns is not None else self.now
        minutes = (self.now - since_ns) // (60 * SECOND)
        days, rest = divmod(minutes, 1440)
        clock = f"{rest // 60}:{rest % 60:02}"
        return f"{days} days, {clock}" if days else clock

    @property
    def series(self) -> str:
        """Generation: "x19", "x21"."""
        return f"x{self.model.name[1:3]}"

    @property
    def hostname(self) -> str:
        """Name of the host."""
        return self.conf.hostname or self.host.hostname

    @property
    def restarts(self) -> int:
        """Restarts since the boot that the log still knows."""
        return sum(order.name in ("restart", "preset") for order in self.device.orders.kept)

    # ---- rates and power ------------------------------------------------------------------------------------------

    @cached_property
    def web_ghs(self) -> dict[str, float]:
        """The windows as the web shows them: all zero while the miner stands, whatever the socket still averages."""
        return dict.fromkeys(self.windows, 0.0) if self.is_halted else self.ghs

    @property
    def nominal_ghs(self) -> float:
        """Rate expected of the clock; zero while the miner stands."""
        return 0.0 if self.is_halted else self.ideal_ghs

    @property
    def stock_ghs(self) -> float:
        """Rate of the nameplate."""
        return self.model.nominal_ths * 1e3

    @property
    def stock_board_ghs(self) -> float:
        """Rate of one board on the nameplate."""
        return round(self.stock_ghs / self.model.boards, 2)

    @property
    def web_ths(self) -> dict[str, float]:
        """The deprecated fields, TH/s."""
        return {name: round(ghs / 1e3, 2) for name, ghs in self.web_ghs.items()}

    @cached_property
    def watts(self) -> int:
        """Power of the boards as the firmware models it, with the error of the unit."""
        return int(sum(chain["watts"] for chain in self.chain_list))

    @property
    def efficiency(self) -> float:
        """J/TH from what is shown."""
        ths = self.web_ghs["5s"] / 1e3
        return round(self.watts / ths, 2) if ths > 1.0 else 0.0

    @cached_property
    def _boards_w(self) -> float:
        # The label of the preset a model comes with is to its boards what the nameplate is to the wall; without a
        # clock the model gives nothing, while the wall still feeds fans and control board.
        if self.unit.hash_ths(self.as_of) <= 1e-3 * self.model.nominal_ths:
            return 0.0
        share = present(self.model.id).watts / self.model.nominal_w
        return share * self.modelled_w(self.as_of, self.device.knobs.status_refresh_ns, METER["power_noise"])

    # ---- boards, chips, fans --------------------------------------------------------------------------------------

    @cached_property
    def chain_list(self) -> list[dict[str, Any]]:
        """One row a board: the common one and what the web adds to it."""
        millivolts = 0 if self._boards_w == 0.0 else 10 * self.volt
        rows = []
        for row in self.board_list:
            shown = round(self.web_ghs["5s"] * row["share"], 2)
            ideal = round(self.nominal_ghs / self.model.boards, 2)
            rows.append(row | {
                "web_rate": shown, "web_ideal": ideal, "millivolts": millivolts,
                "watts": round(self._boards_w * row["share"]),
                "percent": round(100.0 * shown / ideal, 1) if ideal else 0.0,
                "pcb_range": {"min": min(row["pcb"]), "max": max(row["pcb"])},
                "chip_range": {"min": min(row["chip"]), "max": max(row["chip"])},
                "state": self.state_word, "mhz_now": 0.0 if self.is_halted else float(row["mhz"]),
            })  # fmt: skip
        return rows

    @property
    def chip_list(self) -> list[dict[str, Any]]:
        """The boards with a row for each of their chips."""
        chips = self.model.chips_per_board
        rows = []
        for chain in self.chain_list:
            rate = round(chain["web_rate"] / chips, 2)
            millivolts, (low, high) = (
                chain["millivolts"] * self.figures["chips_per_domain"] // chips,
                chain["chip_range"].values(),
            )
            of = [
                {"id": n, "hr": rate, "freq": round(chain["mhz_now"]), "volt": millivolts, "errors": 0, "grade": 0,
                 "status": "grey", "temp": low + (high - low) * n // max(1, chips - 1)}
                for n in range(chips)
            ]  # fmt: skip
            rows.append(chain | {"chip_rows": of})
        return rows

    @property
    def pcb_all(self) -> dict[str, int]:
        """Coolest and hottest board sensor."""
        return _range(chain["pcb_range"] for chain in self.chain_list)

    @property
    def chip_all(self) -> dict[str, int]:
        """Coolest and hottest chip."""
        return _range(chain["chip_range"] for chain in self.chain_list)

    @property
    def slots(self) -> list[dict[str, Any]]:
        """The boards as the socket lists them, with the numbers of the boards the firmware knows."""
        rows = []
        for chain in self.chain_list:
            mhs = {name: round(ths * 1e6 * chain["share"], 1) for name, ths in self.rates_ths.items()}
            rows.append(chain | {"mhs": mhs})
        return rows

    @property
    def fan_percent(self) -> int:
        """Fan duty."""
        return round(100.0 * self.unit.fan_share(self.now))

    @property
    def fan_list(self) -> list[dict[str, Any]]:
        """One row a fan."""
        rows = self.fan_rows(self.figures["full_rpm"])
        return [row | {"status": "ok" if row["rpm"] else "lost"} for row in rows]

    # ---- presets --------------------------------------------------------------------------------------------------

    @cached_property
    def preset(self) -> Preset | None:
        """The preset in force."""
        return preset_of(self.conf, self.model)

    @property
    def preset_name(self) -> str:
        """Its name."""
        return DISABLED if self.preset is None else self.preset.name

    @property
    def current(self) -> dict[str, Any]:
        """The row of the preset in force."""
        return next(row for row in self.preset_list if row["name"] == self.preset_name)

    @cached_property
    def preset_list(self) -> list[dict[str, Any]]:
        """One row a preset, the one that is none first."""
        none = {"name": DISABLED, "pretty": "Disabled", "status": "untuned"}
        rows = [none]
        for rung in ladder(self.model.id):
            tuned = self.device.is_tuned(rung.name, self.now)
            rows.append({"name": rung.name, "pretty": rung.pretty, "status": "tuned" if tuned else "untuned"})
        return rows

    @property
    def freq(self) -> int:
        """Configured clock of the boards, MHz; the running one follows at the next start."""
        share = float(setpoint(self.conf, self.model) ** HASH_EXPONENT)
        return round(self.model.frequency_mhz * share)

    @property
    def volt(self) -> int:
        """Configured voltage of the boards in hundredths of a volt."""
        return self.default_volt if self.conf.volt is None else self.conf.volt

    @property
    def default_volt(self) -> int:
        """The model's own voltage in hundredths of a volt."""
        return round(100 * self.model.voltage_v)

    @property
    def default_freq(self) -> int:
        """The model's own clock, MHz."""
        return round(self.model.frequency_mhz)

    @property
    def conf_chains(self) -> list[dict[str, Any]]:
        """No board has a clock of its own."""
        return [{"freq": 0, "chips": []} for _ in range(self.model.boards)]

    # ---- pools ----------------------------------------------------------------------------------------------------

    @property
    def pool_list(self) -> list[dict[str, Any]]:
        """One row a pool of the user; all his shares go to the active one."""
        fee = float(METER["devfee_percent"]) / 100.0
        rows = []
        for n, pool in enumerate(self.device.pools):
            active = n == self.conf.active_pool and bool(pool.url)
            accepted = round(self.accepted * (1.0 - fee)) if active else 0
            row = {"n": n, "url": pool.url, "scheme_url": f"stratum+tcp://{pool.url}" if pool.url else "",
                   "user": pool.user, "pass": pool.password, "active": active, "accepted": accepted}  # fmt: skip
            row |= {"status": "active" if active else "working" if pool.url else "disabled"}
            row |= {"alive": "Alive" if pool.url else "Dead", "rejected": self.rejected if active else 0}
            row |= {"difficulty_accepted": accepted * self.share_difficulty}
            if accepted:
                row |= {"diff": f"{self.share_difficulty / 1e3:.0f}K", "last_difficulty": self.share_difficulty}
                row |= {"last_share": clock_text(self.last_share_s), "ping": 38}
            else:
                row |= {"diff": "", "last_difficulty": 0.0, "last_share": "0", "ping": 0}
            rows.append(row)
        return rows

    @property
    def pool_count(self) -> int:
        """Pools of the user."""
        return len(self.device.pools)

    @property
    def web_pool_list(self) -> list[dict[str, Any]]:
        """The pools of the user, and after them the vendor's, which takes its share of the work."""
        rows = [row | {"type": "UserPool", "boost": True} for row in self.pool_list]
        accepted = self.accepted - sum(row["accepted"] for row in rows)
        fee = dict.fromkeys(("url", "user", "type"), "DevFee") | {"n": len(rows), "status": "working", "boost": False}
        fee |= {"accepted": accepted, "difficulty_accepted": accepted * self.share_difficulty, "rejected": 0}
        return [*rows, fee | {"diff": "", "last_difficulty": 0.0, "last_share": "0", "ping": 0}]

    @property
    def devfee_ths(self) -> float:
        """Rate that goes to the vendor, TH/s."""
        return round(self.web_ghs["5s"] / 1e3 * float(METER["devfee_percent"]) / 100.0, 2)


def _range(parts: Any) -> dict[str, int]:
    found = list(parts)
    return {"min": min(part["min"] for part in found), "max": max(part["max"] for part in found)}
