"""Where a miner, a meter and a PDU of a rig stand, and what each is.

Owns the shapes that `bench/layout.py` fills and `bench/rig.py` brings to life.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bench.ways import plain
from emulator.site import PduSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

    from bench.rig_file import FeederTable, RelayTable
    from bench.rig_wires import RealTable
    from bench.ways import Way
    from emulator import catalogue
    from emulator.meters.product import MeterProduct, Refresh
    from emulator.pdus.product import PduProduct
    from emulator.protection.product import RelayProduct
    from emulator.site import OutletSpec
    from firmware_mocks.miners.base import Firmware

MUTE = "mute"
"""Firmware name of a miner without a network face."""


@dataclass(frozen=True, slots=True)
class MinerPlace:
    """One miner: what it is, where it answers, which outlet feeds it. Without firmware it has no network face."""

    id: str
    address: str
    model: catalogue.MinerModel
    family: catalogue.PhaseFamily
    firmware: Firmware | None
    feeder: str
    pdu: str
    outlet: str


@dataclass(frozen=True, slots=True)
class MeterPlace:
    """One meter; `measures` is "poi" or the id of a feeder."""

    id: str
    address: str
    product: MeterProduct
    unit: int
    measures: str
    refresh: Mapping[str, Refresh]
    """Groups of values that this rig says are renewed at another period than the product's."""
    base: int | None
    settings: Mapping[str, float]
    way: Way
    real: RealTable | None = None
    """The real meter in this slot; None for an emulated one."""


@dataclass(frozen=True, slots=True)
class PduPlace:
    """One PDU with its outlets in the order of the device; rows count the rig's miners from 0."""

    id: str
    address: str
    product: PduProduct
    table: FeederTable
    outlets: tuple[OutletSpec, ...]
    way: Way

    @property
    def real(self) -> RealTable | None:
        """The real PDU in this slot; None for an emulated one."""
        return self.table.pdu.provider

    @property
    def drives_contactors(self) -> bool:
        """Whether its outlets drive the coils of contactors instead of carrying the miners themselves."""
        return self.table.pdu.drives == "contactor"

    @property
    def spec(self) -> PduSpec:
        """The PDU as a part of the electrical tree."""
        pdu = self.table.pdu
        return PduSpec(
            self.id, self.outlets, self.drives_contactors, pdu.open, pdu.close, pdu.return_delay, pdu.return_step
        )


@dataclass(frozen=True, slots=True)
class RelayPlace:
    """One protection relay on the feeder whose id is `protects`."""

    id: str
    address: str
    product: RelayProduct
    table: RelayTable
    protects: str

    @property
    def way(self) -> Way:
        """How it is spoken to: Modbus TCP at its own address."""
        return plain(self.address, self.table.unit)


def miner_entry(place: MinerPlace) -> dict[str, Any]:
    """What the inventory says of a miner."""
    firmware, model = place.firmware, place.model
    return {
        "id": place.id,
        "address": place.address,
        "ports": {} if firmware is None else dict(firmware.ports),
        "make": model.make,
        "model": model.name,
        "firmware": MUTE if firmware is None else firmware.name,
        "credentials": {
            "username": "" if firmware is None else firmware.credentials.username,
            "password": "" if firmware is None else firmware.credentials.password,
        },
        "feeder": place.feeder,
        "pdu": place.pdu,
        "outlet": place.outlet,
        "nominal_w": model.nominal_w,
        "nominal_ths": model.nominal_ths,
    }
