"""The objects of an OpenADR 3.1 VTN: who may see which, what a request makes of them, and what has happened to them.

Owns objects and their privacy (OpenADR 3.1.1 Definition, "Object Privacy" and "Object names"); paths, tokens and HTTP
are `openadr3.py`'s.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from emulator.wire import Instant

Object = dict[str, Any]
"""One object as it is sent."""

BL_SCOPES = frozenset({
    "read_all", "read_targets", "read_ven_objects", "write_programs", "write_events", "write_subscriptions",
    "write_vens", "write_reports",
})  # fmt: skip
VEN_SCOPES = frozenset({"read_targets", "read_ven_objects", "write_reports", "write_subscriptions", "write_vens"})
FOREVER = "P9999Y"
_DURATION = re.compile(
    r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?(?:T(?:(\d+)H)?(?:(\d+)M)?(?:(\d+(?:\.\d+)?)S)?)?\Z"
)
_UNIT_S = (365 * 86_400, 30 * 86_400, 7 * 86_400, 86_400, 3600, 60, 1)


@dataclass(frozen=True, slots=True)
class Sort:
    """A collection: its path, its objects' type, the schemas of a request, its scopes and the name that is unique."""

    path: str
    type: str
    request: str
    write: str
    read: str = "read_ven_objects"
    name: str = ""
    filters: tuple[str, ...] = ()
    is_own: bool = True
    """Whether an object belongs to a client."""


SORTS = (
    Sort("programs", "PROGRAM", "programRequest", "write_programs", "read_targets", "programName", (), False),
    Sort("events", "EVENT", "eventRequest", "write_events", "read_targets", "", ("programID",), False),
    Sort("reports", "REPORT", "reportRequest", "write_reports", filters=("eventID", "clientName")),
    Sort("subscriptions", "SUBSCRIPTION", "subscriptionRequest", "write_subscriptions",
         filters=("programID", "clientName")),
    Sort("vens", "VEN", "venRequest", "write_vens", name="venName", filters=("venName",)),
    Sort("resources", "RESOURCE", "resourceRequest", "write_vens", name="resourceName",
         filters=("resourceName", "venID")),
)  # fmt: skip
BY_PATH: Mapping[str, Sort] = {sort.path: sort for sort in SORTS}


@dataclass(frozen=True, slots=True)
class Caller:
    """Whoever shows a token."""

    client_id: str
    scopes: frozenset[str]

    @property
    def is_business(self) -> bool:
        """Whether it is business logic, which sees everything."""
        return "read_all" in self.scopes


