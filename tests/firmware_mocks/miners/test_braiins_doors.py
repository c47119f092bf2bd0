"""Braiins OS: the four doors of one miner - the socket, REST, the pages of port 80, GraphQL."""

from __future__ import annotations

import json
from typing import Any

import pytest

from emulator.wire import SECOND
from firmware_mocks.miners.braiins_api import REST
from firmware_mocks.miners.braiins_conf import FACTORY
from firmware_mocks.miners.braiins_graphql_query import SCHEMA
from firmware_mocks.miners.braiins_socket import COMMANDS, EDITS, REPORTS
from tests.firmware_mocks.miners.braiins_hand import POOL, ROOT, Hand, MakeBench


@pytest.fixture
def bos(bench: MakeBench) -> Hand:
    hand = Hand(bench("braiins", "s19j_pro"))
    hand.login()
    return hand


# ---- the doors -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["version", *REPORTS])
def test_every_report_is_a_success_and_may_be_joined(bos: Hand, name: str) -> None:
    reply = bos.ask(name)
    assert reply["STATUS"][0]["STATUS"] == "S"
    assert reply["STATUS"][0]["Description"].startswith("BOSer boser-buildroot ")
    assert bos.ask(f"{name}+version")[name][0] == reply


def test_check_knows_every_command(bos: Hand) -> None:
    assert all(bos.ask("check", name)["CHECK"][0]["Exists"] == "Y" for name in COMMANDS)
    assert bos.ask("check", "privileged")["CHECK"][0]["Exists"] == "N"
    assert {"pause", "resume", *EDITS} <= COMMANDS.keys()


def test_rates_on_the_socket_are_megahashes(bos: Hand) -> None:
    summary = bos.ask("summary")["SUMMARY"][0]
    assert summary["MHS av"] == pytest.approx(104e6)
    boards = bos.ask("devs")["DEVS"]
    assert sum(board["MHS av"] for board in boards) == pytest.approx(104e6)
    assert [board["ID"] for board in boards] == [1, 2, 3]
    assert bos.ask("devdetails")["DEVDETAILS"][0]["Frequency"] == 545


@pytest.mark.parametrize("line", [line for line in REST if line.startswith("GET ")])
def test_every_page_of_the_gateway_is_a_page_with_or_without_a_slash(bos: Hand, line: str) -> None:
    path = line.removeprefix("GET ")
    status, said, _ = bos.rest("GET", path)
    assert status == 200
    assert bos.rest("GET", path + "/")[1] == said
    assert bos.rest("GET", path, token="")[0] == 401
    assert bos.rest("POST", path, {})[0] in (405, 400, 422)


def test_what_the_gateway_refuses(bos: Hand) -> None:
    for verb, path, body, status in (
        ("GET", "nothing", None, 404), ("PUT", "miner/details", None, 405), ("PUT", "actions/locate", b"{", 400),
        ("PUT", "actions/locate", "yes", 422), ("PUT", "performance/power-target", {}, 422),
        ("PUT", "performance/power-target", {"watt": 2.5}, 422), ("PUT", "performance/power-target", {"watt": -1}, 422),
        ("PUT", "performance/power-target", b"[" * 5000, 400), ("PATCH", "miner/hw/hashboards", {"enable": 1}, 422),
        ("PATCH", "miner/hw/hashboards", {"enable": True, "hashboard_ids": 3}, 422), ("GET", "pools/abc", None, 405),
    ):  # fmt: skip
        assert bos.rest(verb, path, body)[0] == status, (verb, path)
    assert bos.device.saved == FACTORY


def test_the_page_on_port_80_names_the_maker_and_not_the_rest(bos: Hand) -> None:
    status, _, said, _ = bos.web(b"GET / HTTP/1.1\r\nHost: m\r\n\r\n")
    assert (status, b"<title>Braiins OS</title>" in said, b"luci" in said) == (200, True, False)
    assert bos.web(b"GET /kaonsu/v1/brief HTTP/1.1\r\nHost: m\r\n\r\n")[0] == 404
    assert bos.web(b"GET /cgi-bin/get_system_info.cgi HTTP/1.1\r\nHost: m\r\n\r\n")[0] == 404


