"""`camdbench figures`, end to end: each picture is written where asked, in the format asked, and its path is printed."""

from __future__ import annotations

from pathlib import Path

import pytest

from camdbench.cli.main import run_cli


def test_figures_are_written_and_their_paths_printed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(tmp_path / "run")
    assert run_cli(["run", "-q", "-e", "gradcam,fakecam", "-m", "ad", "--limit", "4", "--device", "cpu", "--out", run]) == 0
    capsys.readouterr()
    assert run_cli(["figures", run, "--out", str(tmp_path / "out"), "--format", "svg"]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert paths
    assert sorted(paths) == sorted((tmp_path / "out").iterdir())
    assert {path.suffix for path in paths} == {".svg"}
    assert all(path.stat().st_size > 500 for path in paths)
    assert run_cli(["figures", run]) == 0
    assert all(Path(line).parent == tmp_path / "run" / "figures" for line in capsys.readouterr().out.splitlines())


def test_a_run_that_is_not_there_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["figures", str(tmp_path / "none")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
