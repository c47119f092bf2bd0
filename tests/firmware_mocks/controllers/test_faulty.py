"""The faulty controllers as files: one defect each, said in the docstring with the rule it breaks, and derived."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from emulator.clock import Clock, run
from firmware_mocks.controllers import faulty
from firmware_mocks.controllers.defect import Forgiving
from firmware_mocks.controllers.drivers import DeviceError, Mode

FOLDER = Path(faulty.__file__).parent
FILES = sorted(path for path in FOLDER.glob("*.py") if path.stem != "__init__")
CATALOGUE = {
    1: "polls_every_15_s", 2: "one_after_another", 3: "skips_ten_percent", 4: "sheds_everything",
    5: "curtails_too_little", 6: "ignores_second_event", 7: "no_retry", 8: "retries_without_pause",
    9: "holds_ten_minutes", 10: "restores_all_at_once", 11: "never_restores_some", 12: "obeys_a_dead_signal",
    13: "never_recovers_from_a_dead_signal", 14: "drops_small_units", 15: "takes_silence_for_yes",
    16: "confirms_on_a_slow_tick", 17: "takes_kw_for_w", 18: "sheds_on_high_frequency", 19: "orders_by_device_time",
    20: "hunts", 21: "leaks_connections", 22: "one_slow_blocks_all", 23: "forgets_on_restart", 24: "ignores_reboots",
    25: "last_writer_wins", 26: "cuts_before_sleep", 27: "stops_fans", 28: "wrong_time_zone",
}  # fmt: skip
"""Defects that were seen in public controllers and benches, numbered."""
FURTHER = {
    "threshold_off_by_10_mhz", "slow_poll", "wrong_word_order", "trusts_acknowledgements", "takes_401_for_success",
    "sleeps_where_contactor_needed", "trips_on_third_dip", "sheds_ai_first", "winds_up", "droop_sign",
    "ignores_house_load", "resumes_while_low", "trims_power", "wears_out_the_same", "crashes_on_malformed_json",
    "waits_100_s_for_one", "forgets_rebooting", "wakes_by_restart", "luxos_verbs_to_braiins",
}  # fmt: skip


def test_the_whole_catalogue_ships() -> None:
    assert len(CATALOGUE) == 28
    assert {*CATALOGUE.values(), *FURTHER} <= {path.stem for path in FILES}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_file_is_a_defect_with_the_rule_it_breaks_and_little_else(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    defect, _, rule = (ast.get_docstring(tree) or "").partition("\n\n")
    assert defect.endswith(".")
    assert "\n" not in defect
    assert rule.startswith("Breaks ")
    names = {target.id for node in tree.body if isinstance(node, ast.Assign) for target in ast.walk(node.targets[0])
             if isinstance(target, ast.Name)}  # fmt: skip
    assert {"KILLED_BY", "controller"} <= names
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 90


class Broken:
    """A miner that fails as it is told."""

    def __init__(self, error: DeviceError) -> None:
        self._error = error

    async def set_mode(self, mode: Mode) -> None:
        raise self._error


def test_only_what_is_forgiven_counts_as_success() -> None:
    async def main(_clock: Clock) -> None:
        await Forgiving(Broken(DeviceError("soft")), lambda error: "soft" in str(error)).set_mode("sleep")
        with pytest.raises(DeviceError):
            await Forgiving(Broken(DeviceError("hard")), lambda error: "soft" in str(error)).set_mode("sleep")

    run(main)
