"""What the case files do not say: limits of your own, and what happens when a device fails."""

import pytest

from bench.pytest_bench import Bench


def test_there_is_time_to_spare(bench: Bench) -> None:
    run = bench.play("under_frequency.case.toml", seed=3)
    bench.verify("full delivery", run.reach("deployment", share=0.95), most="450 ms")
    bench.measure("reaction", run.reaction("deployment"))
    bench.observe("requests", dict(run.facts.contacts))


@pytest.mark.faults({"where": "meter-poi", "kind": "silent", "start": "30 s", "stop": "40 s"})
def test_the_load_stays_off_while_the_meter_is_silent(bench: Bench) -> None:
    run = bench.play("under_frequency.case.toml", seed=4)
    bench.verify("power while nothing is known", run.power(39), most="9 kW")
