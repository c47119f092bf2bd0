"""What Braiins OS shows beside its measurements: tuner and profiles, hash boards, fans, pools and limits.

Owns the names that `braiins.json` uses; settings are in `braiins_conf.py`, calls and commands in `braiins_calls.py` and
`braiins_socket.py`, figures with sources in `braiins.toml`.
"""

from __future__ import annotations

from typing import Any

from emulator.wire import SECOND
from firmware_mocks.miners.braiins_conf import (
    COOLING,
    HASHRATE,
    MANUAL,
    POWER,
    TUNER,
    board_ids,
    group_tree,
    limits,
    target_ths,
)
from firmware_mocks.miners.braiins_meter import BraiinsMeter
from firmware_mocks.miners.lazy import cached_property
from firmware_mocks.miners.protobuf import Tree
from firmware_mocks.miners.readings import HASH_EXPONENT

DISABLED, STABLE, TUNING = 1, 2, 3


class BraiinsReadings(BraiinsMeter):
    """What BOSminer and BOSer show at one instant."""

    # ---- tuner ----------------------------------------------------------------------------------------------------

    @property
    def tuner_state(self) -> int:
        """TunerState."""
        if self.device.conf.mode == MANUAL or not self.is_running or self.has_settled:
            return DISABLED
        return TUNING if self.device.is_tuning(self.now) else STABLE

    @property
    def tuner_text(self) -> str:
        """State of the tuner as 4028 says it; clients take some of these words for errors."""
        if self.has_settled and self.device.knobs.paused_style != "frozen":
            return "Tuner is paused"
        if self.device.conf.mode == MANUAL:
            return "Disabled"
        return "Tuning individual chips" if self.device.is_tuning(self.now) else "Stable"

    @property
    def power_state(self) -> Tree | None:
        """PowerTargetModeState; None in another mode."""
        if self.device.conf.mode != POWER:
            return None
        return {"current_target": {"watt": self.limit_w}, "profile": self._profile(POWER, self.limit_w)}

    @property
    def hashrate_state(self) -> Tree | None:
        """HashrateTargetModeState; None in another mode."""
        if self.device.conf.mode != HASHRATE:
            return None
        ths = target_ths(self.device.conf, self.model)
        return {"current_target": {"terahash_per_second": ths}, "profile": self._profile(HASHRATE, ths)}

    def _profile(self, mode: str, target: float) -> Tree | None:
        created_ns = self.device.profiles(self.now).get((mode, target))
        if created_ns is None:
            return None
        share = self._share(mode, target)
        goal = {"watt": round(target)} if mode == POWER else {"terahash_per_second": target}
        unix_ns = self.when * SECOND + created_ns - self.now
        return {
            "created": {"seconds": unix_ns // SECOND, "nanos": unix_ns % SECOND},
            "target": goal,
            "measured_hashrate": {"gigahash_per_second": self.model.nominal_ths * 1e3 * share**HASH_EXPONENT},
            "estimated_power_consumption": {"watt": round(self.model.nominal_w * share * self.character.watts_gain)},
        }

    def _share(self, mode: str, target: float) -> float:
        if mode == HASHRATE:
            return float((target / self.model.nominal_ths) ** (1.0 / HASH_EXPONENT))
        return target / self.model.nominal_w

    def profile_list(self, mode: str) -> list[Tree]:
        """All tuned profiles of a mode, smallest target first."""
        targets = sorted(target for kind, target in self.device.profiles(self.now) if kind == mode)
        return [profile for target in targets if (profile := self._profile(mode, target)) is not None]

    @property
    def profile_unix_s(self) -> int | None:
        """When the loaded profile was made."""
        state = self.power_state or self.hashrate_state
        return None if state is None or state["profile"] is None else int(state["profile"]["created"]["seconds"])

    @property
    def is_tuner_on(self) -> bool:
        """Whether 4028 says that the tuner runs."""
        return self.tuner_state != DISABLED or (self.is_frozen and self.device.conf.mode != MANUAL)

    @property
    def dps_text(self) -> str:
        """DPS as 4028 says it."""
        return "InitialPowerTarget" if self.device.conf.dps.enabled else "Disabled"

    # ---- boards and fans ------------------------------------------------------------------------------------------

    @cached_property
    def boards(self) -> list[dict[str, Any]]:
        """One row a board: BOSminer numbers them from 1. Empty while it does not run."""
        if not self.is_running:
            return []
        shares = self.character.board_share
        total = sum(share for share, board in zip(shares, board_ids(self.model), strict=True) if board in self.enabled)
        inlet, hottest = self.unit.inlet_c(self.now), self.unit.temperature_c(self.now)
        own_hz = dict(self.device.conf.boards_hz) if self.device.conf.mode == MANUAL else {}
        rows = []
        for index, board in enumerate(board_ids(self.model)):
            on = board in self.enabled
            share = shares[index] / total if on else 0.0
            rise = (hottest - inlet) * self.character.board_heat[index]
            warm = _half(inlet + rise)
            mhz = round(own_hz[board] / 1e6) if board in own_hz and not self.is_paused else self.frequency_mhz
            ideal = self.ideal_ghs / len(self.enabled) if on else 0.0
            stats = {
                "real_hashrate": self.real(share), "nominal_hashrate": {"gigahash_per_second": ideal},
                "error_hashrate": {"megahash_per_second": 0.0}, "best_share": int(self.best_share * share),
                "found_blocks": 0,
            }  # fmt: skip
            rows.append({
                "id": board, "n": index + 1, "index": index, "on": on, "yes": "Y" if on else "N",
                "chips": self.model.chips_per_board, "mhz": mhz if on else 0, "hertz": mhz * 1e6 if on else 0.0,
                "volts": self.volts if on else 0.0, "board_c": warm, "stats": stats,
                "chip_c": warm + (COOLING["chip_rise_k"] if self.is_hashing else 0.0),
                "inlet_c": _half(inlet + rise * COOLING["inlet_rise_share"]), "sn": f"{self.host.serial}B{index + 1}",
                "mhs": {name: round(ths * 1e6 * share, 2) for name, ths in self.rates_ths.items()},
                "nominal_mhs": round(ideal * 1e3, 2), "accepted": int(self.accepted * share),
                "watts": round(self.chain_watts * share), "limit": round(self.limit_w * share), "share": share,
            })  # fmt: skip
        return rows

    @property
    def volts(self) -> float:
        """Voltage of the hash rail, 0 while it is off."""
        if not self.is_hashing:
            return 0.0
        return (
            self.device.conf.manual_v or self.model.voltage_v
            if self.device.conf.mode == MANUAL
            else self.model.voltage_v
        )

    @property
    def highest(self) -> Tree | None:
        """The hottest sensor."""
        found = max((row["chip_c"] for row in self.boards), default=None)
        return None if found is None else {"location": 1, "temperature": {"degree_c": found}}

    @property
    def fan_list(self) -> list[dict[str, Any]]:
        """One row a fan."""
        ratio = round(self.unit.fan_share(self.now), 2)
        rows = self.fan_rows(self.figures["full_rpm"])
        return [row | {"ratio": ratio, "percent": round(100 * ratio)} for row in rows]

    @property
    def cores(self) -> int:
        """Cores of a board: 1 276 a chip (S2: 137 808 on the 108 chips of an S21 board)."""
        return 1276 * self.model.chips_per_board

    # ---- pools ----------------------------------------------------------------------------------------------------

    @property
    def share_stamp(self) -> Tree | None:
        """Instant of the last share."""
        if not self.accepted:
            return None
        return {"seconds": self.when - (self.last_share_s or 0), "nanos": 0}

    @cached_property
    def pool_rows(self) -> list[dict[str, Any]]:
        """One row a pool of every group, with the number of its group; the first living one of a group works."""
        groups = self.device.groups(self.device.conf)
        rows: list[dict[str, Any]] = []
        for number, group in enumerate(groups):
            chosen = next((pool for pool in group.pools if pool.enabled), None)
            for pool in group.pools:
                active = pool is chosen and self.is_running and not self.is_paused
                mine = pool is chosen
                row = {"n": len(rows), "group": number, "uid": pool.uid, "url": pool.url, "user": pool.user}
                row |= {"enabled": pool.enabled, "alive": pool.enabled and self.is_running, "active": active}
                row |= {"quota": group.quota or 1, "priority": len(rows)}
                row |= {"status": "Disabled" if not pool.enabled else "Alive" if self.is_running else "Dead"}
                part = 1.0 / len(groups) if mine else 0.0
                row |= {"accepted": int(self.accepted * part), "rejected": int(self.rejected * part)}
                row |= {"work": int(self.diff1_work * part), "best": self.best_share if mine else 0}
                row |= {"stamp": self.share_stamp if mine else None}
                row |= {"difficulty": int(self.share_difficulty) if mine else 0}
                rows.append(row)
        return rows

    @property
    def pool_count(self) -> int:
        """Pools of all groups."""
        return len(self.pool_rows)

    @property
    def pool_url(self) -> str:
        """The pool at work."""
        return next((row["url"] for row in self.pool_rows if row["active"]), "")

    @property
    def pool_user(self) -> str:
        """The user at that pool."""
        return next((row["user"] for row in self.pool_rows if row["active"]), "")

    @property
    def pool_stats(self) -> Tree:
        """PoolStats of the miner."""
        return {
            "accepted_shares": self.accepted, "rejected_shares": self.rejected, "stale_shares": 0,
            "last_difficulty": int(self.share_difficulty), "best_share": self.best_share,
            "generated_work": self.diff1_work, "last_share_time": self.share_stamp,
        }  # fmt: skip

    @property
    def group_rows(self) -> list[Tree]:
        """Every PoolGroup."""
        found = []
        for number, group in enumerate(self.device.groups(self.device.conf)):
            pools = []
            for row in self.pool_rows:
                if row["group"] == number:
                    stats = {
                        "accepted_shares": row["accepted"], "rejected_shares": row["rejected"], "stale_shares": 0,
                        "last_difficulty": row["difficulty"], "best_share": row["best"], "generated_work": row["work"],
                        "last_share_time": row["stamp"],
                    }  # fmt: skip
                    known = {key: row[key] for key in ("uid", "url", "user", "enabled", "alive", "active")}
                    pools.append(known | {"stats": stats})
            conf = group_tree(group)
            strategy: Tree = {key: conf[key] for key in ("quota", "fixed_share_ratio") if key in conf}
            found.append({"uid": group.uid, "name": group.name, "pools": pools} | strategy)
        return found

    # ---- configuration --------------------------------------------------------------------------------------------

    @property
    def power_limits(self) -> Tree:
        """PowerConstraints of the target."""
        default, low, high = ({"watt": watts} for watts in limits(self.model).power_w)
        return {"default": default, "min": low, "max": high}

    @property
    def hash_limits(self) -> Tree:
        """HashrateConstraints of the target."""
        default, low, high = ({"terahash_per_second": ths} for ths in limits(self.model).hash_ths)
        return {"default": default, "min": low, "max": high}

    @property
    def dps_floor_w(self) -> int:
        """Default floor of DPS."""
        return max(round(self.model.nominal_w * float(TUNER["dps_min_share"])), limits(self.model).power_w[1])

    @property
    def dps_floor_ths(self) -> float:
        """Default floor of DPS in TH/s."""
        return round(self.model.nominal_ths * float(TUNER["dps_min_share"]), 2)

    @property
    def dps_defaults(self) -> dict[str, Any]:
        """Default steps and shutdown of DPS."""
        step_w, step_ths = TUNER["dps_power_step_w"], TUNER["dps_hash_step_ths"]
        return {"step_w": step_w, "step_ths": step_ths, "hours": TUNER["dps_hours"]}

    @property
    def cooling_limits(self) -> dict[str, Any]:
        """Constraints of the cooling settings."""
        whole = {"min": {"degree_c": 0.0}, "max": {"degree_c": 200.0}}
        found: dict[str, Any] = {"fans": COOLING["min_fans"]}
        for name in ("target", "hot", "dangerous"):
            found[name] = {"default": {"degree_c": COOLING[f"{name}_c"]}, **whole}
        return found

    @property
    def cooling(self) -> dict[str, float]:
        """Target, hot and dangerous temperature as configured."""
        given = dict(self.device.conf.cooling_set)
        found = {}
        for name in ("target", "hot", "dangerous"):
            entry = given.get(f"{name}_temperature")
            found[name] = float(COOLING[f"{name}_c"] if entry is None else entry["degree_c"])
        return found

    @property
    def cooling_text(self) -> str:
        """Cooling mode as 4028 says it."""
        return {"auto": "Automatic", "manual": "Manual"}.get(self.device.conf.cooling, "Immersion")

    @property
    def psu(self) -> dict[str, float]:
        """Least and greatest voltage of the PSU."""
        return {"0": TUNER["psu_min_v"], "1": TUNER["psu_max_v"]}

    @property
    def board_ids(self) -> list[str]:
        """Ids of all boards."""
        return board_ids(self.model)

    @property
    def nominal_hz(self) -> float:
        """Nominal clock."""
        return self.model.frequency_mhz * 1e6

    @property
    def most_hz(self) -> float:
        """Fastest clock that may be set."""
        return float(TUNER["max_mhz"]) * 1e6

    @property
    def ramp_limits(self) -> dict[str, int]:
        """Default and greatest quick ramping time."""
        return {"default": TUNER["ramp_default_s"], "max": TUNER["ramp_max_s"]}

    @property
    def sticker(self) -> Tree:
        """Rate on the nameplate."""
        return {"gigahash_per_second": self.model.nominal_ths * 1e3}

    @property
    def mean_board_c(self) -> float:
        """Hottest board."""
        return max((row["board_c"] for row in self.boards), default=0.0)


def _half(degrees: float) -> float:
    return round(degrees * 2.0) / 2.0
