"""How a faulty controller is made of the reference: one part of it replaced, or its settings changed after reading.

Owns no defect; each has a file of its own under `faulty/`.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from typing import Any, TypeAlias

from firmware_mocks.controllers import reference
from firmware_mocks.controllers.drivers import DeviceError, Miner, Mode, Pdu
from firmware_mocks.controllers.settings import Settings, load

Factory: TypeAlias = Callable[..., Coroutine[Any, Any, None]]
NEVER_S = 1e9


def controller_of(
    kind: type[reference.Controller] = reference.Controller, change: Callable[[Settings], Settings] = lambda same: same
) -> Factory:
    """The factory of a controller that is the reference but for `kind` and `change`."""

    def controller(
        inventory: Mapping[str, Any], config: reference.Config = None, *, ready: Callable[[], None] = lambda: None
    ) -> Coroutine[Any, Any, None]:
        """The reference controller with this defect."""
        return reference.controller(inventory, change(load(config)), ready=ready, kind=kind)

    return controller


class Forgiving:
    """A miner of which some failures count as success: those that `forgives` says."""

    def __init__(self, miner: Miner, forgives: Callable[[DeviceError], bool]) -> None:
        self._miner, self._forgives = miner, forgives

    async def set_mode(self, mode: Mode) -> None:
        """As the miner, but for what is forgiven."""
        try:
            await self._miner.set_mode(mode)
        except DeviceError as error:
            if not self._forgives(error):
                raise


class OtherPdu:
    """A PDU with another one behind it; what a defect does not change is that one's."""

    def __init__(self, pdu: Pdu) -> None:
        self._pdu = pdu
        self.name = pdu.name

    @property
    def closed(self) -> tuple[bool, ...]:
        """Relay states as last read."""
        return self._pdu.closed

    async def refresh(self) -> None:
        """Read all relays. Raises DeviceError."""
        await self._pdu.refresh()

    async def switch(self, wanted: Mapping[int, bool]) -> None:
        """Bring outputs to `wanted`. Raises DeviceError."""
        await self._pdu.switch(wanted)

    def close(self) -> None:
        """End the connection."""
        self._pdu.close()
