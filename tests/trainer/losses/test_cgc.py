"""CGC: the literal contrast, image and map moved alike, and its bounds."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F
from helpers.steps import first_of, toy_step
from torch import nn

from camdbench.core.errors import UsageError
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.gradcam import gradcam
from camdbench.functional.crops import draw_crop
from camdbench.models.classifier import Classifier
from camdbench.trainer.losses import cgc as module
from camdbench.trainer.losses.cgc import cgc, consistency
from camdbench.trainer.step import TrainingStep, map_of


def _cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a * b).sum() / math.sqrt(float((a**2).sum() * (b**2).sum())))


def _moved(image: torch.Tensor, crop) -> torch.Tensor:
    """Crop, resize and flip of one image (C, H, W), by torch."""
    part = image[None, :, crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]
    large = F.interpolate(part, size=image.shape[-2:], mode="bilinear")[0]
    return large.flip(-1) if crop.flipped else large


def _literal_maps(step: TrainingStep, smallest: float) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    random = torch.Generator().manual_seed(0)
    size = tuple(step.images.shape[-2:])
    crops = [draw_crop(size, random, scale=(smallest, 1.0)) for _ in range(4)]
    before, after = [], []
    with step.classifier.frozen():
        for index, crop in enumerate(crops):
            alone = Batch(("x",), step.images[index : index + 1], step.labels[index : index + 1])
            top = int(step.classifier(alone.images).argmax())
            map_ = gradcam(Trace(step.classifier, alone, target=top))
            before.append(_moved(F.interpolate(map_[None], size=size, mode="bilinear")[0], crop)[0])
            moved = Batch(("x",), _moved(alone.images[0], crop)[None], alone.labels)
            after.append(F.interpolate(gradcam(Trace(step.classifier, moved, target=top))[None], size=size, mode="bilinear")[0, 0])
    return before, after


@pytest.mark.parametrize("compat", ["paper", "author"])
def test_it_is_the_formula(compat: str) -> None:
    step = toy_step()
    found = cgc(step, compat=compat, smallest=0.3, temperature=0.4, weight=2.0)
    h, a = _literal_maps(step, 0.3)
    expected = []
    for i in range(4):
        if compat == "paper":
            below = sum(math.exp(_cosine(h[i], a[j]) / 0.4) for j in range(4))
        else:
            below = sum(math.exp(_cosine(a[i], h[i] if j == i else a[j]) / 0.4) for j in range(4))
        expected.append(-math.log(math.exp(_cosine(h[i], a[i]) / 0.4) / below))
    assert found.parts["cgc"].tolist() == pytest.approx(expected, abs=1e-5)
    ce = F.cross_entropy(step.logits, step.labels, reduction="none")
    torch.testing.assert_close(found.total, ce + 2 * found.parts["cgc"])


def test_without_negatives_it_is_the_squared_distance_of_vectors_of_length_one() -> None:
    step = toy_step()
    h, a = _literal_maps(step, 0.3)
    expected = [float((x / x.norm() - y / y.norm()).square().sum()) for x, y in zip(h, a, strict=True)]
    assert cgc(step, negatives=False, smallest=0.3).parts["cgc"].tolist() == pytest.approx(expected, abs=1e-5)
    released = cgc(toy_step(), negatives=False, smallest=0.3, compat="author").parts["cgc"].mean().item()
    unit = [torch.stack([vector / vector.norm() for vector in maps]) for maps in (h, a)]
    assert released == pytest.approx(F.mse_loss(unit[1], unit[0]).item(), abs=1e-9)
    assert released * 16 * 12 == pytest.approx(sum(expected) / 4, rel=1e-5)


class Brightness(nn.Module):
    """Class 0 is seen where the image is bright; the map is the image."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Conv2d(3, 2, 1, bias=False)
        self.see.weight.data = torch.tensor([[1.0, 0, 0], [0, 0, 0]])[:, :, None, None]
        self.pool, self.flat, self.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2, bias=False)
        self.fc.weight.data = torch.eye(2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.flat(self.pool(self.see(images))))


