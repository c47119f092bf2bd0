"""A live rig and its controller in virtual time, moved step by step by a caller that is no coroutine.

Owns what can be done to the two while they run, and what the site's power and the traffic were; which step comes next,
and what they must not be, is the caller's.
"""

from __future__ import annotations

import contextlib
import json
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bench.attach import Context, PythonSut, build
from bench.attach_python import PythonAdapter
from bench.layout import lay_out
from bench.rig import Rig
from emulator import clock as clocks
from emulator.faults import Fault, FaultPlan
from emulator.faulty_site import apply_site_faults
from emulator.seed import Seed
from emulator.timeline import Signal
from emulator.wire import Instant

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Coroutine

    from bench.facts import Series
    from bench.rig_file import RigFile

_SAMPLES_HZ = 4.0
"""At which power is looked at; the site's own changes take seconds (estimate)."""
_GIVEN = ("dispatch", "recall", "frequency")


class NotReadyError(Exception):
    """The controller did not become ready before the script's zero; the message says why."""


class LiveSite:
    """A rig with a controller attached. The script's zero is `lead_in_ns` after the start; all instants count from it.

    Raises ConfigError for a rig or controller that cannot be used, NotReadyError. To be closed.
    """

    def __init__(
        self, rig: RigFile, origin: str, sut: PythonSut, base: Path, *, seed: int, nominal_hz: float,
        lead_in_ns: Instant,
    ) -> None:  # fmt: skip
        self._stack = contextlib.ExitStack()
        self._armed_ns = lead_in_ns
        self._seed = Seed(seed)
        self._streams = (sys.stdout, sys.stderr)
        layout = lay_out(rig, origin)
        self.switches: dict[str, Switch] = {}
        """Links that can be taken down, by device."""
        self._dead: dict[str, Switch] = {}
        for device, sort in layout.sorts().items():
            if sort in ("miner", "meter", "pdu") or device == "dispatch":
                self.switches[device] = Switch(device, "silent")
                self._dead[device] = Switch(device, "refuse")
        try:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix="ramprig-live-")))
            self._clock, self._run = self._stack.enter_context(clocks.stepped())
            faults = FaultPlan([*self.switches.values(), *self._dead.values()], self._seed)
            self.rig = Rig(layout, self._clock, self._seed, nominal_hz, faults)
            self._points: dict[str, list[tuple[Instant, float]]] = {
                name: [(0, self.rig.grid.signals[name].at(0))] for name in _GIVEN
            }
            adapter = build(sut, base, "virtual")
            self._sut = cast(PythonAdapter, adapter)  # a PythonSut is attached by nothing else
            self._do(self._open(folder))
        except BaseException:
            self.close()
            raise

    # ---- steps -----------------------------------------------------------------------------------------------------

    def advance(self, by_ns: Instant) -> None:
        """Let time go by."""
        self._do(self._clock.sleep(by_ns))

    def publish(self, channel: str, value: float, at_ns: Instant | None = None) -> None:
        """The grid's `channel` is `value` from now, or from a later instant, on; what was to come is forgotten.

        Unit as in `emulator.grid.CHANNELS`.
        """
        at = self._armed_ns + (self.now_ns if at_ns is None else at_ns)
        points = [point for point in self._points[channel] if point[0] <= at]
        self._points[channel] = [*points, (at, value)]
        for grid in {id(grid): grid for grid in (self.rig.grid, self.rig.published)}.values():
            grid.signals[channel] = Signal.steps(self._points[channel])

    def link(self, device: str, *, down: bool) -> None:
        """Take the link of a device down: it falls silent, as behind a dead switch port. Or put it up again."""
        self.switches[device].down = down

    def kill(self, miner: str) -> None:
        """A miner's process dies for good: it hashes no more, and its ports are closed."""
        self._dead[miner].down = True
        fault = Fault(miner, "miner_acts", self._clock.now(), None, {"script": "sleep"})
        apply_site_faults(FaultPlan([fault], self._seed), self._clock, self.rig.fleet, self.rig.site)
        self._do(self._clock.settle())

    def restart(self) -> None:
        """End the controller and start it anew."""
        self._do(self._sut.restart())

    def close(self) -> None:
        """End the controller and leave nothing behind."""
        if hasattr(self, "_sut"):
            self._do(self._close())
        self._stack.close()

    # ---- what can be seen --------------------------------------------------------------------------------------------

    @property
    def now_ns(self) -> Instant:
        """Since the script's zero."""
        return self._clock.now() - self._armed_ns

    @property
    def ended(self) -> str:
        """Why the controller has ended; empty while it lives."""
        return self._sut.exit

    @property
    def published(self) -> dict[str, list[tuple[Instant, float]]]:
        """What was published, by channel; instants from the script's zero."""
        return {
            name: [(at - self._armed_ns, value) for at, value in points[1:]]
            for name, points in self._points.items()
            if len(points) > 1
        }

    def power_w(self) -> float:
        """What the site draws now."""
        return self.rig.site.poi.power_w(self._clock.now())

    def power(self, start_ns: Instant, stop_ns: Instant) -> Series:
        """What the site drew between two instants of the past; time stamps count from the script's zero."""
        self.rig.fleet.advance(self._clock.now())
        drawn = self.rig.truth().power(self._armed_ns + start_ns, self._armed_ns + stop_ns, _SAMPLES_HZ, 0)
        return replace(drawn, t_ns=drawn.t_ns - self._armed_ns)

    # ---- inside ------------------------------------------------------------------------------------------------------

    def _do(self, work: Coroutine[Any, Any, None]) -> None:
        """Run the loop, with the controller's streams in place of the caller's while it runs."""
        own = sys.stdout, sys.stderr
        sys.stdout, sys.stderr = self._streams
        try:
            self._run(work)
        finally:
            self._streams = sys.stdout, sys.stderr
            sys.stdout, sys.stderr = own

    async def _open(self, folder: Path) -> None:
        contact: asyncio.Future[Instant] = self._clock.loop.create_future()
        self.rig.traffic.on_first = contact.set_result
        inventory = self.rig.inventory()
        path = folder / "inventory.json"
        path.write_text(json.dumps(inventory), encoding="utf-8")
        await self.rig.open()

        async def first() -> None:
            await contact

        await self._sut.start(Context(self._clock, inventory, path, folder, first))
        ready = await self._sut.ready(self._armed_ns)
        if not ready.ok:
            raise NotReadyError(ready.reason)
        await self._clock.sleep_until(self._armed_ns)

    async def _close(self) -> None:
        await self._sut.stop()
        await self.rig.close()
        await self._clock.settle()  # connections that end now may begin tasks, which the loop can only then cancel


class Switch(Fault):
    """A fault that is on while it is `down`, instead of within a window: for those who do not know the future."""

    down: bool

    def __init__(self, where: str, kind: str) -> None:
        super().__init__(where, kind)
        self.down = False

    def __setattr__(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def active(self, now: Instant) -> bool:
        return self.down
