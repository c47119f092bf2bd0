"""A rig with every Modbus product on every way, and what is read of each: one representative request a product.

Owns the rig's text and its serving by a thread, for clients that block.
"""

from __future__ import annotations

import contextlib
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from bench.config import validate
from bench.layout import lay_out
from bench.rig_file import RigFile
from emulator.meters import product as meters
from emulator.meters.reading import POWER, MeterReading, Request
from emulator.pdus import product as pdus
from emulator.protection import product as relays
from tests.system.modbus_site import free_port, rig_up

WAYS = ("tcp", "gateway", "rtu", "udp", "rtu-over-tcp")
TITLES = {
    "tcp": "TCP", "gateway": "Behind a gateway (TCP)", "rtu": "RTU on a pseudo-terminal", "udp": "UDP",
    "rtu-over-tcp": "RTU over TCP",
}  # fmt: skip
COILS = 1


@dataclass(frozen=True)
class Device:
    """A product on a way: its entry in the inventory, and the request that stands for it."""

    product: str
    way: str
    entry: dict[str, Any]
    request: Request

    def value(self, answer: tuple[int, ...]) -> float | str:
        """What the answer says: a meter's power in W, the states of a PDU's relays, a feeder relay's first setting."""
        if self.product in meters.list_products():
            reading = MeterReading(meters.load_product(self.product), self.entry["unit"])
            rest = [[0] * one.count for one in reading.requests]
            rest[reading.requests.index(self.request)] = list(answer)
            return reading.values(rest)[POWER]
        return "".join(map(str, answer))


def request_of(product: str) -> Request:
    """The registers with a meter's power, the coils of a PDU's relays, a feeder relay's first element."""
    if product in meters.list_products():
        return MeterReading(meters.load_product(product)).power_request
    if product in pdus.list_products():
        coils = pdus.load_product(product).coils
        return Request(COILS, coils.first_output, coils.outputs)
    rows = relays.load_product(product).registers.rows
    return Request(3, rows[0].address, 3)


def rig_text(port: int) -> str:
    """The rig: a submeter for each meter and way, a feeder with mute miners for each PDU and way."""
    keys = {way: f'transport = "{way}"\nport = {port}' for way in WAYS}
    keys |= {"gateway": 'gateway = "gate"', "rtu": 'line = "rs485"'}
    text = [
        'schema = 1\nname = "everything"\ncommitment = "10 kW"\ndispatch = false\nnetwork.subnet = "127.94.0.0/16"',
        f"[meter]\nport = {port}\n[[line]]\nid = 'rs485'\nbaud = 115200",
        f"[[gateway]]\nid = 'gate'\nbaud = 115200\nport = {port}",
    ]
    for way in WAYS:
        for unit, name in enumerate(meters.list_products(), start=1):
            text.append(f'[[submeter]]\nid = "{name}.{way}"\nproduct = "{name}"\nunit = {unit}\n{keys[way]}')
        for unit, name in enumerate(pdus.list_products(), start=101):
            pdu = ", ".join(keys[way].splitlines())
            text.append(
                f'[[feeder]]\nid = "{name}.{way}"\nmeter = {{ port = {port} }}\n'
                f'pdu = {{ product = "{name}", count = 1, unit = {unit}, {pdu} }}\n'
                'miners = [{ model = "s21", firmware = "mute", phases = "luxos", count = 1 }]'
            )
    for name in relays.list_products():
        text[-1] += f'\nrelay = {{ product = "{name}", pickup = "59.3 Hz", delay = "1 s" }}'
    return "\n".join(text)


@contextlib.contextmanager
def everything() -> Iterator[list[Device]]:
    """Serve the rig in real time while the block runs; yields its devices. Relays stand on port 502."""
    port = free_port()
    layout = lay_out(validate(tomllib.loads(rig_text(port)), RigFile, "everything.toml"), "everything.toml")
    with rig_up(layout) as rig:
        told = rig.inventory()
        ways = {place.id: _way(place.way.bus, place.way.transport) for place in (*layout.meters, *layout.pdus)}
        devices = [
            Device(entry["product"], ways.get(entry["id"], "tcp"), entry, request_of(entry["product"]))
            for entry in (*told["meters"], *told["pdus"], *told["relays"])
            if "." in entry["id"] or entry in told["pdus"] or entry in told["relays"]
        ]
        # the meters of the feeders are there because a feeder has one; only the submeters are tried
        feeders = {f"meter-{table.id}" for table in layout.file.feeder}
        yield [device for device in devices if device.entry["id"] not in feeders]


def _way(bus: str, transport: str) -> str:
    return "gateway" if bus == "gate" else transport
