"""Score-CAM, SS-CAM and IS-CAM against pytorch-grad-cam and against one pass for each channel, written out."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from helpers.other_libraries import raw_map_of_grad_cam
from helpers.toys import SIZE, toy_batch, toy_classifier
from torch import Tensor

from camdbench.datasets.samples import Batch
from camdbench.explainers.common.channel_masking import distinct
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.scorecam import iscam, scorecam, sscam
from camdbench.functional import pass_size
from camdbench.functional.seeding import generator_for
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts

pytestmark = pytest.mark.usefixtures("float64")


def scaled(maps: Tensor) -> Tensor:
    """To [0, 1] by least and largest value; constant maps to 0."""
    low, span = maps.min(), maps.max() - maps.min()
    return (maps - low) / span if span > 0 else torch.zeros_like(maps)


def up(map_: Tensor) -> Tensor:
    return F.interpolate(map_[None, None], size=SIZE, mode="bilinear")[0, 0]


def literal(
    classifier: Classifier, batch: Batch, layer: str, masks_of: Callable[[Tensor, int, int], list[Tensor]], *, black: bool = False
) -> tuple[Tensor, Tensor]:
    """Mean logits (B, K) over the masks of each channel, one pass at a time, and the activations."""
    seen = Trace(classifier, batch, layer=layer)
    scores = torch.zeros(seen.activations.shape[:2], dtype=torch.float64)
    for index, image in enumerate(batch.images):
        for channel, grid in enumerate(seen.activations[index]):
            for mask in (masks := masks_of(grid, index, channel)):
                hidden = image * mask if black else ((image - classifier.mean) / classifier.std * mask) * classifier.std + classifier.mean
                logits = classifier.network((hidden.view(1, 3, *SIZE) - classifier.mean) / classifier.std)
                scores[index, channel] += logits[0, batch.labels[index]].item() / len(masks)
    return scores, seen.activations


def combined(scores: Tensor, activations: Tensor) -> Tensor:
    return torch.einsum("bk,bkhw->bhw", (scores.exp() / scores.exp().sum(1, keepdim=True)), activations).relu()


@pytest.fixture
def frozen(classifier: Classifier) -> Classifier:
    return classifier.requires_grad_(False)


@pytest.mark.parametrize("layer", ["relu2", "conv2"])
@pytest.mark.parametrize("fill", ["mean", "black"])
def test_scorecam_is_the_softmax_of_the_logits_under_each_channels_mask(frozen: Classifier, batch: Batch, layer: str, fill: str) -> None:
    scores, grids = literal(frozen, batch, layer, lambda grid, *_: [scaled(up(grid))], black=fill == "black")
    torch.testing.assert_close(scorecam(Trace(frozen, batch), layer=layer, fill=fill), combined(scores, grids))
    assert scores.softmax(1).amax() < 0.999, "a saturated softmax is a poor reference"


def test_scorecam_is_that_of_grad_cam_where_corners_are_aligned(classifier: Classifier, batch: Batch) -> None:
    expected = raw_map_of_grad_cam(classifier, batch, "ScoreCAM")
    with classifier.frozen():
        torch.testing.assert_close(scorecam(Trace(classifier, batch), compat="pgc"), expected.relu())


def test_scorecam_of_torchcam_normalises_before_it_enlarges(frozen: Classifier, batch: Batch) -> None:
    expected = combined(*literal(frozen, batch, "conv2", lambda grid, *_: [up(scaled(grid))]))
    found = scorecam(Trace(frozen, batch), layer="conv2", compat="torchcam")
    torch.testing.assert_close(found, expected)
    assert (found - scorecam(Trace(frozen, batch), layer="conv2")).abs().max() > 1e-4


def test_scorecam_of_its_authors_weighs_by_probabilities_and_hears_no_constant_channel(frozen: Classifier, batch: Batch) -> None:
    frozen.network.conv2.weight[2] = 0
    frozen.network.conv2.bias[2] = 1
    trace = Trace(frozen, batch)
    expected = []
    for index, image in enumerate(batch.images):
        total = torch.zeros(SIZE)
        for grid in trace.activations[index]:
            if grid.max() > grid.min():
                hidden = (image - frozen.mean) * scaled(up(grid)) + frozen.mean
                total += frozen(hidden).softmax(1)[0, batch.labels[index]] * up(grid)
        expected.append(total.relu())
    torch.testing.assert_close(scorecam(trace, compat="author"), torch.stack(expected))


def test_sscam_averages_scores_over_noisy_masks(frozen: Classifier, batch: Batch) -> None:
    def noisy(grid: Tensor, index: int, channel: int) -> list[Tensor]:
        generator = generator_for(9, batch.ids[index], f"sscam {channel}")
        return [scaled(up(grid)) + 0.3 * torch.randn(SIZE, generator=generator) for _ in range(3)]

    found = sscam(Trace(frozen, batch, seed=9), layer="conv2", samples=3, std=0.3)
    torch.testing.assert_close(found, combined(*literal(frozen, batch, "conv2", noisy)))


def test_sscam_without_noise_and_iscam_of_one_sample_are_scorecam(frozen: Classifier, batch: Batch) -> None:
    trace = Trace(frozen, batch)
    torch.testing.assert_close(sscam(trace, samples=2, std=0), scorecam(trace))
    torch.testing.assert_close(iscam(trace, samples=1), scorecam(trace))


@pytest.mark.parametrize(("compat", "strengths"), [("paper", (0.25, 0.5, 0.75, 1.0)), ("torchcam", (0.25, 0.75, 1.5, 2.5))])
def test_iscam_averages_scores_over_strengths_of_the_mask(
    frozen: Classifier, batch: Batch, compat: str, strengths: tuple[float, ...]
) -> None:
    def path(grid: Tensor, *_: int) -> list[Tensor]:
        mask = up(scaled(grid)) if compat == "torchcam" else scaled(up(grid))
        return [strength * mask for strength in strengths]

    found = iscam(Trace(frozen, batch), layer="conv2", samples=4, compat=compat)
    torch.testing.assert_close(found, combined(*literal(frozen, batch, "conv2", path)))


# ------------------------------------------------------------------------------- what it costs


def test_dead_and_equal_channels_share_a_pass_and_the_map_is_the_same() -> None:
    classifier, batch = toy_classifier("dense").requires_grad_(False), toy_batch()
    network = classifier.network
    for channel in (1, 4, 6):
        network.conv2.weight[channel] = 0
        network.conv2.bias[channel] = float(channel - 4)  # below, at and above zero: constant after the ReLU
    network.conv2.weight[7], network.conv2.bias[7] = network.conv2.weight[0], network.conv2.bias[0]
    trace = Trace(classifier, batch)
    channels, places = distinct(trace.activations)
    assert torch.equal(places[:, 1], places[:, 4])
    assert torch.equal(places[:, 1], places[:, 6])
    assert torch.equal(places[:, 0], places[:, 7])
    assert torch.equal(channels.numbers[places[0]], torch.tensor([0, 1, 2, 3, 1, 5, 1, 0]))
    assert torch.equal(channels.images[places], torch.arange(4)[:, None].expand(4, 8))
    found = scorecam(trace)
    assert classifier.passes == PassCounts(forward=4 + 4 * 5)
    torch.testing.assert_close(
        found, combined(*literal(classifier, batch, "relu2", lambda grid, *_: [scaled(up(grid))])), rtol=1e-4, atol=1e-5
    )


def test_equal_channels_of_two_images_are_not_taken_for_one() -> None:
    channels, places = distinct(torch.arange(4.0).view(1, 1, 2, 2).expand(2, 3, 2, 2))
    assert places.tolist() == [[0, 0, 0], [1, 1, 1]]
    assert channels.images.tolist() == [0, 1]


@pytest.mark.parametrize(("method", "copies"), [(scorecam, 1), (lambda trace: sscam(trace, samples=3), 3), (iscam, 10)])
def test_each_distinct_channel_costs_its_samples_and_passes_hold_channels_of_several_images(
    monkeypatch: pytest.MonkeyPatch, method: Callable[[Trace], Tensor], copies: int
) -> None:
    classifier, batch = toy_classifier("dense").requires_grad_(False), toy_batch()
    sizes = list[int]()
    handle = classifier.network.register_forward_pre_hook(lambda module, inputs: sizes.append(len(inputs[0])))
    trace = Trace(classifier, batch, layer="conv2")
    whole = method(trace)
    assert classifier.passes == PassCounts(forward=4 + 4 * 8 * copies)
    assert sizes == [4] + [4 * 8] * copies
    monkeypatch.setattr(pass_size, "CPU_PIXELS", 2 * 5 * SIZE[0] * SIZE[1])  # float64 counts twice
    sizes.clear()
    parted = method(trace)
    handle.remove()
    assert max(sizes) == 5
    torch.testing.assert_close(parted, whole)
