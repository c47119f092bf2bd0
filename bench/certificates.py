"""A set of certificates for trials of Modbus/TCP Security: an authority, a server, and a client for each role.

Owns the making of the files; a site's own certificates come from its own authority and are named in the rig file.
"""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from bench.config import ConfigError
from emulator.modbus.secure import ROLE_OID, role_extension

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

HOST = "ramprig"
"""The name in the server's certificate."""
FIRST_DAY = dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
LAST_DAY = dt.datetime(2049, 12, 31, tzinfo=dt.UTC)
"""Fixed, so that nothing here asks for the date."""


def make(folder: Path, roles: Sequence[str]) -> list[Path]:
    """Write `ca.pem`, `server.pem`, `server.key` and for each role `ROLE.pem` and `ROLE.key`; returns what was written.

    A role of an empty text makes `norole.pem`, a client whose certificate has none. Raises ConfigError where a file is
    there already or the folder cannot be written.
    """
    names = {role: role or "norole" for role in roles}
    stems = ["ca", "server", *names.values()]
    for stem in stems:
        if not stem.replace("-", "").replace("_", "").isalnum() or stems.count(stem) > 1:
            raise ConfigError(f"role {stem!r}: cannot be the name of a file of its own; take letters and digits")
    files = [folder / f"{stem}.pem" for stem in stems] + [folder / f"{stem}.key" for stem in stems[1:]]
    taken = [file for file in files if file.exists()]
    if taken:
        raise ConfigError(f"{taken[0]}: is there already; name another folder, or remove it")
    authority = ec.generate_private_key(ec.SECP256R1())
    issuer = _name("ramprig trial authority")
    root = _builder(issuer, issuer, authority.public_key()).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    written: dict[Path, bytes] = {folder / "ca.pem": _pem(root.sign(authority, hashes.SHA256()))}
    server = [
        (x509.SubjectAlternativeName([x509.DNSName(HOST)]), False),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), False),
    ]
    clients = {name: _client(role) for role, name in names.items()}
    for stem, extensions in {"server": server, **clients}.items():
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(_name(HOST if stem == "server" else stem), issuer, key.public_key())
        for extension, critical in extensions:
            builder = builder.add_extension(extension, critical=critical)
        written[folder / f"{stem}.pem"] = _pem(builder.sign(authority, hashes.SHA256()))
        written[folder / f"{stem}.key"] = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in written.items():
            file.touch(mode=0o600 if file.suffix == ".key" else 0o644)
            file.write_bytes(content)
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from None
    return list(written)


def rig_table(folder: Path, roles: Iterable[str]) -> str:
    """The `[tls]` table of a rig file for such a set; the first role may write, further ones read."""
    access = [f'{role} = "{"read" if place else "write"}"' for place, role in enumerate(filter(None, roles))]
    return (
        f'[tls]\ncertificate = "{folder}/server.pem"\nkey = "{folder}/server.key"\nclient_ca = "{folder}/ca.pem"\n'
        f"roles = {{ {', '.join(access)} }}\n"
    )


def _client(role: str) -> list[tuple[x509.ExtensionType, bool]]:
    usage: list[tuple[x509.ExtensionType, bool]] = [(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), False)]
    if role:
        usage.append((x509.UnrecognizedExtension(x509.ObjectIdentifier(ROLE_OID), role_extension(role)), False))
    return usage


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePublicKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(FIRST_DAY)
        .not_valid_after(LAST_DAY)
    )


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
