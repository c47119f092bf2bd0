"""Faults on every face that ships, whatever it speaks: none is none, one miner's is its own, and a seed's the same."""

from __future__ import annotations

import functools
import operator
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any

import pytest

from emulator import catalogue
from emulator.faults import Fault, FaultPlan, Value
from emulator.faulty_link import WIRE_KINDS, with_faults
from emulator.faulty_site import miner_unit
from emulator.fleet import Fleet, MinerSpec
from emulator.seed import Seed
from emulator.wire import MILLISECOND, SECOND, Action, Reach, Send, speaker_of
from firmware_mocks import miners

CHOICES: dict[str, list[dict[str, Value]]] = {
    "malformed": [{"how": how} for how in ("trailing_comma", "nan", "cut", "length_long")],
    "misread": [{"how": how} for how in ("set", "remove", "freeze")],
    "http_status": [{"status": 401}],
    "duplicate_address": [{"other": "m1", "every_ns": SECOND}],
}
FAULTS = [(kind, chosen) for kind in sorted(WIRE_KINDS - {"freeze"}) for chosen in CHOICES.get(kind, [{}])]
ASKED = [
    b'{"command":"version"}', b'{"command":"summary"}', b'{"command":"stats"}', b'{"command":"summary+devs"}',
    b'{"command":"logon"}', b'{"command":"addpool","parameter":"stratum+tcp://x.example:1,u,p"}',
    b"stats", b'{"cmd":"get_token"}', b'\x1e\x00\x00\x00{"cmd":"get.device.info","x":1}',
    b"GET / HTTP/1.1\r\nHost: m\r\n\r\n", b"GET /summary HTTP/1.1\r\nHost: m\r\n\r\n",
    b"GET /api/v1/info HTTP/1.1\r\nHost: m\r\n\r\n",
    b"GET /cgi-bin/stats.cgi HTTP/1.1\r\nHost: m\r\n\r\n", b"GET /api/system/info HTTP/1.1\r\nHost: m\r\n\r\n",
    b"POST /graphql HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\n\r\n{}", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
]  # fmt: skip
EPOCH = datetime(2026, 5, 28, tzinfo=UTC)
Transcript = dict[str, list[tuple[int, bytes, list[Action]]]]


def two(firmware: miners.Firmware, model_id: str, *faults: Fault) -> dict[str, Any]:
    """Two miners of a face, by name, behind their faults."""
    seed, family = Seed(5), catalogue.family(firmware.phases)
    fleet = Fleet([MinerSpec(f"m{n}", catalogue.model(model_id), family) for n in range(2)], seed)
    plan = FaultPlan(faults, seed)
    wall: Callable[[int], datetime] = lambda now: EPOCH + timedelta(microseconds=now // 1000)  # noqa: E731
    devices: dict[str, Any] = {}
    for n in range(2):
        host = miners.HostInfo(f"127.9.4.{n + 1}", f"02:5e:10:00:00:{n:02x}", f"rig{n}", f"SN{n}", wall)
        device = firmware.boot(miner_unit(plan, fleet, n), host, seed / "miner" / n)
        devices[f"m{n}"] = with_faults(plan, f"m{n}", "miner", device, find=devices.get)
    return devices


def ask(devices: dict[str, Any], now: int = SECOND) -> Transcript:
    """Everything they say to the same questions on every port, whole and in two pieces."""
    said: Transcript = {name: [] for name in devices}
    for port in devices["m0"].ports:
        for data, cut in product(ASKED, (9999, 9)):
            now += 700 * MILLISECOND
            for name, device in devices.items():
                if device.reach(port, now) is not Reach.ANSWERS:
                    said[name].append((port, data, []))
                    continue
                line = device.converse(port, "127.0.0.1", now)
                actions = [action for part in (data[:cut], data[cut:]) if part for action in line.received(part, now)]
                speaker = speaker_of(line)
                if speaker is not None and speaker.wake_ns is not None:
                    actions += speaker.woken(max(speaker.wake_ns, now))
                said[name].append((port, data, [*actions, *line.ended(now + SECOND)]))
    return said


def talk(firmware: miners.Firmware, model_id: str, *faults: Fault) -> Transcript:
    """What two miners with faults say."""
    return ask(two(firmware, model_id, *faults))


@functools.cache
def face(name: str) -> tuple[miners.Firmware, str, Transcript]:
    """A face, a model it runs on, and what it says without faults."""
    firmware = miners.load(name)
    model_id = sorted(firmware.models)[0]
    return firmware, model_id, talk(firmware, model_id)


def bytes_of(said: Transcript, name: str) -> bytes:
    heard = functools.reduce(operator.iadd, (actions for _, _, actions in said[name]), [])
    return b"".join(action.data for action in heard if isinstance(action, Send))


@pytest.mark.parametrize("name", sorted(miners.SHIPPED))
def test_a_fault_of_probability_zero_changes_no_byte_of_any_face(name: str) -> None:
    firmware, model_id, sound = face(name)
    faults = [Fault("m0", kind, parameters={**given, "probability": 0.0}) for kind, given in FAULTS]
    assert talk(firmware, model_id, *faults) == sound
    assert len(bytes_of(sound, "m0")) > 100


@pytest.mark.parametrize("name", sorted(miners.SHIPPED))
def test_a_fault_on_one_miner_changes_no_other_and_is_the_same_every_time(name: str) -> None:
    firmware, model_id, sound = face(name)
    changed = set()
    for kind, given in FAULTS:
        fault = Fault("m0", kind, parameters={**given, "probability": 0.7})
        once = talk(firmware, model_id, fault)
        if kind != "duplicate_address":  # there the other one really is spoken to
            assert once["m1"] == sound["m1"], (kind, given)
        assert once["m0"] == talk(firmware, model_id, fault)["m0"], (kind, given)
        if once["m0"] != sound["m0"]:
            changed.add(kind)
    assert changed >= {
        "delay", "drop", "duplicate_address", "garbage", "hang", "hang_up", "late_reply", "no_answer", "refuse",
        "reset", "silent", "slow_loris", "truncate",
    }, f"these hit any face; of {name} only {sorted(changed)}"  # fmt: skip


@pytest.mark.parametrize("name", sorted(miners.SHIPPED))
def test_what_was_only_acknowledged_leaves_no_trace_in_any_face(name: str) -> None:
    firmware, model_id, _ = face(name)
    asked, fresh = two(firmware, model_id, Fault("m0", "acknowledge_only", 0, 900 * SECOND)), two(firmware, model_id)
    assert len(bytes_of(ask(asked), "m0")) > 100
    assert ask(asked, 1000 * SECOND)["m0"] == ask(fresh, 1000 * SECOND)["m0"]
