"""Saved maps, and those of another tool, are scored like those of explainers."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from helpers import killed
from helpers.killed import run as run_in_chunks
from safetensors.torch import save_file

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.errors import UsageError
from camdbench.datasets.open_dataset import check_dataset, open_dataset
from camdbench.explainers.common.saliency import finish
from camdbench.runner.config import RunConfig, check_config
from camdbench.runner.resources import Resources
from camdbench.tables.load import load_run


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two explainers on 40 images that kept its maps: more than one chunk."""
    folder = tmp_path_factory.mktemp("kept") / "run"
    camdbench.run("gradcam,fakecam", "ad,ag", limit=40, save_maps="raw", out=folder)
    return folder


def own_maps(run: Path, explainer: str = "gradcam") -> np.ndarray:
    """An explainer's raw maps of a run, in the order of the images."""
    from safetensors.numpy import load_file

    parts = sorted((run / "maps").glob(f"model=*/explainer={explainer}/*.safetensors"))
    chunks = [load_file(part) for part in parts]
    sizes = [next(name.partition(".")[2] for name in chunk if name.startswith("maps.")) for chunk in chunks]
    found = [
        (chunk[f"maps.{size}"].astype(np.float32) * chunk[f"scale.{size}"][:, None, None])[np.argsort(chunk[f"position.{size}"])]
        for chunk, size in zip(chunks, sizes, strict=True)
    ]
    return np.concatenate(found)


def average_drops(maps: np.ndarray) -> np.ndarray:
    """AD of raw maps of the first images, by `evaluate`: what scores of maps must be, whatever the file that holds them."""
    dataset = open_dataset(*check_dataset("shortcuts", "val", None), None)
    samples = [dataset[index] for index in range(len(maps))]
    images, labels = torch.stack([sample.image for sample in samples]), [sample.label for sample in samples]
    finished = finish(torch.from_numpy(maps), tuple(images.shape[-2:]), "range").maps
    found = camdbench.evaluate(camdbench.load_classifier("shortcuts-ce", device="cpu"), images, labels, finished, "ad")
    return found.sort_values("image", kind="stable")["value"].to_numpy()


def values(rows: pd.DataFrame, explainer: str = "gradcam", metric: str = "ad") -> np.ndarray:
    return rows[(rows["explainer"] == explainer) & (rows["metric"] == metric)]["value"].to_numpy()


def test_scores_of_saved_maps_are_those_of_the_run(kept: Path, tmp_path: Path):
    first, again = camdbench.load_rows(kept), camdbench.score(kept, "ad,ag,ai", out=tmp_path / "scores")
    assert set(again["explainer"]) == {"gradcam", "fakecam"}
    for explainer in ("gradcam", "fakecam"):
        np.testing.assert_allclose(values(again, explainer), average_drops(own_maps(kept, explainer)), rtol=1e-5, atol=1e-4)
        # Saved maps are rounded to float16, which moved no AD by more than 0.035 (its standard deviation is 28).
        np.testing.assert_allclose(values(again, explainer), values(first, explainer), atol=0.1)
    assert len(values(again, metric="ai")) == 40


def test_nothing_is_explained_again(kept: Path, tmp_path: Path):
    camdbench.score(kept, "ad", out=tmp_path / "scores")
    from camdbench.tables.load import load_usage

    costs = load_usage(tmp_path / "scores")
    passes = costs[costs["stage"].isin(["explain", "trace"])][["forward", "backward", "tail_forward", "tail_backward"]]
    assert passes.to_numpy().sum() == 0


def test_an_array_in_the_order_of_the_images_is_scored_under_its_own_name(kept: Path, tmp_path: Path):
    np.save(tmp_path / "theirs.npy", own_maps(kept))
    rows = camdbench.score(tmp_path / "theirs.npy", "ad", limit=40, out=tmp_path / "scores")
    assert set(rows["explainer"]) == {"theirs"}
    np.testing.assert_allclose(values(rows, "theirs"), average_drops(own_maps(kept)), rtol=1e-5, atol=1e-4)


