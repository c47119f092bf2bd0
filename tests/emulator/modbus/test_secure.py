"""Modbus/TCP Security without a socket: a client of OpenSSL on memory talks to the device behind TLS."""

from __future__ import annotations

import ssl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from hypothesis import given, settings
from hypothesis import strategies as st

from bench.certificates import HOST, make
from emulator.modbus.link import Link
from emulator.modbus.mbap import encode
from emulator.modbus.secure import (
    Access,
    ModbusSecureDevice,
    SecurityError,
    _utf8_string,
    role_extension,
    role_of,
    server_context,
)
from emulator.modbus.tcp import ModbusTcpDevice
from emulator.tls import HANDSHAKE_NS, Caller, TlsDevice
from emulator.wire import Close, Reach, Send
from tests.emulator.modbus.store import Store

READ, WRITE = bytes.fromhex("03 0000 0002"), bytes.fromhex("06 0000 4242")
ROLES = {"operator": Access.WRITE, "viewer": Access.READ, "banned": Access.NOTHING}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificates")
    make(folder, [*ROLES, "stranger", ""])
    return folder


@pytest.fixture(scope="module")
def context(folder):
    return server_context(folder / "server.pem", folder / "server.key", folder / "ca.pem")


def device(context, turnaround_ns: int = 0) -> TlsDevice:
    plain = ModbusTcpDevice({1: Store()}, Link(turnaround_ns=turnaround_ns))
    return TlsDevice(ModbusSecureDevice(plain, 802, ROLES), context)


class Client:
    """The other end, byte by byte if asked to."""

    def __init__(self, served: TlsDevice, folder, name: str | None = "operator", version=None, step: int = 1 << 20):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(folder / "ca.pem")
        if name is not None:
            context.load_cert_chain(folder / f"{name}.pem", folder / f"{name}.key")
        if version is not None:
            context.minimum_version = context.maximum_version = version
        self.incoming, self.outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self.session = context.wrap_bio(self.incoming, self.outgoing, server_hostname=HOST)
        self.conversation = served.converse(802, "127.0.0.1", 0)
        self.step = step
        self.closed = False
        self.delays: list[int] = []

    def pump(self) -> None:
        data = self.outgoing.read()
        for start in range(0, len(data), self.step):
            for action in self.conversation.received(data[start : start + self.step], 0):
                if isinstance(action, Send):
                    self.incoming.write(action.data)
                    self.delays.append(action.delay_ns)
                else:
                    self.closed = True
                    self.incoming.write_eof()

    def shake(self) -> None:
        for _ in range(10):
            try:
                self.session.do_handshake()
            except ssl.SSLWantReadError:
                self.pump()
            else:
                self.pump()
                return
        raise AssertionError("no end of the handshake")

    def ask(self, *pdus: bytes) -> bytes:
        for tid, pdu in enumerate(pdus):
            self.session.write(encode(tid, 1, pdu))
        self.pump()
        return self.session.read(4096)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize("step", [1, 1 << 20], ids=["byte by byte", "whole"])
def test_an_operator_reads_and_writes(context, folder, version, step):
    served = device(context)
    client = Client(served, folder, version=version, step=step)
    client.shake()
    assert client.session.version() == version.name.replace("_", ".")
    assert client.ask(READ) == encode(0, 1, bytes.fromhex("03 04 0001 0102"))
    assert client.ask(WRITE) == encode(0, 1, WRITE)
    assert client.ask(READ) == encode(0, 1, bytes.fromhex("03 04 4242 0102"))


def test_pipelined_requests_in_one_record_and_one_request_in_two_are_answered(context, folder):
    client = Client(device(context, turnaround_ns=7), folder)
    client.shake()
    client.delays.clear()
    client.session.write(encode(0, 1, READ) + encode(1, 1, READ) + encode(2, 1, READ)[:5])
    client.session.write(encode(2, 1, READ)[5:])
    client.pump()
    read = [client.session.read(4096) for _ in range(3)]
    assert [data[1] for data in read] == [0, 1, 2]
    assert client.delays == [7, 7, 7]


@pytest.mark.parametrize(
    ("name", "reads", "writes"),
    [
        ("operator", True, True),
        ("viewer", True, False),
        ("banned", False, False),
        ("stranger", False, False),
        ("norole", False, False),
    ],
)
def test_the_role_in_the_certificate_says_what_may_be_done(context, folder, name, reads, writes):
    client = Client(device(context), folder, name)
    client.shake()
    assert (client.ask(READ)[7] == 3) is reads
    assert (client.ask(WRITE)[7] == 6) is writes
    for allowed, pdu in ((reads, READ), (writes, WRITE)):
        if not allowed:
            assert client.ask(pdu) == encode(0, 1, bytes((pdu[0] | 0x80, 0x01)))