class Refusal(Exception):  # noqa: N818 - no error of ours: what a client is told
    """A request that is answered with a problem."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Happening:
    """Something that subscribers may want to hear."""

    at_ns: Instant
    operation: str
    object: Object


@dataclass(slots=True)
class Store:
    """All objects, in the order in which they were made; `on_change` hears of every change."""

    date: Callable[[Instant], str]
    objects: dict[str, list[Object]] = field(default_factory=lambda: {sort.path: [] for sort in SORTS})
    on_change: Callable[[Happening], None] | None = None
    business_clients: frozenset[str] = frozenset()
    """Clients that are business logic."""
    _made: int = 0

    # ---- reading ---------------------------------------------------------------------------------------------------

    def seen(self, sort: Sort, caller: Caller, targets: Iterable[str] = ()) -> Iterator[Object]:
        """What a caller may see of a collection. A VEN sees an object with targets only by asking for one that the
        object and the VEN have, and sees no other target of it."""
        wanted = list(targets)
        granted = None if caller.is_business else self.granted(caller.client_id)
        for one in self.objects[sort.path]:
            if sort.is_own:
                if caller.is_business or one.get("clientID") == caller.client_id:
                    yield one
            elif granted is None or not one.get("targets"):
                yield one
            else:
                shared = [t for t in one["targets"] if t in wanted and t in granted]
                if shared:
                    yield {**one, "targets": shared}

    def granted(self, client_id: str) -> set[str]:
        """Targets that business logic has given to a client's VEN and its resources."""
        own = (one for path in ("vens", "resources") for one in self.objects[path] if one.get("clientID") == client_id)
        return {target for one in own for target in one.get("targets") or ()}

    def one(self, sort: Sort, name: str, caller: Caller, targets: Iterable[str] = ()) -> Object:
        """The object of an id. Raises Refusal (404) where there is none that the caller may see."""
        for found in self.seen(sort, caller, targets):
            if found["id"] == name:
                return found
        raise Refusal(404, f"there is no {sort.type.lower()} {name!r} that this client may see")

    # ---- writing ---------------------------------------------------------------------------------------------------

    def create(self, sort: Sort, content: Object, caller: Caller, now: Instant) -> Object:
        """A new object. Raises Refusal."""
        content = self._owned(sort, content, caller, None)
        self._consistent(sort, content, caller, None)
        self._made += 1
        return self.add(sort, f"{sort.type.lower()}-{self._made:06d}", content, now)

    def add(self, sort: Sort, name: str, content: Object, now: Instant, *, operation: str = "CREATE") -> Object:
        """A new object of a given id, without any check."""
        date = self.date(now)
        meta = {"id": name, "createdDateTime": date, "modificationDateTime": date, "objectType": sort.type}
        made = {**meta, **content}
        self.objects[sort.path].append(made)
        self._tell(now, operation, made)
        return made

    def update(self, sort: Sort, name: str, content: Object, caller: Caller, now: Instant) -> Object:
        """Another content. Raises Refusal."""
        old = self.one(sort, name, caller, self._all_targets(caller))
        content = self._owned(sort, content, caller, old)
        self._consistent(sort, content, caller, name)
        return self.put(sort, name, content, now)

    def put(self, sort: Sort, name: str, content: Object, now: Instant) -> Object:
        """Another content for every copy of an id, without any check."""
        changed: Object = {}
        row = self.objects[sort.path]
        for place, old in enumerate(row):
            if old["id"] == name:
                meta = {key: old[key] for key in ("id", "createdDateTime")}
                changed = {**meta, "modificationDateTime": self.date(now), "objectType": sort.type, **content}
                row[place] = changed
        self._tell(now, "UPDATE", changed)
        return changed

    def delete(self, sort: Sort, name: str, caller: Caller, now: Instant) -> Object:
        """The end of an object. Raises Refusal."""
        old = self.one(sort, name, caller, self._all_targets(caller))
        self.drop(sort, name, now)
        return old

    def drop(self, sort: Sort, name: str, now: Instant) -> None:
        """The end of every copy of an id; of a VEN, also of its resources."""
        row = self.objects[sort.path]
        gone = next((one for one in row if one["id"] == name), None)
        row[:] = [one for one in row if one["id"] != name]
        if gone is None:
            return
        self._tell(now, "DELETE", gone)
        if sort.path == "vens":
            for resource in [one for one in self.objects["resources"] if one["venID"] == name]:
                self.drop(BY_PATH["resources"], resource["id"], now)

    def _all_targets(self, caller: Caller) -> set[str]:
        return set() if caller.is_business else self.granted(caller.client_id)

    @staticmethod
    def _owned(sort: Sort, content: Object, caller: Caller, old: Object | None) -> Object:
        """The content with its owner: the caller, or whom business logic names; only business logic gives targets."""
        content = {key: value for key, value in content.items() if key != "objectType"}
        if not sort.is_own:
            return content
        if caller.is_business and sort.path in ("vens", "resources"):
            return {"targets": None, "attributes": None, **content}
        kept: Object = {} if old is None else {key: old[key] for key in ("clientID", "targets") if key in old}
        if sort.path in ("vens", "resources"):
            return {"targets": None, "attributes": None, **content, "clientID": caller.client_id, **kept}
        return {**content, "clientID": kept.get("clientID", caller.client_id)}

    def _consistent(self, sort: Sort, content: Object, caller: Caller, name: str | None) -> None:
        """Raises Refusal for a name that is taken or something that is not there."""
        if sort.name:
            for one in self.objects[sort.path]:
                same = one[sort.name] == content[sort.name] and one.get("venID") == content.get("venID")
                if same and one["id"] != name:
                    raise Refusal(409, f"there is a {sort.type.lower()} named {content[sort.name]!r} already")
        for key, path in (("programID", "programs"), ("venID", "vens"), ("eventID", "events")):
            if content.get(key) is not None:
                self.one(BY_PATH[path], content[key], caller, self._all_targets(caller))

    def _tell(self, now: Instant, operation: str, what: Object) -> None:
        if self.on_change is not None and what:
            self.on_change(Happening(now, operation, what))

    # ---- subscriptions ---------------------------------------------------------------------------------------------

    def subscribers(self, happening: Happening) -> Iterator[tuple[Object, Object]]:
        """(where to, what is sent) for everybody who has subscribed to something like it and may see it."""
        kind, sent = happening.object["objectType"], happening.object
        for subscription in self.objects["subscriptions"]:
            client = subscription["clientID"]
            program = subscription.get("programID")
            about = sent["id"] if kind == "PROGRAM" else sent.get("programID")
            if program is not None and about != program:
                continue
            shown = self._shown(sent, client, subscription.get("targets") or ())
            if shown is None:
                continue
            for wish in subscription["objectOperations"]:
                if kind in wish["objects"] and happening.operation in wish["operations"]:
                    yield wish, {"objectType": kind, "operation": happening.operation, "object": shown,
                                 "targets": shown.get("targets")}  # fmt: skip

    def _shown(self, sent: Object, client_id: str, targets: Iterable[str]) -> Object | None:
        """The object as the client may see it; None where it may not."""
        if client_id in self.business_clients:
            return sent
        if sent["objectType"] in ("PROGRAM", "EVENT"):
            if not sent.get("targets"):
                return sent
            shared = [t for t in sent["targets"] if t in set(targets) & self.granted(client_id)]
            return {**sent, "targets": shared} if shared else None
        return sent if sent.get("clientID") == client_id else None


