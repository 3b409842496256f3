"""Wrappers: what they do to the map inside, what they pass on of its faults, and how they nest."""

from __future__ import annotations

import pytest
import torch
from helpers.toys import maps_of, toy_batch, toy_classifier

from camdbench.core.errors import UsageError
from camdbench.core.registries import explainers, is_control, needs_of
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.functional.normalise import normalise
from camdbench.functional.seeding import generator_for
from camdbench.models.pass_counts import PassCounts


def maps(spec: str, batch: Batch | None = None) -> torch.Tensor:
    return maps_of(toy_classifier(), batch or toy_batch(), spec).maps


@pytest.fixture
def flat() -> None:
    """An explainer whose maps say nothing, and one whose maps are not finite."""

    @explainers.register("flat", paper="a test")
    def flat(trace: Trace) -> torch.Tensor:
        """Three everywhere."""
        return torch.full((len(trace.images), 2, 2), 3.0)

    @explainers.register("sometimes_flat", paper="a test")
    def sometimes_flat(trace: Trace) -> torch.Tensor:
        """Three everywhere, or a ramp for images with a bright corner."""
        ramp = torch.tensor([[1.0, 2.0]])
        return torch.where(trace.images[:, 0, :1, :1] > 0.5, ramp, torch.full_like(ramp, 3.0))

    @explainers.register("broken", paper="a test")
    def broken(trace: Trace) -> torch.Tensor:
        """Not a number."""
        return torch.full((len(trace.images), 2, 2), torch.nan)


def test_the_box_cuts_the_finished_map_in_two_without_stretching_either():
    whole, inside, outside, box = (maps(spec) for spec in ("gradcam", "inside_box(gradcam)", "outside_box(gradcam)", "gtbox"))
    torch.testing.assert_close(inside + outside, whole)
    assert torch.equal(inside, whole * box)
    assert torch.equal(maps("gtbox_complement"), 1 - box)


def test_the_mask_is_the_mask():
    assert torch.equal(maps("gtmask").bool(), toy_batch().masks)


def test_power_and_inverse():
    whole = maps("gradcam")
    assert torch.equal(maps("power(gradcam)"), whole)
    torch.testing.assert_close(maps("power(gradcam, alpha=3.0)"), whole**3)
    assert torch.equal(maps("inverted(gradcam)"), 1 - whole)
    torch.testing.assert_close(maps("inverted(inverted(gradcam))"), whole)


def test_augsmooth_is_the_mean_over_six_variants_made_by_hand():
    classifier, batch = toy_classifier(), toy_batch()
    expected = torch.zeros(4, *batch.images.shape[-2:])
    for mirrored in (False, True):
        for factor in (0.9, 1.0, 1.1):
            images = (batch.images * factor).clamp(0, 1)
            seen = Batch(batch.ids, images.flip(3) if mirrored else images, batch.labels)
            found = maps_of(classifier, seen, "gradcam").maps
            expected += (found.flip(2) if mirrored else found) / 6
    low, high = expected.amin((1, 2), keepdim=True), expected.amax((1, 2), keepdim=True)
    torch.testing.assert_close(maps("augsmooth(gradcam)"), (expected - low) / (high - low))


def test_augsmooth_mirrors_boxes_of_images_that_are_their_own_mirror_images():
    batch = toy_batch()
    grey = Batch(batch.ids, torch.full_like(batch.images, 0.5), batch.labels, boxes=batch.boxes)
    torch.testing.assert_close(maps("augsmooth(gtbox)", grey), maps("gtbox", grey))


def test_augsmooth_explains_the_class_of_the_image_as_it_is():
    classifier, batch = toy_classifier(), toy_batch()
    with classifier.frozen():
        predicted = Trace(classifier, batch, target="predicted").targets
    by_rule = maps_of(classifier, batch, "augsmooth(gradcam)", target="predicted").maps
    assert torch.equal(by_rule, maps_of(classifier, batch, "augsmooth(gradcam)", target=predicted).maps)


def test_boxes_are_mirrored_with_the_image():
    batch = toy_batch()
    mirrored = batch.mirrored()
    assert torch.equal(maps("gtbox", mirrored), maps("gtbox", batch).flip(2))
    assert torch.equal(maps("gtmask", mirrored), maps("gtmask", batch).flip(2))
    again = mirrored.mirrored()
    assert torch.equal(again.images, batch.images)
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(again.boxes or (), batch.boxes or (), strict=True))


def test_wrappers_share_the_trace_of_what_is_inside():
    classifier = toy_classifier()
    with classifier.frozen():
        trace = Trace(classifier, toy_batch())
        from camdbench.explainers.common.saliency import saliency

        for spec in ("gradcam", "inside_box(gradcam)", "power(inverted(hirescam), alpha=2.0)"):
            saliency(trace, explainers.parse_one(spec))
    assert classifier.passes == PassCounts(forward=4, tail_backward=4)


