"""The operator's OpenADR 2.0b VTN: openleadr's, in real time, fed with the operator's messages.

Owns what an order or a price becomes as an EiEvent, and the registration of the one VEN; the protocol is openleadr's
(Apache-2.0, extra `signals`), which reads the clock on the wall and so cannot run in virtual time.
"""

from __future__ import annotations

import asyncio
import warnings
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from emulator.signals.app_device import AppDevice
from emulator.signals.notices import Bulletin, Notice, Order, Price
from emulator.wire import Instant

if TYPE_CHECKING:
    from emulator.clock import Clock

PORT = 8080  # S: openleadr's default http_port
PATH = "/OpenADR2/Simple/2.0b"  # S: openleadr's default http_path_prefix
VTN_ID = "ramprig"
POLL_S = 10  # GK: VENs poll every 10 s
SIGNALS = {"dispatch": ("LOAD_DISPATCH", "setpoint"), "price": ("ELECTRICITY_PRICE", "price")}
"""Signal name and type of each channel (OpenADR 2.0b profile specification). GK"""


class MissingExtraError(RuntimeError):
    """openleadr is not installed."""


class Vtn2:
    """A VTN that one VEN, `ven_name`, may register with; its id is that name too.

    Raises MissingExtraError without openleadr. `opts` is what the VEN has answered, by event id.
    """

    def __init__(
        self,
        clock: Clock,
        address: str,
        port: int = PORT,
        *,
        ven_name: str = "site",
        poll_s: float = POLL_S,
        channels: tuple[str, ...] = ("dispatch", "price"),
    ) -> None:
        try:
            from openleadr import OpenADRServer
        except ImportError as error:
            raise MissingExtraError(
                "OpenADR 2.0b needs openleadr; install it with pip install 'ramprig[signals]'"
            ) from error
        self.opts: dict[str, str] = {}
        self._clock = clock
        self._channels = channels
        self._ven = ven_name
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it names an entry of its application as older versions of aiohttp had it
            self._server: Any = OpenADRServer(
                vtn_id=VTN_ID, http_host=address, http_port=port, requested_poll_freq=timedelta(seconds=poll_s)
            )
        self._server.add_handler("on_create_party_registration", self._register)
        self._server.add_handler("on_register_report", self._no_report)
        self.device = AppDevice(self._server.app, address, port)
        self._bulletin = Bulletin()
        self._task: asyncio.Task[None] | None = None

    def publish(self, bulletin: Bulletin) -> None:
        """Take the messages of a run."""
        self._bulletin = bulletin

    async def start(self) -> None:
        """Begin to answer and to speak."""
        await self.device.start()
        self._task = self._clock.loop.create_task(self._play())

    async def close(self) -> None:
        """Stop."""
        if self._task is not None:
            self._task.cancel()
            (ended,) = await asyncio.gather(self._task, return_exceptions=True)
            if isinstance(ended, Exception):
                raise ended
        await self.device.close()

    async def _play(self) -> None:
        for notice in self._bulletin.all:
            await self._clock.sleep_until(notice.at_ns)
            if notice.channel in self._channels:
                self._tell(notice)

    def _tell(self, notice: Notice) -> None:
        from openleadr import utils

        body = notice.body
        if not isinstance(body, Order | Price):
            return
        name = f"event-{body.id}"
        present = next((e for e in self._server.events.get(self._ven, ()) if e.event_descriptor.event_id == name), None)
        over = isinstance(body, Order) and (body.cancelled or body.status(notice.at_ns) == "completed")
        if over and present is not None:  # in 2.0b an event without an end is ended as it is withdrawn
            self._server.cancel_event(self._ven, name)
        elif over:
            return
        elif present is None:
            self._add(name, body, notice.channel)
        else:
            for period in (present.active_period, *present.event_signals[0].intervals):
                utils.setmember(period, "duration", self._length(body))
            if isinstance(body, Order):
                present.event_descriptor.modification_number = body.revision - 1
            self._server.events_updated[self._ven] = True

    def _add(self, name: str, body: Order | Price, channel: str) -> None:
        from openleadr import objects

        signal_name, signal_type = SIGNALS[channel]
        value = round(body.setpoint_w / 1e3, 3) if isinstance(body, Order) else round(body.usd_per_mwh, 4)
        interval = objects.Interval(
            dtstart=self._clock.wall(body.start_ns), duration=self._length(body), signal_payload=value
        )
        self._server.add_event(
            ven_id=self._ven, signal_name=signal_name, signal_type=signal_type, intervals=[interval], event_id=name,
            callback=self._opted, market_context=f"http://ramprig.invalid/{channel}",
        )  # fmt: skip

    @staticmethod
    def _length(body: Order | Price) -> timedelta:
        """How long an event lasts; 0 stands for no end."""
        stop_ns: Instant | None = body.stop_ns
        return timedelta(0) if stop_ns is None else timedelta(microseconds=(stop_ns - body.start_ns) // 1000)

    async def _register(self, registration: dict[str, Any]) -> tuple[str, str] | bool:
        return (self._ven, f"registration-{self._ven}") if registration["ven_name"] == self._ven else False

    @staticmethod
    async def _no_report(*_report: object, **_more: object) -> None:
        """Reports are not asked for."""

    def _opted(self, ven_id: str, event_id: str, opt_type: str) -> None:
        self.opts[event_id] = opt_type
