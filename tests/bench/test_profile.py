"""Profiles: what a file says is what the grid does, and a file that cannot be played is refused in one sentence."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import library
from bench.config import ConfigError
from bench.profile import Profile, list_profiles, load_profile
from bench.profile_text import sparkline, summary
from emulator.seed import Seed
from emulator.timeline import Signal

S = 10**9
REPOSITORY = Path(__file__).resolve().parents[2]
SHARED = Path(os.environ.get("RAMPRIG_SHARED", REPOSITORY.parent / "shared"))
HEAD = 'schema = 1\ntitle = "test"\nsource = { text = "ours", grade = "estimate" }\n'


def write(folder: Path, text: str) -> Path:
    path = folder / "test.toml"
    path.write_text(HEAD + text)
    return path


def refusal(folder: Path, text: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_profile(write(folder, text))
    message = str(caught.value)
    assert message.startswith(str(folder))
    return message


def shared(*parts: str) -> Path:
    path = SHARED.joinpath("data", *parts)
    if not path.exists():
        pytest.skip(f"{path} is absent; set RAMPRIG_SHARED to the folder that holds data/")
    return path


# ------------------------------------------------------------------------------------------------------ inline points


def test_two_points_at_one_instant_are_a_step(tmp_path: Path) -> None:
    points = '[["0 s", "50 Hz"], ["10 s", "50 Hz"], ["10 s", "49.5 Hz"], ["20 s", "49 Hz"]]'
    profile = load_profile(write(tmp_path, f"[channel.frequency]\npoints = {points}\n"))
    frequency = profile.expand(1e6, Seed(1)).signals["frequency"]
    assert [frequency.at(t * S) for t in (0, 9, 10, 15, 20, 99)] == [50, 50, 49.5, 49.25, 49, 49]
    assert profile.duration_ns == 20 * S


def test_dispatch_in_per_cent_becomes_watts_of_the_site(tmp_path: Path) -> None:
    text = 'duration = "9 s"\n[channel.dispatch]\npoints = [["0 s", "100 %"], ["5 s", "100 %"], ["5 s", "40 %"]]\n'
    dispatch = load_profile(write(tmp_path, text)).expand(650_000.0, Seed(1)).signals["dispatch"]
    assert (dispatch.at(0), dispatch.at(5 * S)) == (650_000.0, 260_000.0)


def test_dispatch_in_watts_stays_as_it_is(tmp_path: Path) -> None:
    text = 'duration = "9 s"\n[channel.dispatch]\npoints = [["0 s", "3 MW"]]\n'
    assert load_profile(write(tmp_path, text)).expand(1.0, Seed(1)).signals["dispatch"].at(0) == 3e6


def test_recall_and_price_hold_until_the_next_point(tmp_path: Path) -> None:
    text = '[channel.recall]\npoints = [["0 s", 0], ["10 s", 1]]\n'
    text += '[channel.price]\npoints = [["0 s", "20 USD/MWh"], ["10 s", "900 USD/MWh"]]\n'
    signals = load_profile(write(tmp_path, text)).expand(1.0, Seed(1)).signals
    assert [signals["recall"].at(t * S) for t in (0, 9, 10)] == [0, 0, 1]
    assert signals["price"].at(9 * S) == 20


def test_an_event_without_a_stop_lasts_to_the_end(tmp_path: Path) -> None:
    text = 'duration = "60 s"\n[[event]]\nid = "e"\nkind = "quiet"\nstart = "10 s"\n'
    assert load_profile(write(tmp_path, text)).events[0].stop_ns == 60 * S


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("[channel.freqency]\npoints = []\n", ("channel.freqency", 'did you mean "frequency"')),
        ('[channel.frequency]\npoints = [["0 s", "50"]]\n', ("channel.frequency.points[0]", "no unit")),
        ('[channel.frequency]\npoints = [["0 s", "50 MV"]]\n', ("points[0]", "unknown unit 'MV'")),
        ('[channel.frequency]\npoints = [["-1 s", "50 Hz"]]\n', ("points[0]", "cannot be negative")),
        ('[channel.frequency]\npoints = [["5 s", "50 Hz"], ["4 s", "50 Hz"]]\n', ("points[1]", "in order")),
        ('[channel.frequency]\npoints = ["5 s"]\n', ("points[0]", 'write ["10 s", "59.85 Hz"]')),
        ("[channel.frequency]\npoints = []\n", ("channel.frequency.points", "at least one point")),
        ("[channel.frequency]\n", ("channel.frequency", "give either points or csv")),
        ('[channel.frequency]\npoints = [["1 s", "50 kHz"]]\n', ("50000 Hz", "check the unit")),
        ('[channel.recall]\npoints = [["0 s", 1], ["1 s", 0]]\n', ("channel.recall", "never go down")),
        ('[channel.dispatch]\npoints = [["0 s", "3 MW"], ["1 s", "40 %"]]\n', ("mixes", "all in %")),
        ('duration = "-3 s"\n', ("duration", "cannot be negative")),
        ("", ("duration", "lasts no time")),
        ('duration = "3 s"\n[channel.frequency]\npoints = [["4 s", "50 Hz"]]\n', ("last is at 4 s", "lengthen")),
        ('duration = "3 s"\n[[event]]\nid = "e"\nkind = "quite"\nstart = "1 s"\n', ("event[0].kind", "quiet")),
        ('duration = "3 s"\n[[event]]\nid = "e"\nkind = "quiet"\nstart = "4 s"\nstop = "2 s"\n', ("before it starts",)),
        ('duration = "3 s"\n[[event]]\nid = "e"\nkind = "quiet"\nstart = "1 s"\nstop = "9 s"\n', ("after the end",)),
        (
            'duration = "3 s"\n' + '[[event]]\nid = "e"\nkind = "quiet"\nstart = "1 s"\n' * 2,
            ("event[1].id", "used twice"),
        ),
    ],
)
def test_a_profile_that_cannot_be_played_is_refused_with_key_and_remedy(
    tmp_path: Path, text: str, words: tuple[str, ...]
) -> None:
    message = refusal(tmp_path, text)
    assert all(word in message for word in words), message


def test_an_unknown_library_name_is_answered_with_the_nearest() -> None:
    with pytest.raises(
        ConfigError, match=r'profile:gb_2019_08_9: no such profile ships .*did you mean "gb_2019_08_09"\?'
    ):
        load_profile("profile:gb_2019_08_9")


# ------------------------------------------------------------------------------------------------------- phase jitter

JITTERED = """
duration = "100 s"
phase_jitter = "15 s"
[channel.frequency]
points = [["0 s", "50 Hz"], ["10 s", "50 Hz"], ["10 s", "49.5 Hz"], ["40 s", "49.8 Hz"], ["60 s", "50 Hz"]]
[[event]]
id = "first"
kind = "deployment"
start = "10 s"
stop = "30 s"
[[event]]
id = "second"
kind = "return"
start = "50 s"
phase_jitter = "5 s"
"""


@given(st.integers(min_value=0, max_value=2**32))
def test_jitter_moves_an_event_and_all_that_follows(tmp_path_factory: pytest.TempPathFactory, root: int) -> None:
    profile = load_profile(write(tmp_path_factory.mktemp("jitter"), JITTERED))
    plain, moved = profile.channels["frequency"].signal, profile.expand(1.0, Seed(root))
    first, second = moved.jitter_ns["first"], moved.jitter_ns["second"]
    assert 0 <= first < 15 * S
    assert 0 <= second < 5 * S
    assert [(e.start_ns, e.stop_ns) for e in moved.events] == [
        (10 * S + first, 30 * S + first),
        (50 * S + first + second, 100 * S + first + second),
    ]
    assert moved.duration_ns == 100 * S + first + second
    frequency = moved.signals["frequency"]
    assert frequency.at(10 * S + first - 1) == 50
    assert frequency.at(10 * S + first) == 49.5
    assert frequency.at(49 * S + first) == pytest.approx(plain.at(49 * S))
    assert frequency.at(50 * S + first + second // 2) == pytest.approx(plain.at(50 * S))
    assert frequency.at(57 * S + first + second) == pytest.approx(plain.at(57 * S))


def test_the_same_seed_draws_the_same_jitter_and_another_seed_another(tmp_path: Path) -> None:
    profile = load_profile(write(tmp_path, JITTERED))
    assert profile.expand(1.0, Seed(7)).jitter_ns == profile.expand(2.0, Seed(7)).jitter_ns
    assert profile.expand(1.0, Seed(7)).jitter_ns != profile.expand(1.0, Seed(8)).jitter_ns


def test_events_that_begin_together_stay_together(tmp_path: Path) -> None:
    text = 'duration = "9 s"\nphase_jitter = "3 s"\n'
    text += "".join(f'[[event]]\nid = "{name}"\nkind = "quiet"\nstart = "1 s"\n' for name in ("a", "b"))
    moved = load_profile(write(tmp_path, text)).expand(1.0, Seed(3))
    assert moved.events[0].start_ns == moved.events[1].start_ns
    assert moved.jitter_ns["a"] == moved.jitter_ns["b"]


# ----------------------------------------------------------------------------------------------------------- records


def record(folder: Path, rows: str, **keys: str) -> Profile:
    return load_profile(record_file(folder, rows, **keys))


def record_file(folder: Path, rows: str, **keys: str) -> Path:
    (folder / "log.csv").write_text(rows, encoding="utf-8")
    table = {"file": '"log.csv"', "time": '"t_s"', "value": '"f_hz"', "unit": '"Hz"'} | keys
    extra = table.pop("duration", None)
    text = "" if extra is None else f"duration = {extra}\n"
    return write(
        folder, text + "[channel.frequency]\ncsv = { " + ", ".join(f"{k} = {v}" for k, v in table.items()) + " }\n"
    )


ROWS = "# a comment\nt_s,f_hz,note\n0,50.0,a\n1,49.9,b\n\n2,49.8,c\n4,49.4,d\n"


def test_a_record_is_linear_between_its_rows(tmp_path: Path) -> None:
    profile = record(tmp_path, ROWS)
    frequency = profile.channels["frequency"].signal
    assert frequency.at(3 * S) == pytest.approx(49.6)
    assert profile.duration_ns == 4 * S


def test_a_record_can_be_cut_and_placed(tmp_path: Path) -> None:
    profile = record(tmp_path, ROWS, start='"0.5 s"', stop='"3 s"', at='"10 s"')
    frequency = profile.channels["frequency"].signal
    assert profile.duration_ns == 12_500_000_000
    assert [frequency.at(round(t * S)) for t in (0, 10, 10.5, 12.5)] == pytest.approx([49.95, 49.95, 49.9, 49.6])


def test_separator_decimal_comma_units_and_offset_are_read(tmp_path: Path) -> None:
    rows = "t_s;f_hz\n0;-100,5\n1000;20\n"
    profile = record(
        tmp_path, rows, separator='";"', decimal='","', unit='"mHz"', offset='"50 Hz"', time_unit='"ms"'
    )  # fmt: skip
    frequency = profile.channels["frequency"].signal
    assert profile.duration_ns == S
    assert [frequency.at(0), frequency.at(S)] == pytest.approx([49.8995, 50.02])


def test_columns_without_a_header_are_named_by_number(tmp_path: Path) -> None:
    profile = record(tmp_path, "0,50\n1,49\n", header="false", time="1", value="2")
    assert profile.channels["frequency"].signal.at(S) == 49


def test_a_clock_without_a_date_may_pass_midnight(tmp_path: Path) -> None:
    rows = "t_s,f_hz\n23:59:59.500,50\n00:00:00.500,49.9\n00:00:01.500,49.8\n"
    profile = record(tmp_path, rows, time_format='"%H:%M:%S.%f"', stop='"00:00:01.000"')
    assert profile.duration_ns == 1_500_000_000


def test_iso_time_stamps_with_a_zone_are_read(tmp_path: Path) -> None:
    rows = "t_s,f_hz\n2025-04-28T12:33:00+02:00,50\n2025-04-28T10:33:02Z,49.9\n"
    assert record(tmp_path, rows, time_format='"iso"').duration_ns == 2 * S


def test_an_edge_of_the_cut_without_a_zone_is_in_that_of_the_file(tmp_path: Path) -> None:
    rows = "t_s,f_hz\n2025-04-28T10:00+02:00,50\n2025-04-28T16:00+02:00,49\n"
    profile = record(tmp_path, rows, time_format='"iso"', start='"2025-04-28T12:00"')
    assert profile.duration_ns == 4 * 3600 * S


def test_far_years_day_numbers_and_points_of_thousands_are_read(tmp_path: Path) -> None:
    rows = "t_s;f_hz\n45.000,5;49.950\n45.000,75;1.234,5\n"
    keys = {"separator": '";"', "decimal": '","', "unit": '"mHz"'}
    profile = record(tmp_path, rows, time_unit='"d"', **keys)
    assert profile.duration_ns == 6 * 3600 * S
    assert profile.channels["frequency"].signal.value.tolist() == pytest.approx([49.95, 1.2345])
    rows = "t_s,f_hz\n2200-01-01T00:00,50\n2200-01-01T00:01,49.9\n"
    assert record(tmp_path, rows, time_format='"iso"').duration_ns == 60 * S


def test_a_record_that_ends_in_a_step_stays_at_its_level_until_then(tmp_path: Path) -> None:
    frequency = record(tmp_path, "t_s,f_hz\n0,50\n2,50\n2,49\n").channels["frequency"].signal
    assert [frequency.at(0), frequency.at(S), frequency.at(2 * S)] == [50, 50, 49]


def test_holes_are_bridged_only_as_far_as_allowed(tmp_path: Path) -> None:
    rows = "t_s,f_hz\n0,50\n1,NaN\n2,49.8\n"
    assert record(tmp_path, rows, bridge='"2 s"').channels["frequency"].signal.at(S) == pytest.approx(49.9)
    with pytest.raises(ConfigError, match="ends a hole of 2 s; bridge allows 1 s"):
        record(tmp_path, rows, bridge='"1 s"')


@pytest.mark.parametrize(
    ("rows", "keys", "words"),
    [
        (ROWS, {"value": '"f_hertz"'}, ("csv.value", 'no column "f_hertz"', 'did you mean "f_hz"')),
        (ROWS, {"time": '"time"'}, ("csv.time", 'no column "time"')),
        (ROWS, {"unit": '"kV"'}, ("csv.unit", "unknown unit 'kV'")),
        (ROWS, {"file": '"lag.csv"'}, ("csv.file", "no such file", 'did you mean "log.csv"')),
        (ROWS, {"separator": '";"'}, ('no column "t_s"',)),
        (ROWS, {"separator": '";;"'}, ("csv.separator", "not one character")),
        (ROWS, {"time": "0"}, ("csv.time", "counted from 1")),
        (ROWS, {"header": "false"}, ("csv.time", "named by its number")),
        (ROWS, {"stop": '"9 s"'}, ("csv.stop", "outside the record, which lasts 4 s")),
        (ROWS, {"start": '"3 s"', "stop": '"2 s"'}, ("stop must come after start",)),
        (ROWS, {"duration": '"60 s"'}, ("duration", "60 s is longer than the record", "hold_last = true")),
        (ROWS, {"time_format": '"iso"'}, ("line 3", "the time '0' is not", "time_format")),
        ("t_s,f_hz\n0,50\n1,NaN\n", {}, ("line 3", "no number", "bridge")),
        ("t_s,f_hz\n0,50\n1,\n", {}, ("line 3", "no number")),
        ("t_s,f_hz\n0,50\n1,inf\n", {}, ("line 3", "no number")),
        ("t_s,f_hz\n0,50\n1,x\n", {}, ("line 3", "no number ('x')")),
        ("t_s,f_hz\n0,50\n1\n", {}, ("line 3", "has 1 cells")),
        ("t_s,f_hz\n0,50\n2,50\n1,50\n", {}, ("line 4", "1 s before the row above", "sort")),
        ("t_s,f_hz\n", {}, ("no row of numbers",)),
        ("", {}, ("csv.time", "no column")),
        ("t_s,f_hz\n0,50,01\n1,49,99\n", {"decimal": '","'}, ("csv.decimal", "is the separator as well")),
        ("t_s;f_hz\n0;35.50\n", {"separator": '";"', "decimal": '","'}, ("line 2", "no number ('35.50')")),
        pytest.param(
            "t_s,f_hz\n0,50," + "x" * 140_000 + "\n", {}, ("line 2", "field larger than field limit"), id="a huge cell"
        ),
        ("t_s,f_hz\n0,50\n", {}, ("csv.file", "holds one instant")),
        ("t_s,f_hz\n0,50\n4e9,50\n", {}, ("line 3", "a century after the first row", "time_unit")),
        ("t_s,f_hz\n01:01,50\n", {"time_format": '"%M:%M"'}, ("line 2", "'01:01' is not", "time_format")),
        (ROWS, {"separator": "'\"'"}, ("csv.separator", "means something else")),
        (ROWS, {"offset": '"50"'}, ("csv.offset", "no unit")),
        (ROWS, {"unit": '"kV"', "base": '"1 kV"'}, ("csv.base", "this channel is in Hz")),
        (
            "t_s,f_hz\n2025-04-28 12:00,50\n2025-04-28 13:00,50\n",
            {"time_format": '"iso"', "start": '"2025-04-28 12:30Z"'},
            ("csv.start", "names a zone"),
        ),
    ],
)
def test_a_record_that_cannot_be_read_is_refused_with_file_line_and_remedy(
    tmp_path: Path, rows: str, keys: dict[str, str], words: tuple[str, ...]
) -> None:
    with pytest.raises(ConfigError) as caught:
        load_profile(record_file(tmp_path, rows, **keys))
    message = str(caught.value)
    assert all(word in message for word in words), message


def test_a_record_holds_its_last_value_when_asked(tmp_path: Path) -> None:
    profile = record(tmp_path, ROWS, duration='"60 s"', hold_last="true")
    assert profile.duration_ns == 60 * S


def test_a_site_meter_with_clock_times_and_holes_is_played(tmp_path: Path) -> None:
    toledo = shared("iberia2025", "toledo_data.csv")
    common = f'file = "{toledo}", time = "time", time_format = "%d-%b-%Y %H:%M:%S", bridge = "4 s", start = '
    common += '"28-Apr-2025 12:30:00", stop = "28-Apr-2025 12:33:22", at = "30 s"'
    text = f'[channel.frequency]\ncsv = {{ {common}, value = "AnalyzerL1Frequency", unit = "Hz" }}\n'
    text += (
        f'[channel.voltage]\ncsv = {{ {common}, value = "AnalyzerL1PhaseVoltage", unit = "V", base = "27.63 kV" }}\n'
    )
    timeline = load_profile(write(tmp_path, text)).expand(1e6, Seed(1))
    assert timeline.duration_ns == (30 + 202) * S
    frequency, voltage = timeline.signals["frequency"], timeline.signals["voltage"]
    assert frequency.at(timeline.duration_ns) == 47.476
    assert frequency.at(timeline.duration_ns - 4 * S) == 49.902
    assert float(voltage.value.max()) == pytest.approx(29_077.078 / 27_630)


def test_a_30_hz_record_is_played(tmp_path: Path) -> None:
    pmu = shared("gmlc", "Grid_Info_data_artificial_inertia.csv")
    text = f'[channel.frequency]\ncsv = {{ file = "{pmu}", time = "Time", value = "Bus1.F", unit = "Hz" }}\n'
    frequency = load_profile(write(tmp_path, text)).expand(1e6, Seed(1)).signals["frequency"]
    assert frequency.t_ns.size == 4500
    assert frequency.value.min() == pytest.approx(59.77, abs=0.005)
    assert frequency.t_ns[np.argmin(frequency.value)] / S == pytest.approx(71.7, abs=0.2)


# ----------------------------------------------------------------------------------------------------------- library


@pytest.mark.parametrize("name", list_profiles())
def test_every_library_profile_expands_and_prints(name: str) -> None:
    profile = load_profile(f"profile:{name}")
    timeline = profile.expand(1e6, Seed(1))
    assert all(0 <= event.start_ns <= event.stop_ns <= timeline.duration_ns for event in timeline.events)
    assert profile.events
    text = summary(profile)
    assert profile.source.text in text
    assert all(event.id in text for event in profile.events)


@pytest.mark.parametrize(
    ("name", "record_name", "lead_s"),
    [
        ("gb_2019_08_09", "gb_2019_08_09", 30),
        ("ercot_2021_02_15", "ercot_2021_02_15", 30),
        ("ercot_2022_06_04_odessa", "ercot_2022_06_04_odessa", 30),
        ("ce_split_2021_01_08_nw", "ce_split_2021_01_08_northwest", 30),
        ("ce_split_2021_01_08_se", "ce_split_2021_01_08_southeast", 30),
        ("sa_2016_09_28", "sa_2016_09_28", 30),
        ("iberia_2025_04_28_malaga", "iberia_2025_04_28_malaga", 30),
    ],
)
def test_a_library_event_is_within_a_millihertz_of_its_origin(name: str, record_name: str, lead_s: int) -> None:
    rows = np.loadtxt(shared("events_approx", f"{record_name}.csv"), delimiter=",", skiprows=2)
    instants = np.round((rows[:, 0] + lead_s) * S).astype(np.int64)
    profile = load_profile(name)
    assert profile.approximation
    assert np.max(np.abs(profile.channels["frequency"].signal.sample(instants) - rows[:, 1])) < 1e-3


def test_the_british_event_keeps_its_sourced_figures() -> None:
    frequency = load_profile("gb_2019_08_09").channels["frequency"].signal
    grid = np.arange(0, 390 * S, 10_000_000)
    below = float(np.sum(frequency.sample(grid) < 49.7)) / 100
    assert below == pytest.approx(183, abs=0.5)
    assert frequency.at((30 + 76) * S) == pytest.approx(48.8, abs=2e-3)


def test_every_library_file_is_small() -> None:
    assert all(path.stat().st_size < 5_000 for path in library.folder("profile").glob("*.toml"))


def test_a_sparkline_shows_a_dip_shorter_than_its_column() -> None:
    signal = Signal([0, 50 * S, 50 * S + 1, 50 * S + 2], [50.0, 50.0, 49.0, 50.0])
    assert sparkline(signal, 100 * S, 10) == "█████▁████"


def test_the_example_of_the_reference_page_is_a_profile(tmp_path: Path) -> None:
    page = (REPOSITORY / "docs" / "reference" / "profile-file.md").read_text(encoding="utf-8")
    path = tmp_path / "example.toml"
    path.write_text(page.split("```toml")[1].split("```")[0], encoding="utf-8")
    assert load_profile(path).events[0].id == "deployment"
