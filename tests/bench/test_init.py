"""`ramprig init`: a whole project or none, and nothing of anybody's is overwritten."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from bench.checkup import check_file
from bench.cli import main
from bench.config import ConfigError
from bench.init import init, starter

FILES = {
    ".github/workflows/bench.yml", ".gitignore", ".gitlab-ci.yml", "README.md", "controller.py",
    "it_can_fail.case.toml", "pytest.ini", "requirements.txt", "rig.toml", "test_site.py",
    "under_frequency.case.toml", "under_frequency.profile.toml",
}  # fmt: skip


def found(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_every_file_is_written_and_each_is_good(tmp_path: Path) -> None:
    written = init(tmp_path / "new" / "project")
    assert found(tmp_path / "new" / "project") == FILES
    assert {str(path.relative_to(tmp_path / "new" / "project")) for path in written} == FILES
    for path in written:
        if path.suffix == ".toml":
            assert check_file(str(path)).problems == ()


def test_a_file_that_is_there_is_named_and_nothing_is_written(tmp_path: Path) -> None:
    (tmp_path / "rig.toml").write_text("mine")
    (tmp_path / ".gitlab-ci.yml").symlink_to("nowhere")
    with pytest.raises(ConfigError) as raised:
        init(tmp_path)
    remedy = "is there already and is not overwritten; name an empty folder"
    assert set(raised.value.problems) == {f"{tmp_path / name}: {remedy}" for name in ("rig.toml", ".gitlab-ci.yml")}
    assert found(tmp_path) == {"rig.toml"}
    assert (tmp_path / "rig.toml").read_text() == "mine"


def test_the_readme_names_every_file_but_itself(tmp_path: Path) -> None:
    readme = starter()["README.md"]
    for name in FILES - {"README.md", ".gitignore", "pytest.ini", "requirements.txt"}:
        assert f"`{name}`" in readme


def test_both_workflows_play_the_same_and_keep_the_runs() -> None:
    files = starter()
    for name in (".github/workflows/bench.yml", ".gitlab-ci.yml"):
        assert "python -m pip install -r requirements.txt" in files[name]
        assert "python -m pytest -n 2 --junit-xml=runs/junit.xml" in files[name]
        assert "runs/" in files[name]
    assert "if: always()" in files[".github/workflows/bench.yml"]
    assert "when: always" in files[".gitlab-ci.yml"]


def test_the_verb_tells_what_it_wrote_and_refuses_a_second_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as first:
        main(["init", "project", "--json"])
    assert first.value.code == 0
    assert {str(Path(name).relative_to("project")) for name in json.loads(capsys.readouterr().out)["files"]} == FILES
    with pytest.raises(SystemExit) as second:
        main(["init", "project"])
    assert second.value.code == 2
    assert "ramprig: project/controller.py: is there already" in capsys.readouterr().err


def test_help_stays_light(tmp_path: Path) -> None:
    program = (
        "import sys; from bench.cli import main\n"
        "try: main(['init', '--help'])\nexcept SystemExit: pass\n"
        "print(*{'numpy', 'hypothesis', 'bench.config', 'bench.init'} & set(sys.modules), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Where; it is made if there is none." in done.stdout
    assert done.stderr.strip() == ""
