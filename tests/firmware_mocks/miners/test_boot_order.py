"""After a reboot the socket of the mining process comes back a little before or after the other ports."""

from __future__ import annotations

from typing import Any

import pytest

from emulator.wire import SECOND, Reach
from firmware_mocks import miners
from firmware_mocks.miners.base import BOOT_ORDER_NS
from tests.firmware_mocks.miners.conftest import HOUR, START

WITH_BOTH = sorted(name for name in miners.SHIPPED if len({4028, 80} & set(miners.load(name).ports.values())) == 2)
STEP_NS = SECOND // 10


def answers_after_ns(device: Any, port: int, up_ns: int) -> int:
    """How long after the network is up a port answers, to 0.1 s."""
    waits = range(0, BOOT_ORDER_NS + STEP_NS, STEP_NS)
    return next(waited for waited in waits if device.reach(port, up_ns + waited) is Reach.ANSWERS)


@pytest.mark.parametrize("firmware", WITH_BOTH)
def test_4028_comes_back_before_or_after_80_and_one_of_them_at_once(bench: Any, firmware: str) -> None:
    face = bench(firmware)
    ahead = []
    for boot in range(1, 21):
        up_ns = START + boot * HOUR
        face.unit.boots(up_ns)
        assert face.device.reach(4028, up_ns - 1) is face.device.reach(80, up_ns - 1) is Reach.REFUSES
        socket_ns, web_ns = (answers_after_ns(face.device, port, up_ns) for port in (4028, 80))
        assert min(socket_ns, web_ns) == 0
        ahead.append(web_ns - socket_ns)
    assert min(ahead) < -SECOND
    assert max(ahead) > SECOND


def test_the_order_belongs_to_the_boot_and_not_to_when_it_is_looked_at(bench: Any) -> None:
    one, other = bench("luxos"), bench("luxos")
    up_ns = START + HOUR
    for face in (one, other):
        face.unit.boots(up_ns)
    assert one.device.reach(80, up_ns + HOUR) is Reach.ANSWERS  # the first look at this one comes late
    seen = [answers_after_ns(other.device, port, up_ns) for port in (4028, 80)]
    assert seen == [answers_after_ns(one.device, port, up_ns) for port in (4028, 80)]


def test_a_board_that_was_up_before_the_run_answers_on_every_port(bench: Any) -> None:
    face = bench("antminer-stock")
    assert face.device.reach(4028, 0) is face.device.reach(80, 0) is Reach.ANSWERS