def test_maps_named_by_image_need_no_order_and_may_be_missing(kept: Path, tmp_path: Path):
    ids = camdbench.load_rows(kept).drop_duplicates("image")["image"].tolist()
    maps = own_maps(kept)
    np.savez(tmp_path / "some.npz", **{name: maps[place] for place, name in reversed(list(enumerate(ids[:5])))})
    rows = camdbench.score(tmp_path / "some.npz", "ad", explainer_name="other(version=2)", limit=6, out=tmp_path / "scores")
    assert rows["status"].tolist() == ["ok"] * 5 + ["error"]
    assert rows["reason"].iloc[5] == "there is no saved map of this image"
    np.testing.assert_allclose(rows["value"][:5], average_drops(maps[:5]), rtol=1e-5, atol=1e-4)
    assert set(rows["explainer"]) == {"other(version=2)"}


def test_masks_are_maps_of_zeros_and_ones(kept: Path, tmp_path: Path):
    masks = own_maps(kept) > 0.5 * own_maps(kept).max((1, 2), keepdims=True)
    np.save(tmp_path / "masks.npy", masks)
    np.save(tmp_path / "numbers.npy", masks.astype(np.float32))
    found = [camdbench.score(tmp_path / f"{name}.npy", "ad", limit=40, out=tmp_path / name) for name in ("masks", "numbers")]
    assert found[0]["value"].tolist() == found[1]["value"].tolist()
    assert found[0]["value"].std() > 0


def test_all_metrics_are_those_that_explain_nothing_again(tmp_path: Path):
    np.save(tmp_path / "theirs.npy", np.random.default_rng(0).random((2, 8, 8)))
    request = check_config(RunConfig("theirs", "all", limit=2), Resources(maps=tmp_path / "theirs.npy"))
    names = {spec.name for spec in request.metrics}
    assert {"ad", "insertion", "om", "iou", "accuracy"} <= names
    assert not {"adcc", "max_sensitivity"} & names


def test_other_maps_under_the_same_path_are_another_run(kept: Path, tmp_path: Path):
    maps = own_maps(kept)
    np.save(tmp_path / "theirs.npy", maps)
    camdbench.score(tmp_path / "theirs.npy", "ad", limit=4, out=tmp_path / "scores")
    np.save(tmp_path / "theirs.npy", maps[::-1])
    with pytest.raises(UsageError, match="holds a run with maps"):
        camdbench.score(tmp_path / "theirs.npy", "ad", limit=4, out=tmp_path / "scores")


def test_what_cannot_be_scored_is_refused_with_the_fix(kept: Path, tmp_path: Path):
    camdbench.run("fakecam", "ad", limit=2, save_maps="none", out=tmp_path / "without")
    np.save(tmp_path / "flat.npy", np.zeros((3, 4)))
    np.save(tmp_path / "words.npy", np.array([["a"]]))
    np.save(tmp_path / "many.npy", np.zeros((100_000, 1, 1)))
    np.save(tmp_path / "large.npy", np.full((2, 3, 4), 5.0))
    (tmp_path / "broken.npy").write_bytes(b"no numbers")
    np.savez(tmp_path / "strangers.npz", a=np.zeros((2, 2)), b=np.zeros((2, 2)))
    for given, options, message in [
        (tmp_path / "without", {}, "has no saved maps; repeat it with --save-maps raw"),
        (kept, {"limit": 3}, "--limit = 3: fixed by the run whose maps are scored"),
        (kept, {"explainer_name": "mine"}, "--explainer-name = mine: the maps of a run have the names"),
        (
            kept,
            {"metrics": "adcc"},
            "metric adcc re-runs the explainer on perturbed images, which saved maps do not allow; use camdbench run",
        ),
        (tmp_path / "absent.npy", {}, "absent.npy: no such file or run directory"),
        (tmp_path / "flat.npy", {}, r"shape \(3, 4\); expected \(N, h, w\)"),
        (tmp_path / "many.npy", {}, r"at most \d+ maps, in the order"),
        (tmp_path / "broken.npy", {}, r"broken.npy: damaged \(no array of numbers\); give numbers"),
        (
            tmp_path / "strangers.npz",
            {},
            r"strangers.npz: none of its 2 maps is of an image of the data set \(a, b\); name them by image id, such as \S+, \S+, \S+$",
        ),
        (tmp_path / "large.npy", {"normalisation": "none"}, r"values from 5 to 5; expected \[0, 1\], or --normalisation range"),
        (tmp_path / "large.npy", {"normalisation": "ranje"}, "no normalisation 'ranje'; did you mean 'range'"),
        (tmp_path / "flat.npy", {"explainer_name": "gradcam"}, "an explainer of camdbench; choose another name, such as gradcam-theirs"),
    ]:
        with pytest.raises(UsageError, match=message):
            camdbench.score(given, **{"metrics": "ad", "out": tmp_path / "scores"} | options)
        assert not (tmp_path / "scores").exists()


