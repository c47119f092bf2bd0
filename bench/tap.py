"""What the controller said to the rig, seen from the wire: counts, first contact, and the traffic itself.

A `Tap` stands between the network and a device and changes nothing. It owns the counting and the bounded record of
frames; what the bytes mean is the device's business.
"""

from __future__ import annotations

from collections import deque
from operator import itemgetter
from typing import TYPE_CHECKING

from emulator.standing import standing_of
from emulator.wire import Action, Conversation, Device, Instant, Reach, Send, Speaker, speaker_of
from fastpath.exchange import Journal

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

MOST_FRAMES = 200_000
MOST_BYTES = 512


class Traffic:
    """Everything taken down during a run. Frames beyond MOST_FRAMES are counted, not kept; long ones are cut.

    Exchanges by answers that stand (`emulator.standing`) are taken down apart, as many of each kind again.
    """

    def __init__(self) -> None:
        self.frames: list[tuple[Instant, str, int, str, bytes]] = []
        """(instant, device, port, "in" | "out", bytes), exchanges apart"""
        self._requests: dict[str, int] = {}
        self._dropped = 0
        self._journals: dict[str, Journal] = {}
        self._on_first: Callable[[Instant], None] | None = None

    @property
    def requests(self) -> dict[str, int]:
        """How many there were, by kind of device."""
        kinds = self._requests.keys() | self._journals.keys()
        counts = {kind: self._requests.get(kind, 0) for kind in kinds}
        for kind, journal in self._journals.items():
            counts[kind] += journal.count
        return {kind: count for kind, count in sorted(counts.items()) if count}

    @property
    def dropped(self) -> int:
        """How many frames were not kept."""
        return self._dropped + sum(2 * max(0, found.count - found.limit) for found in self._journals.values())

    @property
    def on_first(self) -> Callable[[Instant], None] | None:
        """Called once, with the instant of the first request to any device."""
        return self._on_first

    @on_first.setter
    def on_first(self, hook: Callable[[Instant], None] | None) -> None:
        self._on_first = hook
        for journal in self._journals.values():
            journal.first = None if hook is None else self._begin

    def journal(self, kind: str) -> Journal:
        """Where exchanges with devices of one kind are taken down, labelled (device, port)."""
        found = self._journals.get(kind)
        if found is None:
            found = self._journals[kind] = Journal(MOST_FRAMES // 2)
            found.first = None if self._on_first is None else self._begin
        return found

    def request(self, now: Instant, device: str, kind: str, port: int, data: bytes) -> None:
        """Bytes from the controller to a device."""
        self._requests[kind] = self._requests.get(kind, 0) + 1
        self._keep(now, device, port, "in", data)
        if self._on_first is not None:
            self._begin(now)

    def _begin(self, now: Instant) -> None:
        first, self.on_first = self._on_first, None
        if first is not None:
            first(now)

    def reply(self, now: Instant, device: str, port: int, data: bytes) -> None:
        """Bytes from a device to the controller."""
        self._keep(now, device, port, "out", data)

    def overhear(self, now: Instant, device: str, port: int, direction: str, data: bytes) -> None:
        """Bytes that are kept and no request: what the bench itself says to a controller, and what that answers."""
        self._keep(now, device, port, direction, data)

    def most_requests(self, window_ns: Instant) -> dict[str, int]:
        """The most requests that each device got within any `window_ns`, as far as frames are kept."""
        heard: dict[str, deque[Instant]] = {}
        most: dict[str, int] = {}
        for now, device, _, direction, _ in self._all_frames():
            if direction == "in":
                times = heard.setdefault(device, deque())
                times.append(now)
                while times[0] <= now - window_ns:
                    times.popleft()
                most[device] = max(most.get(device, 0), len(times))
        return most

    def heard(self, device: str) -> list[Instant]:
        """When the device got a request, as far as frames are kept, in order of time."""
        return [now for now, name, _, direction, _ in self._all_frames() if name == device and direction == "in"]

    def write(self, file: Path) -> None:
        """The frames as a Parquet file: t_ns, device, port, direction, bytes."""
        import pyarrow as pa
        import pyarrow.parquet as pq

        names = ("t_ns", "device", "port", "direction", "bytes")
        frames = self._all_frames()
        columns = zip(*frames, strict=True) if frames else ([],) * len(names)
        pq.write_table(pa.table(dict(zip(names, map(list, columns), strict=True))), file, compression="zstd")

    def _all_frames(self) -> list[tuple[Instant, str, int, str, bytes]]:
        """Frames and exchanges in the order of time: a reply was taken down when it was made, not when it left."""
        frames = self.frames.copy()
        for journal in self._journals.values():
            for now, (device, port), asked, said in journal.exchanges():
                frames.append((now, device, port, "in", asked[:MOST_BYTES]))
                frames.append((now, device, port, "out", said[:MOST_BYTES]))
        frames.sort(key=itemgetter(0))
        return frames

    def _keep(self, now: Instant, device: str, port: int, direction: str, data: bytes) -> None:
        if len(self.frames) < MOST_FRAMES:
            self.frames.append((now, device, port, direction, data[:MOST_BYTES]))
        else:
            self._dropped += 1


class Tap:
    """A device with its traffic taken down. `kind` is `miner`, `meter`, `pdu` or `signal`."""

    __slots__ = ("_device", "_id", "_kind", "_traffic", "ports")

    def __init__(self, device: Device, name: str, kind: str, traffic: Traffic) -> None:
        self._device = device
        self._id = name
        self._kind = kind
        self._traffic = traffic
        self.ports = device.ports

    def reach(self, port: int, now: Instant) -> Reach:
        """As the device."""
        return self._device.reach(port, now)

    def converse(self, port: int, peer: str, now: Instant) -> Conversation:
        """As the device, overheard."""
        inner = self._device.converse(port, peer, now)
        speaker = speaker_of(inner)
        if speaker is not None:
            return _OverheardSpeaker(inner, speaker, self._id, self._kind, port, self._traffic)
        return _Overheard(inner, self._id, self._kind, port, self._traffic)


class _Overheard:
    __slots__ = ("_due_ns", "_id", "_inner", "_kind", "_port", "_traffic", "idle_timeout_ns", "standing")

    def __init__(self, inner: Conversation, name: str, kind: str, port: int, traffic: Traffic) -> None:
        self.idle_timeout_ns = inner.idle_timeout_ns
        self._inner = inner
        self._id = name
        self._kind = kind
        self._port = port
        self._traffic = traffic
        self._due_ns: Instant = 0
        """When the last action is carried out; the next one waits for it."""
        self.standing = standing_of(inner)
        if self.standing is not None:
            self.standing.journal, self.standing.label = traffic.journal(kind), (name, port)

    def received(self, data: bytes, now: Instant) -> Sequence[Action]:
        self._traffic.request(now, self._id, self._kind, self._port, data)
        return self._said(self._inner.received(data, now), now)

    def ended(self, now: Instant) -> Sequence[Action]:
        return self._said(self._inner.ended(now), now)

    def _said(self, actions: Sequence[Action], now: Instant) -> Sequence[Action]:
        self.idle_timeout_ns = self._inner.idle_timeout_ns
        self._due_ns = max(self._due_ns, now)
        for action in actions:
            self._due_ns += action.delay_ns
            if isinstance(action, Send):
                self._traffic.reply(self._due_ns, self._id, self._port, action.data)
        return actions


class _OverheardSpeaker(_Overheard):
    """A conversation that speaks unasked, overheard."""

    __slots__ = ("_speaker",)

    def __init__(
        self, inner: Conversation, speaker: Speaker, name: str, kind: str, port: int, traffic: Traffic
    ) -> None:
        super().__init__(inner, name, kind, port, traffic)
        self._speaker = speaker

    @property
    def wake_ns(self) -> Instant | None:
        return self._speaker.wake_ns

    def woken(self, now: Instant) -> Sequence[Action]:
        return self._said(self._speaker.woken(now), now)

    def attend(self, rouse: Callable[[], None]) -> None:
        told: Callable[[Callable[[], None]], object] | None = getattr(self._speaker, "attend", None)
        if told is not None:
            told(rouse)

    def lost(self, now: Instant) -> None:
        told: Callable[[Instant], object] | None = getattr(self._speaker, "lost", None)
        if told is not None:
            told(now)
