"""Real devices in a rig file, and what their samples say: problems, lags, gaps, uncertainties."""

from __future__ import annotations

import math
import tomllib
from itertools import pairwise
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import inventory
from bench.config import ConfigError, validate
from bench.layout import lay_out
from bench.real_samples import FILE, Samples, Slot, measured
from bench.rig_file import RigFile
from emulator.meters.reading import FREQUENCY, POWER
from emulator.wire import SECOND
from tests.bench.small import CASE, RIG, ramprig, write

MS = 10**6
REAL = 'provider = { kind = "real", address = "192.0.2.7" }'
SERIAL = 'provider = { kind = "real", transport = "rtu", device = "/dev/ttyUSB7" }'


def laid_out(meter: str = "", further: str = ""):
    text = RIG.replace("[[feeder]]", f"[meter]\n{meter}\n{further}\n[[feeder]]", 1)
    return lay_out(validate(tomllib.loads(text), RigFile, "rig.toml"), "rig.toml")


def problems(meter: str, further: str = "") -> str:
    with pytest.raises(ConfigError) as caught:
        laid_out(meter, further)
    return "\n".join(caught.value.problems)


# ---- the file --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("meter", "problem"),
    [
        ('provider = { kind = "rea" }', 'meter.provider.kind: unknown value "rea"; did you mean "real"?'),
        ('provider = { kind = "real" }', 'transport = "tcp" needs address, for example address = "192.0.2.10"'),
        (
            'provider = { kind = "real", transport = "rtu" }',
            'transport = "rtu" needs device, for example device = "/dev/ttyUSB0"',
        ),
        (
            'provider = { kind = "real", transport = "rtu", device = "/dev/ttyS0", port = 502 }',
            'port has no meaning with transport = "rtu"; remove it',
        ),
        (
            'provider = { kind = "real", address = "192.0.2.7", baud = 9600 }',
            'baud has no meaning with transport = "tcp"; remove it',
        ),
        (f'address = "127.88.250.9"\n{REAL}', "address is where an emulated device stands; with `provider`"),
        ('provider = { kind = "real", address = "192.0.2.7", lga = "1 ms" }', 'unknown key; did you mean "lag"?'),
    ],
)
def test_what_is_wrong_with_a_provider_is_told_with_its_remedy(meter: str, problem: str) -> None:
    assert problem in problems(meter)


def test_two_real_devices_on_one_serial_port_speak_alike() -> None:
    other = SERIAL.replace("}", ", baud = 19200 }")
    told = problems(SERIAL, f'[[submeter]]\nid = "second"\nunit = 2\n{other}')
    assert "submeter[0].provider.baud: /dev/ttyUSB7 is in use with another baud; write the same for both" in told
    laid_out(SERIAL, f'[[submeter]]\nid = "second"\nunit = 2\n{SERIAL}')


def test_a_port_that_a_line_answers_on_is_not_read() -> None:
    told = problems(SERIAL, '[[line]]\nid = "rs485"\nport = "/dev/ttyUSB7"')
    assert "meter.provider.device: a [[line]] answers on /dev/ttyUSB7" in told


def test_a_real_pdu_is_one_device() -> None:
    text = RIG.replace("count = 2 }", f"count = 2, {REAL} }}")
    with pytest.raises(ConfigError, match="count = 2: a real PDU is one device; write count = 1"):
        validate(tomllib.loads(text), RigFile, "rig.toml")


def test_the_controller_is_told_of_a_real_device_on_the_network_and_not_of_one_on_the_benchs_serial_port() -> None:
    told = inventory.parse(laid_out(REAL).inventory(1e5, 60.0))
    assert (told.meters[0].id, told.meters[0].address, told.meters[0].port) == ("meter-poi", "192.0.2.7", 502)
    told = inventory.parse(laid_out(SERIAL).inventory(1e5, 60.0))
    assert "meter-poi" not in [meter.id for meter in told.meters]
    assert ("meter-poi", "eastron_sdm630", "/dev/ttyUSB7", "rtu, unit 1") in list(laid_out(SERIAL).endpoints())


