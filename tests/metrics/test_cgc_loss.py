"""The CGC loss against its sum written out with torchvision's crops, and at its golden values."""

from __future__ import annotations

import math

import pytest
import torch
from helpers.metric_inputs import inputs_of, measure, measured
from helpers.toys import SIZE, ToyData, reordered, toy_batch, toy_classifier
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.functional import hflip, resized_crop

from camdbench.core.registries import metrics
from camdbench.core.spec import Spec
from camdbench.datasets.samples import Batch
from camdbench.functional.crops import Crop, draw_crop
from camdbench.functional.seeding import generator_for
from camdbench.models.classifier import Classifier
from camdbench.runner.resources import ReferenceImages
from camdbench.runner.scoring import score_batch

TAU, NEGATIVES = 0.5, 3


def cropped(images: Tensor, crop: Crop) -> Tensor:
    found = resized_crop(images, crop.top, crop.left, crop.height, crop.width, list(SIZE), antialias=False)
    return hflip(found) if crop.flipped else found


@pytest.mark.parametrize("protocol", ["paper", "release"])
def test_it_is_the_sum_written_out(classifier: Classifier, protocol: str) -> None:
    """Six images are there to compare with; the first three of them are scored, and a stranger."""
    others = toy_batch(NEGATIVES + 1 + 2)
    batch = reordered(toy_batch(7), [0, 1, 2, 6])
    with classifier.frozen():
        found = measure(inputs_of(classifier, batch, others=others), f"cgc_loss(protocol={protocol}, negatives={NEGATIVES})")
        maps = {name: crop_and_map(classifier, others, index) for index, name in enumerate(others.ids)}
        for index, name in enumerate(batch.ids):
            moved, seen = crop_and_map(classifier, batch, index)
            wrong = [maps[other][1] for other in others.ids[: NEGATIVES + 1] if other != name][:NEGATIVES]
            anchor, right = (moved, seen) if protocol == "paper" else (seen, moved)
            sims = [cosine(anchor, other) for other in [right, *wrong]]
            expected = -math.log(math.exp(sims[0] / TAU) / sum(math.exp(sim / TAU) for sim in sims))
            assert found.values[index].item() == pytest.approx(expected, abs=1e-4)


def crop_and_map(classifier: Classifier, batch: Batch, index: int) -> tuple[Tensor, Tensor]:
    """The crop of an image's map, and the map of its crop."""
    alone = inputs_of(classifier, batch.part(index, index + 1))
    crop = draw_crop(SIZE, generator_for(0, batch.ids[index], "cgc_loss"))
    own, seen = (
        interpolate(raw.relu()[None], SIZE, mode="bilinear", align_corners=False)[0]
        for raw in (alone.raw, alone.explain(cropped(alone.images, crop)).raw)
    )
    return cropped(own, crop), seen


def cosine(first: Tensor, second: Tensor) -> float:
    a, b = first.flatten().double(), second.flatten().double()
    return ((a @ b) / (a.norm() * b.norm()).clamp(min=1e-30)).item()


def test_equal_maps_are_told_by_chance() -> None:
    def same(images: Tensor, targets: Tensor, classifier: Classifier) -> Tensor:
        return torch.full((len(images), *SIZE), 0.3)

    assert measured(toy_classifier(), toy_batch(32), "cgc_loss", same).values.tolist() == pytest.approx([math.log(32)] * 32, abs=1e-6)


def test_a_map_that_follows_every_crop_is_told_better_than_one_that_follows_none() -> None:
    def bright(images: Tensor, targets: Tensor, classifier: Classifier) -> Tensor:
        return images[:, 0] - 0.3

    batch = toy_batch(32, size=(48, 48))
    batch.images.mul_(0).add_(0.2)
    for index in range(32):  # everybody looks elsewhere
        top, left = 6 * (index // 8), 6 * (index % 8)
        batch.images[index, :, top : top + 24, left : left + 6] = 1
    follows = measured(toy_classifier(), batch, "cgc_loss", bright).values
    stays = measured(toy_classifier(), batch, "cgc_loss", "centre").values
    known = follows.isfinite()
    assert known.sum() > 16
    assert follows[known].mean() < 2.9
    assert stays.tolist() == pytest.approx([math.log(32)] * 32)
    assert (follows[known] > math.log(1 + 31 * math.exp(-2))).all()  # the floor


def test_no_negatives_leave_nothing_to_tell_apart() -> None:
    assert measured(toy_classifier(), toy_batch(), "cgc_loss(negatives=0)").values.tolist() == [0, 0, 0, 0]


def test_another_seed_draws_other_crops() -> None:
    classifier = toy_classifier()
    with classifier.frozen():
        values = [measure(inputs_of(classifier, toy_batch(), seed=seed), "cgc_loss(negatives=3)").values for seed in (0, 0, 1)]
    assert torch.equal(values[0], values[1])
    assert not torch.isclose(values[0], values[2]).any()


def test_a_map_without_positive_values_is_undefined() -> None:
    def negative(images: Tensor, targets: Tensor, classifier: Classifier) -> Tensor:
        return -images.mean(1) * (targets == 1)[:, None, None] + images.mean(1) * (targets == 2)[:, None, None]

    found = measured(toy_classifier(), toy_batch(), "cgc_loss(negatives=3)", negative)
    assert found.undefined.tolist() == [True, True, False, True]
    assert found.values.isnan().tolist() == [True, True, False, True]


def test_the_mask_may_be_compared_instead_of_the_rectified_map() -> None:
    rectified = measured(toy_classifier(), toy_batch(), "cgc_loss(negatives=3)", "gradcam(relu=False)").values
    masks = measured(toy_classifier(), toy_batch(), 'cgc_loss(negatives=3, maps="default")', "gradcam(relu=False)").values
    assert not torch.isclose(rectified, masks).all()


def test_it_explains_one_crop_of_each_image_and_the_others_once_in_a_run() -> None:
    classifier, data = toy_classifier(), ToyData(toy_batch(8))
    others = ReferenceImages(data, seed=0, target="label")
    spec, counts = metrics.parse_one("cgc_loss(negatives=3)"), list[int]()
    with classifier.frozen():
        for start in (0, 4):
            before = classifier.passes.forward
            next(
                score_batch(classifier, data.batch.part(start, start + 4), [Spec("gradcam")], [spec], target="label", seed=0, others=others)
            )
            counts.append(classifier.passes.forward - before)
    assert counts == [4 + 4 + 2 * 4, 4 + 4]  # the others as they are, too, for their classes


def test_too_few_other_images_are_said() -> None:
    classifier, data = toy_classifier(), ToyData(toy_batch(8))
    with classifier.frozen():
        for others, reason in (
            (ReferenceImages(data, seed=0, target="label"), "compares with 31 other images, and the data set has 8 in all"),
            (None, "there is no data set"),
        ):
            spec = metrics.parse_one("cgc_loss")
            found = next(score_batch(classifier, data.batch, [Spec("gradcam")], [spec], target="label", seed=0, others=others))
            (scores,) = found.scores.values()
            assert set(scores.status) == {"not_applicable"}
            assert reason in scores.reasons[0]
