"""The REST gateway of Braiins OS: the methods of the public API as paths under `/api/v1`, messages as JSON.

Owns routing and the HTTP status of an answer; routes stand in `braiins_api.toml`, methods in `braiins_calls.py`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from emulator.wire import Instant
from firmware_mocks.miners.braiins_api import MESSAGES, METHODS, REST, CallError
from firmware_mocks.miners.braiins_calls import call
from firmware_mocks.miners.braiins_conf import APPLY
from firmware_mocks.miners.braiins_meter import IMAGE
from firmware_mocks.miners.grpc import Status
from firmware_mocks.miners.http import TEXT, HttpRequest, HttpResponse
from firmware_mocks.miners.protobuf import Tree
from firmware_mocks.miners.protobuf_json import ShapeError, from_json, to_json

if TYPE_CHECKING:
    from firmware_mocks.miners.braiins import BraiinsDevice

BASE = "/api/v1/"
NOTHING, WHOLE = "-", "*"
_HTTP = {
    Status.INVALID_ARGUMENT: 400, Status.UNAUTHENTICATED: 401, Status.NOT_FOUND: 404, Status.INTERNAL: 500,
    Status.UNAVAILABLE: 503,
}  # fmt: skip
"""gRPC status to HTTP status (GK: the mapping of gRPC gateways; 401 is what clients renew their token on, S2)."""
_SWITCH = "miner/hw/hashboards"
"""PATCH here enables or disables: one path, two methods."""


class BodyError(Exception):
    """A body that is no JSON (400), or not the JSON asked for (422), as Rust's web servers tell them apart (GK)."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(said)
        self.status = status


@dataclass(frozen=True, slots=True)
class Route:
    """A method behind a path; `body` and `answer` name the field that the JSON stands for."""

    path: str
    body: str
    answer: str


def _routes() -> dict[str, dict[str, Route]]:
    paths = {path.removeprefix("/braiins.bos.v1."): path for path in METHODS}
    found: dict[str, dict[str, Route]] = {}
    for line, text in REST.items():
        verb, _, path = line.partition(" ")
        name, body, answer = text.split()
        found.setdefault(path, {})[verb] = Route(paths[name], body, answer)
    return found


ROUTES = _routes()


def serve(device: BraiinsDevice, request: HttpRequest, now: Instant) -> HttpResponse:
    """Answer a request under BASE."""
    takes_ns = device.knobs.rest_reply_ns
    path = request.path.removeprefix(BASE).rstrip("/")
    token = request.headers.get("authorization", "")
    try:
        if path == "docs/openapi.json" and request.method == "GET":
            return _json(_openapi(), takes_ns)
        if path == "version" and request.method == "GET":
            return _json({"major": 1, "minor": IMAGE["rest_minor"], "patch": 0}, takes_ns)
        if path == _SWITCH and request.method == "PATCH":
            return _switch(device, request, token, now)
        uid = ""
        if path not in ROUTES and path.startswith("pools/"):
            path, uid = "pools/{uid}", path.removeprefix("pools/")
        verbs = ROUTES.get(path)
        if verbs is None:
            return _text(404, "", takes_ns)
        route = verbs.get(request.method)
        if route is None:
            return _text(405, "", takes_ns)
        return _run(device, route, _asked(route, request, uid), token, now)
    except CallError as error:
        return _text(_HTTP.get(error.status, 500), error.detail, takes_ns)
    except BodyError as error:
        return _text(error.status, str(error), takes_ns)


def _asked(route: Route, request: HttpRequest, uid: str) -> Tree:
    """The request message. Raises BodyError."""
    message = METHODS[route.path].asks
    tree: Tree = {}
    if route.body != NOTHING:
        given = _parsed(request.body)
        for name in reversed(route.body.split(".") if route.body != WHOLE else ()):
            given = {name: given}
        tree = _message(message, given)
    fields = MESSAGES[message].fields
    if "save_action" in fields and not tree.get("save_action"):
        tree["save_action"] = APPLY
    if uid and "uid" in fields:
        tree["uid"] = uid
    elif uid and tree.get("group") is not None:
        tree["group"]["uid"] = uid
    return tree


def _run(device: BraiinsDevice, route: Route, tree: Mapping[str, Any], token: str, now: Instant) -> HttpResponse:
    given = call(device, route.path, tree, token, now)
    takes_ns = device.knobs.rest_reply_ns
    if route.answer == NOTHING:
        return HttpResponse(204, takes_ns=takes_ns, then=given.then)
    shown: Any = to_json(MESSAGES, METHODS[route.path].gives, given.tree)
    if route.answer != WHOLE:
        shown = shown[route.answer]
    status = 201 if route.path.endswith("/CreatePoolGroup") else 200
    return HttpResponse(status, json.dumps(shown, separators=(",", ":")).encode(), takes_ns=takes_ns, then=given.then)


def _parsed(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BodyError(400, f"Failed to parse the request body as JSON: {error}") from None


def _message(name: str, given: object) -> Tree:
    try:
        return from_json(MESSAGES, name, given)
    except ShapeError as error:
        raise BodyError(422, f"Failed to deserialize the JSON body into the target type: {error}") from None


def _switch(device: BraiinsDevice, request: HttpRequest, token: str, now: Instant) -> HttpResponse:
    given = _parsed(request.body)
    if not isinstance(given, dict) or not isinstance(given.get("enable"), bool):
        raise BodyError(422, "Failed to deserialize the JSON body into the target type: missing field `enable`")
    name = "EnableHashboards" if given["enable"] else "DisableHashboards"
    route = Route(f"/braiins.bos.v1.MinerService/{name}", WHOLE, WHOLE)
    tree = _message(METHODS[route.path].asks, {"hashboard_ids": given.get("hashboard_ids", [])})
    return _run(device, route, tree | {"save_action": APPLY}, token, now)


def _openapi() -> Tree:
    """The paths of this gateway; the schemas of the original are not reproduced."""
    paths: Tree = {}
    for path, verbs in ROUTES.items():
        described = {"200": {"description": "Successful response."}}
        paths[BASE + path] = {verb.lower(): {"responses": described} for verb in verbs}
    info = {"title": "Braiins OS Public REST API", "version": f"1.{IMAGE['rest_minor']}.0"}
    return {"openapi": "3.1.0", "info": info, "paths": paths}


def _json(shown: Any, takes_ns: int) -> HttpResponse:
    return HttpResponse(body=json.dumps(shown, separators=(",", ":")).encode(), takes_ns=takes_ns)


def _text(status: int, said: str, takes_ns: int) -> HttpResponse:
    return HttpResponse(status, said.encode(), TEXT, takes_ns=takes_ns)
