"""What the fuzzer runs: a function of bytes for each codec, which raises when a law is broken.

The first bytes of an input choose device, port and fragmentation; the rest is what a caller says.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from functools import cache

from emulator import catalogue
from emulator.asked import Asked, is_meant
from emulator.envelope import opened
from emulator.faults import Fault, Value
from emulator.faulty_link import FaultyDevice
from emulator.fleet import Fleet, MinerSpec, MinerUnit
from emulator.grid import Grid
from emulator.meters.meter import Meter
from emulator.meters.product import list_products as list_meters
from emulator.meters.product import load_product as load_meter
from emulator.misread import spans
from emulator.modbus import frames
from emulator.modbus.frames import Framing
from emulator.modbus.gateway import ModbusGateway
from emulator.modbus.rtu_tcp import SerialOverTcpDevice
from emulator.modbus.serial_bus import Slave
from emulator.modbus.serial_device import ModbusSerialDevice, SerialKind
from emulator.modbus.tcp import ModbusTcpDevice
from emulator.modbus.udp import ModbusUdpDevice
from emulator.pdus.pdu import Pdu
from emulator.pdus.product import list_products as list_pdus
from emulator.pdus.product import load_product as load_pdu
from emulator.seed import Seed
from emulator.wire import SECOND, Action, Close, Device, Send, speaker_of
from firmware_mocks import miners
from tests.emulator.modbus.store import Store

START = 3600 * SECOND
MOST_REPLIES_BYTES = 1 << 20
"""A caller who has said a few kilobytes gets no more than this."""


class Supply:
    """Power and voltage that stand, and an outlet that switches."""

    id = "supply"
    state = True

    def power_w(self, at: int) -> float:
        return 1e5

    def energy_j(self, start: int, stop: int) -> float:
        return 1e5 * (stop - start) / SECOND

    def voltage_v(self, at: int) -> float:
        return 230.0

    def inrush_a(self, at: int) -> float:
        return 0.0

    def closed(self, at: int) -> bool:
        return self.state

    def switch(self, closed: bool, at: int) -> None:
        self.state = closed


def talk(device: Device, port: int, cuts: int, data: bytes, apart_ns: int = SECOND) -> list[Action]:
    """Say `data` in pieces of `cuts` bytes (0: at once), so far apart; hear everything, also what comes unasked."""
    conversation = device.converse(port, "127.0.0.1", START)
    speaker, now, said, ended = speaker_of(conversation), START, [], False
    pieces = [data[i : i + cuts] for i in range(0, len(data), cuts)] if cuts else [data]
    for piece in [*pieces, None]:
        if speaker is not None and speaker.wake_ns is not None and speaker.wake_ns <= now:
            said += checked(speaker.woken(now), ended=False)
        said += checked(conversation.ended(now) if piece is None else conversation.received(piece, now), ended=ended)
        ended = ended or any(isinstance(action, Close) for action in said)
        now += apart_ns
    assert sum(len(action.data) for action in said if isinstance(action, Send)) < MOST_REPLIES_BYTES
    return said


def checked(actions: Sequence[Action], *, ended: bool) -> Sequence[Action]:
    """The actions; no bytes after an end, no delay before now."""
    assert not (ended and any(isinstance(action, Send) for action in actions))
    assert all(action.delay_ns >= 0 for action in actions)
    return actions


# ---- Modbus ---------------------------------------------------------------------------------------------------------


@cache
def modbus_devices() -> tuple[ModbusTcpDevice, ...]:
    """Every meter and PDU, and a device that has every function."""
    grid, supply = Grid(50.0, 1e6), Supply()
    meters = [Meter(load_meter(name), supply, grid).device() for name in list_meters()]
    pdus = []
    for name in list_pdus():
        product = load_pdu(name)
        pdus.append(Pdu(product, [supply] * product.outputs, grid).device())
    return (*meters, *pdus, ModbusTcpDevice({1: Store()}))


def modbus_tcp(data: bytes) -> None:
    """Replies are frames that belong to requests, whatever is said in whatever pieces."""
    if len(data) < 2:
        return
    devices = modbus_devices()
    device = devices[data[0] % len(devices)]
    once = talk(device, 502, 0, data[2:])
    for action in once:
        if isinstance(action, Send):
            frame = frames.opened(action.data, Framing.MBAP)
            assert frame is not None
            assert len(action.data) <= 260
    if not any(_writes(piece) for piece in frames.MbapCutter().pieces(data[2:])):
        assert talk(device, 502, data[1] % 40, data[2:], apart_ns=0) == once


def _writes(piece: bytes) -> bool:
    frame = frames.opened(piece, Framing.MBAP)
    return frame is not None and frame.function not in (1, 2, 3, 4, 43)


_FAULTS: tuple[tuple[str, dict[str, Value]], ...] = (
    ("misframed", {"how": "echo", "functions": "3-4"}), ("exception_storm", {"probability": 0.3}),
    ("minimum_gap", {"gap_ns": 1}), ("partial_reply", {}), ("slow_gateway", {"jitter_ns": SECOND, "queue": 2}),
    ("late_reply", {"registers": "0-99"}), ("garbage", {"probability": 0.2}), ("truncate", {}), ("freeze", {}),
)  # fmt: skip


def modbus_faulty(data: bytes) -> None:
    """The same devices behind faults: still nothing is raised, nothing is said after the end."""
    if len(data) < 3:
        return
    devices, chosen = modbus_devices(), data[1]
    faults = [Fault("m", kind, parameters=p) for n, (kind, p) in enumerate(_FAULTS) if chosen >> n % 8 & 1]
    talk(FaultyDevice(devices[data[0] % len(devices)], faults, Seed(data[2])), 502, data[2] % 40, data[3:])


@cache
def other_ways() -> tuple[Device, ...]:
    """The device with every function on UDP, as serial frames on TCP, and behind a gateway."""
    device = ModbusTcpDevice({1: Store()})
    slave = Slave(1, ModbusSerialDevice(1, Store()))
    return (
        ModbusUdpDevice(device, 502),
        SerialOverTcpDevice(device, 502),
        SerialOverTcpDevice(device, 502, SerialKind.ASCII),
        ModbusGateway([slave]),
    )


def modbus_ways(data: bytes) -> None:
    """The other transports, plain and behind faults; what a splitter holds is less than a frame."""
    if len(data) < 3:
        return
    devices, chosen = other_ways(), data[1]
    device = devices[data[0] % len(devices)]
    talk(device, 502, data[2] % 40, data[3:])
    faults = [Fault("m", kind, parameters=p) for n, (kind, p) in enumerate(_FAULTS) if chosen >> n % 8 & 1]
    talk(FaultyDevice(device, faults, Seed(data[2])), 502, data[2] % 40, data[3:])


# ---- miners ---------------------------------------------------------------------------------------------------------

_MOST_USES = 2000
_uses = {"left": 0}


@cache
def _faces() -> list[Device]:
    names = miners.names()
    loaded = [miners.load(name) for name in names]
    specs = [
        MinerSpec(name, catalogue.model(sorted(f.models)[0]), catalogue.family(f.phases))
        for name, f in zip(names, loaded, strict=True)
    ]
    fleet = Fleet(specs, Seed(7))
    faces: list[Device] = []
    for row, firmware in enumerate(loaded):
        host = miners.HostInfo(f"127.5.0.{row + 1}", "02:00:00:00:00:01", specs[row].id, f"SN{row}", _wall)
        faces.append(firmware.boot(MinerUnit(fleet, row), host, Seed(7) / row))
    return faces


def _wall(_at: int) -> datetime:
    return datetime(2026, 5, 28, tzinfo=UTC)


def faces() -> list[Device]:
    """Every firmware; new ones now and then, so that what some input has done to one does not stay for ever."""
    _uses["left"] -= 1
    if _uses["left"] < 0:
        _faces.cache_clear()
        _uses["left"] = _MOST_USES
    return _faces()


def _face(data: bytes, is_meant_for: Callable[[int], bool]) -> None:
    if len(data) < 3:
        return
    doors = [(face, port) for face in faces() for port in face.ports if is_meant_for(port)]
    face, port = doors[data[0] % len(doors)]
    talk(face, port, data[1] % 40, data[2:])


def cgminer(data: bytes) -> None:
    """The sockets of every firmware: cgminer's API and its relatives."""
    _face(data, lambda port: port not in _WEB)


