"""`ramprig up`: an emulated site that answers on its addresses in real time until it is told to stop.

Owns the printing of the addresses and the writing of the inventory once everything answers; the site itself is
`bench/rig.py`.
"""

from __future__ import annotations

import asyncio
import json
import math
import signal
from typing import TYPE_CHECKING

import typer

from bench.collection import standing
from bench.config import ConfigError
from bench.descriptors import make_room
from bench.layout import lay_out
from bench.rig import Rig
from bench.rig_file import load_rig
from emulator import clock as clocks
from emulator.seed import Seed

if TYPE_CHECKING:
    from pathlib import Path

    from emulator.clock import Clock

_SHOWN = 12


def serve(reference: str, inventory: Path | None, seed: int, nominal_hz: float, as_json: bool) -> None:
    """Serve a rig until SIGINT or SIGTERM, which are the proper ends of it. Raises ConfigError and NetworkError before
    anything is served."""
    file, path = load_rig(reference)
    if not 0 < nominal_hz < math.inf:
        raise ConfigError(f"--hz {nominal_hz:g}: is no frequency of a grid; write 50 or 60")
    with standing():
        layout = lay_out(file, str(path))
    if inventory is not None:
        _make_room(inventory)
    make_room()

    async def main(clock: Clock) -> None:
        with standing(prompt=True):
            rig = Rig(layout, clock, Seed(seed), nominal_hz)
        await rig.open()
        try:
            if inventory is not None:
                _write(inventory, json.dumps(rig.inventory(), indent=1) + "\n")
            _announce(rig, inventory, as_json)
            await asyncio.get_running_loop().create_future()
        finally:
            await rig.close()

    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # a shell gives it so to what a script starts with "&"
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        clocks.run(main, mode="real")
    except (KeyboardInterrupt, SystemExit):
        typer.echo("ramprig: the site is down", err=True)


def _announce(rig: Rig, inventory: Path | None, as_json: bool) -> None:
    if as_json:
        typer.echo(json.dumps(rig.inventory()))
        return
    endpoints = list(rig.endpoints())
    devices = [endpoint for endpoint in endpoints if not endpoint[0].startswith("miner-")]
    miners = [endpoint for endpoint in endpoints if endpoint[0].startswith("miner-")]
    for name, what, address, ports in [*devices, *miners[:_SHOWN]]:
        typer.echo(f"{name:<18} {what:<28} {address:<16} {ports}")
    if len(miners) > _SHOWN:
        last = miners[-1]
        typer.echo(f"... {len(miners) - _SHOWN} more, up to {last[0]} on {last[2]} (all: --inventory FILE)")
    if inventory is not None:
        typer.echo(f"inventory: {inventory}")
    size = f"{rig.nominal_w / 1e3:.0f} kW" if rig.nominal_w >= 1e4 else f"{rig.nominal_w:.0f} W"
    typer.echo(f"{rig.file.name} is up, {size}; Ctrl-C ends it")


def _make_room(file: Path) -> None:
    """Remove the inventory of an earlier site: whoever waits for the file waits for this one. Raises ConfigError."""
    folder = file.absolute().parent
    if not folder.is_dir():
        raise ConfigError(f"--inventory {file}: there is no folder {folder}; make it first")
    if not file.exists():
        return
    try:
        known = json.loads(file.read_text(encoding="utf-8"))
        ours = isinstance(known, dict) and {"schema", "site", "miners"} <= known.keys()
    except (OSError, ValueError):
        ours = False
    if not ours:
        raise ConfigError(f"--inventory {file}: something else stands there; name another file, or remove it")
    file.unlink()


def _write(file: Path, text: str) -> None:
    """Put the file there in one piece, so that whoever waits for it never reads half of it."""
    part = file.with_name(file.name + ".part")
    part.write_text(text, encoding="utf-8")
    part.replace(file)
