"""The 4028 socket of Braiins OS: cgminer's reports and commands as BOSer serves them.

Owns which commands there are and what they do; the replies stand in `braiins.json`. Pool commands last until BOSminer
restarts and move no work, which is the vendor's known issue (S: socket documentation).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from emulator.wire import Instant
from firmware_mocks.miners.braiins_calls import TEMPLATES
from firmware_mocks.miners.braiins_conf import FIGURES, LONGEST, MOST_POOLS, Group, Pool, uid
from firmware_mocks.miners.braiins_readings import BraiinsReadings
from firmware_mocks.miners.cgminer import Command, Dialect, Reply, Request, render
from firmware_mocks.miners.http import whole_number

if TYPE_CHECKING:
    from firmware_mocks.miners.braiins import BraiinsDevice

ALWAYS = ("version",)
REPORTS = (
    "summary", "devs", "devdetails", "stats", "asccount", "coin", "config", "fans", "temps", "tempctrl", "tunerstatus",
    "pools", "lcd",
)  # fmt: skip
EDITS = ("addpool", "removepool", "switchpool", "enablepool", "disablepool")


def _report(name: str) -> Command[BraiinsDevice]:
    def run(device: BraiinsDevice, _request: Request, now: Instant) -> Reply:
        seen = BraiinsReadings(device, now)
        return render(TEMPLATES[name if name in ALWAYS or seen.is_running else "unavailable"], seen)

    return Command(run)


def _check(device: BraiinsDevice, request: Request, now: Instant) -> Reply:
    known = "Y" if request.parameter in COMMANDS else "N"
    return render(TEMPLATES["check"], BraiinsReadings(device, now), {"exists": known, "access": known})


def _action(name: str) -> Command[BraiinsDevice]:
    def run(device: BraiinsDevice, _request: Request, now: Instant) -> Reply:
        seen = BraiinsReadings(device, now)
        if not seen.is_running:
            return render(TEMPLATES["unavailable"], seen)
        then = device.pause(now) if name == "pause" else device.resume(now)
        return replace(render(TEMPLATES[name], seen, {"done": then is not None}), then=then)

    return Command(run, joinable=False)


def _edit(name: str) -> Command[BraiinsDevice]:
    def run(device: BraiinsDevice, request: Request, now: Instant) -> Reply:
        said, row = _edited(device, name, request.parameters, now)
        return render(TEMPLATES[said], BraiinsReadings(device, now), row)

    return Command(run, joinable=False)


def _edited(device: BraiinsDevice, name: str, given: list[str], now: Instant) -> tuple[str, dict[str, object]]:
    """Change the first group of the running configuration; the file stays as it is."""
    if not device.is_running(now):
        return "unavailable", {}
    first, *others = device.groups(device.conf)
    pools = first.pools
    if name == "addpool":
        if len(given) < 3 or "://" not in given[0] or not given[1] or len(pools) >= 2 * MOST_POOLS:
            return "pool_details", {}
        url, user, secret = (part[:LONGEST] for part in given[:3])
        _use(
            device, (replace(first, pools=(*pools, Pool(uid(device.seed / "added" / now), url, user, secret))), *others)
        )
        return name, {"n": len(pools), "url": url}
    if not given:
        return "pool_missing", {}
    n = whole_number(given[0])
    if n is None or n >= len(pools):
        return "pool_invalid", {"n": given[0][:LONGEST], "last": len(pools) - 1}
    row: dict[str, object] = {"n": n, "url": pools[n].url}
    if name == "removepool" and len(pools) == 1:
        return "pool_last", row
    if name == "removepool":
        changed = pools[:n] + pools[n + 1 :]
    elif name == "switchpool":
        changed = pools
    else:
        changed = (*pools[:n], replace(pools[n], enabled=name == "enablepool"), *pools[n + 1 :])
    _use(device, (replace(first, pools=changed), *others))
    return name, row


def _use(device: BraiinsDevice, groups: tuple[Group, ...]) -> None:
    device.conf = replace(device.conf, groups=groups)


COMMANDS: dict[str, Command[BraiinsDevice]] = {
    **{name: _report(name) for name in (*ALWAYS, *REPORTS)},
    "edevs": _report("devs"),
    "estats": _report("stats"),
    "check": Command(_check, joinable=False),
    "pause": _action("pause"),
    "resume": _action("resume"),
    **{name: _edit(name) for name in EDITS},
}
ONE_RECV = Dialect(f"BOSer {FIGURES['image.build'].value}", COMMANDS, service_ns=FIGURES["knobs.api_reply_ns"].value)
PATIENT = replace(ONE_RECV, one_recv=False)
