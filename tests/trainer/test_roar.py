"""ROAR and KAR: invariants at no and at all pixels replaced, resumption, rows and errors."""

from __future__ import annotations

import hashlib
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file

from camdbench.cli.main import run_cli
from camdbench.core.errors import UsageError
from camdbench.datasets.degraded import Degraded, Replacement
from camdbench.datasets.samples import Dataset
from camdbench.datasets.shortcuts.dataset import Shortcuts, shortcuts
from camdbench.trainer import roar as module
from camdbench.trainer.recipe import TrainingRecipe, check_recipe
from camdbench.trainer.roar import plan_roar, roar
from camdbench.trainer.train import train

DATA = {"dataset": "shortcuts(size=32)", "limit": 8, "evaluation": ["val"], "evaluation_limit": 6}
FIELDS: dict[str, Any] = {"name": "tiny", "data": DATA, "epochs": 1, "batch_size": 4, "seed": 2}


def recipe(**changes: Any) -> TrainingRecipe:
    return check_recipe(FIELDS | changes, "tiny")


def weights_with(share: float, tmp_path: Path) -> tuple[dict[str, torch.Tensor], Path]:
    def change(split: str, data: Dataset) -> Dataset:
        file = tmp_path / f"{split}-{share}.npy"
        np.save(file, np.random.default_rng(0).random((len(data.ids), 32, 32), dtype=np.float32))
        return Degraded(data, file, "of the seed", Replacement(share, "most", "mean", (0.5, 0.4, 0.3)))

    path = train(recipe(), out=tmp_path / f"{share}", device="cpu", change_data=change)
    return load_file(path), path.with_suffix(".json")


def test_without_a_replaced_pixel_the_weights_are_those_of_the_recipe(tmp_path: Path) -> None:
    plain = load_file(train(recipe(), out=tmp_path / "plain", device="cpu"))
    found, _ = weights_with(0.0, tmp_path)
    assert all(torch.equal(plain[name], own) for name, own in found.items())
    other, _ = weights_with(50.0, tmp_path)
    assert not all(torch.equal(plain[name], own) for name, own in other.items())


def test_with_all_pixels_replaced_the_network_predicts_one_class(tmp_path: Path) -> None:
    found = roar(recipe(), out=tmp_path, explainers="random", shares=(100,), seeds=1, device="cpu")
    counts = Counter(shortcuts(size=32, split="val", count=6).labels)
    of_one_class = {0, *counts.values()}
    assert {row["mode"] for row in found} == {"base", "roar", "kar", "masks"}
    assert all(round(row["accuracy"] * 6 / 100, 6) in of_one_class for row in found if row["mode"] != "base")


def test_rows_are_kept_and_a_repeated_call_trains_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    how: dict[str, Any] = {"out": tmp_path, "explainers": "gradcam", "shares": (40,), "modes": ("roar",), "device": "cpu"}
    rows = roar(recipe(), seeds=1, **how)
    assert [(row["mode"], row["explainer"], row["share"], row["seed"]) for row in rows] == [
        ("base", "none", 0, 2),
        ("masks", "gradcam", 40, 2),
        ("roar", "gradcam", 40, 2),
    ]
    stored = pd.read_csv(tmp_path / "roar.csv")
    np.testing.assert_allclose(stored["accuracy"], [row["accuracy"] for row in rows], rtol=1e-5)
    assert [file.parent.name for file in tmp_path.glob("*/*.safetensors")] == ["base-seed2"]
    trained = list[str]()
    monkeypatch.setattr(module, "train", lambda plan, out, **_: trained.append(Path(out).name) or train(plan, out=out, **_))
    assert roar(recipe(), seeds=1, **how) == rows
    assert trained == []
    roar(recipe(), seeds=1, **how | {"fill": "noisy linear"})
    assert [name.partition("-")[0] for name in trained] == ["masks", "roar"]  # whole images have no fill
    trained.clear()
    roar(recipe(), seeds=1, **how | {"elements": "values"})
    assert [name.partition("-")[0] for name in trained] == ["masks", "roar"]


def test_fingerprints_of_data_and_maps_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked, hashed = Counter[str](), list[str]()
    fingerprint, digest = Shortcuts.fingerprint, hashlib.file_digest
    monkeypatch.setattr(Shortcuts, "fingerprint", lambda own: asked.update([own.split]) or fingerprint(own))
    monkeypatch.setattr(hashlib, "file_digest", lambda file, kind: hashed.append(file.name) or digest(file, kind))
    how: dict[str, Any] = {"out": tmp_path, "explainers": "edges,random", "shares": (20, 40), "modes": ("roar",), "device": "cpu"}
    roar(recipe(), seeds=1, **how)
    asked.clear()  # trainings read them, too
    assert len(hashed) == len(set(hashed)) == 2 * 2  # each split of each explainer
    assert roar(recipe(), seeds=1, **how)
    assert set(asked.values()) == {1}


def test_the_plan_counts_its_trainings_and_refuses_what_is_no_roar(tmp_path: Path) -> None:
    plan = plan_roar(recipe(), explainers="gradcam,random", shares=(10, 90), seeds=3)
    kinds = Counter(own.mode for own in plan.trainings())
    assert kinds == {"base": 3, "masks": 4, "roar": 12, "kar": 12}
    assert len({own.folder for own in plan.trainings()}) == 31
    for changes, asked, message in (
        ({"init": "shortcuts-ce"}, {}, "ROAR trains each network from random weights; remove init"),
        ({}, {"shares": (0,)}, "expected different percentages above 0"),
        ({}, {"shares": (10, 10)}, "expected different percentages"),
        ({}, {"explainers": "none"}, "name at least one explainer"),
        ({}, {"fill": "blur"}, "no fill 'blur'; known: mean"),
        ({}, {"elements": "channels"}, "no elements 'channels'; known: pixels"),
    ):
        with pytest.raises(UsageError, match=message):
            plan_roar(recipe(**changes), **asked)


def test_the_command_prints_a_table_or_its_plan(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "tiny.yaml"
    file.write_text("name: tiny\ndata: {dataset: shortcuts(size=32), limit: 8, evaluation_limit: 4}\nepochs: 1\nbatch_size: 4\n")
    words = ["roar", "--recipe", str(file), "--explainers", "edges", "--shares", "50", "--seeds", "1", "--device", "cpu"]
    assert run_cli([*words, "--dry-run"]) == 0
    assert "4 trainings of 1 epochs" in capsys.readouterr().out
    assert run_cli([*words, "--mode", "kar", "--out", str(tmp_path / "out"), "--quiet"]) == 0
    assert "\nkar:   without the least relevant pixels; higher is better\n" in capsys.readouterr().out
    assert run_cli([*words, "--shares", "half"]) == 2
    assert "expected percentages between commas" in capsys.readouterr().err