def test_only_a_real_meter_at_the_point_of_interconnection_judges() -> None:
    assert (laid_out().judged_by, laid_out().real) == ("", ())
    assert laid_out(REAL).judged_by == "meter-poi"
    aside = laid_out("", f'[[submeter]]\nid = "aside"\n{REAL}')
    assert (aside.judged_by, aside.real) == ("", ("meter-aside",))


def test_a_case_with_real_devices_is_refused_in_virtual_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    case = write(tmp_path, rig=RIG.replace("[[feeder]]", f"[meter]\n{REAL}\n[[feeder]]", 1), case=CASE)
    ended = ramprig(capsys, "check", case)
    assert ended.code == 2
    assert 'case dip: time: meter-poi of the rig are real devices; they need time = "real"' in ended.out + ended.err


def test_a_fault_cannot_be_aimed_at_a_real_device() -> None:
    assert "meter-poi" in laid_out().sorts()
    assert "meter-poi" not in laid_out(REAL).sorts()


# ---- the samples -----------------------------------------------------------------------------------------------------


def slot(lag_ns: int = 40 * MS, tolerance_ns: int = 0) -> Slot:
    return Slot("meter-poi", "eastron_sdm630", "there", "poi", 100 * MS, lag_ns, tolerance_ns, 200 * MS, 0.01, 0.0)


def recorded(folder: Path, instants: list[int], one: Slot, took_ns: int = 0):
    samples = Samples({one.id: one})
    for number, at in enumerate(instants):
        samples.add(one.id, POWER, 1000.0 + number, at, at + took_ns)
        samples.add(one.id, FREQUENCY, 60.0, at, at + took_ns)
        samples.add("pdu-01.1", "closed", 1.0, at, at)
    samples.write(folder)
    return pq.read_table(folder / FILE)


def test_stamps_are_moved_back_by_the_lag_and_the_rest_is_left_alone(tmp_path: Path) -> None:
    instants = [k * 100 * MS for k in range(21)]
    found = measured(recorded(tmp_path, instants, slot(), took_ns=2 * MS), "meter-poi", 0, 2 * SECOND - 40 * MS)
    assert found.power.t_ns.tolist() == [at + MS - 40 * MS for at in instants]
    assert found.power.value.tolist() == [1000.0 + number for number in range(21)]
    assert (found.power.window_ns, found.gap_ns) == (200 * MS, 100 * MS)


def test_class_tolerance_and_round_trip_make_the_uncertainties(tmp_path: Path) -> None:
    table = recorded(tmp_path, [0, 100 * MS], slot(tolerance_ns=100 * MS), took_ns=20 * MS)
    power = measured(table, "meter-poi", 0, 100 * MS).power
    assert power.u == pytest.approx(0.01 * 1001.0 / math.sqrt(3))
    assert power.u_time_ns == pytest.approx(math.hypot(100e6, 10e6) / math.sqrt(3))


@given(st.lists(st.integers(0, 99), min_size=1, max_size=20, unique=True))
def test_the_gap_is_the_longest_time_without_a_sample_the_ends_included(
    tmp_path_factory: pytest.TempPathFactory, hundredths: list[int]
) -> None:
    instants = [k * 10 * MS for k in sorted(hundredths)]
    table = recorded(tmp_path_factory.mktemp("run"), instants, slot(lag_ns=0))
    found = measured(table, "meter-poi", 0, SECOND)
    edges = [0, *instants, SECOND]
    assert found.gap_ns == max(b - a for a, b in pairwise(edges))


def test_a_meter_that_said_nothing_has_no_sample_and_one_gap(tmp_path: Path) -> None:
    found = measured(recorded(tmp_path, [], slot()), "meter-poi", 0, 9 * SECOND)
    assert (found.power.t_ns.size, found.gap_ns) == (0, 9 * SECOND)


def test_stamps_that_do_not_grow_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="do not grow"):
        measured(recorded(tmp_path, [100, 0], slot()), "meter-poi", 0, SECOND)
