"""Examples of the site: each runs, prints a result, draws a figure, leaves no file, and is in the gallery's order."""

from __future__ import annotations

import runpy
from pathlib import Path

import matplotlib.pyplot as plt
import pytest

ROOT = Path(__file__).parents[1]
EXAMPLES = sorted((ROOT / "docs/examples").glob("plot_*.py"))
LONGEST = 60  # lines of code and text, without the blank ones


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda file: file.stem)
def test_an_example_prints_a_result_draws_and_leaves_no_file(
    example: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    monkeypatch.chdir(tmp_path)
    drawn = list[int]()
    monkeypatch.setattr(plt, "show", lambda: drawn.extend(plt.get_fignums()))
    runpy.run_path(str(example), run_name="__main__")
    plt.close("all")
    assert any(sign.isdigit() for sign in capsys.readouterr().out), "no number is printed"
    assert drawn, "no figure is shown"
    left = [file.name for file in (*tmp_path.iterdir(), *temporary.iterdir()) if not file.name.startswith("torchinductor_")]
    assert left == ["temporary"], "files are left; torch's cache of compiled code does not count"


def test_every_example_is_short_and_in_the_order_of_the_gallery():
    order = runpy.run_path(str(ROOT / "docs/_gallery.py"))["ORDER"]
    assert sorted(f"plot_{name}" for name in order) == [example.stem for example in EXAMPLES]
    lines = {example.stem: sum(bool(line.strip()) for line in example.read_text("utf-8").splitlines()) for example in EXAMPLES}
    assert {name: count for name, count in lines.items() if count > LONGEST} == {}
