"""What VNish remembers: metrics over time, what happened when, and its logs.

Owns the replies that look back; what the miner shows of the present is `vnish_readings.py`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emulator.wire import SECOND, Instant
from firmware_mocks.miners.vnish_conf import present
from firmware_mocks.miners.vnish_readings import IMAGE, VnishReadings
from firmware_mocks.miners.vnish_state import Order, State

if TYPE_CHECKING:
    from firmware_mocks.miners.vnish import VnishDevice

LOGS = ("status", "miner", "autotune", "system", "messages", "api")
_SENTENCES = {
    "boot": "Initializing [{title}]", "start": "Initializing [{title}]", "stop": "Mining stopped",
    "pause": "Mining stopped", "restart": "Restarting", "preset": "Restarting", "reboot": "Rebooting",
}  # fmt: skip
_ANNOTATED = {"stop": "stop", "pause": "stop", "restart": "restart", "preset": "restart", "start": "start"}
SLICE_S, STEP_S = 86_400, 900
"""Length and step of metrics where none are asked for (S2: public API note)."""
LONGEST_SLICE_S, SHORTEST_STEP_S = 259_200, 300
"""Bounds of metrics: three days (S2), and a step that keeps the reply small (estimate)."""


class VnishHistory(VnishReadings):
    """Readings that look back over `slice_s` in steps of `step_s`."""

    def __init__(self, device: VnishDevice, now: Instant, slice_s: int = SLICE_S, step_s: int = STEP_S) -> None:
        super().__init__(device, now)
        self.slice_s, self.step_s = slice_s, step_s

    @property
    def annotations(self) -> list[dict[str, Any]]:
        """What happened, newest first."""
        told = [order for order in reversed(self.device.orders.kept) if order.name in _ANNOTATED]
        return [{"time": self.host.unix_s(order.at), "type": _ANNOTATED[order.name]} for order in told]

    @property
    def metric_list(self) -> list[dict[str, Any]]:
        """One row a step since the boot, newest first: means of rate and board power, and how warm it was then."""
        rows = []
        begin_ns = self.now if self.device.boot_ns is None else self.device.boot_ns
        share = present(self.model.id).watts / self.model.nominal_w * self.character.watts_gain
        step_ns = self.step_s * SECOND
        for n in range(self.slice_s // self.step_s):
            end = self.now - n * step_ns
            if end - step_ns < begin_ns:
                break
            ths = self.unit.mean_hash_ths(end - step_ns, end)
            watts = self.unit.energy_j(end - step_ns, end) / self.step_s * share if ths > 0.0 else 0.0
            pcb = round(self.unit.temperature_c(end))
            rows.append({
                "time": self.host.unix_s(end), "hashrate": round(ths, 2), "pcb": pcb,
                "chip": pcb + (self.chip_k if ths > 0.0 else 0), "fan_duty": round(100 * self.unit.fan_share(end)),
                "watts": round(watts),
            })  # fmt: skip
        return rows

    def log(self, kind: str) -> str:
        """One of the logs as text."""
        told = {"status": self._status_log, "miner": self._miner_log, "autotune": self._autotune_log}
        told |= {"system": self._system_log, "messages": self._messages_log, "api": self._api_log}
        return "".join(f"{line}\n" for line in told[kind]())

    def _status_log(self) -> list[str]:
        title = f"{self.model.type_string} {self.figures['platform_name']} ({IMAGE['version']})"
        return [self._line(order, _SENTENCES[order.name].format(title=title)) for order in self._told]

    def _miner_log(self) -> list[str]:
        starts = [order for order in self._told if order.name not in ("stop", "pause")]
        begun = starts[-1] if starts else Order(self.since_ns, "boot")
        said = ["Initializing PSU", f"PSU model: {self.figures['psu']}"]
        said += [f"fan#{n + 1} - ok" for n in range(self.model.fans)]
        said += [f"chain#{n + 1} - connected" for n in range(self.model.boards)]
        return [self._line(begun, text) for text in said]

    def _autotune_log(self) -> list[str]:
        if self.state is not State.TUNING:
            return []
        return [self._line(Order(self.as_of, "tune"), f"Tuning preset {self.preset_name}")]

    def _system_log(self) -> list[str]:
        return ["Booting Linux on physical CPU 0x0"]

    def _messages_log(self) -> list[str]:
        booted = self.host.wall(self.since_ns if self.device.boot_ns is None else self.device.boot_ns)
        return [f"{booted:%b %d %H:%M:%S} buildroot syslog.info syslogd started: BusyBox v1.36.1"]

    def _api_log(self) -> list[str]:
        return list(self.device.calls)

    @property
    def _told(self) -> list[Order]:
        return [order for order in self.device.orders.kept if order.at <= self.now]

    def _line(self, order: Order, text: str) -> str:
        return f"[{self.host.wall(order.at):%Y/%m/%d %H:%M:%S}] INFO: {text}"
