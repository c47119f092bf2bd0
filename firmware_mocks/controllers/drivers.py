"""How the reference controller speaks to meters, PDUs, dispatch blocks and miners.

One short class a product: a request, its reply, and `DeviceError` for everything that is not a good answer. It decides
nothing and repeats nothing (`hands.py` does). These are clients of real devices: nothing of the emulator is imported.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, Protocol, TypeAlias

import httpx
from pymodbus.client import AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from firmware_mocks.controllers.modbus_link import Link, Links

Mode: TypeAlias = Literal["mine", "sleep"]

_LONGEST_REPLY = 1 << 20
_RELAY_S = 0.1
"""A PDU's relay has moved this long after the acknowledgement. estimate"""
_CARRIED_BACK = ("bitmain-fan-ctrl", "bitmain-fan-pwm", "pools")


class DeviceError(Exception):
    """A device did not give a good answer: no connection, no reply in time, an exception code, a refusal."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What the meter at the point of interconnection says."""

    frequency_hz: float
    power_w: float


@dataclass(frozen=True, slots=True)
class DispatchReading:
    """What the dispatch block says. `setpoint_w` is infinite while consumption is not limited."""

    setpoint_w: float
    recall: int


class ModbusUnit:
    """One unit over a persistent link; reconnects on the request after a failure."""

    def __init__(self, link: Link, unit: int) -> None:
        self._link, self._client = link, link.client
        self._unit = unit
        self.name = f"{link.name}/{unit}"

    async def ask(self, send: Callable[[ModbusBaseClient, int], Awaitable[ModbusPDU]]) -> ModbusPDU:
        """One request and its good reply. Raises DeviceError."""
        async with self._link.turn:
            try:
                if not self._client.connected and not await self._client.connect():
                    raise DeviceError(f"{self.name}: no connection")
                reply = await send(self._client, self._unit)
            except (ModbusException, OSError) as error:
                self._client.close()  # a late reply must not meet the next request
                task = asyncio.current_task()
                if task is not None and task.cancelling():
                    # Python 3.11's wait_for takes a cancellation at the very instant of its time-out for the time-out.
                    raise asyncio.CancelledError from error
                raise DeviceError(f"{self.name}: {error}") from error
        if reply.isError():
            raise DeviceError(f"{self.name}: exception code {getattr(reply, 'exception_code', '?')}")
        return reply

    async def registers(self, function: int, address: int, count: int) -> list[int]:
        """`count` registers from wire address `address` by FC03 or FC04."""
        if function == 3:
            reply = await self.ask(lambda c, unit: c.read_holding_registers(address, count=count, device_id=unit))
        else:
            reply = await self.ask(lambda c, unit: c.read_input_registers(address, count=count, device_id=unit))
        if len(reply.registers) != count:
            raise DeviceError(f"{self.name}: {len(reply.registers)} registers came, {count} were asked for")
        return list(reply.registers)

    def close(self) -> None:
        """End the connection."""
        self._client.close()


def float_hi_lo(registers: Sequence[int]) -> float:
    """Two registers, most significant word first, as a float. Raises DeviceError for NaN and infinity."""
    value = AsyncModbusTcpClient.convert_from_registers(list(registers), AsyncModbusTcpClient.DATATYPE.FLOAT32)
    if not isinstance(value, float) or not math.isfinite(value):
        raise DeviceError(f"registers {list(registers)} hold no finite float")
    return value


class Sdm630(ModbusUnit):
    """Eastron SDM630. FC04, floats hi-lo: total power at 0034, frequency at 0046 (V: maker's protocol document)."""

    async def read(self) -> Reading:
        """Power and frequency in one request, so that they belong together."""
        block = await self.registers(4, 0x34, 20)
        return Reading(frequency_hz=float_hi_lo(block[18:20]), power_w=float_hi_lo(block[0:2]))


class DispatchBlock(ModbusUnit):
    """Set-point block of the site's RTU, FC04: 1 recall counter, 2-3 allowed consumption kW float hi-lo, 7 flags."""

    async def read(self) -> DispatchReading:
        """The whole block in one request, so that set-point and recall belong together."""
        block = await self.registers(4, 0, 8)
        limited = bool(block[7] & 1)
        return DispatchReading(setpoint_w=float_hi_lo(block[2:4]) * 1e3 if limited else math.inf, recall=block[1])