def test_luci_wants_its_form(bos: Hand) -> None:
    def post(form: str) -> tuple[int, dict[str, str]]:
        head = f"POST /cgi-bin/luci HTTP/1.1\r\nHost: m\r\nContent-Length: {len(form)}\r\n\r\n{form}"
        status, headers, _, _ = bos.web(head.encode())
        return status, headers

    page = "GET /cgi-bin/luci/admin/network/iface_status/lan HTTP/1.1\r\nHost: m\r\nCookie: {}\r\n\r\n"
    assert bos.web(page.format("sysauth=x").encode())[0] == 403
    assert post("luci_username=root&luci_password=no")[0] == 403
    assert post("&" * 50)[0] == 403
    status, headers = post("luci_username=root&luci_password=root")
    assert status == 302
    status, _, said, _ = bos.web(page.format(headers["set-cookie"].partition(";")[0]).encode())
    assert (status, json.loads(said)[0]["macaddr"]) == (200, "02:5e:10:00:00:17")


# ---- GraphQL -------------------------------------------------------------------------------------------------------

SIGN_IN = 'mutation { auth { login(username: "root", password: "root") { ... on VoidResult { void } } } }'


def everything(name: str, depth: int = 0) -> str:
    """A selection of every field of a type that needs no arguments."""
    if name in SCHEMA.unions:
        return "{ __typename " + " ".join(f"... on {m} {everything(m, depth + 1)}" for m in SCHEMA.unions[name]) + " }"
    asked = ["__typename"]
    for field, kind in SCHEMA.objects[name].items():
        inner = kind.type.strip("[]!")
        if not kind.arguments and (inner in SCHEMA.scalars or inner in SCHEMA.enums):
            asked.append(f"{field}")
        elif not kind.arguments and not (depth > 5 and inner == name):
            asked.append(f"{field} {everything(inner, depth + 1)}")
    return "{ " + " ".join(asked) + " }"


def test_every_field_of_the_schema_has_a_value_behind_it(bos: Hand) -> None:
    bos.rest("PUT", "pools/batch", [
        {"name": "a", "pools": [POOL]},
        {"name": "b", "pools": [POOL], "load_balance_strategy": {"fixedshareratio": {"value": 0.5}}},
    ])  # fmt: skip
    for now in (bos.start, bos.start + 60 * SECOND):
        answer = bos.ql(everything("Query"), now=now)
        assert "errors" not in answer
        assert answer["data"]["bosminer"]["info"]["modelName"] == "Antminer S19j Pro"
        assert answer["data"]["bos"]["info"]["version"]["full"].endswith("-25.11-plus")
    assert bos.ql("{ bos { log(target: BOSMINER) } }")["data"]["bos"]["log"] == []


def test_enums_and_numbers_fit_their_types(bos: Hand) -> None:
    def look(kind: str, value: Any) -> None:
        inner = kind.rstrip("!")
        if value is None:
            assert not kind.endswith("!")
        elif inner.startswith("["):
            for entry in value:
                look(inner[1:-1], entry)
        elif inner in SCHEMA.enums:
            assert value in SCHEMA.enums[inner]
        elif inner in SCHEMA.scalars:
            wanted = {"Int": int, "Float": (int, float), "String": str, "Boolean": bool, "ID": str}.get(
                inner, (int, str)
            )
            assert isinstance(value, wanted), (inner, value)
        else:
            name = value["__typename"]
            for field, entry in value.items():
                if field != "__typename":
                    look(SCHEMA.objects[name][field].type, entry)

    look("Query", bos.ql(everything("Query"))["data"])


def test_queries_are_open_and_mutations_are_not(bos: Hand) -> None:
    for query in (
        "mutation { bos { reboot { __typename } } }", "mutation { bosminer { stop { __typename } } }",
        "mutation { bos { setFaultLight(enable: true) { enabled } } }",
        "mutation { bos { setPassword { __typename } } }",
        'mutation { bosminer { config { updateAutotuning(input: {powerTarget: 2000}, apply: true) { __typename } } } }',
        'mutation { bosminer { config { updateGroups(groups: []) { __typename } } } }',
    ):  # fmt: skip
        answer = bos.ql(query)
        assert (answer["data"], answer["errors"][0]["message"]) == (None, "Unauthorized")
    assert bos.unit.ran == []
    assert (bos.device.saved, bos.device.light) == (FACTORY, False)


