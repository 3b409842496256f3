"""The embedded data set: exact annotations, independent draws, and backgrounds that follow the split."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.each import each
from scipy.ndimage import distance_transform_edt

import camdbench
from camdbench.core.errors import UsageError
from camdbench.core.registries import datasets
from camdbench.datasets.shortcuts.dataset import Shortcuts, shortcuts
from camdbench.datasets.shortcuts.drawing import render
from camdbench.datasets.shortcuts.shapes import SHAPES, coverage, draw_pose, outline, place
from camdbench.datasets.shortcuts.textures import TEXTURES, Surface, paint

Make = Callable[..., Shortcuts]
SPLITS = ("train", "val", "shifted", "conflict", "balanced")
THUMBNAIL = [0.683, 0.722, 0.726, 0.866, 0.734, 0.752, 0.782, 0.937, 0.742, 0.661, 0.789, 0.94]  # of val-00017, two by two pixels


@pytest.fixture
def make() -> Make:
    def opened(**options: object) -> Shortcuts:
        dataset = shortcuts(**options)  # pyright: ignore[reportArgumentType]
        assert isinstance(dataset, Shortcuts)
        return dataset

    return opened


def _inside(points: np.ndarray, size: int) -> np.ndarray:
    """Whether each pixel's centre is inside a polygon, by counting the edges that a ray to the right meets."""
    y, x = (np.mgrid[:size, :size] + 0.5) / size
    inside = np.zeros((size, size), bool)
    for (x0, y0), (x1, y1) in zip(points, np.roll(points, -1, 0), strict=True):
        if y0 != y1:
            inside ^= ((y0 <= y) != (y1 <= y)) & (x < x0 + (y - y0) * (x1 - x0) / (y1 - y0))
    return inside


class TestShapes:
    @each("shape", SHAPES)
    def test_coverage_adds_up_to_the_area(self, shape: str) -> None:
        points = outline(shape) * 0.5 + 0.5  # unit area, so a quarter of the image
        assert coverage(points, 96).mean() == pytest.approx(0.25, abs=1e-3)

    @each("shape", SHAPES)
    def test_coverage_is_that_of_a_finer_grid(self, shape: str) -> None:
        points = place(shape, draw_pose(np.random.default_rng(3)))
        fine = _inside(points, 48 * 16).reshape(48, 16, 48, 16).mean((1, 3))
        assert np.abs(coverage(points, 48) - fine).max() < 0.1

    @each("shape", SHAPES)
    def test_objects_lie_wholly_inside_the_image(self, shape: str) -> None:
        random = np.random.default_rng(0)
        placed = np.stack([place(shape, draw_pose(random)) for _ in range(100)])
        assert placed.min() > 0
        assert placed.max() < 1

    def test_the_area_of_every_shape_varies(self) -> None:
        random = np.random.default_rng(0)
        for shape in SHAPES:
            areas = [coverage(place(shape, draw_pose(random)), 32).mean() for _ in range(60)]
            assert min(areas) < 0.1
            assert max(areas) > 0.2, shape

    def test_shapes_differ(self) -> None:
        masks = [coverage(outline(shape) * 0.5 + 0.5, 32) >= 0.5 for shape in SHAPES]
        for k, first in enumerate(masks):
            for second in masks[:k]:
                assert (first != second).mean() > 0.015


class TestTextures:
    @each("kind", TEXTURES)
    def test_the_same_scene_at_every_size(self, kind: str) -> None:
        small = paint(kind, Surface(48, np.random.default_rng(5)))
        large = paint(kind, Surface(192, np.random.default_rng(5))).reshape(48, 4, 48, 4, 3).mean((1, 3))
        assert np.corrcoef(small.ravel(), large.ravel())[0, 1] > 0.8

    @each("kind", TEXTURES)
    def test_colours_are_in_range(self, kind: str) -> None:
        colours = paint(kind, Surface(64, np.random.default_rng(1)))
        assert colours.min() >= 0
        assert colours.max() <= 1.2
        assert colours.std() > 0.02


