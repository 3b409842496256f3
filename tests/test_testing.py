"""The pytest helper: silent where a run meets its golden values, and clear about what moved where it does not."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

import camdbench
from camdbench.core.errors import UsageError
from camdbench.tables.golden import check, write_golden
from camdbench.testing import assert_matches_golden


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[pd.DataFrame, Path]:
    """Rows of a run, one of whose numbers is made of curves, and its golden values."""
    folder = tmp_path_factory.mktemp("golden")
    rows = camdbench.run("gradcam,fakecam", "ad,maxboxacc", limit=4, device="cpu", out=folder / "run")
    write_golden(folder / "run", folder / "golden.csv")
    return rows, folder


def edited(folder: Path, tmp_path: Path, cell: dict[str, str], **values: object) -> Path:
    """The golden file with some values of one cell replaced."""
    golden = pd.read_csv(folder / "golden.csv", dtype=str, keep_default_na=False)
    own = (golden[list(cell)] == pd.Series(cell)).all(axis=1)
    assert own.sum() == 1
    for name, value in values.items():
        golden.loc[own, name] = str(value)
    golden.to_csv(tmp_path / "edited.csv", index=False)
    return tmp_path / "edited.csv"


def said(run: object, golden: Path) -> list[str]:
    with pytest.raises(AssertionError) as caught:
        assert_matches_golden(run, golden)
    return str(caught.value).splitlines()


def test_a_run_and_its_rows_meet_their_own_values(made):
    rows, folder = made
    assert_matches_golden(folder / "run", folder / "golden.csv")
    assert_matches_golden(str(folder / "run"), str(folder / "golden.csv"))
    assert_matches_golden(rows, folder / "golden.csv")
    assert_matches_golden(camdbench.load_rows(folder / "run").query("metric == 'ad'"), only_ad(folder))


def only_ad(folder: Path) -> Path:
    golden = pd.read_csv(folder / "golden.csv")
    golden[golden["metric"] == "ad"].to_csv(folder / "ad.csv", index=False)
    return folder / "ad.csv"


def test_a_mean_that_moved_is_named_with_from_to_and_tolerance(made, tmp_path: Path):
    rows, folder = made
    mean = rows[(rows["explainer"] == "gradcam") & (rows["metric"] == "ad")]["value"].mean()
    golden = edited(folder, tmp_path, {"explainer": "gradcam", "metric": "ad"}, mean=1.25, tolerance=0.25)
    head, line, fix = said(rows, golden)
    assert head == f"1 of 4 golden cells of {golden} moved:"
    where = "  gradcam · ad (opticam) · shortcuts-ce · shortcuts val · target: label: "
    assert line == f"{where}mean 1.25 → {mean:.6g}, tolerance 0.25"
    assert fix == f"If intended: camdbench check RUN --against {golden} --update"


def test_a_mean_made_of_curves_is_held_too(made, tmp_path: Path):
    rows, folder = made
    golden = edited(folder, tmp_path, {"explainer": "fakecam", "metric": "maxboxacc"}, mean=-50)
    lines = said(rows, golden)
    assert len(lines) == 3
    assert "fakecam · maxboxacc" in lines[1]


def test_missing_cells_and_other_numbers_of_images_are_named(made, tmp_path: Path):
    rows, folder = made
    lines = said(rows[rows["explainer"] != "fakecam"], folder / "golden.csv")
    assert lines[0].startswith("2 of 4")
    assert all("fakecam" in line and "missing in the run; golden mean" in line for line in lines[1:3])
    golden = edited(folder, tmp_path, {"explainer": "gradcam", "metric": "ad"}, n=64)
    assert "64 → 4 images (mean" in said(rows, golden)[1]
    golden = edited(folder, tmp_path, {"explainer": "gradcam", "metric": "ad"}, mean="")
    assert "mean no value → " in said(rows, golden)[1]


def test_a_flood_is_cut_short_and_says_so(made, tmp_path: Path):
    _, folder = made
    golden = pd.read_csv(folder / "golden.csv").iloc[:1]
    flood = pd.concat([golden.assign(explainer=f"lost{number}") for number in range(25)])
    flood.to_csv(tmp_path / "flood.csv", index=False)
    lines = said(folder / "run", tmp_path / "flood.csv")
    assert len(lines) == 1 + 20 + 1 + 1
    assert lines[-2] == "  … and 5 more"


def test_what_is_no_golden_file_is_wrong_usage_not_a_failed_assertion(made, tmp_path: Path):
    with pytest.raises(UsageError, match="no such file"):
        assert_matches_golden(made[0], tmp_path / "none.csv")
    with pytest.raises(UsageError, match="none"):
        assert_matches_golden(tmp_path / "none", made[1] / "golden.csv")


def test_the_helper_and_the_command_agree(made, tmp_path: Path):
    rows, folder = made
    golden = edited(folder, tmp_path, {"explainer": "fakecam", "metric": "ad"}, mean=77)
    moved = check(folder / "run", golden).moved
    assert list(moved["explainer"]) == ["fakecam"]
    assert len(said(rows, golden)) == 2 + len(moved)
