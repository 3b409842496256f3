"""What is found is not found again: the passes of an interrupted run and of its continuation, counted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

import camdbench
from camdbench.core.errors import CamdbenchError
from camdbench.core.registries import explainers
from camdbench.core.spec import Spec
from camdbench.explainers.common.trace import Trace
from camdbench.runner import partial_results
from camdbench.runner.partial_results import PartialResults
from camdbench.runner.results import BatchResult
from camdbench.tables.load import load_curves, load_run, load_usage
from camdbench.tables.predictions import load_predictions

EXPENSIVE = "opticam(iterations=4)"
REQUEST: dict[str, Any] = {"metrics": "ad", "limit": 20, "batch_size": 4, "device": "cpu", "models": "shortcuts-ce"}
REQUEST |= {"dataset": "shortcuts(size=32)", "explainers": f"{EXPENSIVE},stopper"}


ENDING: dict[str, Any] = {}  # not inside the explainer, whose identity its closure is part of


@pytest.fixture
def stopper() -> Callable[[BaseException | None, int], None]:
    """A way to say by which exception, and on which batch, the explainer `stopper` ends a run."""
    ENDING.update(by=None, left=0)

    @explainers.register("stopper", paper="a test")
    def stopper(trace: Trace) -> torch.Tensor:
        """The image's brightness, or an end."""
        ENDING["left"] -= 1
        if ENDING["by"] is not None and ENDING["left"] == 0:
            raise ENDING["by"]
        return trace.images.mean(1)

    def tell(by: BaseException | None, batch: int) -> None:
        ENDING.update(by=by, left=batch)

    return tell


def interrupted(tell: Callable[..., None], out: Path, batch: int = 3, **more: Any) -> None:
    tell(KeyboardInterrupt(), batch)
    with pytest.raises(KeyboardInterrupt):
        camdbench.run(out=out, **REQUEST | more)
    tell(None, 0)


def passes(out: Path, session: int) -> dict[str, int]:
    found = load_run(out)["sessions"][session]["passes"]
    return {name: found[name] for name in ("forward", "backward")}


def test_what_was_found_before_an_interrupt_is_not_found_again(tmp_path: Path, stopper: Any):
    whole = camdbench.run(out=tmp_path / "whole", **REQUEST)
    # The trace, that of the copy in float64, four iterations and a masked pass of each image for the one, a masked pass for the other.
    assert passes(tmp_path / "whole", 0) == {"forward": 20 * (1 + 1 + 4 + 1 + 1), "backward": 20 * 4}
    interrupted(stopper, tmp_path / "cut")
    assert not list((tmp_path / "cut").glob("rows/**/*.parquet"))
    again = camdbench.run(out=tmp_path / "cut", **REQUEST)
    # Of the third batch the trace and the explainer that broke off; of the last two batches everything.
    assert passes(tmp_path / "cut", 1) == {"forward": 4 * (1 + 1) + 8 * 8, "backward": 8 * 4}
    pd.testing.assert_frame_equal(whole.drop(columns="run"), again.drop(columns="run"), check_exact=True)
    assert not (tmp_path / "cut" / "partial").exists()


def test_curves_maps_and_costs_survive_too(tmp_path: Path, stopper: Any):
    # raw maps of one explainer, pictures of the other
    more = {"metrics": "ad,insertion(step=32)", "dataset": "shortcuts(size=48)", "save_maps": "view"}
    camdbench.run(out=tmp_path / "whole", **REQUEST | more)
    interrupted(stopper, tmp_path / "cut", **more)
    camdbench.run(out=tmp_path / "cut", **REQUEST | more)
    pd.testing.assert_frame_equal(load_curves(tmp_path / "whole"), load_curves(tmp_path / "cut"), check_exact=True)
    counted = ["explainer", "stage", "images", "forward", "backward", "tail_forward", "tail_backward"]
    pd.testing.assert_frame_equal(load_usage(tmp_path / "whole")[counted], load_usage(tmp_path / "cut")[counted])
    pd.testing.assert_frame_equal(load_predictions(tmp_path / "whole"), load_predictions(tmp_path / "cut"))
    files = sorted(file.relative_to(tmp_path / "whole") for file in (tmp_path / "whole" / "maps").rglob("*.safetensors"))
    assert len(files) == 2
    assert sorted("view.bytes" in load_file(tmp_path / "whole" / file) for file in files) == [False, True]
    for file in files:
        mine, theirs = load_file(tmp_path / "whole" / file), load_file(tmp_path / "cut" / file)
        assert mine.keys() == theirs.keys()
        assert all(torch.equal(mine[name], theirs[name]) for name in mine)


