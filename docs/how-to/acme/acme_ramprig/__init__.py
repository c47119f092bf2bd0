"""Acme OS: reads, stop and start on the cgminer socket, a status page on port 80."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from emulator.seed import Seed
from emulator.wire import Conversation, Instant
from firmware_mocks.miners.base import API, WEB, Credentials, Firmware, HostInfo, MinerDevice, MinerUnit
from firmware_mocks.miners.cgminer import ApiConversation, Command, Dialect, Reply, Request, render
from firmware_mocks.miners.http import HttpConversation, HttpRequest, HttpResponse, error_page
from firmware_mocks.miners.readings import Readings, Window
from firmware_mocks.miners.replies import figures, models_with, templates, values

TEMPLATES = templates(__package__, "replies.json")
FIGURES = figures(__package__, "figures.toml")


# ---- readings --------------------------------------------------------------------------------------------------------


class AcmeReadings(Readings):
    """What Acme OS shows at one instant."""

    device: AcmeDevice
    windows = {"5s": Window(values(FIGURES, "meter")["window_5s_ns"], exponential=True), "av": Window(None)}

    @property
    def asleep(self) -> bool:
        """Whether it was told to stop."""
        return self.device.asleep

    @property
    def watts(self) -> int:
        """Wall power by the firmware's model, which is wrong by a few per cent in its own way on each unit."""
        return round(self.unit.power_w(self.now) * self.character.watts_gain)

    @property
    def fan_list(self) -> list[dict[str, Any]]:
        """One row a fan."""
        return self.fan_rows(values(FIGURES, self.model.id)["full_rpm"])


# ---- device ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Knobs:
    """What a rig's author or a test may set otherwise."""

    reply_ns: int


class AcmeDevice(MinerDevice):
    """One miner under Acme OS."""

    def __init__(self, unit: MinerUnit, host: HostInfo, seed: Seed, knobs: Knobs) -> None:
        super().__init__(unit, host, seed, ports=tuple(FIRMWARE.ports.values()))
        self.dialect = replace(DIALECT, service_ns=knobs.reply_ns)
        self.asleep = False

    def _open(self, port: int, peer: str, now: Instant) -> Conversation:
        if port == self.api_port:
            return ApiConversation(self, self.dialect)
        return HttpConversation(self, self.serve, port, server="acme")

    def stop(self, request: Request, now: Instant) -> Reply:
        """Answer, then let the chips rest."""
        return self._switch("stop", True, "sleep", now)

    def start(self, request: Request, now: Instant) -> Reply:
        """Answer, then wake."""
        return self._switch("start", False, "wake", now)

    def _switch(self, name: str, asleep: bool, script: str, now: Instant) -> Reply:
        if self.asleep == asleep:
            return render(TEMPLATES["already"], AcmeReadings(self, now))
        self.asleep = asleep
        return replace(
            render(TEMPLATES[name], AcmeReadings(self, now)),
            then=lambda done: self.unit.run(script, done),
        )

    def serve(self, request: HttpRequest, now: Instant) -> HttpResponse:
        """The status page."""
        if request.path != "/status":
            return error_page(404)
        return HttpResponse(body=TEMPLATES["status"].text(AcmeReadings(self, now)))


# ---- socket ----------------------------------------------------------------------------------------------------------


def report(name: str) -> Command[AcmeDevice]:
    """A command that only reads."""

    def handler(device: AcmeDevice, _request: Request, now: Instant) -> Reply:
        return render(TEMPLATES[name], AcmeReadings(device, now))

    return Command(handler)


DIALECT: Dialect[AcmeDevice] = Dialect(
    "acme 1.0",
    {
        **{name: report(name) for name in ("version", "summary", "fans")},
        "stop": Command(AcmeDevice.stop, joinable=False),
        "start": Command(AcmeDevice.start, joinable=False),
    },
    service_ns=0,
)

# ---- firmware --------------------------------------------------------------------------------------------------------

FIRMWARE = Firmware(
    name="acme",  # as rigs and inventories call it
    title="Acme OS",
    make="Antminer",
    models=models_with(FIGURES, "full_rpm"),  # ids of the catalogue: those that have a table
    phases="luxos",  # timing: a file in emulator/catalogue/phases
    ports={API: 4028, WEB: 80},
    credentials=Credentials(),
    start=AcmeDevice,  # called with (unit, host, seed, knobs)
    knobs=Knobs(**values(FIGURES, "knobs")),
)
