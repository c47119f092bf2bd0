"""The reference controller: watches frequency and dispatch, sheds miners in time, returns them in stages.

It owns the polling, the choice of units and the insistence until a device confirms; what to hold is decided in
`decision.py`, how a product is spoken to stands in `drivers/`. It knows nothing of the bench: run it beside any site
that has an inventory file, `python -m firmware_mocks.controllers.reference --config ctl.toml --inventory site.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import logging
import math
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Collection, Coroutine, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TextIO, TypeAlias

from firmware_mocks.controllers import drivers
from firmware_mocks.controllers.decision import Decider, DispatchService, FrequencyService, Roster, Seen, Want
from firmware_mocks.controllers.drivers import DeviceError
from firmware_mocks.controllers.hands import MinerHand, Outlet, PduHand
from firmware_mocks.controllers.limits import Limits
from firmware_mocks.controllers.memory import Memory
from firmware_mocks.controllers.modbus_link import TRANSPORTS, Links
from firmware_mocks.controllers.settings import ConfigError, Settings, Trial, Way, load

log = logging.getLogger(__name__)

_BELIEVABLE = (0.8, 1.2)
"""Share of nominal within which a frequency is believed, an estimate: meters read 0.0 while they measure nothing."""
_JUMP_HZ, _STANDS_S = 1.5, 0.25
"""A frequency so far from the one before is believed once it has stood for so long: a meter that begins to measure
nothing shows a mean of that and the grid for one reading. Grids move by 5 Hz/s at most (IESO withstand, S)."""


class Controller:
    """Pollers, the decision, and the hands that carry it out. Made and run inside a running event loop."""

    frequency_service: type[FrequencyService] = FrequencyService
    dispatch_service: type[DispatchService] = DispatchService
    limits: type[Limits] = Limits
    meters: Mapping[str, type[drivers.Sdm630]] = drivers.METERS
    roster: type[Roster[Any]] = Roster

    def __init__(
        self, inventory: Mapping[str, Any], settings: Settings, ready: Callable[[], None], memory: Memory
    ) -> None:
        self._settings, self._ready, self._memory = settings, ready, memory
        site, retry = inventory["site"], settings.retry
        self._nominal_hz = float(site["nominal_hz"])
        self._nominal_w = float(site["nominal_w"])
        services = self.frequency_service, self.dispatch_service
        self._decider = Decider(settings, _sold_w(inventory, settings), self._nominal_w, *services)
        self._links = Links(settings.poll.timeout_s)
        self._http = drivers.http_client(retry.firmware_timeout_s, retry.request_timeout_s)
        self._meter = self._meter_driver(_poi_meter(inventory))
        entry = _dispatch_signal(inventory, settings)
        self._dispatch = None if entry is None else self._dispatch_driver(entry)
        self._gate = self._made_gate(retry.concurrency)
        self._miners = {entry["id"]: self._miner(entry) for entry in inventory["miners"]}
        by_contactor = "contactor" in settings.paths.allowed
        self._pdus = [self._pdu(entry) for entry in inventory["pdus"]] if by_contactor else []
        self._outlets = self.roster(self._shed_order([outlet for pdu in self._pdus for outlet in pdu.outlets]))
        self._sleepers = self.roster(self._miners.values())
        self._frequency_way = settings.paths.for_deadline(settings.frequency.full_within_s)
        self._dispatch_way = settings.paths.for_deadline(settings.dispatch.full_within_s)

        self._calm_hz, self._stood_s = self._nominal_hz, 0.0
        self._metered: drivers.Reading | None = None
        self._reading: drivers.DispatchReading | None = None
        self._limits = self.limits(settings.dispatch, settings.calendar, self._nominal_w, _clock(settings.trial))
        self._meter_answered, self._dispatch_answered = asyncio.Event(), asyncio.Event()
        self._asked_w: dict[Way, float] = {"contactor": 0.0, "firmware": 0.0}

    def _made_gate(self, concurrency: int) -> asyncio.Semaphore:
        """What lets so many commands to miners through at a time."""
        return asyncio.Semaphore(concurrency)

    def _meter_driver(self, entry: Mapping[str, Any]) -> drivers.Sdm630:
        return self.meters[entry["product"]](self._links.to(entry), entry["unit"])

    def _dispatch_driver(self, entry: Mapping[str, Any]) -> drivers.Dispatch:
        return drivers.signal(entry, self._links, self._http, self._settings.poll.timeout_s)

    def _miner(self, entry: Mapping[str, Any]) -> MinerHand:
        driver = self._miner_driver(entry) if "firmware" in self._settings.paths.allowed else None
        sleep_w = self._settings.paths.sleep_w
        return MinerHand(entry, sleep_w, driver, self._gate, self._settings.retry, self._replace_sleeper)

    def _miner_driver(self, entry: Mapping[str, Any]) -> drivers.Miner | None:
        return drivers.miner(entry, self._http, self._settings.retry.request_timeout_s)

    def _pdu_driver(self, entry: Mapping[str, Any]) -> drivers.Pdu:
        return drivers.PDUS[entry["product"]](self._links.to(entry), entry["unit"])

    def _pdu(self, entry: Mapping[str, Any]) -> PduHand:
        pdu = PduHand(entry["id"], self._pdu_driver(entry), self._settings.retry, self._replace_outlets)
        pdu.outlets.extend(self._outlet(pdu, outlet) for outlet in entry["outlets"])
        return pdu

    def _outlet(self, pdu: PduHand, entry: Mapping[str, Any]) -> Outlet:
        """An outlet with its miners. Other loads behind it are none of this controller's: it is never chosen."""
        return Outlet(pdu, entry["index"], [] if entry.get("loads") else [self._miners[one] for one in entry["miners"]])

    def _shed_order(self, outlets: list[Outlet]) -> list[Outlet]:
        """Which outlets go first; from then on the least recently shed."""
        return outlets

    # ---- watching -------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Watch and act until cancelled. Load then stays as it is: it is off for a reason, and ending is no recall."""
        async with self._http:  # closed in any case: who is told to end twice comes no further than the hands
            self._take_up(asyncio.get_running_loop().time())
            try:
                async with asyncio.TaskGroup() as tasks:
                    tasks.create_task(self._watch_meter(), name="watch meter")
                    if self._dispatch is not None:
                        tasks.create_task(self._watch_dispatch(self._dispatch), name="watch dispatch")
                    tasks.create_task(self._watch_pdus(), name="watch pdus")
            finally:
                hands: list[PduHand | MinerHand] = [*self._pdus, *self._miners.values()]
                await asyncio.gather(*(hand.close() for hand in hands))
                self._meter.close()
                if self._dispatch is not None:
                    self._dispatch.close()

    async def _watch_meter(self) -> None:
        async for _ in _every(self._settings.poll.meter_s):
            try:
                self._metered = await self._meter.read()
            except DeviceError as error:
                if self._metered is not None:
                    log.warning("meter is silent, holding as it is: %s", error)
                self._metered = None
                continue
            self._meter_answered.set()
            self._act(asyncio.get_running_loop().time())

    async def _watch_dispatch(self, block: drivers.Dispatch) -> None:
        """A block that falls silent leaves its last word in force."""
        silent = False
        async for _ in _every(self._settings.poll.dispatch_s):
            try:
                reading, silent = await block.read(), False
            except DeviceError as error:
                if not silent:
                    log.warning("dispatch is silent, its last word holds: %s", error)
                silent = True
                continue
            self._reading = reading
            self._limits.hear(reading, asyncio.get_running_loop().time())
            self._dispatch_answered.set()
            if self._metered is None:  # else the next reading of the meter acts: an old one would prove nothing
                self._act(asyncio.get_running_loop().time())

    async def _watch_pdus(self) -> None:
        """Connect to all at once, say ready when meter and dispatch have answered too, then go round one by one."""
        await asyncio.gather(*(pdu.refresh() for pdu in self._pdus))
        await self._meter_answered.wait()
        if self._dispatch is not None:
            await self._dispatch_answered.wait()
        self._ready()
        while self._pdus:
            for pdu in self._pdus:
                await asyncio.sleep(self._settings.poll.pdu_s / len(self._pdus))
                await pdu.refresh()

    # ---- acting ---------------------------------------------------------------------------------------------------

    def _act(self, now_s: float) -> None:
        metered, dispatched = self._metered, self._reading
        seen = Seen(
            now_s,
            frequency_hz=self._believed(metered.frequency_hz, now_s) if metered else None,
            power_w=self._consumption_w(metered) if metered else None,
            setpoint_w=self._limits.setpoint_w(now_s),
            recall=dispatched.recall if dispatched else None,
        )
        asked_w = self._by_way(self._decider.step(seen))
        if asked_w != self._asked_w:
            deeper = sum(asked_w.values()) > sum(self._asked_w.values())
            level = logging.INFO if deeper or not any(asked_w.values()) else logging.DEBUG
            log.log(level, "%s: hold %.0f W by contactor, %.0f W by firmware", seen, *asked_w.values())
            self._asked_w = asked_w
            self._hold()

    def _by_way(self, want: Want) -> dict[Way, float]:
        """Watts to hold, by the way in which they are held; what two services ask for adds up."""
        asked_w: dict[Way, float] = {"contactor": 0.0, "firmware": 0.0}
        asked_w[self._frequency_way] += want.frequency_w
        asked_w[self._dispatch_way] += want.dispatch_w
        return asked_w

    def _consumption_w(self, metered: drivers.Reading) -> float:
        """What the site draws: all of it, house and all."""
        return metered.power_w

    def _believed(self, frequency_hz: float, now_s: float) -> float | None:
        low, high = (share * self._nominal_hz for share in _BELIEVABLE)
        if not low <= frequency_hz <= high:
            self._stood_s = now_s
            return None
        if abs(frequency_hz - self._calm_hz) <= _JUMP_HZ:
            self._calm_hz, self._stood_s = frequency_hz, now_s
        elif now_s - self._stood_s >= _STANDS_S:
            self._calm_hz = frequency_hz
        else:
            return None
        return frequency_hz

    def _hold(self) -> None:
        """Choose units for what is asked; what contactors cannot make up, firmware does."""
        off, on, missing_w = self._outlets.hold(self._asked_w["contactor"])
        self._switch(off, on)
        sleep, wake, missing_w = self._sleepers.hold(self._asked_w["firmware"] + missing_w)
        self._switch(sleep, wake)
        if missing_w > 0.0 and (off or sleep):
            log.error("nothing is left to shed for %.1f kW", missing_w / 1e3)
        self._keep()

    def _switch(self, off: Sequence[Outlet | MinerHand], on: Sequence[Outlet | MinerHand]) -> None:
        """The one place from which all commands leave; nothing here waits, each device has a hand of its own."""
        for unit in off:
            unit.shed()
        for unit in on:
            unit.restore()

    def _keep(self) -> None:
        """Whatever is held must be known after a restart, or it stays off for good, or is shed twice."""
        units = {"outlets": self._outlets.kept(), "miners": self._sleepers.kept()}
        self._memory.keep({"decider": self._decider.kept(), "asked_w": dict(self._asked_w), **units})

    def _take_up(self, now_s: float) -> None:
        """Go on with what was held before a restart; each hand confirms that it still is."""
        if (kept := self._memory.kept()) is not None:
            self._decider.take_up(kept["decider"], now_s)
            self._asked_w = {"contactor": kept["asked_w"]["contactor"], "firmware": kept["asked_w"]["firmware"]}
            self._switch([*self._outlets.take_up(kept["outlets"]), *self._sleepers.take_up(kept["miners"])], [])

    def _replace_outlets(self, pdu: PduHand) -> None:
        """A PDU does not obey: others are shed in its place, and it is asked to be closed for when it wakes up."""
        dropped = [outlet for outlet in pdu.outlets if self._outlets.drop(outlet)]
        self._switch([], dropped)
        if dropped:
            self._hold()

    def _replace_sleeper(self, miner: MinerHand) -> None:
        if self._sleepers.drop(miner):
            self._switch([], [miner])
            self._hold()