def test_of_a_run_whose_maps_are_kept_for_viewing_the_small_ones_are_scored(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run, given = tmp_path / "a run", {"theirs": np.random.default_rng(0).random((3, 8, 8))}
    np.savez(tmp_path / "theirs.npz", maps=given["theirs"])
    asked = {"dataset": "shortcuts(size=48)", "limit": 3, "device": "cpu", "maps": {"theirs": tmp_path / "theirs.npz"}}
    camdbench.run("gradcam,saliency", "ad", out=run, **asked)
    line = f"{run}: maps of saliency, theirs are kept for viewing; run with --save-maps raw: camdbench "
    with pytest.raises(UsageError) as caught:
        camdbench.score(run, "ai", out=tmp_path / "scores")
    assert str(caught.value).startswith(line)
    command, _, other = str(caught.value).removeprefix(line).partition("; or score the others: ")
    assert other == "--explainers gradcam"
    strange = r"--explainers = centre: no explainer of .*; choose from gradcam, saliency, theirs$"
    for explainers, message in (("saliency", "kept for viewing"), ("centre", strange)):
        with pytest.raises(UsageError, match=message):
            camdbench.score(run, "ai", explainers=explainers, out=tmp_path / "scores")
    with pytest.raises(UsageError, match="--explainers = gradcam: chooses maps of a run"):
        camdbench.score(tmp_path / "theirs.npz", "ai", explainers="gradcam", limit=3, out=tmp_path / "scores")
    assert not (tmp_path / "scores").exists()
    assert run_cli([*shlex.split(command.replace("NEW", str(tmp_path / "raw"))), "-q"]) == 0
    assert run_cli(["score", str(run), *other.split(), "-m", "ai,ag", "-q", "--device", "cpu", "--out", str(tmp_path / "scores")]) == 0
    whole = camdbench.score(tmp_path / "raw", "ai,ag", device="cpu", out=tmp_path / "whole")
    assert set(whole["explainer"]) == {"gradcam", "saliency", "theirs"}
    some = camdbench.load_rows(tmp_path / "scores")
    expected = whole[whole["explainer"] == "gradcam"].reset_index(drop=True)
    pd.testing.assert_frame_equal(some.drop(columns="run"), expected.drop(columns="run"), check_exact=True)
    assert not (tmp_path / "scores" / "maps").exists()
    with pytest.raises(UsageError, match="holds a run with save_maps view, not raw"):
        camdbench.run("gradcam,saliency", "ad", out=run, save_maps="raw", **asked)


def test_the_chunk_size_is_that_of_the_scored_run(tmp_path: Path):
    run_in_chunks(4, explainers="gradcam", metrics="ad", limit=10, save_maps="raw", out=tmp_path / "run")
    assert load_run(tmp_path / "run")["chunk_size"] == 4
    again = camdbench.score(tmp_path / "run", "ad", out=tmp_path / "scores")
    assert load_run(tmp_path / "scores")["chunk_size"] == 32
    assert set(again["status"]) == {"ok"}
    np.testing.assert_allclose(values(again), average_drops(own_maps(tmp_path / "run")), rtol=1e-5, atol=1e-4)


def test_a_record_of_another_chunk_size_is_honoured_whoever_wrote_it(kept: Path, tmp_path: Path):
    """A run directory written by hand: the maps of 40 images in parts of 7, in place of 32."""
    made, maps = load_run(kept), own_maps(kept)
    (layout,) = {part.parent for part in (kept / "maps").glob("model=*/explainer=gradcam/*.safetensors")}
    folder = tmp_path / "run" / layout.relative_to(kept)
    folder.mkdir(parents=True)
    record = {name: own for name, own in made.items() if name != "sessions"} | {"chunk_size": 7}
    record["config"] = record["config"] | {"explainers": ["gradcam"]}
    (tmp_path / "run" / "run.json").write_text(json.dumps(record), encoding="utf-8")
    for chunk, start in enumerate(range(0, 40, 7)):
        part = torch.from_numpy(maps[start : start + 7])
        scale = part.flatten(1).abs().amax(1)
        tensors = {"maps.14x14": (part / scale[:, None, None]).half(), "scale.14x14": scale, "position.14x14": torch.arange(len(part))}
        save_file(
            {name.replace("14x14", "x".join(map(str, maps.shape[1:]))): own for name, own in tensors.items()},
            folder / f"part-{chunk:05d}.safetensors",
        )
    found, expected = (camdbench.score(run, "ad", out=tmp_path / name) for run, name in ((tmp_path / "run", "a"), (kept, "b")))
    assert set(found["status"]) == {"ok"}
    np.testing.assert_allclose(values(found), values(expected), rtol=1e-5, atol=1e-4)


SOURCE = """
import torch
from camdbench import Classifier
from torch import nn

def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5)
    return Classifier(nn.Sequential(*layers), "1", mean=0.5, std=0.25)

def peak(inputs):
    return inputs.saliency.flatten(1).amax(1)

def grid(trace, *, normalisation: str = "range"):
    batch, places = len(trace.images), torch.arange(16.0).reshape(4, 4) / 8 - 0.875
    return torch.stack([places.roll(index) for index in range(batch)])

def pictures():
    generator = torch.Generator().manual_seed(0)
    return [(torch.rand(3, 16, 16, generator=generator), index) for index in range(3)]
"""


@pytest.mark.parametrize("normalisation", ["range", "max", "sigmoid"])
def test_maps_of_a_users_explainer_are_scored_with_its_normalisation(tmp_path: Path, normalisation: str):
    file = tmp_path / "own.py"
    file.write_text(SOURCE)
    given = {"models": f"mine={file}:network", "dataset": f"{file}:pictures"}
    rows = camdbench.run(
        f"mine={file}:grid(normalisation={normalisation})", "ad,sparseness", save_maps="raw", out=tmp_path / "run", **given
    )
    record = load_run(tmp_path / "run")["explainers"]["mine"]
    assert (record["normalisation"], set(rows["status"])) == (normalisation, {"ok"})
    again = camdbench.score(tmp_path / "run", "ad,sparseness", out=tmp_path / "again")  # exact: half precision holds these maps
    pd.testing.assert_frame_equal(rows.drop(columns="run"), again.drop(columns="run"))


def test_a_metric_of_the_user_scores_saved_maps(kept: Path, tmp_path: Path):
    file = tmp_path / "own.py"
    file.write_text(SOURCE)

    def second_largest(inputs):
        return inputs.saliency.flatten(1).topk(2)[0][:, 1]

    finished = finish(torch.from_numpy(own_maps(kept)), (96, 96), "range").maps
    of_file = camdbench.score(kept, f"{file}:peak", out=tmp_path / "file")
    assert set(of_file["metric"]) == {"peak"}
    assert np.allclose(values(of_file, metric="peak"), 1)
    mixed = camdbench.score(kept, metrics=[second_largest, "ad"], out=tmp_path / "function")
    assert set(mixed["metric"]) == {"second_largest", "ad"}
    assert np.array_equal(values(mixed), values(camdbench.score(kept, "ad", out=tmp_path / "ad")))
    assert np.array_equal(values(mixed, metric="second_largest"), np.sort(finished.flatten(1).numpy())[:, -2])
    named = camdbench.score(kept, metrics={"second": second_largest}, out=tmp_path / "named")
    assert np.array_equal(values(named, metric="second"), values(mixed, metric="second_largest"))


def test_a_scoring_killed_before_any_step_on_the_disk_ends_with_the_rows_of_one_that_was_not(kept: Path, tmp_path: Path):
    with killed.photographed(tmp_path / "whole", tmp_path / "killed") as copies:
        expected = camdbench.score(kept, "ai", out=tmp_path / "whole")
    assert len(copies) > 8
    for copy in copies[::2]:
        found = camdbench.score(kept, "ai", out=copy)
        pd.testing.assert_frame_equal(found.drop(columns="run"), expected.drop(columns="run"))
