"""Attaching controllers in virtual time: a crash, a hang or a wrong name is an outcome or one sentence."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from bench.attach import (
    Adapter,
    Context,
    NullSut,
    PythonSut,
    RestartTable,
    SubprocessSut,
    SutTable,
    build,
    controllers,
)
from bench.config import ConfigError, Table, validate
from emulator.clock import Clock, run
from emulator.wire import SECOND

HERE = __name__


class Holder(Table):
    """Stands for a case."""

    sut: SutTable


async def waits_for_ever(_inventory: object, _config: object) -> None:
    await asyncio.Event().wait()


async def crashes(_inventory: object, _config: object) -> None:
    await asyncio.sleep(41.2)
    raise ValueError("no such meter\nsecond line")


async def exits(_inventory: object, _config: object) -> None:
    raise SystemExit(3)


async def returns(_inventory: object, _config: object) -> None:
    await asyncio.sleep(1.0)


async def deaf(_inventory: object, _config: object) -> None:
    while True:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            continue


async def awaits_what_was_cancelled(_inventory: object, _config: object) -> None:
    task = asyncio.create_task(asyncio.sleep(9))
    task.cancel()
    await task


async def prints(_inventory: object, _config: object) -> None:
    print("hello")
    await asyncio.sleep(2.0)
    print("half", end="")
    print(" a line", file=sys.stdout)
    sys.stderr.write("no newline")
    await asyncio.Event().wait()


def says_ready(inventory: dict[str, Any], config: Any, *, ready: Callable[[], None]) -> Coroutine[Any, Any, None]:
    async def body() -> None:
        await asyncio.sleep(2.0)
        logging.getLogger(__name__).info("%s with %s", inventory["site"], config)
        ready()
        await asyncio.Event().wait()

    return body()


def table(factory: Callable[..., object], config: Any = None) -> PythonSut:
    return PythonSut(kind="python", factory=f"{Path(__file__)}:{factory.__name__}", config=config)


def restart(**keys: str) -> RestartTable:
    return validate(keys, RestartTable, "case.toml")


def play(
    sut: Any, tmp_path: Path, during: Callable[[Adapter, Clock], Awaitable[object]], contact_s: float | None = None
) -> tuple[Adapter, Any]:
    """Build, start, do `during`, stop. The rig's first contact comes after `contact_s`."""

    async def main(clock: Clock) -> tuple[Adapter, Any]:
        async def contact() -> None:
            await (asyncio.Event().wait() if contact_s is None else asyncio.sleep(contact_s))

        adapter = build(sut, tmp_path, "virtual")
        await adapter.start(Context(clock, {"site": "yard"}, tmp_path / "site.json", tmp_path, contact))
        seen = await during(adapter, clock)
        await adapter.stop()
        await adapter.stop()
        return adapter, seen

    return run(main)


async def until_ready(adapter: Adapter, clock: Clock) -> tuple[bool, str, float]:
    readiness = await adapter.ready(30 * SECOND)
    return readiness.ok, readiness.reason, clock.now() / SECOND


async def a_minute(adapter: Adapter, clock: Clock) -> str:
    await clock.sleep(60 * SECOND)
    return adapter.exit


def test_a_factory_that_takes_ready_says_so_itself(tmp_path: Path) -> None:
    _, seen = play(table(says_ready), tmp_path, until_ready)
    assert seen == (True, "call of ready()", 2.0)


def test_a_controller_that_is_given_no_config_gets_an_empty_table(tmp_path: Path) -> None:
    play(table(says_ready), tmp_path, until_ready)
    assert (tmp_path / "log.txt").read_text().rstrip().endswith("yard with {}")


def test_without_a_word_the_first_request_is_the_sign(tmp_path: Path) -> None:
    _, seen = play(table(waits_for_ever), tmp_path, until_ready, contact_s=7.0)
    assert seen == (True, "first request to the rig", 7.0)


def test_a_controller_that_never_connects_is_not_ready_and_the_reason_says_what_was_missed(tmp_path: Path) -> None:
    _, seen = play(table(waits_for_ever), tmp_path, until_ready)
    assert seen == (False, "controller was not ready after 30 s: no first request to the rig", 30.0)


def test_a_crash_is_an_outcome_with_its_instant(tmp_path: Path) -> None:
    adapter, reason = play(table(crashes), tmp_path, a_minute)
    assert reason == "controller raised ValueError: no such meter at t = 41.2 s"
    assert adapter.exited_ns == 41_200_000_000
    assert "crashes" in (tmp_path / "traceback.txt").read_text()


def test_a_controller_that_dies_before_it_is_ready_ends_the_wait(tmp_path: Path) -> None:
    _, seen = play(table(returns), tmp_path, until_ready)
    assert seen == (False, "controller returned at t = 1.0 s", 1.0)