def test_a_client_without_a_certificate_does_not_get_through(context, folder):
    client = Client(device(context), folder, name=None, version=ssl.TLSVersion.TLSv1_2)
    with pytest.raises(ssl.SSLError):
        client.shake()
    assert client.closed


def test_a_client_of_another_authority_does_not_get_through(context, folder, tmp_path):
    make(tmp_path, ["operator"])
    client = Client(device(context), folder, name=None, version=ssl.TLSVersion.TLSv1_2)
    client.session.context.load_cert_chain(tmp_path / "operator.pem", tmp_path / "operator.key")
    with pytest.raises(ssl.SSLError):
        client.shake()
    assert client.closed


def test_an_older_version_is_refused(context, folder):
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED


def test_a_farewell_is_answered_and_nothing_is_said_afterwards(context, folder):
    client = Client(device(context), folder)
    client.shake()
    with pytest.raises(ssl.SSLWantReadError):
        client.session.unwrap()
    client.pump()
    assert client.closed
    client.session.unwrap()
    assert client.conversation.received(b"more", 0) == ()
    assert client.conversation.ended(0) == ()


def test_the_end_of_the_stream_ends_the_session_too(context, folder):
    client = Client(device(context), folder)
    client.shake()
    *farewell, end = client.conversation.ended(0)
    assert isinstance(end, Close)
    assert len(farewell) == 1


def test_a_handshake_has_its_own_patience(context, folder):
    served = device(context)
    client = Client(served, folder)
    assert client.conversation.idle_timeout_ns == HANDSHAKE_NS
    client.shake()
    assert client.conversation.idle_timeout_ns is None
    assert (served.reach(802, 0), served.reach(502, 0)) == (Reach.ANSWERS, Reach.REFUSES)


@given(st.lists(st.binary(max_size=200), max_size=6))
@settings(max_examples=60)
def test_any_bytes_never_raise_before_the_handshake(context, pieces):
    conversation = device(context).converse(802, "127.0.0.1", 0)
    for data in pieces:
        assert all(isinstance(action, Send | Close) for action in conversation.received(data, 0))


@given(junk=st.binary(min_size=1, max_size=200))
@settings(max_examples=20)
def test_any_bytes_never_raise_after_the_handshake(context, folder, junk):
    client = Client(device(context), folder)
    client.shake()
    client.conversation.received(junk, 0)
    client.conversation.ended(0)


def test_a_role_reads_back(folder):
    certificate = x509.load_pem_x509_certificate((folder / "viewer.pem").read_bytes())
    assert role_of(certificate.public_bytes(Encoding.DER)) == "viewer"
    for name in ("norole", "server"):
        other = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
        assert role_of(other.public_bytes(Encoding.DER)) is None


@given(st.binary(max_size=64))
def test_no_bytes_pass_for_a_role_by_raising(data):
    assert role_of(data) is None
    text = _utf8_string(data)
    assert text is None or role_extension(text) == data


def test_a_peer_without_a_certificate_may_do_nothing(context):
    secure = device(context).device
    assert secure.access_of("127.0.0.1") is Access.NOTHING
    assert secure.access_of(Caller("127.0.0.1", b"")) is Access.NOTHING


def test_what_is_not_known_to_read_counts_as_writing():
    assert [code for code in range(1, 128) if Access.READ.allows(code)] == [1, 2, 3, 4, 7, 11, 12, 17, 20, 24, 43]
    assert not any(Access.NOTHING.allows(code) for code in range(256))
    assert all(Access.WRITE.allows(code) for code in range(256))


def test_files_that_cannot_be_used_are_named(folder, tmp_path):
    good = (folder / "server.pem", folder / "server.key", folder / "ca.pem")
    (tmp_path / "x.pem").write_text("nothing")
    for place, file, remedy in [
        (0, tmp_path / "absent.pem", "ramprig certificates"),
        (0, tmp_path / "x.pem", "no certificate with its key"),
        (1, folder / "viewer.key", "no certificate with its key"),
        (2, tmp_path / "x.pem", "no certificate authority"),
    ]:
        files = [*good]
        files[place] = file
        with pytest.raises(SecurityError, match=remedy) as caught:
            server_context(*files)
        assert str(file) in str(caught.value)