def test_another_batch_size_may_go_on(tmp_path: Path, stopper: Any):
    whole = camdbench.run(out=tmp_path / "whole", **REQUEST)
    interrupted(stopper, tmp_path / "cut")
    again = camdbench.run(out=tmp_path / "cut", **REQUEST | {"batch_size": 5})
    assert passes(tmp_path / "cut", 1)["backward"] == 8 * 4
    pd.testing.assert_frame_equal(whole.drop(columns="run"), again.drop(columns="run"), rtol=1e-3, atol=1e-3)


def test_an_explainer_that_is_not_asked_for_any_more_stays_out_of_the_rows(tmp_path: Path, stopper: Any):
    interrupted(stopper, tmp_path)
    rows = camdbench.run(out=tmp_path, **REQUEST | {"explainers": "stopper"})
    assert set(rows["explainer"]) == {"stopper"}
    assert len(rows) == 20


def test_a_picture_that_was_damaged_since_is_an_error_and_stands_once(tmp_path: Path, stopper: Any, monkeypatch: pytest.MonkeyPatch):
    from camdbench.datasets.loading import UnreadableImage
    from camdbench.runner.worker import SampleLoader

    interrupted(stopper, tmp_path)
    take = SampleLoader.take

    def spoilt(self: SampleLoader, unit: Any) -> Any:
        return [UnreadableImage(item.id, item.label, "gone") if place == 5 else item for place, item in enumerate(take(self, unit))]

    monkeypatch.setattr(SampleLoader, "take", spoilt)
    rows = camdbench.run(out=tmp_path, **REQUEST)
    assert len(rows) == 2 * 20
    assert rows[rows["status"] == "error"]["reason"].tolist() == ["gone", "gone"]


def test_a_run_that_goes_fast_writes_no_journal(tmp_path: Path, stopper: Any, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch, "save", pytest.fail)
    monkeypatch.setattr(partial_results, "SAVE_EVERY", 3600.0)
    assert len(camdbench.run(out=tmp_path, **REQUEST)) == 40


def test_a_journal_is_written_as_time_goes_by(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    now = 0.0
    monkeypatch.setattr(partial_results, "monotonic", lambda: now)
    mine = PartialResults(tmp_path)
    for now, files in ((1.0, 0), (9.9, 0), (10.0, 1), (19.0, 1), (20.0, 2)):
        mine.add(BatchResult("x", (f"i{now}",), (0,), (0,), {}))
        assert len(list(tmp_path.iterdir())) == files
    held = PartialResults(tmp_path).load([Spec("x")])
    assert {finding.ids[0] for finding in held} == {"i1.0", "i9.9", "i10.0", "i19.0", "i20.0"}


def test_two_sessions_that_found_the_same_count_once(tmp_path: Path):
    for ids in (("a", "b"), ("b", "c")):
        mine = PartialResults(tmp_path)
        mine.add(BatchResult("x", ids, (0, 0), (0, 0), {}))
        mine.save()
    assert len(PartialResults(tmp_path).load([Spec("x")])) == 1
    assert PartialResults(tmp_path).load([Spec("y")]) == []


def test_a_damaged_journal_is_named(tmp_path: Path, stopper: Any):
    interrupted(stopper, tmp_path)
    (file,) = tmp_path.glob("partial/**/*.pt")
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(CamdbenchError, match=rf"{file.name}: damaged \(.*\); delete it and run the same command again"):
        camdbench.run(out=tmp_path, **REQUEST)


def test_a_journal_that_outlived_its_unit_is_removed(tmp_path: Path, stopper: Any):
    camdbench.run(out=tmp_path, **REQUEST)
    left = PartialResults(tmp_path / "partial" / "model=shortcuts-ce" / "chunk-00000")
    left.add(BatchResult("stopper", ("i",), (0,), (0,), {}))
    left.save()
    camdbench.run(out=tmp_path, **REQUEST)
    assert not (tmp_path / "partial").exists()


def test_memory_that_runs_out_late_costs_the_explainers_before_nothing(tmp_path: Path, stopper: Any):
    stopper(torch.OutOfMemoryError("CUDA out of memory"), 1)
    rows = camdbench.run(out=tmp_path, **REQUEST | {"limit": 4})
    assert passes(tmp_path, 0) == {"forward": 4 * 8 + 4, "backward": 4 * 4}  # the trace once more, in halves
    assert set(rows["status"]) == {"ok"}


def test_an_explainer_that_never_fits_costs_the_others_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    @explainers.register("huge", paper="a test")
    def huge(trace: Trace) -> torch.Tensor:
        """Never fits."""
        raise torch.OutOfMemoryError("CUDA out of memory")

    rows = camdbench.run(out=tmp_path, **REQUEST | {"limit": 2, "explainers": "huge,gradcam"})
    assert rows.groupby("explainer")["reason"].agg(set).to_dict() == {"huge": {"out of memory with a batch of one image"}, "gradcam": {""}}
