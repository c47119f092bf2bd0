"""What a rig file may say of the ways to its Modbus devices: transports, serial lines, gateways, certificates, and
real devices in the place of emulated ones.

Owns the form of those tables and the checks that need only them; who stands where is `bench/ways.py`'s.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from bench.config import DurationNs, Table, positive
from bench.rig_network import Address

Id = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]
PortNumber = Annotated[int, Field(ge=1, le=65_535)]
Transport = Literal["tcp", "tls", "udp", "rtu-over-tcp", "ascii-over-tcp"]
Baud = Annotated[int, Field(ge=300, le=1_000_000)]


class CharactersTable(Table):
    """Settings of a serial line."""

    baud: Baud = 9600
    parity: Literal["none", "even", "odd"] = "none"
    stop_bits: Literal[1, 2] = 1
    data_bits: Literal[7, 8] = 8


class RealTable(CharactersTable):
    """A real device in this slot, and how the bench reads it: over the network, or as the one master of a serial port.

    `lag` is how far the middle of what a value averages over lies behind its reading, known to within `lag_tolerance`.
    """

    kind: Literal["real"]
    transport: Literal["tcp", "udp", "rtu-over-tcp", "ascii-over-tcp", "rtu", "ascii"] = "tcp"
    address: str | None = Field(default=None, min_length=1)
    """IP address or host name."""
    port: PortNumber = 502
    device: str | None = Field(default=None, min_length=1)
    """Path of the serial port."""
    poll: Annotated[DurationNs, positive] = 100_000_000
    lag: DurationNs | None = None
    lag_tolerance: DurationNs | None = None
    timeout: Annotated[DurationNs, positive] = 1_000_000_000

    @property
    def serial(self) -> bool:
        """Whether it is read through a serial port."""
        return self.transport in ("rtu", "ascii")

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        needed, others = ("device", ("address", "port")) if self.serial else (
            "address", ("device", "baud", "parity", "stop_bits", "data_bits")
        )  # fmt: skip
        if getattr(self, needed) is None:
            example = '"/dev/ttyUSB0"' if self.serial else '"192.0.2.10"'
            raise ValueError(f'transport = "{self.transport}" needs {needed}, for example {needed} = {example}')
        for key in others:
            if key in self.model_fields_set:
                raise ValueError(f'{key} has no meaning with transport = "{self.transport}"; remove it')
        if self.transport == "rtu" and self.data_bits != 8:
            raise ValueError('data_bits = 7: RTU needs 8; write 8, or transport = "ascii"')
        return self


class WireTable(Table):
    """How a Modbus device is reached: on an address of its own, on a serial line, or behind a gateway.

    With `provider` the device is a real one, and the provider says where it is.
    """

    address: Address | None = None
    unit: int = Field(default=1, ge=1, le=247)
    transport: Transport = "tcp"
    port: PortNumber | None = None
    line: Id | None = None
    gateway: Id | None = None
    provider: RealTable | None = None

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        for key in ("address", "transport", "port", "line", "gateway"):
            if self.provider is not None and key in self.model_fields_set:
                raise ValueError(f"{key} is where an emulated device stands; with `provider`, write it inside that")
        if self.line is not None and self.gateway is not None:
            raise ValueError("line and gateway are two ways to one device; keep one of them")
        shared = "line" if self.line is not None else "gateway" if self.gateway is not None else ""
        for key in ("address", "transport", "port"):
            if shared and key in self.model_fields_set:
                raise ValueError(f"{key} belongs to a device on an address of its own; with `{shared}`, remove it")
        return self


class DispatchTable(WireTable):
    """The operator's register block, where it does not stand on an address of its own."""

    @model_validator(mode="after")
    def _emulated(self) -> Self:
        if self.provider is not None:
            raise ValueError("provider: the block is the bench's own, there is no real one; remove it")
        return self


class LineTable(CharactersTable):
    """A serial line with several devices on it."""

    id: Id
    kind: Literal["rtu", "ascii"] = "rtu"
    port: str = Field(default="pty", min_length=1)
    """`pty`, or the path of a real port."""
    collisions: bool = False
    """Whether devices of one unit id are meant: they then speak over one another."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.kind == "rtu" and self.data_bits != 8:
            raise ValueError('data_bits = 7: RTU needs 8; write 8, or kind = "ascii"')
        if self.port == "pty" and (self.parity != "none" or self.data_bits != 8):
            raise ValueError(
                "a pseudo-terminal has no parity and no 7-bit characters, and programs that set them fail on it; "
                'write parity = "none" and data_bits = 8, or take a real port'
            )
        return self


class GatewayTable(CharactersTable):
    """A gateway: one TCP address, a serial line of its own behind it."""

    id: Id
    address: Address | None = None
    port: PortNumber = 502
    missing: Literal["unmapped", "unreachable", "silent"] = "unreachable"
    timeout: Annotated[DurationNs, positive] = 1_000_000_000


class TlsTable(Table):
    """Certificates of the devices behind TLS, and what the roles of clients may do. Paths count from the rig file."""

    certificate: str
    key: str
    client_ca: str
    roles: dict[str, Literal["nothing", "read", "write"]] = Field(min_length=1)