class TestSamples:
    @pytest.mark.parametrize("size", [32, 96, 224])
    def test_box_is_the_tight_box_of_the_mask(self, make: Make, size: int) -> None:
        for index in range(8):
            sample = make(size=size)[index]
            assert sample.mask is not None
            assert sample.boxes is not None
            assert sample.image.shape == (3, size, size)
            assert sample.mask.shape == (size, size)
            left, top, right, bottom = (int(edge) for edge in sample.boxes[0])
            assert sample.mask[top:bottom, left:right].sum() == sample.mask.sum()
            assert sample.mask[top:bottom, left].any()
            assert sample.mask[top:bottom, right - 1].any()
            assert sample.mask[top, left:right].any()
            assert sample.mask[bottom - 1, left:right].any()

    def test_images_are_bytes_over_255_in_float(self, make: Make) -> None:
        image = make()[3].image
        assert image.dtype == torch.float32
        assert 0 <= float(image.min()) < float(image.max()) <= 1
        assert torch.allclose(image * 255, (image * 255).round(), atol=1e-4)

    def test_the_object_takes_4_to_35_per_cent(self, make: Make) -> None:
        dataset = make(split="shifted")
        shares = [float(dataset.picture(index).mask.mean()) for index in range(200)]
        assert 0.04 <= min(shares) < 0.08
        assert 0.25 < max(shares) <= 0.35

    @pytest.mark.parametrize("seed", range(4))
    def test_the_object_is_the_same_to_the_pixel_on_every_background(self, seed: int) -> None:
        """So its colour and texture cannot tell the background, nor the class."""
        first, second = (render("disc", kind, size=96, random=np.random.default_rng(seed)) for kind in ("brick", "water"))
        assert np.array_equal(first.mask, second.mask)
        inside = distance_transform_edt(first.mask) > 1.5
        assert np.array_equal(first.image[inside], second.image[inside])
        assert (first.image != second.image)[~first.mask].mean() > 0.5

    @pytest.mark.parametrize("seed", range(4))
    def test_the_mask_is_where_the_object_is(self, seed: int) -> None:
        """Another shape from the same draws changes the picture at the two objects, with their shadows, and nowhere else."""
        first, second = (render(shape, "brick", size=96, random=np.random.default_rng(seed)) for shape in ("star", "disc"))
        changed = (np.abs(first.image.astype(int) - second.image) > 2).any(2)
        assert changed[first.mask ^ second.mask].mean() > 0.9
        assert not changed[distance_transform_edt(~(first.mask | second.mask)) > 16].any()

    def test_object_and_background_differ_in_brightness(self, make: Make) -> None:
        dataset = make(split="shifted")
        weights = np.array([0.299, 0.587, 0.114]) / 255
        gaps = []
        for index in range(40):
            image, mask = dataset.picture(index)
            light = image @ weights
            gaps.append(abs(light[mask].mean() - light[~mask].mean()))
        assert min(gaps) > 0.08

    def test_a_known_picture(self, make: Make) -> None:
        """Held to a thumbnail instead of a hash: the last bit may differ between machines."""
        sample = make()[17]
        assert (sample.id, sample.label, sample.background) == ("val-00017", 3, 3)
        assert sample.boxes is not None
        assert sample.boxes[0].tolist() == [56, 12, 91, 48]
        thumbnail = torch.nn.functional.adaptive_avg_pool2d(sample.image, 2).flatten()
        assert thumbnail.tolist() == pytest.approx(THUMBNAIL, abs=3e-3)


class TestIndependence:
    def test_an_image_does_not_depend_on_what_was_drawn_before(self, make: Make) -> None:
        forwards = [make(count=6)[index] for index in range(6)]
        np.random.seed(1)  # noqa: NPY002 - the global state must not matter
        torch.manual_seed(1)
        dataset = make(count=500)
        for index in (5, 2, 2, 0):
            sample, other = dataset[index], forwards[index]
            assert torch.equal(sample.image, other.image)
            assert (sample.id, sample.label, sample.background) == (other.id, other.label, other.background)

    def test_nothing_touches_the_global_generators(self, make: Make) -> None:
        before = torch.get_rng_state(), repr(np.random.get_state())  # noqa: NPY002
        _ = make()[0]
        assert torch.equal(before[0], torch.get_rng_state())
        assert before[1] == repr(np.random.get_state())  # noqa: NPY002

    @pytest.mark.parametrize("other", [{"seed": 1}, {"split": "shifted"}, {"split": "train"}])
    def test_seed_and_split_change_the_draw(self, make: Make, other: dict[str, object]) -> None:
        assert not torch.equal(make()[0].image, make(**other)[0].image)

    def test_ids_name_split_and_index(self, make: Make) -> None:
        assert make().ids[17] == "val-00017"
        assert [len(make(split=split)) for split in SPLITS] == [5000, 1000, 1000, 1000, 1000]

    @pytest.mark.parametrize("index", [-1, 5])
    def test_there_is_no_image_outside(self, make: Make, index: int) -> None:
        with pytest.raises(IndexError, match="0 to 4"):
            _ = make(count=5)[index]

    def test_it_can_be_iterated(self, make: Make) -> None:
        assert [sample.id for sample in make(count=3)] == ["val-00000", "val-00001", "val-00002"]


