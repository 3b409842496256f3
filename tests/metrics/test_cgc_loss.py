"""The CGC loss against its sum written out with torchvision's crops, and at its golden values."""

from __future__ import annotations

import math

import pytest
import torch
from evidences import evidence_of, measure, measured
from torch import Tensor
from torch.nn.functional import interpolate
from torchvision.transforms.functional import hflip, resized_crop
from toys import SIZE, toy_batch, toy_classifier

from camdbench.functional.crops import Crop, draw_crop
from camdbench.functional.seeds import generator_for
from camdbench.models.classifier import Classifier

TAU, NEGATIVES = 0.5, 3


def cropped(images: Tensor, crop: Crop) -> Tensor:
    found = resized_crop(images, crop.top, crop.left, crop.height, crop.width, list(SIZE), antialias=False)
    return hflip(found) if crop.flipped else found


@pytest.mark.parametrize("protocol", ["paper", "release"])
@pytest.mark.parametrize("warped", [False, True])
def test_it_is_the_sum_written_out(classifier: Classifier, protocol: str, warped: bool) -> None:
    batch = toy_batch()
    with classifier.frozen():
        evidence = evidence_of(classifier, batch)
        found = measure(evidence, f"cgc_loss(protocol={protocol}, negatives={NEGATIVES}, warped={warped})").values.tolist()
        for index in range(4):
            alone = evidence_of(classifier, batch.part(index, index + 1))
            generator = generator_for(0, batch.ids[index], "cgc_loss")
            crops = [draw_crop(SIZE, generator) for _ in range(NEGATIVES + 1)]
            own = interpolate(alone.raw.relu()[None], SIZE, mode="bilinear", align_corners=False)[0]
            seen = [interpolate(alone.explain(cropped(alone.images, crop)).raw.relu()[None], SIZE, mode="bilinear")[0] for crop in crops]
            moved = [cropped(own, crop) for crop in crops]
            anchor, right = (moved[0], seen[0]) if protocol == "paper" else (seen[0], moved[0])
            sims = [cosine(anchor, other) for other in [right, *(moved if warped else seen)[1:]]]
            expected = -math.log(math.exp(sims[0] / TAU) / sum(math.exp(sim / TAU) for sim in sims))
            assert found[index] == pytest.approx(expected, abs=1e-4)


def cosine(first: Tensor, second: Tensor) -> float:
    a, b = first.flatten().double(), second.flatten().double()
    return ((a @ b) / (a.norm() * b.norm()).clamp(min=1e-30)).item()


def test_equal_maps_are_told_by_chance() -> None:
    def same(images: Tensor, targets: Tensor, classifier: Classifier) -> Tensor:
        return torch.full((len(images), *SIZE), 0.3)

    assert measured(toy_classifier(), toy_batch(), "cgc_loss", same).values.tolist() == pytest.approx([math.log(32)] * 4, abs=1e-6)


def test_a_map_that_follows_every_crop_is_told_better_than_one_that_follows_none() -> None:
    def bright(images: Tensor, targets: Tensor, classifier: Classifier) -> Tensor:
        return images[:, 0] - 0.3

    batch = toy_batch(8, size=(48, 48))
    batch.images.mul_(0).add_(0.2)
    batch.images[:, :, 20:28, 20:28] = 1
    follows = measured(toy_classifier(), batch, "cgc_loss", bright).values
    stays = measured(toy_classifier(), batch, "cgc_loss", "centre").values
    assert follows.mean() < 2.9
    assert stays.tolist() == pytest.approx([math.log(32)] * 8)
    assert (follows > math.log(1 + 31 * math.exp(-2))).all()  # the floor


def test_no_negatives_leave_nothing_to_tell_apart() -> None:
    assert measured(toy_classifier(), toy_batch(), "cgc_loss(negatives=0)").values.tolist() == [0, 0, 0, 0]


def test_another_seed_draws_other_crops() -> None:
    classifier = toy_classifier()
    with classifier.frozen():
        values = [measure(evidence_of(classifier, toy_batch(), seed=seed), "cgc_loss(negatives=3)").values for seed in (0, 0, 1)]
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
    masks = measured(toy_classifier(), toy_batch(), 'cgc_loss(negatives=3, maps="as declared")', "gradcam(relu=False)").values
    assert not torch.isclose(rectified, masks).all()


def test_it_explains_each_crop_once_and_only_its_own_where_wrong_maps_are_warped() -> None:
    classifier = toy_classifier()
    with classifier.frozen():
        counts = list[int]()
        for spec in ("cgc_loss(negatives=3)", "cgc_loss(negatives=3, warped=True)"):
            evidence = evidence_of(classifier, toy_batch())
            before = classifier.passes.forward
            measure(evidence, spec)
            counts.append(classifier.passes.forward - before)
    assert counts == [4 * 4, 4]
