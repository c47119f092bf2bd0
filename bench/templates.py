"""The placeholders that a controller's command, arguments and environment may hold, and what they stand for.

Owns their names, their check before a run and their filling in at its start.
"""

from __future__ import annotations

import difflib
import re
import sys
from typing import TYPE_CHECKING, Any

from bench.config import ConfigError, did_you_mean
from bench.lockstep.peer import CHILD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from pathlib import Path

_PLACEHOLDER = re.compile(r"\{(\w+)(?::([\w./-]+))?\}")
_PLAIN = ("inventory", "config", "python", "lockstep", "folder", "seed")
_OF_A_DEVICE = ("address", "port")
_GROUPS = ("meters", "pdus", "signals", "miners")


def check(
    texts: Iterable[tuple[str, str]], config: bool, inventory: Callable[[], Mapping[str, Any]] | None = None
) -> None:
    """Raises ConfigError, which begins with the key, for a placeholder that cannot be filled.

    `texts` are (key, text); `config` says whether there is a configuration file; `inventory`, where it can be told
    already, is asked for the ids of devices.
    """
    for key, text in texts:
        for name, device in _PLACEHOLDER.findall(text):
            try:
                _check(name, device, config)
                if device and inventory is not None:
                    _of_device(inventory(), name, device)
            except ValueError as error:
                raise ConfigError(f"{key}: {text!r}: {error}") from None


def _check(name: str, device: str, config: bool) -> None:
    known = _OF_A_DEVICE if device else _PLAIN
    if name in known:
        if name == "config" and not config:
            raise ValueError("{config} needs the key sut.config, the path of a file")
        return
    if name in _OF_A_DEVICE:
        raise ValueError(f"{{{name}}} needs the id of a device, for example {{{name}:meter-poi}}")
    near = difflib.get_close_matches(name, (*_PLAIN, *_OF_A_DEVICE), n=1)
    known_ones = ", ".join((*_PLAIN, *(f"{one}:ID" for one in _OF_A_DEVICE)))
    hint = f"did you mean {{{near[0]}}}?" if near else f"known are {known_ones}"
    raise ValueError(f"unknown placeholder {{{name}}}; {hint}")


def filler(
    inventory_path: Path, config: Path | None, folder: Path, seed: int, inventory: Mapping[str, Any]
) -> Callable[[str], str]:
    """A function that fills a text in. It raises ValueError where the inventory has no such device."""
    values = {
        "inventory": str(inventory_path), "config": str(config), "python": sys.executable, "lockstep": str(CHILD),
        "folder": str(folder), "seed": str(seed),
    }  # fmt: skip

    def value(found: re.Match[str]) -> str:
        name, device = found[1], found[2]
        return _of_device(inventory, name, device) if device else values[name]

    return lambda text: _PLACEHOLDER.sub(value, text)


def _of_device(inventory: Mapping[str, Any], what: str, device: str) -> str:
    """Address or port of a device; a miner's port is asked for as `ID/FACE`. Raises ValueError where there is none."""
    name, _, face = device.partition("/")
    entries = {entry["id"]: entry for group in _GROUPS for entry in inventory.get(group, ())}
    if name not in entries:
        raise ValueError(f"no device {name!r} stands on this rig{did_you_mean(name, entries)}")
    entry = entries[name]
    if what == "port" and "ports" in entry:
        if face not in entry["ports"]:
            faces = ", ".join(f"{{port:{name}/{one}}}" for one in entry["ports"])
            raise ValueError(f"{{port:{device}}} names no port of {name}; write {faces}" if faces else "it has no port")
        return str(entry["ports"][face])
    if face:
        raise ValueError(f"only the port of a miner has a face; write {{{what}:{name}}}")
    if entry.get(what) is None:
        raise ValueError(f"{name} has no {what}")
    return str(entry[what])
