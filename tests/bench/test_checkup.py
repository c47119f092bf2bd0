"""Whatever is written into a file, `check` answers in sentences: shipped files, broken at random."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bench import library
from bench.checkup import check_file
from bench.config import ConfigError

FILES = [library.folder(kind) / f"{name}.toml" for kind in ("rig", "profile", "suite") for name in library.names(kind)]
VALUES = st.sampled_from(
    [
        "0", "-1", "1e308", "nan", "inf", '""', '"x"', "[]", "{}", "true", '"0 s"', '"-1 s"', '"1e300 s"', '"1e18 s"',
        '"nan kW"', '"5 kWh"', "[[]]", "[1, 2]", '"{a"', '"%"', "1979-05-27", '"../../x"', '"rig:"', '":"', '"*"',
        '[["0 s", 1]]', '["a"]', "9223372036854775808", '"\\u0000"', '"1e400 Hz"', "[{}]", '"é"', "=", '"', "]",
    ]
)  # fmt: skip


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(FILES), st.data())
@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")  # of a frequency of 1e308 Hz, refused then
def test_a_file_that_somebody_has_broken_is_good_or_told_off(tmp_path: Path, file: Path, data: st.DataObject) -> None:
    lines = file.read_text(encoding="utf-8").splitlines()
    at = data.draw(st.integers(0, len(lines) - 1))
    match data.draw(st.sampled_from(["drop", "double", "value", "letter", "swap"])):
        case "drop":
            del lines[at]
        case "double":
            lines.insert(at, lines[at])
        case "value" if "=" in lines[at]:
            lines[at] = f"{lines[at].partition('=')[0]}= {data.draw(VALUES)}"
        case "letter" if lines[at]:
            where = data.draw(st.integers(0, len(lines[at]) - 1))
            lines[at] = lines[at][:where] + data.draw(st.sampled_from('{}[]"=\\.\0é\n0-')) + lines[at][where + 1 :]
        case _:
            other = data.draw(st.integers(0, len(lines) - 1))
            lines[at], lines[other] = lines[other], lines[at]
    broken = tmp_path / "broken.toml"
    broken.write_text("\n".join(lines), encoding="utf-8")
    for problem in check_file(str(broken)).problems:
        assert "\n" not in problem
        assert "broken.toml" in problem or str(library.folder("rig").parent) in problem


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe", b"\0", b"[[feeder]]\nid = 1", b"case = 3", b"sut = []", b"feeder = 1"]
)
def test_what_is_hardly_a_file_at_all_is_told_off_too(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "x.toml").write_bytes(content)
    (problem, *_) = check_file(str(tmp_path / "x.toml")).problems
    assert problem.startswith(f"{tmp_path / 'x.toml'}: ")


def test_a_folder_and_a_missing_file_are_told_apart(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in check_file(str(tmp_path)).problems[0]
    assert "no such file" in check_file(str(tmp_path / "x.toml")).problems[0]
    assert check_file("rig:nothing").problems[0].startswith("rig:nothing: no such rig ships with ramprig")


def test_names_are_resolved_by_their_kind_only() -> None:
    with pytest.raises(ConfigError, match="a rig is needed here, this names a suite"):
        library.resolve("rig", "suite:demo")