class DispatchFeed:
    """The operator's feed over HTTP: orders with ids, revisions and times (docs/reference/signals.md).

    Every active order counts, the lowest set-point wins; of two revisions of one order the higher one, whichever came
    last.
    """

    def __init__(self, entry: Mapping[str, Any], http: httpx.AsyncClient, timeout_s: float) -> None:
        self._url = entry["url"] + entry["resources"]["dispatch"]
        login = entry["credentials"]
        self._auth = httpx.BasicAuth(login["username"], login["password"]) if login["username"] else None
        self._http, self._timeout_s = http, timeout_s

    async def read(self) -> DispatchReading:
        """What is asked now."""
        try:
            reply = await self._http.get(self._url, auth=self._auth, timeout=self._timeout_s)
            reply.raise_for_status()
            said = reply.json()
            latest: dict[str, Mapping[str, Any]] = {}
            for order in said["orders"]:
                known = latest.get(order["id"])
                if known is None or order["revision"] >= known["revision"]:
                    latest[order["id"]] = order
            asked_w = [1e3 * float(order["setpoint_kw"]) for order in latest.values() if order["status"] == "active"]
            return DispatchReading(setpoint_w=min(asked_w, default=math.inf), recall=int(said["recall_count"]))
        except (httpx.HTTPError, ValueError, KeyError, TypeError) as error:
            raise DeviceError(f"{self._url}: {error or type(error).__name__}") from error

    def close(self) -> None:
        """Nothing is kept."""


class NetioPdu(ModbusUnit):
    """Netio PowerPDU. Coils from wire address 101, one an output (V: manufacturer's Modbus document)."""

    _FIRST_COIL: ClassVar[int] = 101

    def __init__(self, link: Link, unit: int) -> None:
        super().__init__(link, unit)
        self.closed: tuple[bool, ...] = ()

    async def refresh(self) -> None:
        """Read all relays. Raises DeviceError."""
        outputs = len(self.closed) or (await self.registers(3, 1, 1))[0]
        reply = await self.ask(lambda c, unit: c.read_coils(self._FIRST_COIL, count=outputs, device_id=unit))
        self.closed = tuple(reply.bits[:outputs])

    async def switch(self, wanted: Mapping[int, bool]) -> None:
        """Bring outputs (1 first) to `wanted` (True is closed) and read them back. Raises DeviceError.

        All outputs go in one FC15, which the product honours only for exactly all of them; fewer go one by one, so that
        an output somebody else has switched is left as it is.
        """
        if not self.closed:
            await self.refresh()
        first = self._FIRST_COIL
        if set(wanted) == set(range(1, len(self.closed) + 1)):
            values = [wanted[output] for output in sorted(wanted)]
            await self.ask(lambda c, unit: c.write_coils(first, values, device_id=unit))
        else:
            for output in sorted(wanted):
                state = wanted[output]
                if self.closed[output - 1] != state:
                    await self._switch_one(first + output - 1, state)
        await asyncio.sleep(_RELAY_S)
        await self.refresh()
        stuck = [output for output, state in wanted.items() if self.closed[output - 1] != state]
        if stuck:
            raise DeviceError(f"{self.name}: outputs {stuck} acknowledged and did not switch")

    async def _switch_one(self, coil: int, closed: bool) -> None:
        await self.ask(lambda c, unit: c.write_coil(coil, closed, device_id=unit))


