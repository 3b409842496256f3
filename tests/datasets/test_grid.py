"""Mosaics: distinct classes, each image once, cells where the annotations say, a filter that is recorded, errors instead of loops."""

from __future__ import annotations

import json
import pickle
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import dataset_layouts as fixtures
from helpers.each import each
from torch import Tensor
from torch.nn.functional import interpolate

import camdbench
from camdbench.core.errors import CamdbenchWarning, SampleError, UsageError
from camdbench.core.registries import dataset_facts, datasets
from camdbench.datasets.class_order import InNetworkOrder
from camdbench.datasets.grid import Grid, grid
from camdbench.datasets.mosaic_draws import candidates, draw, filtered_pools
from camdbench.datasets.open_dataset import available_annotations, check_dataset, open_dataset
from camdbench.datasets.samples import Batch
from camdbench.datasets.shortcuts.dataset import Shortcuts, shortcuts
from camdbench.trainer.recipe_fields import Splits


def few(count: int = 40, size: int = 32, **options: object) -> Shortcuts:
    return shortcuts(count=count, size=size, **options)


class Model:
    """Certain of the label of images whose mean brightness is above a threshold, else nearly so."""

    class_names, device = (), torch.device("cpu")

    def __init__(self, data: Shortcuts, threshold: float) -> None:
        self.labels = {data[index].image.sum().item(): label for index, label in enumerate(data.labels)}
        self.threshold, self.seen = threshold, 0

    def __call__(self, images: Tensor) -> Tensor:
        self.seen += len(images)
        logits = torch.zeros(len(images), 8)
        for row, image in zip(logits, images, strict=True):
            row[self.labels[image.sum().item()]] = 20 if image.mean() > self.threshold else 5  # p = 0.955
        return logits

    def weights_hash(self) -> str:
        return "abc"


class TwoClasses(Model):
    """A model of too few classes."""

    def __call__(self, images: Tensor) -> Tensor:
        return torch.zeros(len(images), 2)