def test_a_session_stops_and_starts_and_reboots(bos: Hand) -> None:
    bos.ql(SIGN_IN)
    assert bos.cookie.startswith("session_id=")
    assert bos.ql("mutation { bosminer { stop { ... on VoidResult { void } } } }")["data"]["bosminer"]["stop"] == {
        "void": ""
    }
    away = bos.ql("{ bosminer { info { modelName workSolver { nominalMhs } } } }", now=bos.start + 60 * SECOND)
    assert (away["data"], away["errors"][0]["message"]) == (None, "BOSminer is not running")
    name = bos.ql("{ bosminer { info { modelName } } }", now=bos.start + 60 * SECOND)["data"]["bosminer"]["info"]
    assert name == {"modelName": "Antminer S19j Pro"}
    bos.ql("mutation { bosminer { start { __typename } } bos { reboot { __typename } } }", now=bos.start + 60 * SECOND)
    assert [ran[0] for ran in bos.unit.ran] == ["stop", "start", "reboot"]
    assert bos.ql("mutation { bos { setFaultLight(enable: true) { enabled } } }")["data"]["bos"]["setFaultLight"][
        "enabled"
    ]
    bos.ql("mutation { auth { logout { __typename } } }")
    assert "errors" in bos.ql("mutation { bosminer { start { __typename } } }")


def test_a_session_tunes(bos: Hand) -> None:
    bos.ql(SIGN_IN)
    mutation = (
        "mutation ($limit: Int!) { bosminer { config { updateAutotuning(input: {powerTarget: $limit}, apply: true) {"
        " ... on AutotuningOut { autotuning { mode powerTarget enabled } } ... on Error { __typename } } } } }"
    )
    said = bos.ql(mutation, {"limit": 2500})["data"]["bosminer"]["config"]["updateAutotuning"]
    assert said == {"autotuning": {"mode": "POWER_TARGET", "powerTarget": 2500, "enabled": True}}
    assert bos.unit.ran[0][2] == pytest.approx(2500 / 3068)
    said = bos.ql(mutation, {"limit": 10})["data"]["bosminer"]["config"]["updateAutotuning"]
    assert said == {"__typename": "AutotuningError"}
    scaling = "{enabled: true, shutdownDuration: 2.0, powerStep: 150, dpsMode: BOOST}"
    more = f"{{hashrateTarget: 60.0, performanceScaling: {scaling}}}"
    bos.ql(f"mutation {{ bosminer {{ config {{ updateAutotuning(input: {more}, apply: false) {{ __typename }} }} }} }}")
    assert len(bos.unit.ran) == 1
    shown = bos.ql(
        "{ bosminer { config { ... on BosminerConfig {"
        " autotuning { mode } performanceScaling { dpsMode powerStep } } } } }"
    )
    assert shown["data"]["bosminer"]["config"] == {
        "autotuning": {"mode": "HASHRATE_TARGET"}, "performanceScaling": {"dpsMode": "BOOST", "powerStep": 150},
    }  # fmt: skip


def test_a_session_changes_pools_host_name_and_password(bos: Hand) -> None:
    bos.ql(SIGN_IN)
    mutation = (
        "mutation ($groups: [Group!]!) { bosminer { config { updateGroups(groups: $groups) {"
        " ... on GroupList { groups { name } } ... on GroupListError { message } } } } }"
    )
    said = bos.ql(mutation, {"groups": [{"name": "g", "quota": 1, "pools": [POOL]}]})["data"]["bosminer"]["config"]
    assert said == {"updateGroups": {"groups": [{"name": "g"}]}}
    assert bos.unit.ran == []
    said = bos.ql(mutation, {"groups": []})["data"]["bosminer"]["config"]
    assert "pool groups" in said["updateGroups"]["message"]
    assert bos.ql('mutation { bos { setHostname(hostname: "rig-9") { __typename } } }')["data"]["bos"][
        "setHostname"
    ] == {"__typename": "HostnameOk"}
    assert bos.rest("GET", "miner/details")[1]["hostname"] == "rig-9"
    assert bos.ql('mutation { bos { setHostname(hostname: "a b") { __typename } } }')["data"]["bos"]["setHostname"] == {
        "__typename": "HostnameError"
    }
    bos.ql('mutation { bos { setPassword(newPassword: "new") { __typename } } }')
    assert bos.rest("POST", "auth/login", ROOT)[0] == 401


def test_graphql_wants_a_post_with_an_object(bos: Hand) -> None:
    assert bos.web(b"GET /graphql HTTP/1.1\r\nHost: m\r\n\r\n")[0] == 405
    assert bos.web(b"POST /graphql HTTP/1.1\r\nHost: m\r\nContent-Length: 2\r\n\r\n[]")[0] == 400
