"""Where a rig's devices live: on the loopback, or on networks that the rig names together with an interface.

Owns the `[network]` table and the rule that nothing leaves the loopback unasked; listening itself, and on which
interface, is `emulator/network.py`'s.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import AfterValidator, Field, model_validator

from bench.config import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

LOOPBACK = ipaddress.IPv4Network("127.0.0.0/8")
_WIDEST = 8
"""Prefix of the largest network that can be allowed: a wider one is no network of a laboratory. estimate"""


def _ipv4(text: str) -> str:
    """The address as it is written canonically. Raises ValueError where it is none."""
    try:
        return str(ipaddress.IPv4Address(text))
    except ValueError:
        raise ValueError(f"{text!r} is no IPv4 address; write for example 127.20.1.1") from None


def _network(text: str) -> ipaddress.IPv4Network:
    try:
        return ipaddress.IPv4Network(text)
    except ValueError as error:
        raise ValueError(f"{text!r}: {error}; write for example 10.77.0.0/16") from None


Address = Annotated[str, AfterValidator(_ipv4)]


class NetworkTable(Table):
    """Where the rig's devices live. Miners count up from .1.1, meters stand at .250, PDUs at .251, signals at
    .252, protection relays from .252.101 on, gateways at .254."""

    subnet: str = "127.20.0.0/16"
    interface: Annotated[str, Field(pattern=r"^[^\s/:]{1,15}$")] | None = None
    """The network device whose callers are answered on addresses outside the loopback."""
    allow: tuple[str, ...] = ()
    """The networks outside the loopback in which the rig may have addresses."""

    @property
    def networks(self) -> list[ipaddress.IPv4Network]:
        """Where addresses of this rig may lie."""
        return [LOOPBACK, *map(_network, self.allow)]

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        for text in self.allow:
            if _network(text).prefixlen < _WIDEST:
                raise ValueError(
                    f"allow: {text!r} is too wide; name the network of the laboratory, a /{_WIDEST} at most"
                )
        if (self.interface is None) != (not self.allow):
            raise ValueError(
                'interface and allow go together: interface = "eth1" names the device whose callers are answered, '
                'allow = ["10.77.0.0/16"] the networks in which the rig may have addresses'
            )
        try:
            net = ipaddress.IPv4Network(self.subnet)
        except ValueError as error:
            raise ValueError(f"subnet {self.subnet!r}: {error}; write for example 127.20.0.0/16") from None
        if not any(net.subnet_of(network) for network in self.networks):
            raise ValueError(f"subnet {self.subnet!r} {self._outside()}")
        if net.prefixlen > 16:
            raise ValueError(f"subnet {self.subnet!r} is too small; the address plan needs a /16 or larger")
        return self

    def check(self, addresses: Iterable[tuple[str, str | None]]) -> None:
        """Raises ValueError for a given address that may not be bound; `addresses` are (key, address)."""
        for key, address in addresses:
            if address is not None and not any(ipaddress.IPv4Address(address) in net for net in self.networks):
                raise ValueError(f"{key}: {address!r} {self._outside()}")

    def _outside(self) -> str:
        if not self.allow:
            return (
                f"is not on the loopback interface; take one inside {LOOPBACK}, or name an interface "
                "(docs/how-to/second-machine.md)"
            )
        return f"lies outside the loopback and outside {', '.join(self.allow)}; add its network to network.allow"