async def _every(interval_s: float) -> AsyncIterator[None]:
    """Ticks `interval_s` apart on an absolute grid; those that have been missed are left out."""
    loop = asyncio.get_running_loop()
    start_s, tick = loop.time(), 0
    while True:
        yield
        tick = max(tick + 1, math.ceil((loop.time() - start_s) / interval_s))
        await asyncio.sleep(start_s + tick * interval_s - loop.time())


# ---- starting -----------------------------------------------------------------------------------------------------


def _poi_meter(inventory: Mapping[str, Any]) -> Mapping[str, Any]:
    meters: list[Mapping[str, Any]] = [m for m in inventory["meters"] if m["measures"] == "poi"]
    if not meters:
        raise ConfigError('inventory: meters: none has "measures": "poi"; the meter of the site connection is needed')
    return meters[0]


def _dispatch_signal(inventory: Mapping[str, Any], settings: Settings) -> Mapping[str, Any] | None:
    return next((signal for signal in inventory["signals"] if signal["kind"] == settings.dispatch.source), None)


def _clock(trial: Trial) -> Callable[[], datetime]:
    """The time of day, UTC: the computer's, or the one a trial begins at."""
    if trial.utc_at_start is None:
        return lambda: datetime.now(UTC)  # noqa: TID251 - a program on a site has the computer's clock
    loop = asyncio.get_running_loop()
    begin, start_s = datetime.fromisoformat(trial.utc_at_start).replace(tzinfo=UTC), loop.time()
    return lambda: begin + timedelta(seconds=loop.time() - start_s)