class TestSplits:
    def test_labels_are_balanced_and_shuffled(self, make: Make) -> None:
        labels = np.array(make().labels)
        assert np.bincount(labels).tolist() == [125] * 8
        assert labels[:8].tolist() != labels[8:16].tolist()

    def test_labels_do_not_depend_on_the_count(self, make: Make) -> None:
        assert make(count=13).labels == make(count=100).labels[:13]

    @pytest.mark.parametrize(
        ("split", "share"),
        [("train", 0.9), ("val", 0.9), ("shifted", 0.125), ("conflict", 0.0), ("balanced", 0.5)],
    )
    def test_how_often_the_background_is_the_class_s_own(self, make: Make, split: str, share: float) -> None:
        dataset = make(split=split, count=2000)
        backgrounds = np.array([dataset.background(index) for index in range(2000)])
        labels = np.array(dataset.labels)
        assert (backgrounds == labels).mean() == pytest.approx(share, abs=0.025)
        others = np.bincount((backgrounds - labels)[backgrounds != labels] % 8, minlength=8)[1:]
        assert others == pytest.approx(np.full(7, others.mean()), abs=5 * np.sqrt(others.mean()) + 1)

    @pytest.mark.parametrize("correlation", [0.0, 1.0])
    def test_the_extremes_of_the_correlation_hold_exactly(self, make: Make, correlation: float) -> None:
        dataset = make(correlation=correlation, count=100)
        assert {dataset.background(index) == dataset.labels[index] for index in range(100)} == {bool(correlation)}

    def test_two_classes_use_two_backgrounds(self, make: Make) -> None:
        dataset = make(classes=2, split="conflict", count=50)
        assert len(dataset.classes) == len(dataset.backgrounds) == 2
        assert all(dataset.background(index) == 1 - dataset.labels[index] for index in range(50))

    @pytest.mark.parametrize("classes", [2, 3, 8])
    def test_half_of_balanced_is_congruent_once_a_class_in_every_pair_of_blocks(self, make: Make, classes: int) -> None:
        dataset = make(split="balanced", classes=classes, count=20 * classes)
        labels = np.array(dataset.labels).reshape(10, 2 * classes)
        congruent = np.array([dataset.background(index) for index in range(20 * classes)]).reshape(labels.shape) == labels
        assert all(sorted(own[half]) == list(range(classes)) for own, half in zip(labels, congruent, strict=True))
        assert (congruent[:, :classes].sum(1) == classes // 2).all()
        assert len({tuple(sorted(own[:classes][half[:classes]])) for own, half in zip(labels, congruent, strict=True)}) > 1
        assert [make(split="balanced", classes=classes, count=5).background(index) for index in range(5)] == [
            dataset.background(index) for index in range(5)
        ]


class TestLabel:
    def test_the_background_as_label_leaves_the_pictures_alone(self, make: Make) -> None:
        shapes, backgrounds = (make(split="shifted", count=16, size=32, label=label) for label in ("shape", "background"))
        assert backgrounds.classes == shapes.backgrounds == TEXTURES
        assert list(backgrounds.labels) == [shapes.background(index) for index in range(16)] != list(shapes.labels)
        assert backgrounds.shapes == shapes.labels
        for index in range(16):
            one, other = shapes[index], backgrounds[index]
            assert torch.equal(one.image, other.image)
            assert (one.id, one.background, other.label) == (other.id, other.background, one.background)

    def test_a_network_of_backgrounds_meets_shapes_by_index(self, make: Make, tmp_path: Path) -> None:
        """Class k of the network is texture k; label k of the data is shape k, whose associated background is texture k."""
        network = camdbench.load_classifier("shortcuts-ce")
        network.class_names = TEXTURES
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            for label in ("shape", "background"):
                data, out = f'shortcuts(label="{label}")', tmp_path / label
                camdbench.run(models=network, dataset=data, split="conflict", limit=4, explainers="centre", metrics="accuracy", out=out)
                rows = camdbench.load_rows(out)
                labels = list(make(split="conflict", label=label).labels[:4])
                assert rows.drop_duplicates("image")["target"].tolist() == labels


class TestFingerprint:
    def test_equal_options_have_equal_fingerprints(self, make: Make) -> None:
        assert make().fingerprint() == make().fingerprint()

    @pytest.mark.parametrize(
        "other",
        [{"seed": 1}, {"size": 64}, {"correlation": 0.5}, {"count": 10}, {"classes": 3}, {"split": "train"}, {"label": "background"}],
        ids=str,
    )
    def test_it_changes_with_every_option(self, make: Make, other: dict[str, object]) -> None:
        assert make().fingerprint() != make(**other).fingerprint()


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"classes": 9}, "classes=9"),
            ({"classes": 1}, "classes=1"),
            ({"correlation": 1.1}, "correlation=1.1"),
            ({"correlation": float("nan")}, "correlation=nan"),
            ({"size": 16}, "size=16"),
            ({"size": 5000}, "size=5000"),
            ({"count": 0}, "count=0"),
            ({"seed": -1}, "seed=-1"),
            ({"split": "test"}, "split='test'"),
            ({"label": "texture"}, "label='texture'"),
        ],
        ids=str,
    )
    def test_bad_options_are_refused_in_one_line(self, make: Make, options: dict[str, object], words: str) -> None:
        with pytest.raises(UsageError) as caught:
            make(**options)
        assert words in str(caught.value)
        assert "\n" not in str(caught.value)

    def test_the_registry_knows_it(self) -> None:
        entry = datasets.get("shortcuts")
        assert entry.facts.splits == SPLITS
        assert entry.facts.gives == ("boxes", "masks", "backgrounds", "scenes")
        assert datasets.load("shortcuts") is shortcuts
        assert datasets.parse_one("shortcuts(size=64)").arguments == {"size": 64}
        assert {option.name: option.default for option in entry.options}["correlation"] == 0.9
