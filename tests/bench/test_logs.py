"""What the bench warns of is in the run folder, even where for a while no file could be opened."""

from __future__ import annotations

import logging
from pathlib import Path

from bench.logs import kept_in
from emulator.clock import Clock, run
from emulator.wire import SECOND


def test_warnings_that_found_no_descriptor_are_written_later_with_their_instants(tmp_path: Path) -> None:
    folder = tmp_path / "run"

    async def main(clock: Clock) -> None:
        with kept_in(folder / "bench.log", clock):
            logging.getLogger("ramprig.network").warning("no file can be opened")  # its folder is not there yet
            await clock.sleep(2 * SECOND)
            folder.mkdir()
            logging.getLogger("ramprig.network").warning("now it can")

    run(main)
    lines = [line.split(maxsplit=3) for line in (folder / "bench.log").read_text().splitlines()]
    assert [(line[0], line[3]) for line in lines] == [("0.000000", "no file can be opened"), ("2.000000", "now it can")]


def test_a_run_without_warnings_leaves_no_file(tmp_path: Path) -> None:
    async def main(clock: Clock) -> None:
        with kept_in(tmp_path / "bench.log", clock):
            await clock.sleep(SECOND)

    run(main)
    assert not (tmp_path / "bench.log").exists()
