"""The trials of the matrix: each is done on a miner of its own and compares what a client says with what is so.

Owns the order of commands and waits and the rules by which a finding is made; clients and faces are given.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from emulator.catalogue import Phase
from firmware_mocks import miners
from tests.clients.client import Client, Handle
from tests.clients.reading import FIELDS, WATTS_SHARE, Reading, near, near_rate
from tests.clients.site import Site, Standing
from tests.clients.verdict import Finding, cannot, differs, works

T = TypeVar("T")
Findings = dict[str, Finding]

CONTROLS = {
    "stop": "stop",
    "watts_asleep": "stop: watts asleep",
    "hash_rate_asleep": "stop: hash rate asleep",
    "is_mining_asleep": "stop: is mining, asleep",
    "resume": "resume",
    "power_limit": "set a power limit",
    "reboot": "reboot",
    "restart": "restart the mining process",
    "fault_light_on": "switch the fault light on",
    "fault_light_off": "switch the fault light off",
    "set_pools": "set pools",
}
"""Every command and what is read back after it, with its title."""

ASLEEP_S, AWAKE_S, RETUNED_S = 120, 1800, 1800
"""Time in which any firmware must have obeyed: slow replies of 21 s and tuners of ten minutes are within it."""
SETTLED_S = 420
"""After that, a shown average of up to five minutes has forgotten the time before."""
REBOOTED_S = 1800
LIMIT_SHARE = 0.75
NEW_POOL = "stratum+tcp://elsewhere.example:3333"


@dataclass(frozen=True, slots=True)
class Said:
    """What became of a call: what it returned or raised, and whether anything went out for it."""

    result: Any
    error: str
    asked: bool

    @property
    def ok(self) -> bool:
        """The client holds that it was done, or says nothing to the contrary."""
        return not self.error and self.result is not False

    def __str__(self) -> str:
        return self.error or f"returns {self.result}"


async def say(miner: Standing, call: Callable[[], Awaitable[object]]) -> Said:
    """Call, and keep what comes of it."""
    before = miner.requests
    [came] = await asyncio.gather(call(), return_exceptions=True)
    if isinstance(came, BaseException):
        return Said(None, f"raises {type(came).__name__}: {came}"[:160], miner.requests > before)
    return Said(came, "", miner.requests > before)


def judge(said: Said, done: bool, back: Sequence[str] = ()) -> Finding:
    """A command works when the client says so, it is so, and nothing it reads afterwards is wrong (`back`)."""
    if not said.asked and not (said.ok and done):
        return cannot(said)
    if said.ok and done and not back:
        return works(said)
    return differs(f"{said}, {'and it is done' if done else 'and nothing happens'}{''.join(f'; {b}' for b in back)}")


async def found(client: Client, miner: Standing) -> Handle:
    """The miner as the client sees it. Raises LookupError when it sees none."""
    handle = await client.find(miner.address, miners.load(miner.firmware).credentials)
    if handle is None:
        raise LookupError("not found")
    return handle


async def detect(client: Client, miner: Standing, identity: tuple[str, str, str]) -> Findings:
    """Make, model and firmware."""
    said = await say(miner, partial(found, client, miner))
    if said.error:
        return {"detect": cannot(said)}
    seen = said.result.identity
    return {"detect": works(seen) if seen == identity else differs(f"{seen}, not {identity}")}


async def read(client: Client, miner: Standing, _identity: object) -> Findings:
    """Every data field."""
    handle = await found(client, miner)
    said = await say(miner, handle.read)
    if said.error:
        return {name: differs(said) for name in client.fields}
    return {name: FIELDS[name][1](said.result, miner) for name in client.fields}


async def stop_and_resume(client: Client, miner: Standing, _identity: object) -> Findings:
    """Sleep, what is read of a sleeping miner, and waking it with the same object and then with a new one."""
    handle = await found(client, miner)
    full_w, full_ths = miner.power_w, miner.hash_ths
    said = await say(miner, handle.stop)
    await miner.site.wait_s(ASLEEP_S)
    findings = {"stop": judge(said, sleeps(miner) and miner.power_w < 0.25 * full_w)}
    await miner.site.wait_s(SETTLED_S)
    if sleeps(miner):
        findings |= await asleep(client, miner, handle)
        findings["resume"] = await resume(client, miner, handle, full_ths)
    else:
        for name in ("watts_asleep", "hash_rate_asleep", "is_mining_asleep", "resume"):
            findings[name] = cannot("it does not sleep")
    return findings


def sleeps(miner: Standing) -> bool:
    """Whether its chips stand still."""
    return miner.hash_ths < 0.001 * miner.model.nominal_ths


async def asleep(client: Client, miner: Standing, handle: Handle) -> Findings:
    """What is read of a sleeping miner."""
    names = ("watts_asleep", "hash_rate_asleep", "is_mining_asleep")
    said = await say(miner, partial(handle.read, ("watts", "hash_rate", "is_mining")))
    if said.error:
        return {name: differs(said) for name in names}
    reading: Reading = said.result
    watts, ths, mining = reading.watts, reading.hash_ths, reading.is_mining
    truth = f"in truth {miner.power_w:.0f} W"
    return {
        "watts_asleep": cannot()
        if watts is None
        else works(watts)
        if near(watts, miner.power_w, WATTS_SHARE, 10)
        else differs(f"{watts}, {truth}"),
        "hash_rate_asleep": cannot()
        if ths is None
        else works(ths)
        if ths < 0.01 * miner.model.nominal_ths
        else differs(ths),
        "is_mining_asleep": cannot() if mining is None else differs(mining) if mining else works(mining),
    }


async def resume(client: Client, miner: Standing, handle: Handle, full_ths: float) -> Finding:
    """Wake the miner with the object that stopped it, minutes later; where that fails, say whether a new one can."""
    first = await say(miner, handle.resume)
    await miner.site.wait_s(AWAKE_S)
    if near(miner.hash_ths, full_ths, 0.05):
        shown = await say(miner, handle.levels)
        watts, ths = shown.result if not shown.error else (None, None)
        back = [shown.error] if shown.error else []
        back += [] if ths is None or near_rate(ths, miner) else [f"shows {ths} TH/s"]
        back += [] if watts is None or near(watts, miner.power_w, WATTS_SHARE) else [f"shows {watts} W"]
        return judge(first, True, back)
    again = await say(miner, (await found(client, miner)).resume)
    await miner.site.wait_s(AWAKE_S)
    awake = near(miner.hash_ths, full_ths, 0.05)
    return judge(first, False, [f"a new object: {again}, {'and it is done' if awake else 'and nothing happens'}"])


async def power_limit(client: Client, miner: Standing, _identity: object) -> Findings:
    """A limit of three quarters of the nameplate."""
    handle = await found(client, miner)
    before_w, limit_w = miner.power_w, round(LIMIT_SHARE * miner.model.nominal_w)
    said = await say(miner, partial(handle.limit, limit_w))
    await miner.site.wait_s(RETUNED_S)
    done = 0.8 * limit_w < miner.power_w < 1.04 * limit_w and miner.unit.phase(miner.site.now) is Phase.HASHING
    back = [] if done or near(miner.power_w, before_w, 0.01) else [f"it draws {miner.power_w:.0f} W for {limit_w} W"]
    if done:
        shown = await say(miner, handle.read)
        back += [shown.error] if shown.error else _limit_shown(shown.result, miner, limit_w)
    return {"power_limit": judge(said, done, back)}


def _limit_shown(reading: Reading, miner: Standing, limit_w: float) -> list[str]:
    wrong = []
    if reading.limit_w is not None and not 0.8 * limit_w < reading.limit_w <= 1.02 * limit_w:
        wrong.append(f"shows a limit of {reading.limit_w} W for {limit_w} W")
    if reading.watts is not None and not near(reading.watts, miner.power_w, WATTS_SHARE):
        wrong.append(f"shows {reading.watts} W, in truth {miner.power_w:.0f} W")
    return wrong


async def reboot(client: Client, miner: Standing, _identity: object) -> Findings:
    """The control board goes, and the same miner comes back hashing."""
    handle = await found(client, miner)
    began, full_ths = miner.site.now, miner.hash_ths
    said = await say(miner, handle.reboot)
    await miner.site.wait_s(REBOOTED_S)
    up_ns = miner.unit.api_since_ns(miner.site.now)
    done = up_ns is not None and up_ns > began
    again = await say(miner, partial(found, client, miner))
    back = [] if near(miner.hash_ths, full_ths, 0.05) else ["it does not hash again"]
    if again.error or again.result.identity != handle.identity:
        back.append(f"afterwards {again.error or again.result.identity}")
    return {"reboot": judge(said, done, back)}


async def restart(client: Client, miner: Standing, _identity: object) -> Findings:
    """The chips are started anew, and the control board is not."""
    handle = await found(client, miner)
    began, full_ths = miner.site.now, miner.hash_ths
    said = await say(miner, handle.restart)
    await miner.site.wait_s(AWAKE_S)
    since_ns, up_ns = miner.unit.mining_since_ns(miner.site.now), miner.unit.api_since_ns(miner.site.now)
    back = [] if near(miner.hash_ths, full_ths, 0.05) else ["it does not hash again"]
    back += [] if up_ns is None or up_ns <= began else ["the control board is restarted"]
    return {"restart": judge(said, since_ns is not None and since_ns > began, back)}


async def fault_light(client: Client, miner: Standing, _identity: object) -> Findings:
    """On and off again; what is so is told by a reading, there is no other eye for it."""
    handle = await found(client, miner)
    findings = {}
    for name, wanted in (("fault_light_on", True), ("fault_light_off", False)):
        said = await say(miner, partial(handle.light, wanted))
        shown = await say(miner, partial(handle.read, ("fault_light",)))
        light = None if shown.error else shown.result.light
        findings[name] = judge(said, light is wanted) if light is not None else _unseen(said)
    return findings


def _unseen(said: Said) -> Finding:
    if not said.asked:
        return cannot(said)
    return works(f"{said}; it cannot be read") if said.ok else differs(f"{said}; it cannot be read")


async def set_pools(client: Client, miner: Standing, _identity: object) -> Findings:
    """Another first pool, for which the miner then mines."""
    handle = await found(client, miner)
    full_ths = miner.hash_ths
    said = await say(miner, await handle.pool_setter(NEW_POOL))
    await miner.site.wait_s(AWAKE_S)
    shown = await say(miner, partial((await found(client, miner)).read, ("pools",)))
    back = [] if near(miner.hash_ths, full_ths, 0.05) else ["it does not hash afterwards"]
    if shown.error or shown.result.pools:
        url = "" if shown.error else shown.result.pools[0].url or ""
        back += [shown.error] if shown.error else []
        return {"set_pools": judge(said, NEW_POOL.split("//")[1] in url, back)}
    return {"set_pools": _unseen(said)}


Trial = Callable[[Client, Standing, tuple[str, str, str]], Awaitable[Findings]]
TRIALS: Mapping[Trial, tuple[str, ...]] = {
    detect: ("detect",),
    read: tuple(FIELDS),
    stop_and_resume: ("stop", "watts_asleep", "hash_rate_asleep", "is_mining_asleep", "resume"),
    power_limit: ("power_limit",),
    reboot: ("reboot",),
    restart: ("restart",),
    fault_light: ("fault_light_on", "fault_light_off"),
    set_pools: ("set_pools",),
}
"""Each trial with what it finds out."""


def capabilities(client: Client) -> list[str]:
    """Everything that is tried with a client, in the order of the page."""
    has = {"detect", *client.fields, *client.controls}
    return [name for name in ("detect", *FIELDS, *CONTROLS) if name in has]


async def measure(
    client: Client, site: Callable[[list[tuple[str, str]]], Site], faces: Mapping[str, tuple[str, tuple[str, str, str]]]
) -> dict[str, Findings]:
    """Try everything with one client on `faces`, {firmware: (model, identity)}, all at once; findings by firmware."""
    has = set(capabilities(client))
    trials = [trial for trial, names in TRIALS.items() if has & set(names)]
    units = [(firmware, model) for firmware, (model, _) in faces.items() for _ in trials]
    findings: dict[str, Findings] = {firmware: {} for firmware in faces}
    async with site(units) as ground:
        plan = [
            (miner, trial, partial(trial, client, miner, faces[miner.firmware][1]))
            for miner, trial in zip(ground.miners, trials * len(faces), strict=True)
        ]
        came = await ground.together([partial(say, miner, one) for miner, _, one in plan])
    for (miner, trial, _), said in zip(plan, came, strict=True):
        some = said.result if not said.error else {name: differs(said) for name in TRIALS[trial]}
        findings[miner.firmware] |= {name: finding for name, finding in some.items() if name in has}
    return findings
