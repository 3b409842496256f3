"""Maps of another tool stand in one run with computed ones, with the values that `score` gives them."""

from __future__ import annotations

import tracemalloc
from pathlib import Path

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
import zarr

import camdbench
from camdbench.core.errors import UsageError
from camdbench.runner.map_files import read_maps
from camdbench.runner.saved_maps import JointMaps, fingerprint
from camdbench.tables.load import load_run

IDS = ["a", "b/c", "d"]
MAPS = np.random.default_rng(0).random((3, 5, 4)).astype(np.float32)
NUMBERS = ["explainer", "metric", "mean", "ci_low", "ci_high", "n", "passes_per_image", "tie_group"]


def test_a_joint_run_is_the_pool_of_a_run_and_of_scores(tmp_path: Path):
    np.save(tmp_path / "theirs.npy", maps := np.random.default_rng(1).random((4, 8, 8)))
    joint = camdbench.run("gradcam,fakecam", "ad,ag", maps={"theirs": maps}, limit=5, out=tmp_path / "joint")
    camdbench.run("gradcam,fakecam", "ad,ag", limit=5, out=tmp_path / "ours")
    scores = camdbench.score(tmp_path / "theirs.npy", "ad,ag", limit=5, out=tmp_path / "scores")
    own = joint[joint["explainer"] == "theirs"].reset_index(drop=True)
    same = ["image", "metric", "value", "status", "reason", "target"]
    pd.testing.assert_frame_equal(own[same], scores[same])
    assert set(own.loc[own["status"] == "error", "reason"]) == {"there is no saved map of this image"}
    both = [camdbench.compare(*runs) for runs in ([tmp_path / "joint"], [tmp_path / "ours", tmp_path / "scores"])]
    pd.testing.assert_frame_equal(*both)
    assert both[0]["p_holm"].notna().sum() == 2, "gradcam and theirs, in two metrics; fakecam is a control"
    one, two = (
        camdbench.summarise(*runs).set_index(["explainer", "metric"])["mean"].to_dict()
        for runs in ([tmp_path / "joint"], [tmp_path / "ours", tmp_path / "scores"])
    )
    assert one == two
    costs = camdbench.summarise(tmp_path / "joint").set_index("explainer")["passes_per_image"]
    assert costs["theirs"].isna().all()
    assert costs["gradcam"].tolist() == [2, 2]


def test_metrics_that_explain_again_do_not_apply_and_other_maps_are_another_run(tmp_path: Path):
    (tmp_path / "run.yaml").write_text("explainers: gradcam\nmetrics: [ad, max_sensitivity]\nlimit: 2\nmaps: {theirs: theirs.npy}\n")
    np.save(tmp_path / "theirs.npy", maps := np.random.default_rng(2).random((2, 8, 8)))
    rows = camdbench.run(config=tmp_path / "run.yaml", out=tmp_path / "run").set_index(["explainer", "metric"]).sort_index()
    assert rows.loc[("theirs", "ad"), "status"].tolist() == rows.loc[("gradcam", "max_sensitivity"), "status"].tolist() == ["ok", "ok"]
    assert set(rows.loc[("theirs", "max_sensitivity"), "status"]) == {"not_applicable"}
    assert "altered images cannot be explained" in rows.loc[("theirs", "max_sensitivity"), "reason"].iloc[0]
    first = load_run(tmp_path / "run")["given"]
    same = {name: maps[place] for place, name in enumerate(load_run(tmp_path / "run")["ids"])}
    again = {"explainers": "gradcam", "metrics": "ad,max_sensitivity", "limit": 2, "out": tmp_path / "run"}
    camdbench.run(**again, maps={"theirs": same})
    assert load_run(tmp_path / "run")["given"] == first
    with pytest.raises(UsageError, match="holds a run with maps of theirs"):
        camdbench.run(**again, maps={"theirs": maps[::-1]})


def test_scores_of_a_joint_run_have_the_given_maps_too(tmp_path: Path):
    maps = np.random.default_rng(1).random((4, 8, 8))
    first = camdbench.run("gradcam", "ad", maps={"theirs": maps}, limit=4, save_maps="raw", out=tmp_path / "joint")
    again = camdbench.score(tmp_path / "joint", "ad,ag", out=tmp_path / "scores")
    assert set(again["explainer"]) == {"gradcam", "theirs"}
    values = [rows[rows["metric"] == "ad"].sort_values(["explainer", "image"])["value"].to_numpy() for rows in (first, again)]
    np.testing.assert_allclose(*values, atol=0.1)  # saved in half precision
    camdbench.run("gradcam", "ad", maps={"theirs": maps + maps[::-1]}, limit=4, save_maps="raw", out=tmp_path / "other")
    assert fingerprint(tmp_path / "joint") != fingerprint(tmp_path / "other")


