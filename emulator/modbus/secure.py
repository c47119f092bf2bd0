"""Modbus/TCP Security: who may do what, by the role in the client's certificate.

Owns the role extension and the authorisation of requests (Modbus/TCP Security protocol specification V2.1, sections 7
and 8); TLS itself is `emulator/tls.py`'s, which roles there are is configuration.
"""

from __future__ import annotations

import ssl
from collections.abc import Mapping
from enum import Enum
from pathlib import Path

from emulator.modbus.pdu import (
    ENCAPSULATED_INTERFACE,
    READ_COILS,
    READ_DISCRETE_INPUTS,
    READ_HOLDING_REGISTERS,
    READ_INPUT_REGISTERS,
    ExceptionCode,
    exception_reply,
)
from emulator.modbus.tcp import ModbusTcpConversation, ModbusTcpDevice
from emulator.tls import Caller
from emulator.wire import Conversation, Instant

PORT = 802
"""Registered for Modbus over TLS (specification, section 6)."""
ROLE_OID = "1.3.6.1.4.1.50316.802.1"
"""The certificate extension that carries the role, a UTF8String (section 8)."""

_READS = frozenset(
    {
        READ_COILS, READ_DISCRETE_INPUTS, READ_HOLDING_REGISTERS, READ_INPUT_REGISTERS, ENCAPSULATED_INTERFACE,
        0x07, 0x0B, 0x0C, 0x11, 0x14, 0x18,
    }
)  # fmt: skip
_UTF8_STRING = 0x0C
_LONG_FORM = 0x80


class Access(Enum):
    """What a role may do."""

    NOTHING = "nothing"
    READ = "read"
    WRITE = "write"
    """Everything, reading too."""

    def allows(self, function: int) -> bool:
        """Whether a request with this function is carried out. What is not known to read counts as writing."""
        return self is Access.WRITE or (self is Access.READ and function in _READS)


class SecurityError(ValueError):
    """Certificates or keys that cannot be used; the message names the file and the remedy."""


def role_of(certificate: bytes) -> str | None:
    """The role in a certificate (DER); None where there is none that can be read."""
    from cryptography import x509

    try:
        extension = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_oid(
            x509.ObjectIdentifier(ROLE_OID)
        )
    except (ValueError, x509.ExtensionNotFound, x509.DuplicateExtension):
        return None
    value = extension.value
    return _utf8_string(value.value) if isinstance(value, x509.UnrecognizedExtension) else None


def _utf8_string(der: bytes) -> str | None:
    if len(der) < 2 or der[0] != _UTF8_STRING or der[1] >= _LONG_FORM or len(der) != 2 + der[1]:
        return None
    try:
        return der[2:].decode("utf-8")
    except UnicodeDecodeError:
        return None


def role_extension(role: str) -> bytes:
    """The DER of a role, for who makes certificates. Raises ValueError beyond 127 bytes."""
    text = role.encode()
    if len(text) >= _LONG_FORM:
        raise ValueError(f"the role {role!r} is too long; at most {_LONG_FORM - 1} bytes are possible")
    return bytes((_UTF8_STRING, len(text))) + text


def server_context(certificate: Path, key: Path, client_ca: Path) -> ssl.SSLContext:
    """A context as the profile asks for: TLS 1.2 or later, and no client without a certificate of `client_ca`.

    Raises SecurityError where a file cannot be read or does not fit the others.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    for file in (certificate, key, client_ca):
        if not file.is_file():
            raise SecurityError(f"{file}: there is no such file; `ramprig certificates FOLDER` makes a set for trials")
    try:
        context.load_cert_chain(certificate, key)
    except (ssl.SSLError, OSError) as error:
        raise SecurityError(f"{certificate} and {key}: no certificate with its key in PEM: {error}") from None
    try:
        context.load_verify_locations(client_ca)
    except (ssl.SSLError, OSError) as error:
        raise SecurityError(f"{client_ca}: no certificate authority in PEM: {error}") from None
    return context


class ModbusSecureDevice(ModbusTcpDevice):
    """The units of a device for callers with roles; to be put inside a `TlsDevice`.

    `roles` says what each role may do; a role that is not in it, and a certificate without one, may do nothing. What is
    not allowed is answered with exception 01, as the specification asks.
    """

    def __init__(self, device: ModbusTcpDevice, port: int, roles: Mapping[str, Access]) -> None:
        super().__init__(device.units, device.link, port)
        self.roles = dict(roles)

    def access_of(self, peer: str) -> Access:
        """What a caller may do."""
        role = role_of(peer.certificate) if isinstance(peer, Caller) else None
        return Access.NOTHING if role is None else self.roles.get(role, Access.NOTHING)

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        """Begin a connection with the rights of `peer`, a `Caller`."""
        access = self.access_of(peer)

        def answer(unit: int, pdu: bytes, at: Instant) -> bytes | None:
            if not access.allows(pdu[0]):
                return exception_reply(pdu[0], ExceptionCode.ILLEGAL_FUNCTION)
            return self.answer(unit, pdu, at)

        return ModbusTcpConversation(answer, self.link)
