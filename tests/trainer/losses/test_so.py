"""SO-Loss: the literal algorithm, its gradient, and the cases that need care."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from helpers.each import each
from helpers.steps import first_of, toy_step
from scipy.ndimage import correlate1d

from camdbench.core.errors import UsageError
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.gradcam import gradcam
from camdbench.trainer.losses.so import so
from camdbench.trainer.step import TrainingStep

SQUARE = (20, 20)
TURNS = [
    (lambda x: x, lambda x: x),
    (np.fliplr, np.fliplr),
    (np.flipud, np.flipud),
    (lambda x: np.rot90(x, 2), lambda x: np.rot90(x, 2)),
    (np.rot90, lambda x: np.rot90(x, -1)),
    (lambda x: np.rot90(x, 3), lambda x: np.rot90(x, -3)),
    (lambda x: np.rot90(np.flipud(x)), lambda x: np.flipud(np.rot90(x, -1))),
    (lambda x: np.rot90(np.fliplr(x)), lambda x: np.fliplr(np.rot90(x, -1))),
]


def _literal(step: TrainingStep, index: int, views: int, pooling: str, kernel: int) -> float:
    """1 - cos of one image, a view at a time, with numpy and scipy."""
    maps = []
    for turn, back in TURNS[:views]:
        image = np.stack([turn(channel) for channel in step.images[index].numpy()])
        alone = type(step.batch)(("x",), torch.from_numpy(image)[None], step.labels[index : index + 1])
        with step.classifier.frozen():
            map_ = gradcam(Trace(step.classifier, alone))[0].numpy()
        maps.append(back(map_))
    stack = np.stack(maps)
    if pooling == "softmax":
        weights = np.exp(stack / (0.1 * stack.max()))
        pooled = (weights * stack).sum(0) / weights.sum(0)
    else:
        pooled = stack.max(0) if pooling == "max" else stack.mean(0)
    large = F.interpolate(torch.from_numpy(pooled)[None, None], size=step.images.shape[-2:], mode="bilinear")[0, 0].numpy()
    mask = step.masks[index].double().numpy()
    if kernel:
        line = np.exp(-0.5 * ((np.arange(kernel) - kernel // 2) / (kernel * 11 / 23)) ** 2)
        for axis in (0, 1):
            mask = correlate1d(mask, line / line.sum(), axis, mode="mirror")
    return 1 - float((large * mask).sum() / math.sqrt((large**2).sum() * (mask**2).sum()))


@each(("views", "pooling", "kernel"), [(1, "max", 0), (2, "softmax", 5), (4, "mean", 0), (8, "softmax", 5), (8, "max", 11)])
def test_it_is_the_algorithm(views: int, pooling: str, kernel: int) -> None:
    step = toy_step(size=SQUARE)
    found = so(step, views=views, pooling=pooling, kernel=kernel, beta=0.25)
    expected = [_literal(step, index, views, pooling, kernel) for index in range(3)]
    assert found.parts["so"][:3].tolist() == pytest.approx(expected, abs=1e-5)
    ce = F.cross_entropy(step.logits, step.labels, reduction="none")
    torch.testing.assert_close(found.total[:3], 0.25 * ce[:3] + 0.75 * found.parts["so"][:3])


def test_an_empty_mask_is_skipped_and_counted() -> None:
    found = so(toy_step(), views=4, kernel=3)
    assert found.parts["skipped"].tolist() == [0, 0, 0, 1]
    assert found.parts["so"].isnan().tolist() == [False, False, False, True]
    torch.testing.assert_close(found.total[3], 0.5 * found.parts["ce"][3])
    assert found.total.isfinite().all()


def test_beta_one_is_cross_entropy_and_zero_leaves_it_out() -> None:
    step = toy_step()
    torch.testing.assert_close(so(step, beta=1.0, views=1).total, F.cross_entropy(step.logits, step.labels, reduction="none"))
    found = so(step, beta=0.0, views=1)
    torch.testing.assert_close(found.total[:3], found.parts["so"][:3])


@pytest.mark.parametrize("cam", ["gradcam", "layercam", "gradcampp", "hirescam"])
def test_without_cross_entropy_there_is_still_a_gradient(cam: str) -> None:
    """As released the map was detached, and the loss moved nothing."""
    for head in ("gap", "dense"):
        step = toy_step(head, train=True)
        so(step, beta=0.0, views=2, kernel=3, cam=cam).total.mean().backward()
        assert float(step.classifier.network.conv1.weight.grad.abs().max()) > 1e-6


def test_a_dead_map_costs_one_and_has_no_gradient() -> None:
    step = toy_step()
    with torch.no_grad():
        step.classifier.network.head[-1].weight.abs_().neg_()  # every class has evidence against it only
    found = so(step, beta=0.0, views=4, kernel=3)
    assert found.parts["so"][:3].tolist() == [1, 1, 1]
    found.total.sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in step.classifier.parameters())


def test_a_batch_of_one_is_the_first_of_many() -> None:
    one, many = so(first_of(toy_step()), views=4, kernel=3), so(toy_step(), views=4, kernel=3)
    torch.testing.assert_close(one.total[0], many.total[0])


@each(
    ("options", "words"),
    [
        ({"beta": 1.5}, "beta=1.5"),
        ({"kernel": 4}, "kernel=4"),
        ({"kernel": 25}, "kernel=25"),
        ({"kernel": 3, "views": 8}, "views=8"),
        ({"kernel": 3, "views": 1, "cam": "rise"}, "cam='rise'"),
        ({"kernel": 3, "views": 1, "cam": "opticam"}, "cam='opticam'"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        so(toy_step(), **options)
