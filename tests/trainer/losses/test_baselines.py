"""The losses that guided ones are compared with, held to literal readings."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.steps import toy_step

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.gradcam import gradcam
from camdbench.trainer.losses.baselines import corm, energy, ria, rrr
from camdbench.trainer.losses.dfr import dfr
from camdbench.trainer.step import TrainingStep


def _large(step: TrainingStep, *, relu: bool) -> torch.Tensor:
    with step.classifier.frozen():
        map_ = gradcam(Trace(step.classifier, step.batch), relu=relu)
    return F.interpolate(map_[:, None], size=step.images.shape[-2:], mode="bilinear")[:, 0]


def _ce(step: TrainingStep) -> torch.Tensor:
    return F.cross_entropy(step.logits, step.labels, reduction="none")


def test_ria_is_one_less_the_overlap_of_the_cut_map() -> None:
    step = toy_step()
    maps = _large(step, relu=True)
    expected = []
    for map_, mask in zip(maps, step.masks, strict=True):
        scaled = (map_ - map_.min()) / (map_.max() - map_.min())
        cut = scaled > 0.4
        expected.append(1 - float((cut & mask).sum() / (cut | mask).sum()))
    found = ria(step, threshold=0.4, sharpness=1e7, weight=3.0)
    assert found.parts["ria"][:3].tolist() == pytest.approx(expected[:3])
    assert found.parts["skipped"].tolist() == [0, 0, 0, 1]
    torch.testing.assert_close(found.total[:3], _ce(step)[:3] + 3 * found.parts["ria"][:3])
    torch.testing.assert_close(found.total[3], _ce(step)[3])


def test_energy_is_the_share_of_the_positive_map_off_the_mask() -> None:
    step = toy_step()
    positive = _large(step, relu=False).relu()
    expected = 1 - (positive * step.masks).sum((1, 2)) / positive.sum((1, 2))
    found = energy(step, weight=2.0)
    torch.testing.assert_close(found.parts["energy"][:3], expected[:3])
    torch.testing.assert_close(found.total[:3], _ce(step)[:3] + 2 * expected[:3])
    assert found.parts["energy"][3].isnan()


def test_rrr_is_equation_1_by_differences_of_values() -> None:
    step = toy_step()

    def value(images: torch.Tensor) -> float:
        with torch.no_grad():
            return float(step.classifier(images).log_softmax(1).sum())

    found = rrr(step, weight=1.0)
    expected = 0.0
    for channel in range(3):
        for row in range(16):
            for column in range(12):
                if not step.masks[1, row, column]:
                    bent = torch.zeros_like(step.images)
                    bent[1, channel, row, column] = 1e-6
                    expected += ((value(step.images + bent) - value(step.images - bent)) / 2e-6) ** 2
    assert float(found.parts["rrr"][1].detach()) == pytest.approx(expected, rel=1e-5)
    torch.testing.assert_close(found.total, _ce(step) + found.parts["rrr"])
    assert not step.images.requires_grad


class _Seen(torch.nn.Module):
    """Remembers what it was shown."""

    def __init__(self, inner: torch.nn.Module) -> None:
        super().__init__()
        self.inner, self.shown = inner, torch.empty(0)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        self.shown = images
        return self.inner(images)


def test_corm_puts_noise_everywhere_but_on_the_object() -> None:
    step = toy_step()
    step.classifier.layer = None
    step.classifier.network = _Seen(step.classifier.network)
    corm(step, sigma=0.1)
    shown = step.classifier.network.shown * step.classifier.std + step.classifier.mean
    moved = (shown - step.images).abs() > 1e-9
    assert not moved[step.masks[:, None].expand_as(moved)].any()
    assert not moved[3].any()  # nothing is known of it
    outside = ~step.masks[:3, None].expand(-1, 3, -1, -1)
    assert moved[:3][outside].double().mean() > 0.95
    spread = (shown - step.images)[:3][outside & (shown[:3] > 0.01) & (shown[:3] < 0.99)].std()
    assert 0.07 < float(spread) < 0.11
    assert 0 <= float(shown.min()) <= float(shown.max()) <= 1 + 1e-12
    step.random.manual_seed(0)
    corm(step, sigma=0.1, probability=1e-9)
    torch.testing.assert_close(step.classifier.network.shown * step.classifier.std + step.classifier.mean, step.images)
    with pytest.raises(UsageError, match=r"probability=1\.5"):
        corm(step, probability=1.5)


def test_dfr_reaches_the_head_alone_and_moves_no_statistics() -> None:
    for head in ("gap", "dense"):
        step = toy_step(head, train=True)
        before = step.classifier.network.norm1.running_mean.clone()
        found = dfr(step)
        found.total.mean().backward()
        reached = {name for name, p in step.classifier.network.named_parameters() if p.grad is not None}
        assert reached
        assert all(name.startswith("head") for name in reached)
        assert torch.equal(step.classifier.network.norm1.running_mean, before)
        assert step.classifier.network.norm1.training
        step.classifier.eval()
        torch.testing.assert_close(found.total, F.cross_entropy(step.classifier(step.images), step.labels, reduction="none"))


def test_dfr_punishes_the_size_of_the_heads_weights() -> None:
    step = toy_step()
    weight = step.classifier.network.head[-1].weight
    found = dfr(step, l1=0.5)
    torch.testing.assert_close(found.total - dfr(step).total, (0.5 * weight.abs().sum()).expand(4))
    (gradient,) = torch.autograd.grad(found.parts["l1"][0], weight)
    assert torch.equal(gradient, weight.sign())
    with pytest.raises(NotApplicable, match="l1"):
        dfr(toy_step("dense"), l1=0.5)