class TestMosaics:
    @pytest.mark.parametrize("images", [10, 4])
    def test_classes_are_distinct_and_no_image_stands_twice(self, images: int) -> None:
        data = few()
        found = grid(data, confidence=0.0, images=images)
        assert len(found) == images
        positions = [position for mosaic in found.mosaics for position in mosaic.positions]
        assert len(set(positions)) == len(positions) == 4 * images
        for index, mosaic in enumerate(found.mosaics):
            classes = [data.labels[position] for position in mosaic.positions]
            assert len(set(classes)) == 4
            assert found.labels[index] == classes[mosaic.drawn]
            assert found.ids[index] == "+".join(data.ids[position] for position in mosaic.positions)
        assert len({mosaic.drawn for mosaic in found.mosaics}) > 1
        used = Counter(data.labels[position] for position in positions)
        assert max(used.values()) - min(used[label] for label in range(8)) <= 1

    @pytest.mark.parametrize("cell", ["full", "shrunk"])
    def test_cells_are_the_images_and_annotations_their_places(self, cell: str) -> None:
        data = few(size=33)
        found = grid(data, cell=cell, confidence=0.0, images=6)
        edges = [0, 33, 66] if cell == "full" else [0, 16, 33]
        for index in range(3):
            sample, mosaic = found[index], found.mosaics[index]
            assert sample.image.shape == (3, edges[2], edges[2])
            for place, position in enumerate(mosaic.positions):
                rows, columns = (slice(edges[own], edges[own + 1]) for own in divmod(place, 2))
                own = data[position].image
                if cell == "shrunk":
                    own = interpolate(own[None], sample.image[:, rows, columns].shape[1:], mode="bilinear", antialias=True)[0].clamp(0, 1)
                assert torch.equal(sample.image[:, rows, columns], own)
                expected = torch.zeros(sample.image.shape[1:], dtype=torch.bool)
                expected[rows, columns] = True
                assert torch.equal(sample.class_masks[data.labels[position]], expected)
                if place == mosaic.drawn:
                    assert torch.equal(sample.mask, expected)
                    assert sample.boxes.tolist() == [[columns.start, rows.start, columns.stop, rows.stop]]
            assert sample.cells == tuple(data.labels[position] for position in mosaic.positions)
            assert sorted(sample.present.nonzero().flatten().tolist()) == sorted(sample.cells)
            assert sample.class_masks.any((1, 2)).sum() == 4

    def test_focus_has_two_cells_of_the_label_and_two_others(self) -> None:
        data = few()
        found = grid(data, mosaic="focus", confidence=0.0, images=8)
        for index in range(8):
            sample = found[index]
            assert sorted(Counter(sample.cells).values()) == [1, 1, 2]
            assert sample.cells.count(sample.label) == 2
            assert len(sample.boxes) == 2
            assert sample.mask.double().mean() == 0.5
        with pytest.raises(UsageError, match="Focus has 2 x 2 cells"):
            grid(data, n=3, mosaic="focus", confidence=0.0)

    def test_the_seed_decides_and_processes_agree(self) -> None:
        first, again, other = (grid(few(), confidence=0.0, images=5, seed=seed) for seed in (0, 0, 1))
        assert first.mosaics == again.mosaics
        assert first.fingerprint() == again.fingerprint() == pickle.loads(pickle.dumps(first)).fingerprint()
        assert first.mosaics != other.mosaics
        assert other.fingerprint() != first.fingerprint() != grid(few(), cell="shrunk", confidence=0.0, images=5).fingerprint()

    def test_images_of_different_sizes_are_an_error_of_the_mosaic(self, tmp_path: Path) -> None:
        fixtures.folder(tmp_path)
        for number, name in enumerate(("bird", "fish")):
            fixtures.put(fixtures.scene(7 + number).picture, tmp_path / "images" / name / "a.png")
            fixtures.put(fixtures.grey(fixtures.scene(7 + number).mask), tmp_path / "masks" / name / "a.png")
        for how in ("keep", "resize256_crop224"):
            spec, split = check_dataset(f'grid(folder(preprocess="{how}", size=32), confidence=0.0)', None, tmp_path)
            data = open_dataset(spec, split, tmp_path)
            if how == "keep":
                with pytest.raises(SampleError, match="choose a preprocess that crops to one size"):
                    data[0]
            else:
                assert data[0].image.shape == (3, 64, 64)

    def test_classes_of_cells_follow_the_network_and_the_flip(self) -> None:
        data = grid(few(classes=4), confidence=0.0, images=2)
        order = InNetworkOrder(data, (3, 2, 1, 0), ("a", "b", "c", "d"))
        assert order[0].cells == tuple(3 - label for label in data[0].cells)
        batch = Batch.of([data[0], data[1]])
        assert batch.part(1, 2).cells.tolist() == [list(data[1].cells)]
        flipped = batch.mirrored()
        for row, (a, b, c, d) in zip(flipped.cells.tolist(), batch.cells.tolist(), strict=True):
            assert row == [b, a, d, c]
        assert torch.equal(flipped.images[0, :, :32, :32].flip(-1), batch.images[0, :, :32, 32:])


