"""What the methods that mask images share: chunks, scores and the bank of masks."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from skimage.transform import resize
from torch.nn import functional as F

from camdbench.explainers.common.masked_scoring import RandomMasks, class_scores, fill_image, random_masks, score_masked, scores_under
from camdbench.explainers.common.trace import Trace
from camdbench.functional import pass_size


@pytest.fixture
def trace() -> Trace:
    return Trace(toy_classifier("dense"), toy_batch())


def test_scores_are_those_of_each_image_under_each_mask(trace: Trace) -> None:
    masks = torch.rand(5, 16, 12, generator=torch.Generator().manual_seed(0))
    fill = fill_image(trace, "mean")
    found = scores_under(trace, 5, lambda part: masks[part], fill, "probability")
    for image in range(4):
        for index in range(5):
            masked = trace.images[image] * masks[index] + fill[0] * (1 - masks[index])
            expected = trace.score(masked[None]).softmax(1)[0, trace.targets[image]]
            torch.testing.assert_close(found[image, index], expected.detach())


def test_chunks_cover_every_mask_once_and_stay_within_the_bound(trace: Trace, monkeypatch: pytest.MonkeyPatch) -> None:
    masks = torch.rand(7, 16, 12)
    whole = scores_under(trace, 7, lambda part: masks[part], fill_image(trace, "black"), "logit")
    monkeypatch.setattr(pass_size, "CPU_PIXELS", 3 * 4 * 16 * 12)
    chunks = list(score_masked(trace, 7, lambda part: masks[part], fill_image(trace, "black"), "logit"))
    assert [len(chunk) for chunk, _ in chunks] == [3, 3, 1]
    torch.testing.assert_close(torch.cat([scores for _, scores in chunks], 1), whole)
    assert not whole.requires_grad


def test_every_image_may_have_masks_of_its_own(trace: Trace) -> None:
    masks = torch.rand(4, 3, 16, 12)
    found = scores_under(trace, 3, lambda part: masks[:, part], fill_image(trace, "black"), "logit")
    expected = trace.score(trace.images[2:3] * masks[2, 1]).detach()[0, trace.targets[2]]
    torch.testing.assert_close(found[2, 1], expected)


def test_passes_are_counted(trace: Trace) -> None:
    trace.logits  # noqa: B018 - read so that it is paid for
    before = trace.classifier.passes.forward
    scores_under(trace, 5, lambda part: torch.ones(part.stop - part.start, 16, 12), fill_image(trace, "mean"), "logit")
    assert trace.classifier.passes.forward - before == 20


def test_a_probability_keeps_its_digits_where_a_softmax_loses_them() -> None:
    logits = torch.tensor([[0.0, 100.0, 3.0]])
    assert class_scores(logits, torch.tensor([0]), "probability").item() == pytest.approx(3.72e-44, rel=0.05)
    torch.testing.assert_close(class_scores(logits, torch.tensor([2]), "sigmoid"), torch.tensor([3.0]).sigmoid())


def test_masks_are_the_enlarged_grid_cropped() -> None:
    grids = (torch.rand(9, 3, 3, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    shifts = torch.tensor([[row, column] for row in (0, 2, 5) for column in (0, 1, 3)])
    found = RandomMasks(grids, shifts, (16, 12)).masks(slice(0, 9))
    enlarged = F.interpolate(grids[:, None], (4 * 6, 4 * 4), mode="bilinear", align_corners=False)[:, 0]
    for index, (row, column) in enumerate(shifts.tolist()):
        torch.testing.assert_close(found[index], enlarged[index, row : row + 16, column : column + 12])


@pytest.mark.parametrize(("size", "nodes"), [((16, 12), 3), ((9, 30), 5)])
def test_mirrored_masks_are_those_of_the_authors_and_of_torchray(size: tuple[int, int], nodes: int) -> None:
    grids = (torch.rand(9, nodes, nodes, generator=torch.Generator().manual_seed(1)) < 0.5).float()
    cell = [math.ceil(side / nodes) for side in size]
    shifts = torch.tensor([[row % cell[0], column % cell[1]] for row in (0, 1, 5) for column in (0, 1, 2)])
    # The authors enlarge the grid to (s + 1) cells by scikit-image; TorchRay pads it by one mirrored node first.
    enlarged = [resize(grid.numpy(), [(nodes + 1) * side for side in cell], order=1, mode="reflect", anti_aliasing=False) for grid in grids]
    authors = torch.from_numpy(np.stack(enlarged))
    pixels = [math.ceil((size[axis] + cell[axis]) / nodes) for axis in (0, 1)]
    padded = F.pad(grids[:, None], (1, 1, 1, 1), mode="reflect")
    wide = F.interpolate(padded, [(nodes + 2) * side for side in pixels], mode="bilinear", align_corners=False)
    torchray = wide[:, 0, pixels[0] :, pixels[1] :]
    for border, whole in (("mirror", authors), ("torchray", torchray)):
        expected = [whole[index, row : row + size[0], column : column + size[1]] for index, (row, column) in enumerate(shifts.tolist())]
        found = RandomMasks(grids, shifts, size, border).masks(slice(0, 9))
        torch.testing.assert_close(found, torch.stack(expected), rtol=0, atol=2e-6)
        assert (found - RandomMasks(grids, shifts, size).masks(slice(0, 9))).abs().max() > 0.1


def test_a_bank_depends_on_the_seed_and_not_on_the_images() -> None:
    first, other = Trace(toy_classifier(), toy_batch()), Trace(toy_classifier(), toy_batch(2, seed=9))
    reseeded = Trace(toy_classifier(), toy_batch(), seed=1)
    assert torch.equal(random_masks(first, 8, 4, 0.5).grids, random_masks(other, 8, 4, 0.5).grids)
    assert not torch.equal(random_masks(first, 8, 4, 0.5).grids, random_masks(reseeded, 8, 4, 0.5).grids)


def test_a_bank_keeps_as_much_as_it_is_asked_to() -> None:
    bank = random_masks(Trace(toy_classifier(), toy_batch()), 4000, 4, 0.3)
    assert bank.masks(slice(0, 4000)).mean().item() == pytest.approx(0.3, abs=0.01)
    assert bank.shifts.amax(0).tolist() == [3, 2]
    assert bank.shifts.amin() == 0