def length_ns(text: str) -> int | None:
    """An ISO 8601 duration in nanoseconds, months and years as 30 and 365 days; None for one without an end."""
    found = _DURATION.match(text)
    if found is None or text == FOREVER:
        return None
    total_s = sum(float(part) * unit for part, unit in zip(found.groups(), _UNIT_S, strict=True) if part)
    return round(total_s * 1e9)


def ends_ns(event: Mapping[str, Any], instant: Callable[[str], Instant]) -> Instant | None:
    """When an event has transpired; None where it has no end or tells no times."""
    common = event.get("intervalPeriod") or {}
    ends: list[Instant] = []
    at: Instant | None = _start(common, instant)
    if event.get("duration") is not None:  # the intervals are repeated, or cut off, to this length
        whole = length_ns(event["duration"])
        return None if whole is None or at is None else at + whole
    for interval in event.get("intervals") or ():
        period = {**common, **(interval.get("intervalPeriod") or {})}
        begin = _start(interval.get("intervalPeriod") or {}, instant)
        at = begin if begin is not None else at
        long = length_ns(period.get("duration", FOREVER))
        if at is None or long is None:
            return None
        at += long
        ends.append(at)
    return max(ends, default=None)


def _start(period: Mapping[str, Any], instant: Callable[[str], Instant]) -> Instant | None:
    text = period.get("start")
    if text is None:
        return None
    date = datetime.fromisoformat(text)
    if date.year == 1:  # "now"
        return 0
    return instant(text if date.tzinfo is not None else f"{text}+00:00" if "T" in text else f"{text}T00:00:00+00:00")