def test_an_exit_of_the_controller_is_not_an_exit_of_the_bench(tmp_path: Path) -> None:
    _, reason = play(table(exits), tmp_path, a_minute)
    assert reason == "controller raised SystemExit: 3 at t = 0.0 s"


def test_being_stopped_is_not_an_exit(tmp_path: Path) -> None:
    adapter, _ = play(table(waits_for_ever), tmp_path, a_minute)
    assert (adapter.exit, adapter.stubborn) == ("", "")


def test_one_that_ignores_its_cancellation_is_ended_all_the_same_and_named(tmp_path: Path) -> None:
    adapter, _ = play(table(deaf), tmp_path, a_minute)
    assert (adapter.exit, adapter.stubborn) == ("", "did not end within 5 s of being cancelled")


def test_its_log_is_kept_with_bench_time_and_stays_out_of_the_bench(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    play(table(says_ready, {"trip_hz": 59.7}), tmp_path, until_ready)
    (line,) = (tmp_path / "log.txt").read_text().splitlines()
    assert line.split(maxsplit=2)[:2] == ["2.000000", "INFO"]
    assert line.endswith("yard with {'trip_hz': 59.7}")
    assert not caplog.records


def test_one_that_dies_of_a_cancellation_of_its_own_has_ended(tmp_path: Path) -> None:
    _, reason = play(table(awaits_what_was_cancelled), tmp_path, a_minute)
    assert reason == "controller was cancelled by itself at t = 0.0 s"


def test_what_it_prints_is_kept_with_bench_time_and_stays_out_of_the_bench(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    play(table(prints), tmp_path, a_minute)
    lines = [line.split(maxsplit=1) for line in (tmp_path / "stdout.log").read_text().splitlines()]
    assert lines == [["0.000000", "hello"], ["2.000000", "half a line"]]
    assert (tmp_path / "stderr.log").read_text().split() == ["60.000000", "no", "newline"]
    assert capsys.readouterr() == ("", "")
    print("heard again")
    assert capsys.readouterr().out == "heard again\n"


def test_one_that_prints_nothing_leaves_no_file(tmp_path: Path) -> None:
    play(table(waits_for_ever), tmp_path, a_minute)
    assert not (tmp_path / "stdout.log").exists()


def test_a_flood_of_prints_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.attach_python._MOST_RECORDS", 1)
    play(table(prints), tmp_path, a_minute)
    text = (tmp_path / "stdout.log").read_text()
    assert "hello" in text
    assert "half" not in text
    assert "[ramprig keeps 1 lines; the rest was thrown away]" in text


def test_what_a_module_prints_on_import_is_no_result(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "chatty.py").write_text("print('imported')\nasync def controller(i, c): pass\n")
    build(PythonSut(kind="python", factory="chatty.py:controller"), tmp_path, "virtual")
    assert capsys.readouterr() == ("", "imported\n")


def test_a_controller_in_several_files_finds_its_own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", list(sys.path))
    (tmp_path / "helper_of_ctl.py").write_text("async def controller(i, c): pass\n")
    (tmp_path / "ctl.py").write_text("from helper_of_ctl import controller\n")
    _, reason = play(PythonSut(kind="python", factory="ctl.py:controller"), tmp_path, a_minute)
    assert reason == "controller returned at t = 0.0 s"


def test_a_module_that_breaks_on_import_is_the_controllers_fault(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("1 / 0\n")
    sut = PythonSut(kind="python", factory="broken.py:controller")
    _, reason = play(sut, tmp_path, a_minute)
    assert reason == "controller raised ZeroDivisionError: division by zero at t = 0.0 s"


def test_nothing_attached_is_ready_and_never_ends(tmp_path: Path) -> None:
    adapter, seen = play(NullSut(kind="null"), tmp_path, until_ready)
    assert seen == (True, "nothing is attached", 0.0)
    assert adapter.evidence()["exit"] == ""


@pytest.mark.parametrize(
    ("factory", "sentence"),
    [
        ("nosuchmodule:controller", "no module 'nosuchmodule'; install it, or name its file"),
        ("bench.nosuch:controller", "no module 'bench.nosuch'"),
        ("nosuch.py:controller", "nosuch.py: no such file"),
        ("controller", "write module:factory or path/to/file.py:factory"),
        ("firmware_mocks.controllers.reference:controler", "has no 'controler'; did you mean \"controller\"?"),
        ("firmware_mocks.controllers.reference:log", "is not callable"),
    ],
)
def test_a_factory_that_cannot_be_named_is_one_sentence(factory: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        build(PythonSut(kind="python", factory=factory), tmp_path, "virtual")
    assert sentence in str(caught.value)


def test_what_lives_in_real_time_is_refused_in_virtual_time_with_the_remedy(tmp_path: Path) -> None:
    for sut in ("subprocess:node controller.js", "network"):
        holder = validate({"sut": sut}, Holder, "case.toml")
        with pytest.raises(ConfigError, match='write time = "real", or attach with kind = "python"'):
            build(holder.sut, tmp_path, "virtual")


def test_a_program_in_lockstep_lives_in_virtual_time(tmp_path: Path) -> None:
    (tmp_path / "ctl.py").touch()
    holder = validate({"sut": "lockstep:ctl.py --config 'a b.toml'"}, Holder, "case.toml")
    assert isinstance(holder.sut, SubprocessSut)
    assert (holder.sut.command, holder.sut.lockstep) == ("{python}", True)
    assert holder.sut.args == ("{lockstep}", "ctl.py", "--config", "a b.toml")
    build(holder.sut, tmp_path, "virtual")
    build(holder.sut, tmp_path, "real")


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"args": ("{inventry}",)}, "unknown placeholder {inventry}; did you mean {inventory}?"),
        ({"env": {"CTL": "{config}"}}, "sut.env.CTL: '{config}': {config} needs the key sut.config"),
        ({"config": "nosuch.toml"}, "sut.config: "),
        ({"cwd": "nosuch"}, "sut.cwd: "),
    ],
)
def test_a_template_that_cannot_be_filled_is_one_sentence(
    change: dict[str, Any], sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        build(SubprocessSut(kind="subprocess", command="node", **change), tmp_path, "real")
    assert sentence in str(caught.value)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("null", "null"),
        ("network", "network"),
        ("controller:reference", "python"),
        ("python:my.module:factory", "python"),
        ("subprocess:./controller --config 'a b.toml'", "subprocess"),
        ("lockstep:-m my.controller", "subprocess"),
    ],
)
def test_a_short_form_becomes_its_table(text: str, kind: str) -> None:
    assert validate({"sut": text}, Holder, "case.toml").sut.kind == kind