def test_every_form_of_the_same_maps_is_the_same(tmp_path: Path):
    files = ("all.npy", "all.npz", "two.h5", "each.h5", "folder", "array.zarr", "two.zarr", "each.zarr")
    _write_forms(tmp_path)
    forms = [MAPS, torch.from_numpy(MAPS)[:, None], dict(zip(IDS, MAPS, strict=True)), *(tmp_path / name for name in files)]
    assert len({JointMaps("theirs", form, IDS).digest() for form in forms}) == 1
    assert JointMaps("theirs", MAPS[::-1], IDS).digest() != JointMaps("theirs", MAPS, IDS).digest()
    for name in (own for own in files if own != "folder"):
        read = read_maps(tmp_path / name, IDS)
        assert {own: read[own].tolist() for own in read} == {own: each.tolist() for own, each in zip(IDS, MAPS, strict=True)}


def _write_forms(folder: Path) -> None:
    """The same maps in every format, those with ids in another order."""
    np.save(folder / "all.npy", MAPS)
    np.savez(folder / "all.npz", **dict(zip(IDS, MAPS, strict=True)))
    with h5py.File(folder / "two.h5", "w") as file:
        file["maps"], file["ids"] = MAPS[::-1], IDS[::-1]
    with h5py.File(folder / "each.h5", "w") as file:
        for name, own in zip(IDS, MAPS, strict=True):
            file[name] = own
    zarr.create_array(str(folder / "array.zarr"), data=MAPS)
    two = zarr.open_group(str(folder / "two.zarr"), mode="w", zarr_format=2)
    two.create_array("maps", data=MAPS[::-1].copy())
    two.create_array("ids", data=np.array(IDS[::-1], dtype="S4"))
    each = zarr.open_group(str(folder / "each.zarr"), mode="w")
    (folder / "folder" / "b").mkdir(parents=True)
    for name, own in zip(IDS, MAPS, strict=True):
        each.create_array(name, data=own)
        np.save(folder / "folder" / f"{name}.npy", own)


@pytest.mark.parametrize("ending", ["npy", "h5", "zarr"])
def test_a_file_larger_than_what_is_asked_for_is_not_read_whole(tmp_path: Path, ending: str):
    ids, shape, file = [str(place) for place in range(1000)], (1000, 256, 256), tmp_path / f"large.{ending}"  # 256 MiB
    if ending == "npy":
        np.lib.format.open_memmap(file, mode="w+", dtype=np.float32, shape=shape)[7] = 1
    elif ending == "h5":
        with h5py.File(file, "w") as opened:
            opened.create_dataset("maps", shape, np.float32, chunks=(1, 256, 256))[7] = np.ones((256, 256))
    else:
        zarr.create_array(str(file), shape=shape, chunks=(1, 256, 256), dtype="float32", fill_value=0)[7] = 1
    tracemalloc.start()
    maps = JointMaps("theirs", file, ids)
    found = maps.map("7"), maps.map("8")
    held = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [float(own.mean()) for own in found] == [1.0, 0.0]
    assert held < 20 * 2**20


def test_what_fits_no_image_or_is_no_map_is_refused(tmp_path: Path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.zarr").mkdir()
    _write_forms(tmp_path)
    for cut, whole in (("cut.npy", "all.npy"), ("cut.h5", "two.h5")):
        (tmp_path / cut).write_bytes((tmp_path / whole).read_bytes()[:150])
    with h5py.File(tmp_path / "ids.h5", "w") as file:
        file["maps"], file["ids"] = MAPS, ["a", "a", "d"]
    with h5py.File(tmp_path / "flat.h5", "w") as file:
        file["a"] = [1, 2, 3]
    for given, message in [
        (dict.fromkeys(("a", "x1", "x2", "x3", "x4"), MAPS[0]), r"4 of 5 maps are of no image of the data set \(x1, x2, x3, …\)"),
        (np.zeros((4, 2, 2)), "at most 3 maps"),
        ({"a": "word"}, r"a has shape \(\)"),
        (tmp_path / "empty", "no maps; expected ID.npy or ID.png"),
        (tmp_path / "no.h5", "no such file"),
        (tmp_path / "no.zarr", "no such file"),
        (tmp_path / "empty.zarr", "empty.zarr: cannot be read"),
        (tmp_path / "cut.npy", "cut.npy: damaged"),
        (tmp_path / "cut.h5", "cut.h5: cannot be read"),
        (tmp_path / "ids.h5", r"3 maps and 2 different ids; expected one id per map"),
        (tmp_path / "flat.h5", r"a has shape \(3,\) and type int64; expected numbers \(h, w\)"),
    ]:
        with pytest.raises(UsageError, match=message):
            JointMaps("theirs", given, IDS)
    for name, message in (("gradcam", "an explainer of camdbench; choose another name"), ("a b", "a b")):
        with pytest.raises(UsageError, match=message):
            camdbench.run("gradcam", "ad", maps={name: MAPS}, limit=2, out=tmp_path / "out")
    assert not (tmp_path / "out").exists()