def test_what_is_wrong_inside_is_wrong_outside(flat: None):
    classifier, batch = toy_classifier(), toy_batch()
    for spec in ("inverted(flat)", "power(flat, alpha=2.0)", "inside_box(power(flat))"):
        assert set(maps_of(classifier, batch, spec).status) == {"constant_map"}
    found = maps_of(classifier, batch, "inverted(inside_box(broken))")
    assert set(found.status) == {"error"}
    assert set(found.reasons) == {"the map is not finite"}


def test_needs_and_control_come_from_within_too():
    assert needs_of(explainers.parse_one("power(inside_box(gradcam))")) == {"boxes", "layer", "gradients"}
    assert is_control(explainers.parse_one("power(fakecam, alpha=2.0)"))
    assert not is_control(explainers.parse_one("inside_box(gradcam)"))


def test_a_wrapper_without_and_a_method_with_an_explainer_inside_are_refused():
    with pytest.raises(UsageError, match=r"power\(alpha=2\.0\): power takes 1 explainer in its brackets, not 0"):
        explainers.parse_one("power(alpha=2.0)")
    with pytest.raises(UsageError, match=r"gradcam takes no explainers in its brackets, not 1"):
        explainers.parse_one("gradcam(opticam)")
    with pytest.raises(UsageError, match="no explainer 'gradcan'"):
        explainers.parse_one("power(inverted(gradcan))")
    with pytest.raises(UsageError, match="iterations"):
        explainers.parse_one("power(opticam(iterations=-1))")


@pytest.mark.usefixtures("float64")
def test_smooth_gives_smoothgrad_of_any_map_and_its_variance():
    classifier, batch = toy_classifier("dense"), toy_batch()
    found = maps_of(classifier, batch, 'smooth(saliency(channels="sum"), samples=5, level=0.2)')
    expected = maps_of(classifier, batch, 'smoothgrad(channels="sum", samples=5, noise=0.2)')
    torch.testing.assert_close(found.raw, expected.raw)
    maps_, width = list[torch.Tensor](), 0.2 * (batch.images.amax((1, 2, 3)) - batch.images.amin((1, 2, 3)))
    generators = [generator_for(0, f"image-{index}", "smoothgrad") for index in range(4)]
    for _ in range(5):
        noise = torch.stack([torch.randn(batch.images.shape[1:], generator=generator) for generator in generators])
        noisy = Batch(batch.ids, batch.images + width[:, None, None, None] * noise, batch.labels)
        maps_.append(maps_of(classifier, noisy, "gradcam(relu=False)").raw)
    for statistic, wanted in (("mean", torch.stack(maps_).mean(0)), ("variance", torch.stack(maps_).var(0))):
        spec = f'smooth(gradcam(relu=False), samples=5, level=0.2, statistic="{statistic}")'
        torch.testing.assert_close(maps_of(classifier, batch, spec).raw, wanted)


def test_smooth_finishes_as_the_explainer_inside_and_a_constant_copy_counts_as_any_other(flat: None):
    classifier, batch = toy_classifier("dense"), toy_batch()
    found = maps_of(classifier, batch, "smooth(inputxgradient, samples=3)")
    assert found.raw.min() < 0
    torch.testing.assert_close(found.maps, normalise(found.raw, "max"))
    assert set(maps_of(classifier, batch, "smooth(flat, samples=2)").status) == {"constant_map"}
    assert set(maps_of(classifier, batch, "smooth(broken, samples=2)").status) == {"error"}
    assert maps_of(classifier, batch, "smooth(sometimes_flat, samples=4)").status == ("ok",) * 4
    with pytest.raises(UsageError, match=r"smooth\(samples=1\): input should be greater than or equal to 2"):
        explainers.parse_one("smooth(gradcam, samples=1)")


def test_edges_are_zero_on_a_flat_image_and_follow_the_slope_of_a_ramp():
    classifier, flat = toy_classifier(), toy_batch()
    images = torch.linspace(0, 1, flat.images.shape[-1]).expand_as(flat.images).contiguous()
    raw = maps_of(classifier, Batch(flat.ids, images, flat.labels), "edges").raw
    step = 1 / (images.shape[-1] - 1)
    torch.testing.assert_close(raw[:, 1:-1, 1:-1], torch.full_like(raw[:, 1:-1, 1:-1], 8 * step))
    same = maps_of(classifier, Batch(flat.ids, torch.full_like(images, 0.3), flat.labels), "edges")
    assert same.raw.abs().max() < 1e-6


@pytest.mark.parametrize(("inside", "forward"), [("gradcam", 6), ("saliency", 6), ("rise(masks=5)", 36), ("centre", 1)])
def test_augsmooth_needs_no_pass_besides_those_of_the_six(inside: str, forward: int) -> None:
    """But one for the class where the explainer inside needs none, and one where noise leaves [0, 1], so that no version is the image."""
    for noise, more in ((0.0, 0), (0.5, 0 if inside == "centre" else 1)):
        classifier, batch = toy_classifier(), toy_batch()
        maps_of(classifier, Batch(batch.ids, batch.images + noise, batch.labels), f"augsmooth({inside})")
        assert classifier.passes.forward == 4 * (forward + more)
