"""TLS around any conversation, sans I/O: records in, records out, the plain bytes to and from the device inside.

Owns handshake, encryption and the proper end of a session, through OpenSSL on memory; contexts and certificates are the
caller's. Since nothing but bytes passes, it is the same in real and in virtual time.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Sequence

from emulator.wire import SECOND, Action, Close, Conversation, Device, Instant, Reach, Send, speaker_of

HANDSHAKE_NS = 10 * SECOND
"""How long a caller may leave a handshake unfinished. estimate"""
_CHUNK_BYTES = 16_384


class Caller(str):
    """A peer's address, with the certificate it has shown (DER, empty where it has shown none)."""

    __slots__ = ("certificate",)
    certificate: bytes

    def __new__(cls, address: str, certificate: bytes) -> Caller:
        caller = super().__new__(cls, address)
        caller.certificate = certificate
        return caller


class TlsDevice:
    """`device` behind TLS. Its conversations begin when the handshake is done; their peer is a `Caller`."""

    def __init__(self, device: Device, context: ssl.SSLContext) -> None:
        self.ports = device.ports
        self.device = device
        self.context = context

    def reach(self, port: int, now: Instant) -> Reach:
        """As the device."""
        return self.device.reach(port, now)

    def converse(self, port: int, peer: str, now: Instant) -> TlsConversation:
        """Begin a connection."""
        return TlsConversation(self, port, peer)


class TlsConversation:
    """One connection. Holds less than one unfinished record; whatever OpenSSL does not accept ends it with an alert."""

    def __init__(self, device: TlsDevice, port: int, peer: str) -> None:
        self.idle_timeout_ns: int | None = HANDSHAKE_NS
        self._device, self._port, self._peer = device.device, port, peer
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = device.context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self._inner: Conversation | None = None
        self._over = False

    @property
    def wake_ns(self) -> Instant | None:
        """When the device inside speaks unasked."""
        speaker = None if self._inner is None or self._over else speaker_of(self._inner)
        return None if speaker is None else speaker.wake_ns

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        """Take records; what the device inside says to their contents, encrypted."""
        if self._over:
            return ()
        self._incoming.write(data)
        actions: list[Action] = []
        try:
            inner = self._inner if self._inner is not None else self._shaken(actions, now)
            while plain := self._session.read(_CHUNK_BYTES):
                if not self._say(inner.received(plain, now), actions):
                    return actions
        except ssl.SSLWantReadError:
            self._flush(actions)
            return actions
        except (ssl.SSLZeroReturnError, ssl.SSLEOFError):
            pass
        except ssl.SSLError:
            self._flush(actions)  # the alert that says why
            self._over = True
            return [*actions, Close()]
        return [*actions, *self.ended(now)]

    def ended(self, now: Instant) -> Sequence[Action]:
        """The peer is done sending."""
        if self._over:
            return ()
        actions: list[Action] = []
        if self._inner is None or self._say(self._inner.ended(now), actions):
            self._close(Close(), actions)
        return actions

    def woken(self, now: Instant) -> Sequence[Action]:
        """What the device inside says unasked."""
        actions: list[Action] = []
        speaker = None if self._inner is None or self._over else speaker_of(self._inner)
        if speaker is not None:
            self._say(speaker.woken(now), actions)
        return actions

    def _shaken(self, actions: list[Action], now: Instant) -> Conversation:
        self._session.do_handshake()
        self._flush(actions)
        shown = self._session.getpeercert(binary_form=True)
        self._inner = self._device.converse(self._port, Caller(self._peer, shown or b""), now)
        self.idle_timeout_ns = self._inner.idle_timeout_ns
        return self._inner

    def _say(self, said: Sequence[Action], actions: list[Action]) -> bool:
        """Encrypt what the device inside says; False when it has ended the connection."""
        for action in said:
            if isinstance(action, Send):
                if action.data:
                    self._session.write(action.data)
                    actions.append(Send(self._outgoing.read(), action.delay_ns))
            else:
                self._close(action, actions)
                return False
        if self._inner is not None:
            self.idle_timeout_ns = self._inner.idle_timeout_ns
        return True

    def _close(self, close: Close, actions: list[Action]) -> None:
        self._over = True
        delay_ns = close.delay_ns
        if not close.reset and self._inner is not None:
            with contextlib.suppress(ssl.SSLError):  # it wants the peer's own farewell, which nobody waits for
                self._session.unwrap()
            if self._outgoing.pending:
                actions.append(Send(self._outgoing.read(), delay_ns))
                delay_ns = 0
        actions.append(Close(delay_ns, close.reset))

    def _flush(self, actions: list[Action]) -> None:
        if self._outgoing.pending:
            actions.append(Send(self._outgoing.read()))