def test_a_short_form_keeps_quoted_arguments_together() -> None:
    sut = validate({"sut": "subprocess:./ctl --config 'a b.toml'"}, Holder, "case.toml").sut
    assert isinstance(sut, SubprocessSut)
    assert (sut.command, sut.args) == ("./ctl", ("--config", "a b.toml"))


@pytest.mark.parametrize(
    ("sut", "sentence"),
    [
        ("controller:refrence", "sut: controller 'refrence' does not ship with ramprig; did you mean \"reference\"?"),
        ("nothing", "write null, network, controller:NAME"),
        ({"kind": "pyton", "factory": "a:b"}, 'unknown kind "pyton"; did you mean "python"?'),
        ({"kind": "subprocess", "command": "x", "ready": {}}, "sut.ready: say one sign"),
        ({"kind": "subprocess", "command": "x", "ready": {"log": "a", "port": 1}}, "sut.ready: say one sign"),
        (
            {"kind": "subprocess", "command": "x", "ready": {"http": "ftp://a"}},
            "'ftp://a' is no page that can be asked",
        ),
        ({"kind": "subprocess", "command": "x", "restart": [{"at": "1 s", "how": "stop"}]}, 'unknown value "stop"'),
        ({"kind": "subprocess", "comand": "x"}, 'sut.comand: unknown key; did you mean "command"?'),
    ],
)
def test_a_wrong_table_is_named_with_its_remedy(sut: object, sentence: str) -> None:
    with pytest.raises(ConfigError) as caught:
        validate({"sut": sut}, Holder, "case.toml")
    assert sentence in str(caught.value)


@pytest.mark.parametrize("name", controllers())
def test_every_controller_that_ships_can_be_attached(name: str, tmp_path: Path) -> None:
    build(validate({"sut": f"controller:{name}"}, Holder, "case.toml").sut, tmp_path, "virtual")


def test_a_planned_restart_begins_anew_at_its_instant_and_is_no_end(tmp_path: Path) -> None:
    sut = table(says_ready).model_copy(update={"restart": (restart(at="10 s", down="5 s"),)})

    async def ready_then_a_minute(adapter: Adapter, clock: Clock) -> tuple[str, list[str]]:
        await adapter.ready(30 * SECOND)
        await clock.sleep(60 * SECOND)
        return adapter.exit, [line.split()[0] for line in (tmp_path / "log.txt").read_text().splitlines()]

    adapter, seen = play(sut, tmp_path, ready_then_a_minute)
    assert seen == ("", ["2.000000", "47.000000"])  # the profile's zero is at 30 s; 10 s later it ends, 5 s it is away
    assert (adapter.exit, adapter.stubborn) == ("", "")


def test_a_controller_that_has_ended_is_not_restarted(tmp_path: Path) -> None:
    sut = table(crashes).model_copy(update={"restart": (restart(at="20 s"),)})

    async def long(adapter: Adapter, clock: Clock) -> str:
        await adapter.ready(30 * SECOND)
        await clock.sleep(90 * SECOND)
        return adapter.exit

    _, reason = play(sut, tmp_path, long)
    assert reason == "controller raised ValueError: no such meter at t = 41.2 s"
