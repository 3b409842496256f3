"""Images cut into segments, and segments switched off."""

from __future__ import annotations

import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from skimage.segmentation import quickshift

from camdbench.explainers.common.segments import Segments, scores_of_rows, scores_without, segment
from camdbench.explainers.common.trace import Trace


@pytest.fixture
def trace() -> Trace:
    return Trace(toy_classifier("dense"), toy_batch())


def test_a_grid_has_cells_of_one_size(trace: Trace) -> None:
    found = segment(trace, "grid", 4)
    assert found.counts == (16,) * 4
    assert torch.equal(found.labels[2], torch.arange(16).reshape(4, 4).repeat_interleave(4, 0).repeat_interleave(3, 1))


def test_a_grid_has_no_more_cells_than_pixels(trace: Trace) -> None:
    assert segment(trace, "grid", 500).counts == (144,) * 4


def test_quickshift_is_that_of_scikit_image_image_by_image() -> None:
    images = toy_batch(size=(48, 32)).images
    trace = Trace(toy_classifier(), toy_batch(size=(48, 32)))
    found = segment(trace, "quickshift", 1)
    expected = quickshift(images[1].permute(1, 2, 0).double().numpy(), kernel_size=4, max_dist=200, ratio=0.2)
    assert torch.equal(found.labels[1], torch.from_numpy(expected))
    assert found.counts[1] == expected.max() + 1 > 1


def test_means_and_spreads_go_by_segment() -> None:
    found = Segments(torch.tensor([[[0, 0, 1]], [[0, 1, 1]]]), (2, 2))
    images = torch.arange(18.0).reshape(2, 3, 1, 3)
    assert found.means(images)[0, 0].tolist() == [[0.5, 0.5, 2.0]]
    assert found.means(images)[1, 2].tolist() == [[15.0, 16.5, 16.5]]
    assert found.spread([torch.tensor([3.0, 4.0]), torch.tensor([5.0, 6.0])]).tolist() == [[[3, 3, 4]], [[5, 6, 6]]]


def test_segments_that_are_off_show_the_filling_and_images_may_differ_in_number(trace: Trace) -> None:
    labels = torch.stack([torch.arange(16)[:, None].expand(16, 12) // part for part in (4, 8, 8, 16)])
    found = Segments(labels, (4, 2, 2, 1))
    kept = [torch.tensor([[1.0, 0.0, 0.0, 1.0], [0.0, 1.0, 1.0, 1.0]]), *(torch.tensor([[1.0, 0.0]]) for _ in range(2)), torch.zeros(1, 1)]
    scores = scores_without(trace, found, kept, torch.zeros(1, 3, 1, 1), "logit")
    assert [len(row) for row in scores] == [2, 1, 1, 1]
    shown = trace.images.clone()
    shown[0, :, 4:12] = 0
    shown[1:3, :, 8:] = 0
    shown[3] = 0
    expected = trace.score(shown).detach().gather(1, trace.targets[:, None]).squeeze(1)
    torch.testing.assert_close(torch.stack([row[0] for row in scores]).float(), expected)


def test_scores_of_rows_are_those_of_padded_ones_without_the_passes_of_the_padding(trace: Trace) -> None:
    labels = torch.zeros(4, 16, 12, dtype=torch.int64)
    labels[1, 8:], labels[2, :, 4:8], labels[2, :, 8:] = 1, 1, 2
    found, generator = Segments(labels, (1, 2, 3, 1)), torch.Generator().manual_seed(0)
    kept = [torch.rand(rows, count, generator=generator).lt(0.5).double() for rows, count in ((1, 1), (5, 2), (0, 3), (2, 1))]
    mean = found.means(trace.images)
    expected = scores_without(trace, found, kept, mean, "logit")
    before = trace.classifier.passes.forward
    scores = scores_of_rows(trace, found, kept, mean, "logit")
    assert trace.classifier.passes.forward - before == 8
    for own, other in zip(scores, expected, strict=True):
        torch.testing.assert_close(own, other, rtol=0, atol=1e-6)


def test_a_density_is_a_value_over_the_number_of_pixels() -> None:
    found = Segments(torch.tensor([[[0, 0, 2]]]), (3,))  # nothing lies in segment 1
    assert found.spread([torch.tensor([3.0, 7.0, 5.0])], "density").tolist() == [[[1.5, 1.5, 5.0]]]
