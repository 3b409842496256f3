"""Core-focused losses as a training step uses them; their equations are held in tests/functional/test_core_focus.py."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from helpers.steps import first_of, toy_step
from torch import Tensor

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.contrastivecam import contrastivecam
from camdbench.explainers.hirescam import hirescam
from camdbench.functional.core_focused_loss import class_maps
from camdbench.trainer.losses.cfce import cfbce, cfce, rcfbce, rcfce
from camdbench.trainer.losses.cutmix import Rectangle, cutmix_cfce, draw_rectangle
from camdbench.trainer.step import TrainingStep


def _all_object(step: TrainingStep) -> None:
    assert step.batch.masks is not None
    step.batch.masks[:] = True


def _by_autograd(step: TrainingStep, seen: Trace | None = None) -> Tensor:
    """HiResCAM (B, C, h, w) of every class by a backward pass each; a tail as the network has it."""
    batch = step.batch if seen is None else seen.batch
    found = []
    for c in range(5):
        trace = Trace(step.classifier, batch, target=torch.full_like(step.labels, c), differentiable=True)
        trace._linear_head = lambda: None  # the closed form is what is being tested
        found.append(hirescam(trace, relu=False))
    return torch.stack(found, 1)


def _literal(maps: Tensor, logits: Tensor, core: Tensor, labels: Tensor) -> list[float]:
    """Eq. 15 with the biases of proposition 4.1, an image at a time."""
    found = []
    for cam, logit, h, t in zip(maps, logits, core, labels.tolist(), strict=True):
        bias = logit - cam.sum((1, 2))
        terms = [torch.exp(bias[c] - bias[t] - (h * (cam[t] - cam[c])).sum() + ((1 - h) * (cam[t] - cam[c]).abs()).sum()) for c in range(5)]
        found.append(float(torch.stack(terms).sum().log().detach()))
    return found


def test_maps_in_closed_form_are_those_by_autograd() -> None:
    step = toy_step()
    torch.testing.assert_close(class_maps(step.trace.activations, step.trace.class_weights), _by_autograd(step))
    versus = contrastivecam(step.trace, versus=2)
    torch.testing.assert_close(versus, _by_autograd(step)[torch.arange(4), step.labels] - _by_autograd(step)[:, 2])


def test_cfce_is_equation_15_of_maps_by_autograd_biases_and_all() -> None:
    step = toy_step()
    assert step.classifier.network.head[-1].bias.abs().max() > 0.01
    core = F.interpolate(step.masks[:, None].double(), size=(8, 6), mode="nearest-exact")[:, 0]
    core[3] = 1  # the empty one
    found = cfce(step)
    assert found.total.tolist() == pytest.approx(_literal(_by_autograd(step), step.logits, core, step.labels))
    assert found.parts["skipped"].tolist() == [0, 0, 0, 1]
    assert found.parts["core_share"].isnan().tolist() == [False, False, False, True]


@pytest.mark.parametrize("chunk", [2, 128])
def test_with_core_everywhere_it_is_cross_entropy(chunk: int) -> None:
    step = toy_step()
    ce = F.cross_entropy(step.logits, step.labels, reduction="none")
    torch.testing.assert_close(cfce(step, chunk=chunk).total[3], ce[3])  # the empty mask
    _all_object(step)
    torch.testing.assert_close(cfce(step, chunk=chunk).total, ce)
    torch.testing.assert_close(
        cfbce(step).total, F.binary_cross_entropy_with_logits(step.logits, F.one_hot(step.labels, 5).double(), reduction="none").mean(1)
    )


def test_the_regularised_losses_add_the_divergence() -> None:
    step = toy_step()
    plain, full = cfce(step), rcfce(step, weight=2.0)
    torch.testing.assert_close(full.parts["cfce"], plain.total)
    torch.testing.assert_close(full.total[:3], plain.total[:3] + 2 * full.parts["kl"][:3])
    torch.testing.assert_close(full.total[3], plain.total[3])  # without a core
    assert bool((full.parts["kl"][:3] > 0).all())
    binary, both = cfbce(step), rcfbce(step, weight=2.0)
    maps = _by_autograd(step)[torch.arange(4), step.labels].flatten(1)
    core = F.interpolate(step.masks[:, None].double(), size=(8, 6), mode="nearest-exact").flatten(1)
    wanted, found = (1e3 * core).softmax(1), (10 * maps).log_softmax(1)
    kl = (torch.xlogy(wanted, wanted) - wanted * found).sum(1)
    kl[3] = 0
    torch.testing.assert_close(both.total, binary.total + 2 * kl)


def test_cfbce_of_the_authors_averages_present_and_absent_classes_apart_or_weighs_present_ones() -> None:
    step = toy_step()
    with torch.no_grad():
        step.classifier.network.head[-1].bias.zero_()  # theirs has none
    shown = [[1, 0, 1, 0, 0], [0, 1, 0, 0, 0], [1, 1, 1, 0, 0], [0, 0, 0, 1, 0]]
    masks = torch.rand(4, 5, 16, 12, generator=torch.Generator().manual_seed(0)) < 0.4
    masks[1, 1] = False  # a present class without a cell
    batch = replace(step.batch, present=torch.tensor(shown).bool(), class_masks=masks)
    object.__setattr__(step, "batch", batch)
    weights = (3.0, 1.0, 0.5, 2.0, 7.0)
    maps, grid = _by_autograd(step).detach(), F.interpolate(masks.double(), size=(8, 6), mode="nearest-exact")
    present, absent, each, divergences = [], [], [], [[] for _ in range(4)]
    for index, c in itertools.product(range(4), range(5)):
        cam, h = maps[index, c], grid[index, c] if grid[index, c].any() else torch.ones(8, 6)
        if shown[index][c]:
            present.append(math.log1p(math.exp(-float((h * cam).sum() - ((1 - h) * cam.abs()).sum()))))
            each.append(weights[c] * present[-1])
            if grid[index, c].any():
                wanted, seen = (1e3 * h).flatten().softmax(0), (10 * cam).flatten().softmax(0)
                divergences[index].append(float((torch.xlogy(wanted, wanted) - wanted * seen.log()).sum()))
        else:
            absent.append(math.log1p(math.exp(float(cam.sum()))))
            each.append(absent[-1])
    kl = [sum(own) / max(1, len(own)) for own in divergences]
    assert rcfbce(step).parts["kl"].tolist() == pytest.approx(kl)
    assert kl[1] == 0  # its class has no core
    halves, whole = (sum(present) / 7 + sum(absent) / 13) / 2, sum(present + absent) / 20
    assert cfbce(step, compat="author").total.mean().item() == pytest.approx(halves)
    assert cfbce(step).total.mean().item() == pytest.approx(whole)
    assert halves > whole + 0.02
    for compat in ("paper", "author"):
        assert cfbce(step, compat=compat, pos_weight=weights).total.mean().item() == pytest.approx(sum(each) / 20)
    torch.testing.assert_close(rcfbce(step, compat="author").parts["cfbce"], cfbce(step, compat="author").total)
    with pytest.raises(UsageError, match="give 5 weights"):
        cfbce(step, pos_weight=(1.0, 2.0))


def test_a_batch_of_one_is_the_first_of_many() -> None:
    for loss in (cfce, rcfce, cfbce, rcfbce):
        torch.testing.assert_close(loss(first_of(toy_step())).total[0], loss(toy_step()).total[0])


def test_another_head_is_refused() -> None:
    with pytest.raises(NotApplicable, match="global average pooling"):
        cfce(toy_step("dense"))


class TestCutMix:
    def test_it_is_equation_73(self) -> None:
        step = toy_step(seed=1)
        box = draw_rectangle(16, 12, torch.Generator().manual_seed(1))
        assert 0 < box.area < 16 * 12
        mixed = step.images.clone()
        owners = torch.full((4, 16, 12), -1)
        for index in range(4):
            whole = torch.where(step.masks[index], step.labels[index], -1) if index < 3 else step.labels[index].expand(16, 12)
            owners[index] = whole
        pasted = owners.clone()
        for index in range(4):
            for row in range(box.top, box.bottom):
                for column in range(box.left, box.right):
                    mixed[index, :, row, column] = step.images[index - 1, :, row, column]
                    pasted[index, row, column] = owners[index - 1, row, column]
        grid = F.interpolate(pasted[:, None].double(), size=(8, 6), mode="nearest-exact")[:, 0].long()
        seen = Trace(step.classifier, type(step.batch)(step.batch.ids, mixed, step.labels))
        maps, logits = _by_autograd(step, seen).detach(), seen.logits
        kept = 1 - box.area / (16 * 12)
        expected = []
        for index in range(4):
            value = 0.0
            for share, t in ((kept, int(step.labels[index])), (1 - kept, int(step.labels[index - 1]))):
                bias = logits[index] - maps[index].sum((1, 2))
                total = 0.0
                for i in range(5):
                    exponent = float(bias[i] - bias[t])
                    for row in range(8):
                        for column in range(6):
                            cc, h = float(maps[index, t, row, column] - maps[index, i, row, column]), int(grid[index, row, column])
                            exponent += -cc * (h == t) + abs(cc) * (h == -1) + cc * (h == i)
                    total += float(torch.tensor(exponent).double().exp())
                value += share * float(torch.tensor(total).double().log())
            expected.append(value)
        assert cutmix_cfce(step).total.tolist() == pytest.approx(expected, abs=1e-6)

    def test_a_batch_of_one_is_pasted_into_itself(self) -> None:
        torch.testing.assert_close(cutmix_cfce(first_of(toy_step())).total, cfce(first_of(toy_step())).total)

    def test_boxes_stay_inside_and_cover_half_on_average_before_the_edges(self) -> None:
        random = torch.Generator().manual_seed(0)
        boxes = [draw_rectangle(10, 20, random) for _ in range(300)]
        assert all(0 <= box.top <= box.bottom <= 10 and 0 <= box.left <= box.right <= 20 for box in boxes)
        assert 0.2 < sum(box.area for box in boxes) / 300 / 200 < 0.4

    def test_a_box_has_the_images_shape_round_its_centre_and_is_cut_at_the_edges(self) -> None:
        random, again = torch.Generator().manual_seed(3), torch.Generator().manual_seed(3)
        inside = 0
        for _ in range(40):
            share, y, x = torch.rand(3, generator=again, dtype=torch.float64).tolist()
            half_height, half_width = 300 * math.sqrt(share) / 2, 700 * math.sqrt(share) / 2
            box = draw_rectangle(300, 700, random)
            assert (box.top, box.bottom) == (max(0, round(300 * y - half_height)), min(300, round(300 * y + half_height)))
            assert (box.left, box.right) == (max(0, round(700 * x - half_width)), min(700, round(700 * x + half_width)))
            if 0 < box.top < box.bottom < 300 and 0 < box.left < box.right < 700:
                inside += 1
                assert box.area == pytest.approx(share * 300 * 700, rel=0.1, abs=500)
        assert inside > 3

    def test_pasting_exchanges_the_box_only(self) -> None:
        images = torch.arange(3.0)[:, None, None].expand(3, 4, 4)
        found = Rectangle(1, 2, 3, 4).paste(images)
        assert found[0, 1:3, 2:].unique().tolist() == [2.0]
        assert found[1, 1:3, 2:].unique().tolist() == [0.0]
        assert found[1, 0].unique().tolist() == [1.0]
