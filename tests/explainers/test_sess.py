"""SESS: numbers of windows, a slow literal reading, pytorch-grad-cam's, and windows with constant maps."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from helpers.other_libraries import inputs_of
from helpers.toys import maps_of, reordered, toy_batch, toy_classifier
from pytorch_grad_cam import SESS, GradCAM
from pytorch_grad_cam.utils.model_targets import ClassifierOutputTarget
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from camdbench.core.registries import explainers
from camdbench.datasets.samples import Batch
from camdbench.explainers import sess as sess_module
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.sess import windows_of
from camdbench.functional.normalise import normalise

SQUARE = (20, 20)


@pytest.fixture
def square() -> Batch:
    return toy_batch(size=SQUARE)


def test_there_are_122_windows_of_a_square_image_at_12_scales() -> None:
    windows = windows_of((224, 224), 12, None)
    counts = [sum(own.scaled[0] == 224 + 64 * index for own in windows) for index in range(12)]
    assert counts == [1, 4, 4, 4, 9, 9, 9, 9, 16, 16, 16, 25]
    assert len(windows) == 122
    assert windows == windows_of((224, 224), 12, 224)
    assert max(1, round(0.1 * len(windows))) == 12


@pytest.mark.parametrize(("size", "window"), [((16, 12), None), ((12, 16), 7), ((5, 40), None), ((9, 9), 30)])
def test_windows_cover_the_enlarged_image_and_lie_in_it(size: tuple[int, int], window: int | None) -> None:
    windows = windows_of(size, 5, window)
    for scaled in {own.scaled for own in windows}:
        covered = torch.zeros(scaled, dtype=torch.bool)
        for own in (own for own in windows if own.scaled == scaled):
            assert own.size == (size if window is None else (window, window))
            assert own.top + own.size[0] <= scaled[0]
            assert own.left + own.size[1] <= scaled[1]
            covered[own.top : own.top + own.size[0], own.left : own.left + own.size[1]] = True
        assert covered.all()


@pytest.mark.parametrize(("keep", "window"), [(1.0, None), (2 / 3, None), (1.0, 14)])
def test_is_pytorch_grad_cams_on_square_images(square: Batch, keep: float, window: int | None) -> None:
    classifier = toy_classifier()
    targets = [ClassifierOutputTarget(int(label)) for label in square.labels]
    layer = [classifier.module("relu2")]
    theirs = SESS(classifier.network, layer, base_method=GradCAM, num_scales=3, window_size=window, pre_filter_ratio=1 - keep)
    reference = torch.from_numpy(theirs(inputs_of(classifier, square).detach(), targets))
    found = maps_of(classifier, square, f"sess(gradcam, scales=3, keep={keep}, window={window})").maps
    torch.testing.assert_close(found, reference, rtol=0, atol=2e-4)


def test_is_the_literal_formula_also_on_images_that_are_not_square(batch: Batch) -> None:
    classifier = toy_classifier("dense")
    found = maps_of(classifier, batch, "sess(gradcam, scales=3, keep=0.6)").raw
    for index, image in enumerate(batch.images):
        cuts = list[tuple[tuple[int, int], int, int, Tensor]]()
        for height, width in ((16, 12), (20, 15), (24, 18)):  # the shorter side is 12 + 3 i
            large = image if height == 16 else F.interpolate(image[None], (height, width), mode="bilinear", align_corners=False)[0]
            for top in sorted({0, height - 16}):
                cuts += [((height, width), top, left, large[:, top : top + 16, left : left + 12]) for left in sorted({0, width - 12})]
        assert len(cuts) == 9
        with classifier.frozen(), torch.no_grad():
            scores = torch.stack([classifier(cut[None]).softmax(1)[0, batch.labels[index]] for *_, cut in cuts])
        total, count = torch.zeros(16, 12), torch.zeros(16, 12)
        for place in scores.argsort(descending=True)[:5]:  # round(0.6 * 9)
            scaled, top, left, cut = cuts[place]
            own = maps_of(classifier, Batch(("one",), cut[None], batch.labels[index : index + 1]), "gradcam").maps[0]
            canvas = torch.zeros(scaled)
            canvas[top : top + 16, left : left + 12] = own * scores[place] / scores.max()
            pasted = F.interpolate(canvas[None, None], (16, 12), mode="bilinear", align_corners=False)[0, 0]
            total, count = total + pasted * (pasted > 0), count + (pasted > 0)
        expected = gaussian_blur((total / count.clamp_min(1))[None], [11, 11], [5.0, 5.0])[0]
        torch.testing.assert_close(found[index], expected, rtol=1e-4, atol=1e-5)


def test_an_image_is_enlarged_once_per_scale_for_all_its_windows(monkeypatch: pytest.MonkeyPatch, square: Batch) -> None:
    asked, enlarge = list[tuple[int, tuple[int, int]]](), sess_module._enlarged
    monkeypatch.setattr(sess_module, "_enlarged", lambda images, size: asked.append((len(images), size)) or enlarge(images, size))
    maps_of(toy_classifier(), square, "sess(gradcam, scales=4, keep=0.5)")
    scales = {window.scaled for window in windows_of(SQUARE, 4, None)}
    assert sorted(size for count, size in asked if count == len(square)) == sorted(scales - {SQUARE})  # for probabilities
    alone = [size for count, size in asked if count == 1]
    assert all(alone.count(size) <= len(square) for size in scales)
    assert len(alone) > len(square)


def test_one_scale_is_the_smoothed_map_where_it_is_positive(batch: Batch) -> None:
    classifier = toy_classifier()
    own = maps_of(classifier, batch, "gradcam").maps
    found = maps_of(classifier, batch, "sess(gradcam, scales=1, keep=1.0)")
    torch.testing.assert_close(found.raw, gaussian_blur(own * (own > 0), [11, 11], [5.0, 5.0]), rtol=0, atol=1e-6)
    torch.testing.assert_close(found.maps, normalise(found.raw, "range"))


def test_windows_with_a_constant_map_are_skipped(batch: Batch) -> None:
    """The released code divides 0 by 0 there, and its merged map is zero over the whole window."""

    @explainers.register("mostly_flat", paper="a test")
    def mostly_flat(trace: Trace) -> Tensor:
        """A ramp for images as they are, a constant for windows of enlarged ones."""
        same = (trace.images == batch.images).flatten(1).all(1)
        ramp = torch.linspace(0.5, 1, 12).expand(16, 12)
        return torch.where(same[:, None, None], ramp, 1.0)

    @explainers.register("flat_everywhere", paper="a test")
    def flat_everywhere(trace: Trace) -> Tensor:
        """A constant."""
        return torch.ones(len(trace.images), 2, 2)

    classifier = toy_classifier()
    found = maps_of(classifier, batch, "sess(mostly_flat, scales=2, keep=1.0)")
    assert found.status == ("ok",) * 4
    one = maps_of(classifier, batch, "sess(mostly_flat, scales=1, keep=1.0)")
    torch.testing.assert_close(found.maps, one.maps, rtol=0, atol=1e-6)
    assert maps_of(classifier, batch, "sess(flat_everywhere, scales=2)").status == ("constant_map",) * 4


def test_windows_carry_no_ground_truth_and_each_image_chooses_its_own(batch: Batch) -> None:
    classifier = toy_classifier("dense")
    whole = maps_of(classifier, batch, "sess(gradcam, scales=4, keep=0.2)").maps
    turned = maps_of(classifier, reordered(batch, [2, 0, 3, 1]), "sess(gradcam, scales=4, keep=0.2)").maps
    torch.testing.assert_close(whole[[2, 0, 3, 1]], turned, rtol=0, atol=1e-5)
    with pytest.raises(Exception, match="needs ground-truth"):
        maps_of(classifier, batch, "sess(gtbox)")
