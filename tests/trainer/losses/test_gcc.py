"""GCC: a slow literal reading, golden values by hand, and what is drawn."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
import torch.nn.functional as F
from helpers.steps import first_of, toy_step
from torch import nn

from camdbench.core.errors import UsageError
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.gradcam import gradcam
from camdbench.models.classifier import Classifier
from camdbench.trainer.losses.gcc import draw_mosaic, gcc
from camdbench.trainer.step import TrainingStep

CORNERS = [(0, 0), (0, 1), (1, 0), (1, 1)]  # row and column of the quarters


def _map(step: TrainingStep, image: torch.Tensor, label: int) -> torch.Tensor:
    """Grad-CAM (h, w) of one image (3, H, W), divided by its sum."""
    with step.classifier.frozen():
        found = gradcam(Trace(step.classifier, Batch(("x",), image[None], torch.tensor([label]))))[0]
    return found / found.sum()


def test_it_is_the_formula() -> None:
    step = toy_step()
    found = gcc(step, weight=3.0)
    drawn = draw_mosaic(step.labels, torch.Generator().manual_seed(0))
    height, width = step.images.shape[-2:]
    expected = []
    for index in range(4):
        large = torch.zeros(3, 2 * height, 2 * width, dtype=step.images.dtype)
        for (row, column), other in zip(CORNERS, drawn.tiles[index].tolist(), strict=True):
            large[:, row * height : (row + 1) * height, column * width : (column + 1) * width] = step.images[other]
        own = _map(step, step.images[index], int(step.labels[index]))
        wanted = torch.zeros(2 * own.shape[0], 2 * own.shape[1], dtype=own.dtype)
        row, column = CORNERS[int(drawn.quarter[index])]
        wanted[row * own.shape[0] : (row + 1) * own.shape[0], column * own.shape[1] : (column + 1) * own.shape[1]] = own
        apart = (_map(step, large, int(step.labels[index])) - wanted).abs()
        expected.append(float(apart.sum() / apart.numel()))
    assert min(expected) > 1e-4
    assert found.parts["gcc"].tolist() == pytest.approx(expected, rel=1e-9)
    ce = F.cross_entropy(step.logits, step.labels, reduction="none")
    torch.testing.assert_close(found.total, ce + 3 * found.parts["gcc"])
    assert found.parts["alone"].tolist() == [0] * 4


class Colours(nn.Module):
    """Class c is seen where channel c is bright; Grad-CAM for it is that channel."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Conv2d(3, 3, 1, bias=False)
        self.see.weight.data = torch.eye(3)[:, :, None, None]
        self.pool, self.flat, self.fc = nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 3, bias=False)
        self.fc.weight.data = torch.eye(3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.flat(self.pool(self.see(images))))


def coloured(seen_elsewhere: float) -> TrainingStep:
    """Two images of 2 x 2 pixels: of class 0, red, and of class 1, green and as red as that everywhere."""
    images = torch.zeros(2, 3, 2, 2)
    images[0, 0] = torch.tensor([[1.0, 0.0], [0.0, 0.0]])
    images[1, 1], images[1, 0] = 1.0, seen_elsewhere
    batch = Batch(("a", "b"), images, torch.tensor([0, 1]))
    return TrainingStep(Classifier(Colours(), "see", mean=0.0, std=1.0), batch, torch.Generator().manual_seed(0))


def test_a_network_that_sees_a_class_where_it_is_has_nothing_to_pay() -> None:
    assert gcc(coloured(0.0)).parts["gcc"].tolist() == pytest.approx([0, 0], abs=1e-7)


def test_what_it_sees_elsewhere_counts() -> None:
    """By hand: 1 of red on the object and 12 cells of 0.5 in three other quarters, so shares 1/7 and 1/14 each.

    |1/7 - 1| + 12/14 over 16 cells.
    """
    red, green = gcc(coloured(0.5)).parts["gcc"].tolist()
    assert red == pytest.approx((6 / 7 + 12 / 14) / 16)
    assert green == pytest.approx(0, abs=1e-7)  # there is nothing green in the other image


def test_zero_maps_have_no_gradient_and_no_distance() -> None:
    step = toy_step()
    with torch.no_grad():
        step.classifier.network.head[-1].weight.abs_().neg_()
    found = gcc(step)
    assert found.parts["zero_map"].tolist() == [1] * 4
    assert found.parts["gcc"].tolist() == [0] * 4
    found.parts["gcc"].sum().backward()
    assert all(p.grad is None or (p.grad.isfinite().all() and not p.grad.any()) for p in step.classifier.parameters())


def test_gradients_flow_through_either_map() -> None:
    step = toy_step(train=True)
    gcc(step).parts["gcc"].mean().backward()
    assert float(step.classifier.network.conv1.weight.grad.abs().max()) > 1e-6


class TestDrawing:
    def test_the_others_are_of_other_classes_and_every_quarter_is_taken(self) -> None:
        labels = torch.arange(400) % 4
        drawn = draw_mosaic(labels, torch.Generator().manual_seed(0))
        itself = torch.arange(400)
        assert torch.equal(drawn.tiles.gather(1, drawn.quarter[:, None])[:, 0], itself)
        others = (labels[drawn.tiles] != labels[:, None]).sum(1)
        assert bool((others == 3).all())
        assert not drawn.alone.any()
        assert all(70 < count < 130 for count in Counter(drawn.quarter.tolist()).values())
        assert len(set(drawn.tiles.flatten().tolist())) > 350

    def test_without_another_class_there_is_no_term(self) -> None:
        step = toy_step()
        step.batch.labels[:] = 2
        found = gcc(step)
        assert found.parts["alone"].tolist() == [1] * 4
        assert found.parts["gcc"].isnan().all()
        torch.testing.assert_close(found.total, found.parts["ce"])
        assert gcc(first_of(toy_step())).parts["alone"].tolist() == [1]

    def test_one_that_is_alone_does_not_touch_the_rest(self) -> None:
        drawn = draw_mosaic(torch.tensor([0, 0, 1]), torch.Generator().manual_seed(0))
        assert drawn.alone.tolist() == [False] * 3
        assert set(drawn.tiles[0].tolist()) == {0, 2}


def test_a_map_that_does_not_double_is_refused() -> None:
    step = toy_step(size=(15, 12))
    with pytest.raises(UsageError, match="the map of 2 x 2 images has 15 x 12 cells, not twice the 8 x 6 of one"):
        gcc(step)