def _sold_w(inventory: Mapping[str, Any], settings: Settings) -> float:
    power_w = settings.commitment.power_w
    return float(inventory["site"]["commitment_w"]) if power_w is None else power_w


def check(inventory: Mapping[str, Any], settings: Settings) -> None:
    """Whether the settings fit the site. Raises ConfigError."""
    try:
        nominal_hz = float(inventory["site"]["nominal_hz"])
        sold_w, dispatch = _sold_w(inventory, settings), _dispatch_signal(inventory, settings)
        _known(_poi_meter(inventory), drivers.METERS)
        if dispatch is not None:
            _known(dispatch, drivers.SIGNALS)
        for pdu in inventory["pdus"] if "contactor" in settings.paths.allowed else ():
            _known(pdu, drivers.PDUS)
    except KeyError as error:
        raise ConfigError(f"inventory: key {error} is missing; docs/reference/inventory.md lists them all") from None
    if sold_w <= 0.0:
        raise ConfigError("inventory: site.commitment_w = 0: nothing is sold; set commitment.power_w in the config")
    if settings.frequency.follow:
        for key, hz in (("frequency.trip_hz", settings.frequency.trip_hz), ("return.above_hz", settings.back.above_hz)):
            if not 0.9 * nominal_hz < hz <= nominal_hz:
                raise ConfigError(f"config: {key} = {hz}: does not fit a {nominal_hz:g} Hz site; set it for this grid")
        if settings.back.on == "recall" and dispatch is None:
            raise ConfigError(
                'config: return.on = "recall": the site has no dispatch signal to do so; write "frequency" or add one'
            )


