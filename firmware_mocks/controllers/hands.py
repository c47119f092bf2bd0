"""Hands of the reference controller: each keeps one device at a task until the device confirms it.

Owns insistence (attempts, pauses, doubt) and what belongs together electrically: an outlet and its miners. What is to
be held is decided in `decision.py`; requests and replies are in `drivers.py`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Generic, TypeVar

from firmware_mocks.controllers.drivers import DeviceError, Miner, Mode, Pdu
from firmware_mocks.controllers.settings import Retry

T = TypeVar("T")
log = logging.getLogger(__name__)

_SLEEP_SHARE = 0.2
"""No miner is taken to draw more of its nameplate asleep: a Bitaxe Max has 12 W in all, and 2 W asleep."""


class Hand(Generic[T]):
    """Brings one device into the state that is wanted and does not let go before the device confirms it.

    Each device has its own, so a hung one holds up no other. `in_trouble` is told after every `attempts` failures.
    """

    def __init__(
        self, name: str, apply: Callable[[T], Awaitable[None]], state: T, retry: Retry, in_trouble: Callable[[], None]
    ) -> None:
        self.wanted = state
        self._name, self._apply, self._retry, self._in_trouble = name, apply, retry, in_trouble
        self._confirmed: T | None = state
        self._failures = 0
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def want(self, state: T) -> None:
        """Begin to bring the device into `state`; does not wait."""
        self.wanted = state
        self._changed.set()
        if self._task is None and self._confirmed != state:
            self._task = asyncio.create_task(self._work(), name=f"hand {self._name}")

    def doubt(self) -> None:
        """What was confirmed may no longer hold: confirm it again."""
        self._confirmed = None
        self.want(self.wanted)

    async def _work(self) -> None:
        try:
            while self._confirmed != self.wanted:
                state = self.wanted
                self._changed.clear()
                self._confirmed = None
                try:
                    await self._apply(state)
                except DeviceError as error:
                    self._failures += 1
                    log.warning("attempt %d failed: %s", self._failures, error)
                    if self._failures % self._retry.attempts == 0:
                        self._in_trouble()
                    await self._pause()
                else:
                    self._confirmed, self._failures = state, 0
        finally:
            self._task = None

    async def _pause(self) -> None:
        """Wait before the next attempt. A new wish ends the wait, or a shed would queue behind a patient return."""
        pause_s = min(self._retry.backoff_s * 2.0 ** min(self._failures - 1, 30), self._retry.backoff_max_s)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(pause_s):  # wait_for of Python 3.11 may take a cancellation for the time-out
                await self._changed.wait()

    async def close(self) -> None:
        """Let go, whatever state the device is in."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])


class MinerHand:
    """A miner as a unit to put to sleep, and what has to be known of it to shed it through its outlet."""

    def __init__(
        self, entry: Mapping[str, Any], sleep_w: float, driver: Miner | None, gate: asyncio.Semaphore, retry: Retry,
        in_trouble: Callable[[MinerHand], None],
    ) -> None:  # fmt: skip
        self.id: str = entry["id"]
        self.nominal_w = float(entry["nominal_w"])
        self.held_w = 0.0
        self.powered = True
        self._driver, self._gate, self._retry = driver, gate, retry
        self._sleep_w = min(sleep_w, _SLEEP_SHARE * self.nominal_w)
        self._touched = False
        self._hand: Hand[Mode] = Hand(self.id, self._set_mode, "mine", retry, lambda: in_trouble(self))

    @property
    def awake(self) -> bool:
        """Whether it is wanted to mine."""
        return self._hand.wanted == "mine"

    def watts(self) -> float:
        """What sleep would take off the site."""
        return self.nominal_w - self._sleep_w if self._driver is not None and self.powered and self.awake else 0.0

    def shed(self) -> None:
        """Put it to sleep."""
        self._touched = True
        self._hand.want("sleep")

    def restore(self) -> None:
        """Let it mine."""
        self._hand.want("mine")

    def power_returned(self) -> None:
        """Its outlet has closed. Some firmware keeps sleep over a power cut, some does not: the mode is set again."""
        self.powered = True
        if self._touched:
            self._hand.doubt()

    async def _set_mode(self, mode: Mode) -> None:
        if self._driver is None:  # such a miner has no watts to offer, so no roster chooses it
            return
        async with self._gate:
            try:
                async with asyncio.timeout(self._retry.firmware_timeout_s):
                    await self._driver.set_mode(mode)
            except TimeoutError:
                raise DeviceError(f"{self.id}: {mode} not done in {self._retry.firmware_timeout_s:g} s") from None

    async def close(self) -> None:
        """Let go."""
        await self._hand.close()


class Outlet:
    """A contactor and the miners behind it, shed as one."""

    def __init__(self, pdu: PduHand, index: int, miners: list[MinerHand]) -> None:
        self.id = f"{pdu.id}.{index}"
        self._pdu, self._index, self._miners = pdu, index, miners
        self.held_w = 0.0

    def watts(self) -> float:
        """What opening it would take off the site. An outlet somebody else has opened is left alone."""
        if self._pdu.is_open(self._index):
            return 0.0
        return sum(miner.nominal_w for miner in self._miners if miner.awake)

    def shed(self) -> None:
        """Open it."""
        self._pdu.switch(self._index, closed=False)
        for miner in self._miners:
            miner.powered = False

    def restore(self) -> None:
        """Close it."""
        self._pdu.switch(self._index, closed=True)
        for miner in self._miners:
            miner.power_returned()


class PduHand:
    """All contactors of one PDU: what is wanted of several in one go becomes one command."""

    def __init__(self, name: str, device: Pdu, retry: Retry, in_trouble: Callable[[PduHand], None]) -> None:
        self.id = name
        self.outlets: list[Outlet] = []
        self._device = device
        self._hand: Hand[Mapping[int, bool]] = Hand(device.name, device.switch, {}, retry, lambda: in_trouble(self))

    def is_open(self, index: int) -> bool:
        """Whether output `index` was open when last read."""
        return bool(self._device.closed) and not self._device.closed[index - 1]

    def switch(self, index: int, *, closed: bool) -> None:
        """Want output `index` closed or open."""
        self._hand.want({**self._hand.wanted, index: closed})

    async def refresh(self) -> None:
        """Read the relays and put right one that is not as it was left. A silent PDU is tried again next time."""
        try:
            await self._device.refresh()
        except DeviceError as error:
            log.warning("%s", error)
            return
        if any(self.is_open(index) == closed for index, closed in self._hand.wanted.items()):
            self._hand.doubt()

    async def close(self) -> None:
        """Let go of the relays, as they are, and of the connection."""
        await self._hand.close()
        self._device.close()
