"""Bugs that are put in on purpose are caught by the golden check, which names the cells that they touch and no others."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch
from torch import Tensor

from camdbench.cli.main import run_cli
from camdbench.explainers.common import saliency
from camdbench.metrics import confidence
from camdbench.metrics.common import perturbation_curves
from camdbench.tables.golden import check, write_golden

EXPLAINERS = ("gradcam", "random", "fakecam")


def golden_job(out: Path) -> Path:
    """The golden run on a few images, as the command line makes it."""
    words = ["--explainers", ",".join(EXPLAINERS), "--metrics", "ad,ai,insertion", "--limit", "6", "--device", "cpu", "--quiet"]
    assert run_cli(["run", *words, "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the code says before anybody broke it."""
    folder = tmp_path_factory.mktemp("sound")
    write_golden(golden_job(folder / "run"), folder / "golden.csv")
    return folder / "golden.csv"


def undivided_drop(before: Tensor, after: Tensor) -> Tensor:
    """Average drop without its division by p: max(0, p - o)."""
    return (before.sigmoid() - after.sigmoid()).clamp_min(0)


def unsorted_ranks(maps: Tensor, *, most_first: bool = True, ties: str = "first") -> Tensor:
    """Insertion in the order in which pixels lie in memory."""
    return torch.arange(maps[0].numel(), device=maps.device).expand(len(maps), -1)


def normalise_batch(maps: Tensor, how: str) -> Tensor:
    """One minimum and one maximum for all images of the batch."""
    return maps if how == "none" else (maps - maps.min()) / (maps.max() - maps.min())


# module and name that are replaced, by what, and the cells that must move: fakecam is a mask that is neither normalised nor
# sensitive to the order of its equal pixels, noise fills its range in every image, and the order of pixels survives any scale
BUGS = {
    "AD is divided by nothing": (confidence, "drop", undivided_drop, {("gradcam", "ad"), ("random", "ad")}),
    "insertion is not sorted": (perturbation_curves, "pixel_ranks", unsorted_ranks, {("gradcam", "insertion"), ("random", "insertion")}),
    "normalised over the batch": (saliency, "normalise", normalise_batch, {("gradcam", "ad")}),
}


def test_the_sound_code_meets_its_own_values_again(golden: Path, tmp_path: Path):
    assert run_cli(["check", str(golden_job(tmp_path / "again")), "--against", str(golden)]) == 0


@pytest.mark.parametrize(("module", "name", "bug", "touched"), BUGS.values(), ids=BUGS)
def test_a_bug_closes_the_gate_and_its_cells_are_named(
    golden: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    module: object,
    name: str,
    bug: Callable[..., Tensor],
    touched: set[tuple[str, str]],
):
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setattr(module, name, bug)
    run = golden_job(tmp_path / "run")
    capsys.readouterr()
    assert run_cli(["check", str(run), "--against", str(golden)]) == 4
    said = capsys.readouterr().out
    moved: pd.DataFrame = check(run, golden).moved
    assert set(zip(moved["explainer"], moved["metric"], strict=True)) == touched
    assert set(moved["status"]) == {"moved"}
    assert all(f"{explainer} · {metric} (" in said for explainer, metric in touched)
    assert f"{9 - len(touched)} of 9 golden cells met." in said
