"""Modbus devices brought to life on their ways: addresses, datagrams, TLS, serial lines, gateways.

Owns what stands between a product and the network of the rig; who stands where is `bench/layout.py`'s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from bench.ways import serial_format
from emulator.datagram_network import DatagramNetwork
from emulator.modbus.gateway import ModbusGateway
from emulator.modbus.link import UnitPolicy
from emulator.modbus.rtu_tcp import SerialOverTcpDevice
from emulator.modbus.secure import Access, ModbusSecureDevice
from emulator.modbus.serial_bus import SerialBus, Slave
from emulator.modbus.serial_device import ModbusSerialDevice, SerialKind
from emulator.modbus.udp import ModbusUdpDevice
from emulator.null_modem import NullModem
from emulator.serial_port import SerialLine, open_port
from emulator.tls import TlsDevice

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.layout import Layout
    from bench.ways import Way
    from emulator.clock import Clock
    from emulator.modbus.tcp import ModbusTcpDevice
    from emulator.network import Network
    from emulator.serial_port import Port
    from emulator.wire import Device

    Wrap = Callable[[str, str, Device], Device]


class Wiring:
    """`wrap` puts faults and taps around a device, given its id and kind.

    Lines have their ports from the beginning, so that an inventory can name them; devices are attached, then `finish`
    makes lines and gateways of what hangs on them. On the line `mastered` nothing hangs: the bench is its master, and
    somebody else answers. Raises SerialPortError for a port that cannot be had.
    """

    def __init__(self, layout: Layout, clock: Clock, network: Network, wrap: Wrap, mastered: str = "") -> None:
        self._layout, self._clock, self._network, self._wrap = layout, clock, network, wrap
        self._datagrams = DatagramNetwork(network)
        self._ports: dict[str, Port] = {}
        self._lines: list[SerialLine] = []
        self._slaves: dict[str, list[Slave]] = {}
        self.buses: dict[str, SerialBus] = {}
        """The lines on which the rig answers, from `finish` on."""
        self.null_modem: NullModem | None = None
        """The line on which the bench is the master."""
        self._mastered = mastered
        try:
            for table in layout.file.line:
                if table.id == mastered:
                    self.null_modem = NullModem(clock, table.id, table.port, serial_format(table))
                    continue
                self._ports[table.id] = open_port(clock, table.id, table.port, serial_format(table))
        except BaseException:
            self.close()
            raise

    @property
    def paths(self) -> dict[str, str]:
        """Line -> what a program opens to get at it."""
        paths = {name: port.path for name, port in self._ports.items()}
        return paths if self.null_modem is None else {**paths, self._mastered: self.null_modem.far}

    @property
    def gone(self) -> dict[str, str]:
        """Line on which the rig answers -> why its port is no longer there; those that stand are left out."""
        return {name: port.gone for name, port in self._ports.items() if port.gone}

    def attach(self, name: str, kind: str, way: Way, device: ModbusTcpDevice) -> None:
        """Put a product on its way."""
        if way.bus:
            self._hang(name, kind, way, device)
            return
        match way.transport:
            case "udp":
                self._datagrams.attach(way.address, self._wrap(name, kind, ModbusUdpDevice(device, way.port)))
                return
            case "rtu-over-tcp":
                device = SerialOverTcpDevice(device, way.port)
            case "ascii-over-tcp":
                device = SerialOverTcpDevice(device, way.port, SerialKind.ASCII)
            case "tls":
                self._network.attach(way.address, self._secured(name, kind, way, device))
                return
        self._network.attach(way.address, self._wrap(name, kind, device))

    def finish(self) -> None:
        """Make lines and gateways of the devices attached."""
        for table in self._layout.file.line:
            if table.id not in self._ports:
                continue
            form, port = serial_format(table), self._ports[table.id]
            kind = SerialKind(table.kind)
            receiver = kind.receiver(form, port.slack_ns)
            bus = SerialBus(self._slaves.get(table.id, ()), receiver, kind.codec[1], form, instant=port.instant)
            self.buses[table.id] = bus
            self._lines.append(SerialLine(self._clock, port, bus))
        for gateway in self._layout.file.gateway:
            device = ModbusGateway(
                self._slaves.get(gateway.id, ()),
                serial_format(gateway),
                UnitPolicy(gateway.missing),
                gateway.timeout,
                gateway.port,
            )
            self._network.attach(self._layout.gateways[gateway.id], device)

    def open(self) -> None:
        """Begin to answer datagrams and to listen on lines. Raises NetworkError."""
        self._datagrams.open()
        for line in self._lines:
            line.open()
        if self.null_modem is not None:
            self.null_modem.open()

    def close(self) -> None:
        """Stop, and give the ports back."""
        self._datagrams.close()
        for line in self._lines:
            line.close()
        self._lines.clear()
        for port in self._ports.values():
            port.close()
        if self.null_modem is not None:
            self.null_modem.close()

    def _hang(self, name: str, kind: str, way: Way, device: ModbusTcpDevice) -> None:
        """A slave, as far as the rig knows of one, for each unit of the product."""
        lines = {table.id: table for table in self._layout.file.line}
        gateways = {table.id: table for table in self._layout.file.gateway}
        framing = SerialKind.RTU if way.bus in gateways else SerialKind(lines[way.bus].kind)
        form = serial_format(gateways[way.bus] if way.bus in gateways else lines[way.bus])
        silence_ns = framing.receiver(form).silence_ns
        for unit, model in device.units.items():
            slave = ModbusSerialDevice(unit, model, device.link, framing, silence_ns)
            hung = Slave(unit, self._wrap(name, kind, slave), device.link.turnaround_ns)
            self._slaves.setdefault(way.bus, []).append(hung)

    def _secured(self, name: str, kind: str, way: Way, device: ModbusTcpDevice) -> Device:
        tls, context = self._layout.file.tls, self._layout.tls
        if tls is None or context is None:
            raise RuntimeError(f"{name}: a device behind TLS without certificates passed the check of its rig")
        roles = {role: Access(access) for role, access in tls.roles.items()}
        return TlsDevice(self._wrap(name, kind, ModbusSecureDevice(device, way.port, roles)), context)