def test_a_marked_blob_moves_alike_in_image_and_map() -> None:
    """For a network whose map is the image, the moved map is the map of the moved image: cosine 1 for every image."""
    images = torch.zeros(16, 3, 24, 24)
    for index in range(16):
        images[index, 0, 3 + index % 4 * 5 : 7 + index % 4 * 5, 2 + index // 4 * 5 : 8 + index // 4 * 5] = 1
    images = images + 0.01
    batch = Batch(tuple(map(str, range(16))), images, torch.zeros(16, dtype=torch.int64))
    step = TrainingStep(Classifier(Brightness(), "see", mean=0.0, std=1.0), batch, torch.Generator().manual_seed(0))
    found = cgc(step, negatives=False)
    assert float(found.parts["cgc"].detach().max()) < 1e-6
    assert not found.parts["zero_map"].any()


def test_floor_chance_and_ceiling() -> None:
    same = F.normalize(torch.ones(32, 40), dim=1)
    apart = torch.eye(32)
    for compat in ("paper", "author"):
        bounds = {"temperature": 0.5, "compat": compat, "negatives": True}
        assert consistency(same, same, **bounds).tolist() == pytest.approx([math.log(32)] * 32)
        assert consistency(apart, apart, **bounds).tolist() == pytest.approx([math.log(1 + 31 * math.exp(-2))] * 32)  # 1.648
    worst = torch.zeros(32, 33)
    worst[:, 32] = 1
    found = consistency(torch.eye(32, 33), worst.roll(0, 0), temperature=0.5, compat="author", negatives=True)
    assert found.tolist() == pytest.approx([math.log(1 + 31 * math.exp(2))] * 32)


def test_labels_do_not_matter_to_it_and_unknown_ones_cost_nothing() -> None:
    known, unknown = toy_step(), toy_step()
    unknown.batch.labels[:] = -1
    first, second = cgc(known), cgc(unknown)
    torch.testing.assert_close(first.parts["cgc"], second.parts["cgc"])
    torch.testing.assert_close(second.total, 0.5 * second.parts["cgc"])
    assert second.parts["ce"].isnan().all()


def test_three_views_add_two_cross_entropies() -> None:
    one, three = cgc(toy_step()), cgc(toy_step(), ce_views=3)
    torch.testing.assert_close(one.parts["cgc"], three.parts["cgc"])
    assert bool((three.parts["ce"] > one.parts["ce"]).all())


def test_a_batch_of_one_has_nothing_to_tell_apart() -> None:
    assert cgc(first_of(toy_step())).parts["cgc"].tolist() == [0.0]


def test_zero_maps_are_counted_and_have_no_gradient() -> None:
    step = toy_step()
    with torch.no_grad():
        step.classifier.network.head[-1].weight.abs_().neg_()
    found = cgc(step)
    assert found.parts["zero_map"].tolist() == [1] * 4
    assert found.parts["cgc"].tolist() == pytest.approx([math.log(4)] * 4)
    found.parts["cgc"].sum().backward()
    assert all(p.grad is None or (p.grad.isfinite().all() and not p.grad.any()) for p in step.classifier.parameters())


def test_a_map_that_is_dead_before_or_after_the_crop_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    alive = iter([[0.0, 1.0, 1.0, 0.0], [1.0, 0.0, 1.0, 0.0]])
    monkeypatch.setattr(module, "map_of", lambda trace, cam: map_of(trace, cam).abs() * torch.tensor(next(alive))[:, None, None])
    assert cgc(toy_step()).parts["zero_map"].tolist() == [1, 1, 0, 1]


def test_gradients_flow_through_both_maps() -> None:
    step = toy_step(train=True)
    cgc(step, weight=1.0).parts["cgc"].mean().backward()
    assert float(step.classifier.network.conv1.weight.grad.abs().max()) > 1e-6


def test_a_crop_larger_than_the_image_is_refused() -> None:
    with pytest.raises(UsageError, match="smallest=2"):
        cgc(toy_step(), smallest=2.0)