class TestPool:
    @each("seed", range(6))
    def test_as_many_mosaics_as_any_choice_fills(self, seed: int) -> None:
        """G mosaics of m distinct classes exist if and only if the sum of min(images of a class, G) is at least m G."""
        random = np.random.default_rng(seed)
        counts, start, pool = random.integers(0, 9, 7).tolist(), 0, {}
        for label, count in enumerate(counts):
            pool[label] = list(range(start, start + count))
            start += count
        best = max(number for number in range(start + 1) if sum(min(count, number) for count in counts) >= 4 * number)
        assert len(draw(pool, (1, 1, 1, 1), None, 500, seed)) == best
        assert len(draw(pool, (1, 1, 1, 1), best + 1, 500, seed)) <= best

    def test_a_pool_that_is_too_small_is_an_error_with_the_number_that_fits(self) -> None:
        with pytest.raises(UsageError, match=r"grid\(images=11\): the 40 images fill 10 mosaics of 4 cells and 4 classes; use images=10"):
            grid(few(), confidence=0.0, images=11)
        with pytest.raises(UsageError, match=r"fill 0 mosaics of 4 cells and 4 classes; use more images"):
            grid(few(classes=3), confidence=0.0)

    def test_the_filter_keeps_confident_images_and_scores_no_more_than_it_needs(self) -> None:
        data = few(80)
        bright = sorted(data[index].image.mean().item() for index in range(80))[40]
        model = Model(data, bright)
        found = grid(data, lambda name: model, model="bright", confidence=0.99, images=2)
        assert all(data[position].image.mean() > bright for mosaic in found.mosaics for position in mosaic.positions)
        assert model.seen < 80
        assert found.filter == {"model": "bright", "weights_hash": "abc", "confidence": 0.99}
        everything = grid(data, lambda name: model, model="bright", confidence=0.95, images=20)
        assert len(everything) == 20
        with pytest.raises(UsageError, match=r"the 80 images that bright classifies with p >= 0\.99 fill"):
            grid(data, lambda name: model, model="bright", confidence=0.99, images=20)
        *_, kept = filtered_pools(data, model, 0.99, candidates(data, 0))
        assert {position for own in kept.values() for position in own} == {
            index for index in range(80) if data[index].image.mean() > bright
        }

    def test_a_model_is_named_loaded_and_has_the_classes(self) -> None:
        with pytest.warns(CamdbenchWarning, match="cells are not filtered"):
            grid(few(), images=2)
        with pytest.raises(UsageError, match="a cell that is a mosaic shows several classes"):
            grid(grid(few(), confidence=0.0, images=2), confidence=0.0)
        with pytest.raises(UsageError, match="models are not loaded here"):
            grid(few(), model="shortcuts-ce")
        with pytest.raises(UsageError, match=r"the model has 2 classes, and an image has label [2-7]"):
            grid(few(), lambda name: TwoClasses(few(), 0), model="two")


class TestNames:
    def test_split_folder_and_facts_are_those_of_the_data_set_inside(self, tmp_path: Path) -> None:
        spec, split = check_dataset('grid(shortcuts(split="conflict", size=32), confidence=0.0)', None, None)
        assert (str(spec), split) == ("grid(shortcuts(size=32), confidence=0.0)", "conflict")
        assert available_annotations(spec, split, None) == ("boxes", "masks", "mosaic")
        assert isinstance(open_dataset(spec, split, None), Grid)
        inside = datasets.parse_one("grid(imagenet)")
        assert dataset_facts(inside) == replace(dataset_facts(inside.wrapped[0]), gives=("boxes", "masks", "mosaic"), optional=())
        for text, reason in (
            ("grid", "grid takes 1 data set in its brackets, not 0"),
            ("shortcuts(imagenet)", "shortcuts takes no data sets in its brackets, not 1"),
            ("grid(imagenet)", "data set imagenet is read from disk; set --data-root"),
            ("grid(shortcut)", "shortcut"),
        ):
            with pytest.raises(UsageError, match=reason):
                check_dataset(text, None, None)

    def test_a_run_scores_mosaics_and_records_the_filter(self, tmp_path: Path) -> None:
        text = 'grid(shortcuts(count=48), model="shortcuts-ce", confidence=0.5, images=2)'
        rows = camdbench.run("gtmask,uniform", dataset=text, metrics="grid_pointing,relevance_mass", out=tmp_path / "run", device="cpu")
        for explainer, value in (("gtmask", 100), ("uniform", 25)):
            assert rows[rows["explainer"] == explainer]["value"].tolist() == pytest.approx([value] * 4)
        record = json.loads((tmp_path / "run" / "run.json").read_text())
        weights = camdbench.load_classifier("shortcuts-ce").weights_hash()
        assert record["dataset"]["filter"] == {"model": "shortcuts-ce", "weights_hash": weights, "confidence": 0.5}
        assert record["config"]["dataset"] == str(datasets.parse_one(text))

    def test_other_images_and_training_are_refused_before_any_work(self) -> None:
        with pytest.raises(UsageError, match=r"metric grid_pointing: needs mosaics of several images; give --dataset 'grid\(shortcuts\)'"):
            camdbench.run("gradcam", metrics="grid_pointing", limit=2)
        with pytest.raises((UsageError, ValueError), match="mosaics are images of metrics, not of training"):
            Splits(dataset="grid(shortcuts)")
