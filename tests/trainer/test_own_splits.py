"""A user's data in recipes: tables and references yield the weights of the registered data set with the same images."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.errors import UsageError
from camdbench.core.registries import datasets
from camdbench.datasets.on_disk import OnDisk
from camdbench.trainer.in_memory_split import open_split, open_splits
from camdbench.trainer.own_splits import is_read_from_files
from camdbench.trainer.recipe import TrainingRecipe, check_recipe, read_recipe

SPEC = "shortcuts(size=32, classes=3)"
CODE = """
import camdbench, numpy as np
from pathlib import Path

def photos(split):
    found = np.load(Path(__file__).parent / f"{split}.npz")
    return camdbench.data((found["pixels"], found["labels"].tolist()), masks=found["masks"], preprocess="keep")
"""


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """The images of `shortcuts` as pictures with a table per split, and as arrays."""
    folder = tmp_path / "own"
    for split, count in (("train", 8), ("val", 4)):
        (folder / split).mkdir(parents=True)
        data, lines = open_split(datasets.parse_one(SPEC), split, count), ["image,label,mask"]
        pixels, masks = list[Any](), list[Any]()
        for index in range(count):
            sample = data[index]
            assert sample.mask is not None
            pixels.append((sample.image * 255).round().byte().permute(1, 2, 0).numpy())
            masks.append(sample.mask.numpy())
            Image.fromarray(pixels[-1]).save(folder / split / f"{index}.png")
            Image.fromarray(masks[-1]).save(folder / split / f"{index}-mask.png")
            lines.append(f"{split}/{index}.png,{sample.label},{split}/{index}-mask.png")
        (folder / f"{split}.csv").write_text("\n".join(lines))
        np.savez(folder / f"{split}.npz", pixels=np.stack(pixels), labels=data.labels, masks=np.stack(masks))
    (folder / "photos.py").write_text(CODE)
    return folder


def recipe(dataset: str = SPEC, **more: Any) -> TrainingRecipe:
    data = {"dataset": dataset, **({"limit": 8, "evaluation_limit": 4} if dataset == SPEC else {}), **more}
    return check_recipe({"name": "tiny", "data": data, "epochs": 1, "batch_size": 4, "loss": "energy"}, "tiny")


def test_tables_and_references_yield_the_weights_of_the_same_registered_images(tmp_path: Path, own: Path):
    expected = load_file(camdbench.train(recipe(), out=tmp_path / "0", device="cpu"))
    scores = json.loads((tmp_path / "0" / "tiny.json").read_text())["metrics"]
    forms = ['{split}.csv(preprocess="keep")', 'photos.py:photos(split="{split}")']
    for number, form in enumerate(forms):
        plan = own / f"recipe{number}.yaml"
        plan.write_text(json.dumps(recipe(form).model_dump(mode="json")))
        out = tmp_path / f"of-{number}"
        assert run_cli(["train", "--recipe", str(plan), "--out", str(out), "--device", "cpu", "-q", "--preview-images", "0"]) == 0
        found = load_file(out / "tiny.safetensors")
        assert all(torch.equal(found[name], weights) for name, weights in expected.items()), form
        facts = json.loads((out / "tiny.json").read_text())
        assert (facts["metrics"], facts["classes"]) == (scores, ["0", "1", "2"])
        opened = open_splits(read_recipe(plan).data, ["val"], None)
        assert is_read_from_files(form, opened["train"]) == (number == 0)


def test_a_split_without_some_classes_has_the_indices_of_the_training_split(own: Path):
    for split, names in (("train", "cab" * 2 + "cc"), ("val", "ccbb")):
        lines = [f"{split}/{index}.png,{name}" for index, name in enumerate(names)]
        (own / f"{split}.csv").write_text("\n".join(["image,label", *lines]))
    text = f"{own}/{{split}}.csv(size=32)"
    opened = open_splits(recipe(text, limit=7).data, ["val"], None)
    assert (list(opened["val"].labels), list(opened["val"].classes), opened["val"][0].label) == ([2, 2, 1, 1], ["a", "b", "c"], 2)
    assert (len(opened["train"].ids), isinstance(opened["train"], OnDisk), is_read_from_files(text, opened["train"])) == (7, False, True)
    (own / "val.csv").write_text("image,label\nval/0.png,d")
    with pytest.raises(UsageError, match=r"split val: 1 class name of the data is not among the network's 3 \(first: 'd'\)"):
        open_splits(recipe(text).data, ["val"], None)
    (own / "val.csv").write_text((own / "train.csv").read_text())
    with pytest.raises(UsageError, match="splits train and val hold the same images"):
        open_splits(recipe(text).data, ["val"], None)


def test_a_probe_takes_a_table_with_masks(tmp_path: Path, own: Path, capsys: pytest.CaptureFixture[str]):
    from camdbench.trainer.probe import probe
    from camdbench.trainer.probe_recipe import read_probe

    plan = own / "probe.yaml"
    scores = list[Any]()
    for form in (SPEC, '{split}.csv(preprocess="keep")'):
        data = recipe(form).data.model_dump(include={"dataset", "limit", "evaluation_limit"})
        plan.write_text(json.dumps({"name": "p", "model": "shortcuts-ce", "data": data, "epochs": 1, "batch_size": 4}))
        scores.append(probe(read_probe(plan), out=tmp_path / f"{len(scores)}", device="cpu").scores["val"])
    assert (scores[0].miou, scores[0].accuracy) == (scores[1].miou, scores[1].accuracy)
    for split in ("train", "val"):
        (own / f"{split}.csv").write_text("\n".join(f"{split}/{index}.png,{index % 3}" for index in range(4)).join(["image,label\n", ""]))
    assert run_cli(["probe", "--recipe", str(plan), "--out", str(tmp_path / "none"), "--device", "cpu"]) == 2
    assert "has no masks of split train" in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("dataset", "message"),
    [
        ("photos.csv", "the same images for every split; write {split} where its name goes, as in photos-{split}.csv"),
        ("own.py:f", "the same images for every split"),
        ("gone-{split}.csv", "gone-train.csv: no such file"),
        ("{own}/{split}.csv(side=3)", "no option 'side'"),
        ('{own}/{split}.csv(preprocess="model")', "preprocess=model: a network in training states no preprocessing"),
        ("{own}/photos.py:none(split='{split}')", "no such name; the file defines photos"),
    ],
)
def test_wrong_data_are_one_line(own: Path, dataset: str, message: str):
    with pytest.raises(UsageError) as refused:
        open_splits(recipe(dataset.replace("{own}", str(own))).data, ["val"], None)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)
    with pytest.raises(UsageError, match="states its own paths; remove --data-root"):
        open_splits(recipe("a-{split}.csv").data, ["val"], own)
