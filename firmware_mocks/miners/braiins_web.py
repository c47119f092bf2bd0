"""Port 80 of Braiins OS: the page by which clients know it, REST, GraphQL, and the old LuCI pages some still ask.

Owns paths and the LuCI login; `braiins_rest.py` and `braiins_graphql.py` have what lies under theirs.
"""

from __future__ import annotations

import json
from http.cookies import CookieError, SimpleCookie
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

from emulator.wire import Instant
from firmware_mocks.miners import braiins_graphql, braiins_rest
from firmware_mocks.miners.braiins_calls import login
from firmware_mocks.miners.http import HTML, HttpRequest, HttpResponse, error_page

if TYPE_CHECKING:
    from firmware_mocks.miners.braiins import BraiinsDevice

INDEX = b"<!doctype html><html><head><title>Braiins OS</title></head><body><div id=root></div></body></html>"
LUCI = "/cgi-bin/luci"
_FORM = (
    b"<!doctype html><html><head><title>Braiins OS - LuCI</title></head><body><form method=post>"
    b"<input name=luci_username><input name=luci_password type=password></form></body></html>"
)
_COOKIE = "sysauth"


def serve(device: BraiinsDevice, request: HttpRequest, now: Instant) -> HttpResponse:
    """Answer a request on port 80."""
    path = request.path
    if path.startswith(braiins_rest.BASE):
        return braiins_rest.serve(device, request, now)
    if path == "/graphql":
        return braiins_graphql.serve(device, request, now)
    if path == LUCI or path.startswith(f"{LUCI}/"):
        return _luci(device, request, now)
    if path in ("/", "/index.html") and request.method in ("GET", "HEAD"):
        return HttpResponse(body=INDEX, content_type=HTML)
    return error_page(404)


def _luci(device: BraiinsDevice, request: HttpRequest, now: Instant) -> HttpResponse:
    """LuCI as S9-era tools use it: a form, a cookie, and one report (S: pyasic's BOSMiner client)."""
    takes_ns = device.knobs.rest_reply_ns
    if request.method == "POST":
        form = parse_qs(request.body[:1024].decode("latin-1"), max_num_fields=8) if request.body.count(b"&") < 8 else {}
        name, secret = (form.get(f"luci_{key}", [""])[0] for key in ("username", "password"))
        if login(device, name, secret):
            cookie = f"{_COOKIE}={device.sessions.issue(now)}; path={LUCI}; HttpOnly"
            headers = (("Set-Cookie", cookie), ("Location", LUCI))
            return HttpResponse(302, content_type=HTML, headers=headers, takes_ns=takes_ns)
        return HttpResponse(403, _FORM, HTML, takes_ns=takes_ns)
    try:
        found = SimpleCookie(request.headers.get("cookie", "")).get(_COOKIE)
    except CookieError:
        found = None
    if found is None or not device.sessions.use(found.value, now):
        return HttpResponse(403, _FORM, HTML, takes_ns=takes_ns)
    if request.path.removeprefix(LUCI) == "/admin/network/iface_status/lan":
        status = [{"id": "lan", "proto": "dhcp", "macaddr": device.host.mac.lower(), "is_up": True}]
        return HttpResponse(body=json.dumps(status).encode(), takes_ns=takes_ns)
    return error_page(404)
