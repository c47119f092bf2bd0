"""Names and addresses of a rig, each given out once: the plan where a file leaves them out, and what it says where not.

Owns where which sort of device stands in the rig's subnet; what the devices are is `bench/layout.py`'s.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.rig_network import NetworkTable

METERS, PDUS, SIGNALS, POOLS, GATEWAYS = 250, 251, 252, 253, 254
"""Third octets; 1 to 249 are for miners."""
FIRST_RELAY = 101
"""Relays stand among the signals, from this number on."""
_MINER_BLOCKS = 249
_HOSTS = 254


class AddressPlan:
    """`wrong` is told of everything that does not go; `taken` are ids with what has them ("a feeder")."""

    def __init__(self, network: NetworkTable, taken: dict[str, str], wrong: Callable[[str], object]) -> None:
        self._net = ipaddress.IPv4Network(network.subnet)
        self._networks = network.networks
        self._ids = taken
        self._on: dict[str, str] = {}
        self._wrong = wrong

    def named(self, name: str, what: str, address: str = "") -> str:
        """`name`, entered once; with `address`, that is entered too."""
        if name in self._ids:
            other = "signal" if "a signal" in (what, self._ids[name]) else "feeder"
            self._wrong(f"the id {name!r} is {self._ids[name]} and {what}; give the {other} another id")
        self._ids[name] = what
        if address and address in self._on:
            self._wrong(
                f"{name} and {self._on[address]} are both on {address}; "
                "give one of them another `address`, or leave it out to have it planned"
            )
        self._on[address] = name
        return name

    def address(self, key: str, given: str | None, plus: int, second: int, third: int, number: int) -> str:
        """`given` and `plus` addresses on, or the planned one: block `second` of 64 Ki addresses, third octet, place
        `number` from 1 there; "" where there is none. `key` is what messages begin with."""
        if given is not None:
            first = int(ipaddress.IPv4Address(given))
            network = next(net for net in self._networks if ipaddress.IPv4Address(given) in net)
            if first + plus > int(network.broadcast_address) - 1:
                self._wrong(f"{key}.address: {given} and {plus} more leave {network}; begin lower")
                return ""
            return str(ipaddress.IPv4Address(first + plus))
        further, host = divmod(number - 1, _HOSTS)
        second, number = second + further, host + 1
        blocks = 2 ** (16 - self._net.prefixlen)
        if second >= blocks:
            self._wrong(
                f"network.subnet: {self._net} holds {_MINER_BLOCKS * _HOSTS * blocks} miners and {_HOSTS * blocks} "
                "devices of each other sort; write a larger one, for example 127.16.0.0/12"
            )
            return ""
        return str(self._net.network_address + second * 65_536 + third * 256 + number)

    def miner(self, row: int) -> tuple[int, int, int]:
        """Where a miner's place is: 64 Ki block, third octet, number."""
        block, host = divmod(row, _HOSTS)
        second, third = divmod(block, _MINER_BLOCKS)
        return second, third + 1, host + 1