class Pdu(Protocol):
    """A PDU whose outputs can be switched."""

    name: str

    @property
    def closed(self) -> tuple[bool, ...]:
        """Relay states as last read, output 1 first; empty before the first answer."""
        ...

    async def refresh(self) -> None:
        """Read all relays. Raises DeviceError."""
        ...

    async def switch(self, wanted: Mapping[int, bool]) -> None:
        """Bring outputs (1 first) to `wanted` (True is closed) and read them back. Raises DeviceError."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


class Miner(Protocol):
    """A miner whose firmware can be put to sleep."""

    async def set_mode(self, mode: Mode) -> None:
        """Ask for `mode` and read back that it is set. Raises DeviceError."""
        ...


class LuxOs:
    """LuxOS on its 4028 socket: one request a connection, writes inside a session that only one client can have."""

    def __init__(self, address: str, port: int, timeout_s: float) -> None:
        self._address, self._port, self._timeout_s = address, port, timeout_s

    async def set_mode(self, mode: Mode) -> None:
        """`curtail` within a session, then read CurtailMode back. A foreign session is borrowed and left open."""
        logon = await self._ask("logon")
        own = _succeeded(logon)
        session = _row(logon if own else await self._ask("session"), "SESSION").get("SessionID", "")
        if not session:
            raise DeviceError(f"{self._address}: no session to be had: {_message(logon)}")
        try:
            reply = await self._ask("curtail", f"{session},{'sleep' if mode == 'sleep' else 'wakeup'}")
            if not _succeeded(reply) and "already" not in _message(reply).lower():
                raise DeviceError(f"{self._address}: curtail: {_message(reply)}")
        finally:
            if own:
                await self._ask("logoff", str(session))
        shown = _row(await self._ask("config"), "CONFIG").get("CurtailMode")
        if (shown == "Sleep") != (mode == "sleep"):
            raise DeviceError(f"{self._address}: acknowledged {mode} and shows CurtailMode {shown}")

    async def _ask(self, command: str, parameter: str = "") -> dict[str, Any]:
        request = {"command": command, **({"parameter": parameter} if parameter else {})}
        try:
            async with asyncio.timeout(self._timeout_s):
                reader, writer = await asyncio.open_connection(self._address, self._port, limit=_LONGEST_REPLY)
                try:
                    writer.write(json.dumps(request).encode())
                    text = await _until_nul(reader)
                finally:
                    writer.close()
            reply = json.loads(text)
        except (OSError, TimeoutError, ValueError, asyncio.LimitOverrunError) as error:
            raise DeviceError(f"{self._address}: {command}: {error or 'no reply in time'}") from error
        if not isinstance(reply, dict):
            raise DeviceError(f"{self._address}: {command}: reply is no object")
        return reply


async def _until_nul(reader: asyncio.StreamReader) -> bytes:
    """A reply ends with a NUL or with the connection."""
    try:
        return (await reader.readuntil(b"\x00"))[:-1]
    except asyncio.IncompleteReadError as error:
        return error.partial


def _row(reply: Mapping[str, Any], section: str) -> Mapping[str, Any]:
    rows = reply.get(section)
    return rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], dict) else {}


def _succeeded(reply: Mapping[str, Any]) -> bool:
    return _row(reply, "STATUS").get("STATUS") in ("S", "I")


def _message(reply: Mapping[str, Any]) -> str:
    return str(_row(reply, "STATUS").get("Msg", "no status"))


class AntminerStock:
    """Bitmain stock firmware on its web port: Digest, and a write that carries the whole configuration page back.

    Which of the two mode keys counts differs between images (miner_type and date), so both are written.
    """

    def __init__(self, address: str, port: int, credentials: Mapping[str, str], http: httpx.AsyncClient) -> None:
        self._base = f"http://{address}:{port}/cgi-bin"
        self._http = http
        self._auth = httpx.DigestAuth(credentials.get("username", "root"), credentials.get("password", "root"))

    async def set_mode(self, mode: Mode) -> None:
        """Write the work mode and read the configuration back."""
        code = 1 if mode == "sleep" else 0
        page = await self._call("GET", "get_miner_conf.cgi")
        if _work_mode(page) != code:
            change: dict[str, Any] = {key: page[key] for key in _CARRIED_BACK if key in page}
            change["freq-level"] = str(page.get("bitmain-freq-level", "100"))
            change["miner-mode"] = change["bitmain-work-mode"] = code
            reply = await self._call("POST", "set_miner_conf.cgi", change)
            if reply.get("stats") != "success":
                raise DeviceError(f"{self._base}: set_miner_conf: {reply.get('msg', reply)}")
            shown = _work_mode(await self._call("GET", "get_miner_conf.cgi"))
            if shown != code:
                raise DeviceError(f"{self._base}: acknowledged {mode} and shows work mode {shown}")

    async def _call(self, method: str, page: str, body: object = None) -> dict[str, Any]:
        try:
            reply = await self._http.request(method, f"{self._base}/{page}", json=body, auth=self._auth)
            reply.raise_for_status()
            content = reply.json()
        except (httpx.HTTPError, ValueError) as error:
            raise DeviceError(f"{self._base}/{page}: {error or type(error).__name__}") from error
        if not isinstance(content, dict):
            raise DeviceError(f"{self._base}/{page}: reply is no object")
        return content


def _work_mode(page: Mapping[str, Any]) -> int | None:
    try:
        return int(page["bitmain-work-mode"])
    except (KeyError, TypeError, ValueError):
        return None


METERS: dict[str, type[Sdm630]] = {"eastron_sdm630": Sdm630}
PDUS: dict[str, type[NetioPdu]] = {"netio_powerpdu_4ps": NetioPdu}
SIGNALS = ("ramprig_dispatch", "ramprig_feed")


def http_client(command_timeout_s: float, request_timeout_s: float) -> httpx.AsyncClient:
    """One client for all miners. Connections are not kept: small embedded web servers have few to give."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    timeout = httpx.Timeout(command_timeout_s, connect=request_timeout_s)
    return httpx.AsyncClient(timeout=timeout, limits=limits, trust_env=False, verify=False)  # noqa: S501 - plain HTTP only


def signal(
    entry: Mapping[str, Any], links: Links, http: httpx.AsyncClient, timeout_s: float
) -> DispatchBlock | DispatchFeed:
    """The driver for an inventory entry of one of the SIGNALS."""
    if entry["product"] == "ramprig_feed":
        return DispatchFeed(entry, http, timeout_s)
    return DispatchBlock(links.to(entry), entry["unit"])


def miner(entry: Mapping[str, Any], http: httpx.AsyncClient, request_timeout_s: float) -> Miner | None:
    """The driver for an inventory entry; None for a firmware this controller cannot put to sleep."""
    address, ports = entry["address"], entry["ports"]
    match entry["firmware"]:
        case "luxos":
            return LuxOs(address, ports["api"], request_timeout_s)
        case "antminer-stock":
            return AntminerStock(address, ports["web"], entry["credentials"], http)
        case _:
            return None
