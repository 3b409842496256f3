"""bf16 reaches the passes over altered images, in the digits that autocast gives, and nothing else."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from helpers.toys import maps_of, toy_batch, toy_classifier

from camdbench.core.errors import UsageError
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts
from camdbench.models.randomised import cascade
from camdbench.runner.evaluate import evaluate

ALTERING = (
    "scorecam",
    "sscam(samples=3)",
    "iscam(samples=3)",
    "rise(masks=40)",
    "occlusion(window=4, stride=2)",
    'lime(samples=40, segments="grid", cells=3)',
    'kernelshap(samples=40, segments="grid", cells=3)',
    'shapleysampling(samples=3, segments="grid", cells=3)',
    "sobol(designs=2)",
    'featureablation(segments="grid", cells=3)',
)
EXACT = (
    "ablationcam",
    "cam",
    "contrastivecam",
    "deeplift",
    "deepliftshap(baselines=2)",
    "dff",
    "eigencam",
    "extremal(areas=(0.2,), max_iter=4, step=2, sigma=2.0, blur_sigma=4.0)",
    "fullgrad",
    "gradcam",
    "gradcampp",
    "gradientshap(samples=2)",
    "guidedbackprop",
    "guidedgradcam",
    "inputxgradient",
    "integratedgradients",
    "kpcacam",
    "lafam",
    "layercam",
    "opticam(iterations=3)",
    "saliency",
    "smoothgrad(samples=2)",
    "smoothgradcampp(samples=2)",
    "segeigencam",
    "vargrad(samples=2)",
)


def reduced(head: str = "gap") -> Classifier:
    classifier = toy_classifier(head)
    classifier.precision = "bf16"
    return classifier


@torch.no_grad()
@pytest.mark.parametrize("head", ["gap", "dense", "vit"])
def test_score_is_autocast_in_float32(head: str) -> None:
    classifier = reduced(head)
    images = toy_batch(size=(32, 32) if head == "vit" else (16, 12)).images
    scores = classifier.score(images)
    with torch.autocast("cpu", torch.bfloat16):
        literal = classifier.network((images - classifier.mean) / classifier.std)
    assert literal.dtype == torch.bfloat16
    assert scores.dtype == torch.float32
    assert torch.equal(scores, literal.float())
    assert classifier.passes == PassCounts(forward=len(images))
    exact = classifier(images)
    assert not torch.equal(scores, exact)
    torch.testing.assert_close(scores, exact, atol=0.05 * float(exact.abs().max()), rtol=0)  # 8 bits, through a few layers


@each("spec", ALTERING)
def test_altered_images_are_seen_in_bf16(spec: str) -> None:
    batch = toy_batch()
    exact, rough = maps_of(toy_classifier(), batch, spec), maps_of(reduced(), batch, spec)
    assert rough.maps.dtype == torch.float32
    assert not torch.equal(exact.raw, rough.raw)
    likeness = [float(torch.corrcoef(torch.stack([a.flatten(), b.flatten()]))[0, 1]) for a, b in zip(exact.maps, rough.maps, strict=True)]
    assert min(likeness) > 0.8, likeness


@each("spec", EXACT)
def test_maps_of_gradients_and_activations_do_not_move(spec: str) -> None:
    batch = toy_batch()
    assert torch.equal(maps_of(toy_classifier(), batch, spec).raw, maps_of(reduced(), batch, spec).raw)


def test_metrics_do_not_move() -> None:
    batch = toy_batch()
    saliency = torch.rand(len(batch.ids), 4, 3, generator=torch.Generator().manual_seed(0))
    exact, rough = (
        evaluate(model, batch.images, batch.labels, saliency, "ad,ag,insertion(step=8),road") for model in (toy_classifier(), reduced())
    )
    assert exact.equals(rough)


def test_what_is_differentiated_is_exact() -> None:
    classifier, images = reduced(), toy_batch().images.requires_grad_()
    (gradient,) = torch.autograd.grad(classifier.score(images).sum(), images)
    (exact,) = torch.autograd.grad(classifier(images).sum(), images)
    assert torch.equal(gradient, exact)
    assert classifier.passes == PassCounts(forward=8, backward=8)


def test_passes_with_gradients_are_in_bf16_only_with_the_word_for_all_and_where_no_rule_divides_by_small_differences() -> None:
    own, images = toy_classifier(), toy_batch().images.requires_grad_()
    own.precision = "bf16-all"
    logits = own.score(images)
    with torch.autocast("cpu", torch.bfloat16):
        literal = own.network((images - own.mean) / own.std).float()
    assert torch.equal(logits, literal)
    found, expected = (torch.autograd.grad(rows[:, 0].sum(), images)[0] for rows in (logits, literal))
    assert torch.equal(found, expected)
    batch = toy_batch()
    moving = ("saliency", "integratedgradients(steps=3)", "smoothgrad(samples=2)", "opticam(iterations=3, search_dtype='network')")
    exact_ones = ("gradcam", "layercam", "deeplift", "guidedbackprop", "opticam(iterations=3)")
    for spec, moves in {**dict.fromkeys(moving, True), **dict.fromkeys(exact_ones, False)}.items():
        exact, rough = maps_of(toy_classifier(), batch, spec).raw, maps_of(own, batch, spec).raw
        assert torch.equal(exact, rough) != moves, spec
        assert float(torch.corrcoef(torch.stack([exact.flatten(), rough.flatten()]))[0, 1]) > 0.8


def test_randomised_models_have_the_model_s_precision() -> None:
    assert [step.classifier.precision for step in cascade(reduced(), 1, seed=0)] == ["bf16"]


def test_an_unknown_precision_is_named() -> None:
    with pytest.raises(UsageError, match="precision 'fp8': expected fp32, bf16 or bf16-all"):
        Classifier(toy_classifier().network, mean=0.5, std=0.5, precision="fp8")  # pyright: ignore[reportArgumentType]
