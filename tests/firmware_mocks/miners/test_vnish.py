"""VNish: the unlock, the mining orders and their states, and when the miner follows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from emulator.catalogue import Phase
from emulator.wire import SECOND, Reach
from firmware_mocks.miners import vnish
from firmware_mocks.miners.vnish_access import MOST
from firmware_mocks.miners.vnish_conf import FACTORY
from firmware_mocks.miners.vnish_state import Orders, State, since, state_at
from tests.firmware_mocks.miners.vnish_rest import PUBLIC, Rest, seconds

MakeBench = Callable[..., Any]
KEY = "k" * 32


@pytest.fixture
def rest(bench: MakeBench) -> Rest:
    return Rest(bench("vnish", "s19j_pro")).unlock()


@pytest.mark.parametrize("name", PUBLIC)
def test_what_clients_read_needs_no_token(bench: MakeBench, name: str) -> None:
    assert Rest(bench("vnish")).call("GET", name)[0] == 200


@pytest.mark.parametrize(
    ("method", "name"), [*(("GET", name) for name in vnish.READS), *(("POST", name) for name in vnish.WRITES)]
)
@pytest.mark.parametrize("token", ["", "guess"])
def test_all_else_needs_one_and_changes_nothing_without(bench: MakeBench, method: str, name: str, token: str) -> None:
    made = bench("vnish")
    caller = Rest(made)
    caller.token = token
    assert caller.call(method, name, {"miner": {"overclock": {"preset": "1740"}}})[:2] == (401, {"err": "Unauthorized"})
    assert made.unit.ran == []
    assert (made.device.conf, made.device.halted, made.device.doors.keys) == (FACTORY, None, {})


def test_a_wrong_password_is_403_and_too_many_are_429_for_a_minute(bench: MakeBench) -> None:
    caller = Rest(bench("vnish"))
    for n in range(5):
        status, said = caller.post("unlock", {"pw": "guess"}, seconds(caller, n))
        assert (status, said["err"]) == (403, "Wrong password")
    assert said["unlock_timeout"] == 56
    status, said = caller.post("unlock", {"pw": "admin"}, seconds(caller, 5))
    assert (status, said) == (429, {"err": "Too many attempts", "unlock_timeout": 55})
    assert caller.post("unlock", {"pw": "admin"}, seconds(caller, 61))[0] == 200
    assert caller.post("unlock", {}, seconds(caller, 62))[0] == 403


@pytest.mark.parametrize("body", [b'{"miner":', b'{"on":true', b"pw=admin", b"[1]", b"null", b"\xff"])
@pytest.mark.parametrize("name", ["unlock", "find-miner", *vnish.WRITES])
def test_a_body_that_is_no_json_object_is_400_and_changes_nothing(rest: Rest, name: str, body: bytes) -> None:
    device = rest.made.device
    assert rest.post(name, body) == (400, {"err": "Invalid JSON"})
    assert rest.made.unit.ran == []
    assert (device.conf, device.halted, device.finding, device.doors.keys) == (FACTORY, None, False, {})
    assert rest.call("GET", "settings")[0] == 200, "the session lives"


def test_a_token_is_taken_bare_or_as_bearer_and_dies_idle_locked_or_booted(rest: Rest) -> None:
    token = rest.token
    assert len(token) == 32
    rest.token = ""
    assert rest.call("GET", "settings", None, None, Authorization=token)[0] == 200
    assert rest.call("GET", "settings", None, None, Authorization=f"Bearer {token}")[0] == 200
    rest.token = token
    assert rest.get("auth-check") == {"unlock_timeout": 1800}
    assert rest.get("status", seconds(rest, 1000))["unlock_timeout"] == 1800, "asking is using"
    assert rest.call("GET", "settings", None, seconds(rest, 2799))[0] == 200
    assert rest.call("GET", "settings", None, seconds(rest, 2799 + 1800))[0] == 401
    rest.unlock()
    assert rest.post("lock") == (200, {})
    assert rest.call("GET", "settings")[0] == 401
    rest.unlock()
    rest.made.unit.boots(seconds(rest, 60))
    assert rest.call("GET", "settings", None, seconds(rest, 70))[0] == 401


def test_the_others_can_be_locked_out(rest: Rest) -> None:
    mine = rest.token
    other = rest.unlock().token
    rest.token = mine
    assert rest.post("lock/others", {"pw": "guess"})[0] == 403
    assert rest.post("lock/others", {"pw": "admin"})[0] == 200
    assert rest.call("GET", "settings")[0] == 200
    rest.token = other
    assert rest.call("GET", "settings")[0] == 401


def test_an_api_key_opens_what_a_token_opens_until_it_is_deleted(rest: Rest) -> None:
    assert rest.post("apikeys", {"key": "short", "description": "x"})[0] == 400
    assert rest.post("apikeys", {"key": KEY, "description": "fleet"}) == (200, {"status": "inserted"})
    assert rest.get("apikeys") == [{"key": KEY, "description": "fleet"}]
    rest.token = ""
    assert rest.call("GET", "settings", None, None, X_Api_Key=KEY)[0] == 200
    assert rest.call("GET", "settings", None, None, Authorization=KEY)[0] == 200
    assert rest.call("GET", "settings", None, None, X_Api_Key="q" * 32)[0] == 401
    assert rest.post("apikeys/delete", {"key": KEY}, X_Api_Key=KEY) == (200, {})
    assert rest.post("apikeys/delete", {"key": KEY}, X_Api_Key=KEY)[0] == 401


def test_callers_cannot_fill_the_memory_with_tokens_or_keys(rest: Rest) -> None:
    first = rest.token
    for n in range(50):
        rest.unlock()
        rest.post("apikeys", {"key": f"{n:032}", "description": ""})
    assert len(rest.get("apikeys")) == MOST
    rest.token = first
    assert rest.call("GET", "settings")[0] == 401


# ---- mining ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("order", "word"), [("stop", "stopped"), ("pause", "paused")])
def test_an_order_to_stand_is_answered_first_and_carried_out_then(rest: Rest, order: str, word: str) -> None:
    status, said, done = rest.call("POST", f"mining/{order}")
    assert (status, said) == (200, {})
    assert rest.made.unit.ran == [("sleep", done, None)]
    rest.made.unit.now_phase = Phase.STOPPING
    assert rest.get("status", seconds(rest, 2))["miner_state"] == "shutting-down"
    rest.made.unit.sleeps(seconds(rest, 5))
    pane = rest.get("status", seconds(rest, 60))
    assert (pane["miner_state"], pane["find_miner"], pane["unlocked"]) == (word, False, True)
    summary = rest.get("summary", seconds(rest, 60))["miner"]
    assert [summary[f"hr_{kind}"] for kind in ("realtime", "nominal", "average")] == [0.0, 0.0, 0.0]
    assert (summary["hr_stock"], summary["power_consumption"], summary["power_efficiency"]) == (104_000.0, 0, 0.0)
    assert {chain["status"]["state"] for chain in summary["chains"]} == {word}
    assert rest.made.ask("summary", now=seconds(rest, 60))["SUMMARY"][0]["GHS av"] > 100_000


def test_the_pane_is_a_second_late(rest: Rest) -> None:
    rest.post("mining/stop", now=seconds(rest, 0.5))
    rest.made.unit.sleeps(seconds(rest, 0.5))
    assert rest.get("summary", seconds(rest, 0.9))["miner"]["miner_status"]["miner_state"] != "stopped"
    assert rest.get("summary", seconds(rest, 1.0))["miner"]["miner_status"]["miner_state"] == "stopped"


def test_who_stands_cannot_be_stopped_and_who_mines_cannot_be_started(rest: Rest) -> None:
    assert rest.post("mining/start") == (500, {"err": "CGMiner err: Cgminer error failed-to-activate-resume-mode "})
    rest.post("mining/stop")
    for order in ("stop", "pause"):
        answer = rest.post(f"mining/{order}")
        assert answer == (500, {"err": "CGMiner err: Cgminer error failed-to-activate-pause-mode "})
    assert [script for script, _, _ in rest.made.unit.ran] == ["sleep"]


@pytest.mark.parametrize("order", ["start", "resume"])
def test_start_and_resume_wake_at_the_set_point(rest: Rest, order: str) -> None:
    rest.post("mining/stop")
    rest.post("settings", {"miner": {"overclock": {"preset": "2000"}}})
    assert rest.post(f"mining/{order}") == (200, {})
    script, _, share = rest.made.unit.ran[-1]
    assert (script, share) == ("wake", pytest.approx(2000 / 2970))


def test_the_start_up_delay_draws_a_delay_within_its_bound(rest: Rest) -> None:
    rest.post("settings", {"miner": {"misc": {"max_startup_delay_time": 60}}})
    delays = []
    for n in range(12):
        rest.post("mining/stop", now=seconds(rest, 100 * n))
        done = rest.call("POST", "mining/start", None, seconds(rest, 100 * n + 10))[2]
        delays.append((rest.made.unit.ran[-1][1] - done) / SECOND)
    assert all(0 <= delay <= 60 for delay in delays)
    assert len(set(delays)) == 12


def test_a_restart_closes_the_socket_while_the_process_reloads(rest: Rest) -> None:
    rest.post("mining/restart")
    assert rest.made.unit.ran[0][0] == "restart"
    assert rest.made.device.reach(4028, seconds(rest, 10)) is Reach.REFUSES
    assert rest.made.ask("stats", now=seconds(rest, 28))["STATS"][1]["Elapsed"] == 9
    assert rest.get("summary", seconds(rest, 28))["miner"]["restart_count"] == 1


def test_a_reboot_comes_three_seconds_after_its_answer(rest: Rest) -> None:
    status, said, done = rest.call("POST", "system/reboot")
    assert (status, said) == (200, {"after": 3})
    assert rest.made.unit.ran == [("reboot", done + 3 * SECOND, None)]


def test_a_factory_reset_forgets_settings_and_the_stop(rest: Rest) -> None:
    rest.post("settings", {"miner": {"overclock": {"preset": "2000"}, "misc": {"remain_stopped_on_reboot": True}}})
    rest.post("mining/stop")
    assert rest.post("settings/factory-reset") == (200, {"after": 3})
    assert rest.made.device.conf == FACTORY
    assert [(script, share) for script, _, share in rest.made.unit.ran[-2:]] == [
        ("forget_stopped", None),
        ("reboot", 1.0),
    ]
    rest.made.unit.boots(seconds(rest, 60))
    assert rest.get("status", seconds(rest, 70))["miner_state"] == "mining"


def test_the_light_needs_no_token(bench: MakeBench) -> None:
    caller = Rest(bench("vnish"))
    assert caller.post("find-miner", {}) == (200, {"on": True})
    assert caller.get("status")["find_miner"] is True
    assert caller.post("find-miner") == (200, {"on": False})
    assert caller.post("find-miner", {"on": True}) == (200, {"on": True})
    assert caller.post("find-miner", {"on": True}) == (200, {"on": True})


def test_a_pool_is_switched_by_its_number(rest: Rest) -> None:
    assert rest.post("mining/switch-pool", {"pool_id": 1}) == (200, {})
    pools = rest.get("summary")["miner"]["pools"]
    assert [pool["status"] for pool in pools] == ["working", "active", "working"]
    assert pools[2]["pool_type"] == "DevFee"
    assert [row["Stratum Active"] for row in rest.made.ask("pools")["POOLS"]] == [False, True]
    for wrong in ({"pool_id": 2}, {"pool_id": -1}, {"pool_id": "x"}, {}, b""):
        assert rest.post("mining/switch-pool", wrong) == (500, {"err": "Could not find pool"})


def test_the_vendor_takes_his_share(rest: Rest) -> None:
    summary = rest.get("summary")["miner"]
    mine, _, fee = (pool["accepted"] for pool in summary["pools"])
    assert fee / (mine + fee) == pytest.approx(0.028, abs=0.001)
    assert summary["devfee"] == pytest.approx(104 * 0.028, rel=0.02)


@given(
    steps=st.lists(st.tuples(st.integers(1, 10**12), st.sampled_from(list(State))), min_size=1, max_size=8),
    now=st.integers(0, 10**13),
)
def test_a_state_began_where_it_last_changed(steps: list[tuple[int, State]], now: int) -> None:
    edges = [(0, State.MINING)]
    for gap, state in steps:
        if state not in {known for _, known in edges}:
            edges.append((edges[-1][0] + gap, state))
    look = [edge for edge in edges if edge[0] <= now][-1]
    assert since(lambda at: [state for began, state in edges if began <= at][-1], 0, now) == look[0]


@pytest.mark.parametrize(
    ("order", "phase", "word"),
    [
        ("stop", Phase.STOPPING, State.SHUTTING_DOWN), ("restart", Phase.STOPPING, State.RESTARTING),
        ("preset", Phase.RETUNE, State.STARTING), ("pause", Phase.SLEEP, State.PAUSED),
        ("start", Phase.SLEEP, State.STARTING), ("start", Phase.WAKE, State.STARTING),
        ("boot", Phase.BOOT, State.INITIALIZING), ("stop", Phase.BOOT, State.INITIALIZING),
    ],
)  # fmt: skip
def test_a_state_is_named_after_the_phase_and_the_order(rest: Rest, order: str, phase: Phase, word: State) -> None:
    orders = Orders()
    orders.note(order, 0)
    rest.made.unit.now_phase = phase
    assert state_at(rest.made.unit, orders, 17 * SECOND, lambda _: True, 5 * SECOND) is word
    later = state_at(rest.made.unit, orders, 17 * SECOND, lambda _: True, 20 * SECOND)
    assert later is (State.INITIALIZING if phase in (Phase.WAKE, Phase.RETUNE) else word)