def http(data: bytes) -> None:
    """The web of every firmware."""
    _face(data, lambda port: port in _WEB)


_WEB = (80, 443, 8080)

# ---- what faults look at --------------------------------------------------------------------------------------------


def looks(data: bytes) -> None:
    """The functions by which faults read requests and replies."""
    fault = Fault("m", "drop", parameters={"requests": "a* summary", "functions": "1-4"})
    for framing in (None, *Framing):
        is_meant(fault, Asked.of(data, framing))
    envelope = opened(data)
    if envelope is not None:
        assert opened(envelope.sealed(envelope.body)) is not None or not envelope.body
    spans(data.decode("utf-8", "replace"))


TARGETS: dict[str, Callable[[bytes], None]] = {
    "modbus_tcp": modbus_tcp,
    "modbus_faulty": modbus_faulty,
    "modbus_ways": modbus_ways,
    "cgminer": cgminer,
    "http": http,
    "looks": looks,
}


def everything(data: bytes) -> None:
    """One of the targets, by the first byte."""
    if data:
        names = [name for name in TARGETS if name != "everything"]
        TARGETS[names[data[0] % len(names)]](data[1:])


TARGETS["everything"] = everything

SEEDS: dict[str, tuple[bytes, ...]] = {
    "modbus_tcp": tuple(
        bytes((n, 3)) + frames.Frame(Framing.MBAP, 1, bytes.fromhex(pdu), 7).sealed()
        for n in range(4)
        for pdu in ("0400460002", "0300000002", "0100650004", "0500650000", "0f006500040105", "2b0e0100",
                    "10000200020441200000", "1600040000ffff", "17000000010064000102abcd")
    ),
    "modbus_faulty": tuple(
        bytes((n, 1 << n, n)) + frames.Frame(Framing.MBAP, 1, bytes.fromhex("0400460002"), 7).sealed() * 3
        for n in range(8)
    ),
    "modbus_ways": tuple(
        bytes((n, 1 << n, 0)) + frames.Frame(framing, 1, bytes.fromhex(pdu), 7).sealed() * 2
        for n, framing in enumerate((Framing.MBAP, Framing.RTU, Framing.ASCII, Framing.MBAP))
        for pdu in ("0400460002", "0f006500040105", "10000200020441200000", "41", "2b0e0100")
    ),
    "cgminer": tuple(
        bytes((n, 0)) + text
        for n in range(12)
        for text in (b'{"command":"summary"}', b"stats|0", b'{"command":"summary+pools","parameter":"1"}',
                     b'{"cmd":"get_token"}', b'\x24\x00\x00\x00{"cmd":"get.device.info","param":null}')
    ),
    "http": tuple(
        bytes((n, 0)) + text
        for n in range(12)
        for text in (b"GET / HTTP/1.1\r\nHost: m\r\n\r\n",
                     b'POST /api/v1/unlock HTTP/1.1\r\nHost: m\r\nContent-Length: 14\r\n\r\n{"pw":"admin"}',
                     b"GET /cgi-bin/stats.cgi HTTP/1.1\r\nHost: m\r\nAuthorization: Digest username=\"root\"\r\n\r\n",
                     b"POST /x HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n")
    ),
    "looks": (b'{"STATUS":[{"a":1.5}],"id":1}\x00', b"a=1,b=[2]|", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"),
}  # fmt: skip
SEEDS["everything"] = tuple(
    bytes((number,)) + seed for number, seeds in enumerate(SEEDS.values()) for seed in seeds[::5]
)
"""Inputs to begin with; a fuzzer that starts from nothing spends its time on headers."""