def _known(entry: Mapping[str, Any], products: Collection[str]) -> None:
    if (product := entry["product"]) not in products:
        names = ", ".join(products)
        raise ConfigError(f"inventory: {entry['id']}: no driver for product {product!r}; there is one for {names}")
    if (transport := entry.get("transport", "tcp")) not in TRANSPORTS:
        names = ", ".join(TRANSPORTS)
        raise ConfigError(f"inventory: {entry['id']}: no client for transport {transport!r}; there is one for {names}")


Config: TypeAlias = Settings | Mapping[str, Any] | str | Path | None
"""Ready settings, a table of those that differ from the defaults, or the path of a TOML file with them."""


def controller(
    inventory: Mapping[str, Any],
    config: Config = None,
    *,
    ready: Callable[[], None] = lambda: None,
    kind: type[Controller] = Controller,
) -> Coroutine[Any, Any, None]:
    """The controller as a coroutine for any event loop. `ready` is called once, after every poller's first good answer.

    Raises ConfigError, at once and not in the coroutine, when settings or inventory cannot be used.
    """
    settings = load(config)
    check(inventory, settings)

    async def run() -> None:
        memory = Memory(None if settings.memory.file is None else Path(settings.memory.file))
        if settings.trial.restart_after_s is not None:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(settings.trial.restart_after_s):
                    await kind(inventory, settings, ready, memory).run()
            await asyncio.sleep(settings.trial.down_s)
        await kind(inventory, settings, ready, memory).run()

    return run()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run until SIGTERM or Ctrl-C. Returns 0 then, 2 when config or inventory cannot be used."""
    parser = argparse.ArgumentParser(prog="reference", description="Reference controller for a flexible mining site.")
    parser.add_argument("--config", help="TOML file with the settings that differ from reference.toml")
    parser.add_argument("--inventory", default=os.environ.get("RAMPRIG_INVENTORY"), help="default: $RAMPRIG_INVENTORY")
    parser.add_argument("--verbose", action="store_true", help="log decisions to stderr, not only trouble")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO if options.verbose else logging.WARNING, format="%(levelname)s %(message)s")
    for chatty in ("pymodbus", "pymodbus.logging"):
        logging.getLogger(chatty).setLevel(logging.CRITICAL)
    try:
        inventory = _read_inventory(options.inventory)
        running = controller(inventory, options.config, ready=lambda: _say(sys.stdout, "ready"))
    except ConfigError as error:
        _say(sys.stderr, f"reference: {error}")
        return 2
    asyncio.run(_until_told(running))  # noqa: TID251 - a program of its own starts its own loop
    return 0


def _read_inventory(path: str | None) -> Mapping[str, Any]:
    if not path:
        raise ConfigError("RAMPRIG_INVENTORY is not set; name the site's inventory file there or with --inventory")
    try:
        inventory = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: cannot be read as JSON ({error})") from error
    if not isinstance(inventory, dict):
        raise ConfigError(f"{path}: is no JSON object; docs/reference/inventory.md describes the file")
    return inventory


def _say(stream: TextIO, line: str) -> None:
    stream.write(line + "\n")
    stream.flush()


async def _until_told(running: Coroutine[Any, Any, None]) -> None:
    task = asyncio.create_task(running)
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    try:
        await task
    except asyncio.CancelledError:
        log.info("told to stop; relays and miners stay as they are")


if __name__ == "__main__":
    sys.exit(main())
