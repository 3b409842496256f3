"""What every metric promises, checked for every registered one, through the runner's own judge."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import pytest
import torch
from torch import Tensor
from toys import SIZE, ToyData, reordered, toy_batch, toy_classifier

from camdbench.core.catalogue import NO_EXPLAINER, judges_model, metrics, protocol_of
from camdbench.core.spec import Spec
from camdbench.datasets.samples import Batch
from camdbench.explainers.saliency import Saliency, finish
from camdbench.explainers.trace import Trace
from camdbench.models.classifier import Classifier
from camdbench.runner.resources import ReferenceImages
from camdbench.runner.results import BatchResult
from camdbench.runner.saved_maps import MapSource
from camdbench.runner.scoring import score_batch

# A new metric is one row here: the specs that are checked, with options that make them cheap on images of 16 x 12 pixels.
# Every protocol of the metric is checked too, with the options of the first spec where they do not name a protocol.
ROWS: dict[str, tuple[str, ...]] = {
    "ad": ("ad", "ad(keep=0.3)"),
    "ag": ("ag",),
    "ai": ("ai", "ai(tolerance=0.01)"),
    "insertion": ("insertion(step=16)", "insertion"),
    "deletion": ("deletion(step=16)",),
    "aopc": ("aopc(patch=3, regions=5)", "aopc"),
    "morf": ("morf(patch=3)", "morf(patch=1, step=16, regions=0, score='accuracy')"),
    "lerf": ("lerf(patch=3)", "lerf(patch=1, step=16, regions=0, score='accuracy')"),
    "accuracy": ("accuracy",),
    "top5": ("top5", "top5(count=2)"),
    "average_precision": ("average_precision", "average_precision(score='probability')"),
    "core": ("core", "core(scored='target')"),
    "noncore": ("noncore",),
    "core_share": ("core_share",),
    "redundancy": ("redundancy",),
    "contrastive_iou": ("contrastive_iou",),
    "cam_agreement": ("cam_agreement", "cam_agreement(threshold=0.1)"),
    "ablation_accuracy": ("ablation_accuracy", *(f"ablation_accuracy(ablation={how!r})" for how in ("none", "gray_bbox", "tile"))),
    "rfs": ("rfs",),
    "road": ("road(percentages=(30, 60))",),
    "road_morf": ("road_morf(percentages=(30, 60), score='probability')",),
    "road_lerf": ("road_lerf(percentages=(30, 60), score='probability')",),
    "om": ("om", "om(connectivity=4, scored='target')"),
    "le": ("le", "le(at_least=True, dead='scored')"),
    "om50": ("om50",),
    "le50": ("le50",),
    "boxacc": ("boxacc(thresholds=20)",),
    "maxboxacc": ("maxboxacc(thresholds=20)",),
    "maxboxaccv2": ("maxboxaccv2(thresholds=20)",),
    "pxap": ("pxap", "pxap(geometry='exclusive boxes')"),
    "pointing": ("pointing(ties='expected')", "pointing(ties='centroid', tolerance=1.5)"),
    "f1": ("f1", "f1(geometry='masks')"),
    "energy_pointing": ("energy_pointing",),
    "ch": ("ch",),
    "relevance_mass": ("relevance_mass", "relevance_mass(maps='relu')"),
    "relevance_rank": ("relevance_rank", "relevance_rank(maps='abs', ties='first')"),
    "iou": ("iou", "iou(threshold=0.2, geometry='inclusive boxes')"),
    "saliency_density": ("saliency_density",),
    "sm": ("sm", "sm(seen='image', scored='label')"),
    "adcc": ("adcc",),
    "coherency": ("coherency",),
    "complexity": ("complexity",),
    "infidelity": ("infidelity(samples=6)",),
    "irof": ("irof(segments=12)",),
    "sparseness": ("sparseness",),
    "entropy": ("entropy", "entropy(normalised=True)"),
    "effective_complexity": ("effective_complexity(threshold=0.5)", "effective_complexity(normalised=True)"),
    "max_sensitivity": ("max_sensitivity(samples=2)", 'max_sensitivity(samples=2, masking="pixels", maps="raw")'),
    "avg_sensitivity": ("avg_sensitivity(samples=2)",),
    "cgc_loss": ("cgc_loss(negatives=2)", 'cgc_loss(negatives=2, maps="as declared")'),
    "randomisation": ("randomisation(layers=2)", 'randomisation(layers=2, similarity="ssim")'),
    "random_logit": ("random_logit", 'random_logit(similarity="spearman")'),
    "quantus:FaithfulnessCorrelation": ("quantus:FaithfulnessCorrelation(subset_size=20, nr_runs=10)",),
    "quantus:FaithfulnessEstimate": ("quantus:FaithfulnessEstimate(features_in_step=32)",),
    "quantus:MonotonicityCorrelation": ("quantus:MonotonicityCorrelation(features_in_step=32, nr_samples=2)",),
    "quantus:Selectivity": ("quantus:Selectivity(patch_size=4)", 'quantus:Selectivity(patch_size=5, maps="raw")'),
    "quantus:PixelFlipping": ("quantus:PixelFlipping(features_in_step=32)",),
    "quantus:RegionPerturbation": ("quantus:RegionPerturbation(patch_size=4, regions_evaluation=4)",),
    "quantus:MaxSensitivity": ("quantus:MaxSensitivity(nr_samples=2)", 'quantus:MaxSensitivity(nr_samples=2, maps="raw")'),
    "quantus:AvgSensitivity": ("quantus:AvgSensitivity(nr_samples=2)",),
    "quantus:LocalLipschitzEstimate": ("quantus:LocalLipschitzEstimate(nr_samples=2)",),
    "quantus:RelativeInputStability": ("quantus:RelativeInputStability(nr_samples=2)",),
    "quantus:RelativeOutputStability": ("quantus:RelativeOutputStability(nr_samples=2)",),
    "quantus:RelativeRepresentationStability": ("quantus:RelativeRepresentationStability(nr_samples=2)",),
    "quantus:Continuity": ("quantus:Continuity(nr_steps=4)",),
    "quantus:EfficientMPRT": ("quantus:EfficientMPRT",),
    "quantus:Sparseness": ("quantus:Sparseness", 'quantus:Sparseness(maps="raw")'),
    "quantus:Complexity": ("quantus:Complexity",),
    "quantus:EffectiveComplexity": ("quantus:EffectiveComplexity(eps=0.3)",),
    "quantus:RelevanceMassAccuracy": ("quantus:RelevanceMassAccuracy",),
    "quantus:RelevanceRankAccuracy": ("quantus:RelevanceRankAccuracy",),
    "quantus:TopKIntersection": ("quantus:TopKIntersection(k=20)",),
    "quantus:AUC": ("quantus:AUC",),
    "quantus:PointingGame": ("quantus:PointingGame",),
    "quantus:AttributionLocalisation": ("quantus:AttributionLocalisation",),
}


def _specs() -> list[str]:
    found = dict[str, None]()
    for name, specs in ROWS.items():
        found |= dict.fromkeys(specs)
        cheap = metrics.parse_one(specs[0]).arguments
        for protocol in metrics.get(name).protocols:
            found[str(metrics.check(Spec.of(name, cheap | {"protocol": protocol.name})))] = None
    return list(found)


SPECS = _specs()
OF_MAPS = [spec for spec in SPECS if not judges_model(metrics.parse_one(spec))]

every_spec = pytest.mark.parametrize("spec", SPECS)


def test_every_metric_has_a_row() -> None:
    assert set(ROWS) == set(metrics.names())


@every_spec
class TestEveryMetric:
    def test_has_a_value_or_a_reason_for_every_image(self, classifier: Classifier, batch: Batch, spec: str) -> None:
        found = verdicts(classifier, batch, spec)
        assert [verdict.image for verdict in found] == [0, 1, 2, 3]
        if "linear head" in metrics.get(spec.partition("(")[0]).facts.needs and classifier.name == "toy-dense":
            assert {verdict.status for verdict in found} == {"not_applicable"}
        else:
            assert any(verdict.status == "ok" for verdict in found), {verdict.reason for verdict in found}
        check_statuses(found)

    def test_is_repeatable_to_the_bit(self, classifier: Classifier, batch: Batch, spec: str) -> None:
        first, again = (values(verdicts(classifier, batch, spec)) for _ in range(2))
        torch.testing.assert_close(first, again, rtol=0, atol=0, equal_nan=True)

    @pytest.mark.parametrize("size", [1, 3])
    def test_does_not_depend_on_the_batch_size(self, classifier: Classifier, batch: Batch, spec: str, size: int) -> None:
        parts = [verdicts(classifier, batch.part(start, start + size), spec) for start in range(0, 4, size)]
        found = torch.cat([values(part) for part in parts])
        torch.testing.assert_close(values(verdicts(classifier, batch, spec)), found, rtol=1e-4, atol=1e-4, equal_nan=True)

    def test_does_not_depend_on_the_order(self, classifier: Classifier, batch: Batch, spec: str) -> None:
        order = [2, 0, 3, 1]
        shuffled = values(verdicts(classifier, reordered(batch, order), spec))
        torch.testing.assert_close(values(verdicts(classifier, batch, spec))[order], shuffled, rtol=1e-4, atol=1e-4, equal_nan=True)

    def test_a_network_that_gives_nan_has_no_score(self, batch: Batch, spec: str) -> None:
        broken = toy_classifier()
        broken.network.head[-1].weight.data.fill_(torch.nan)
        assert {verdict.status for verdict in verdicts(broken, batch, spec)} <= {"error", "not_applicable"}

    @pytest.mark.parametrize("scale", [30.0, 1e4], ids="logits of {:g}".format)
    def test_it_holds_where_float32_probabilities_are_one_and_zero(self, batch: Batch, spec: str, scale: float) -> None:
        certain = toy_classifier()
        certain.network.head[-1].weight.data.mul_(scale)
        check_statuses(verdicts(certain, batch, spec))

    def test_images_without_boxes_and_with_empty_masks_are_told(self, classifier: Classifier, batch: Batch, spec: str) -> None:
        bare = replace(batch, boxes=tuple(torch.zeros(0, 4) for _ in range(4)), masks=torch.zeros_like(batch.masks))
        check_statuses(verdicts(classifier, bare, spec))

    def test_boxes_beside_the_image_and_masks_of_all_of_it_are_told(self, classifier: Classifier, batch: Batch, spec: str) -> None:
        beside = torch.tensor([[100.0, 100.0, 120.0, 130.0], [-9.0, -9.0, -2.0, -1.0]])
        odd = replace(batch, boxes=(beside,) * 4, masks=torch.ones_like(batch.masks))
        check_statuses(verdicts(classifier, odd, spec))

    def test_the_model_and_the_images_are_left_as_they_were(self, classifier: Classifier, batch: Batch, spec: str) -> None:
        images, masks, weights = batch.images.clone(), batch.masks.clone(), classifier.weights_hash()
        state = torch.random.get_rng_state()
        verdicts(classifier, batch, spec)
        assert torch.equal(batch.images, images)
        assert torch.equal(batch.masks, masks)
        assert classifier.weights_hash() == weights
        assert torch.random.get_rng_state().equal(state)
        assert not any(module._forward_hooks for module in classifier.modules())

    def test_its_points_have_places_and_finite_values(self, classifier: Classifier, batch: Batch, spec: str) -> None:
        for scores in judged(classifier, batch, spec).scores.values():
            for x, y in scores.curves.values():
                assert x.ndim == 1
                assert y.shape == (len(batch), len(x))
                assert y[scores.scored].isfinite().all()

    def test_its_protocol_sets_options_that_it_takes(self, spec: str) -> None:
        parsed = metrics.parse_one(spec)
        entry = metrics.get(parsed.name)
        for option in entry.options:
            if option.name in entry.arguments(parsed):
                option.check(entry.arguments(parsed)[option.name], parsed.name)
        assert len(protocol_of(parsed).digest(parsed.name)) == 8


@pytest.mark.parametrize("spec", OF_MAPS)
class TestEveryMetricOfMaps:
    @pytest.mark.parametrize("case", ["dead", "constant", "negative", "nan", "one pixel", "one place", "tiny"])
    def test_odd_maps_have_a_value_or_a_status(self, classifier: Classifier, batch: Batch, spec: str, case: str) -> None:
        raw = ODD_MAPS[case]()
        found = verdicts(classifier, batch, spec, given(raw))
        if case == "nan":
            assert {verdict.status for verdict in found} <= {"error", "undefined", "not_applicable"}
        else:
            check_statuses(found)

    def test_the_maps_are_left_as_they_were(self, classifier: Classifier, batch: Batch, spec: str) -> None:
        raw = torch.randn(4, *SIZE, generator=torch.Generator().manual_seed(0))
        before = raw.clone()
        verdicts(classifier, batch, spec, given(raw))
        assert torch.equal(raw, before)


@pytest.mark.parametrize("spec", [specs[0] for specs in ROWS.values() if specs[0] in OF_MAPS])
def test_it_tells_maps_apart(batch: Batch, spec: str) -> None:
    if "explainer" in metrics.get(spec.partition("(")[0]).facts.needs:
        return  # what such a metric judges is the explainer, not the one map
    right = replace(batch, labels=toy_classifier()(batch.images).argmax(1))  # OM is 100 wherever the network errs
    found = {tuple(values(verdicts(toy_classifier(), right, spec, some_maps(seed))).tolist()) for seed in range(8)}
    assert len(found) > 1


def _together() -> list[str]:
    """A spec of every metric, but for those of Quantus that are given one image at a time whatever the batch is."""
    alone = [name for name in ROWS if name.startswith("quantus:") and "explainer" not in metrics.get(name).facts.needs]
    return [specs[0] for name, specs in ROWS.items() if name not in alone]


@pytest.mark.parametrize("spec", _together())
def test_an_image_has_the_same_value_alone_among_three_and_among_64_in_any_order(spec: str) -> None:
    classifier, batch = toy_classifier(), toy_batch(64)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0)).tolist()
    found = values(verdicts(classifier, reordered(batch, order), spec))[torch.tensor(order).argsort()]
    close = 1e-2 if spec == "quantus:EfficientMPRT" else 1e-4  # its histogram has edges on which enlarged maps have values
    for start, stop in ((0, 1), (3, 6), (63, 64)):
        own = values(verdicts(classifier, batch.part(start, stop), spec))
        torch.testing.assert_close(found[start:stop], own, rtol=close, atol=close, equal_nan=True)


def _one_pixel() -> Tensor:
    maps = torch.zeros(4, *SIZE)
    maps[:, 5, 3] = 1
    return maps


ODD_MAPS: dict[str, Callable[[], Tensor]] = {
    "dead": lambda: torch.zeros(4, 8, 6),
    "constant": lambda: torch.full((4, 8, 6), 0.7),
    "negative": lambda: -1 - torch.rand(4, 8, 6, generator=torch.Generator().manual_seed(0)),
    "nan": lambda: torch.full((4, 8, 6), torch.nan),
    "one pixel": _one_pixel,
    "one place": lambda: torch.ones(4, 1, 1),
    "tiny": lambda: 1e-38 * torch.rand(4, 8, 6, generator=torch.Generator().manual_seed(0)),
}


class Score(NamedTuple):
    """One image's value, or the reason why it has none."""

    image: int
    value: float
    status: str
    reason: str


def judged(classifier: Classifier, batch: Batch, spec: str, source: MapSource | None = None) -> BatchResult:
    """One metric on one batch as a run judges it, on Grad-CAM's maps where no others are given."""
    metric = metrics.parse_one(spec)
    job = NO_EXPLAINER if judges_model(metric) else Spec("gradcam")
    with torch.inference_mode(mode=False), classifier.frozen():
        more = {} if source is None else {"source": source}
        others = ReferenceImages(ToyData(toy_batch()), seed=0, target="label")
        return next(score_batch(classifier, batch, [job], [metric], target="label", seed=0, others=others, **more))


def verdicts(classifier: Classifier, batch: Batch, spec: str, source: MapSource | None = None) -> list[Score]:
    """What `judged` says of each image."""
    (found,) = judged(classifier, batch, spec, source).scores.values()
    return [Score(*own) for own in zip(range(len(batch)), found.values, found.status, found.reasons, strict=True)]


def values(found: list[Score]) -> Tensor:
    """The values, NaN where there is none."""
    return torch.tensor([verdict.value for verdict in found], dtype=torch.float64)


def check_statuses(found: list[Score]) -> None:
    """Every verdict is a number, or none with a reason that is no accident."""
    for verdict in found:
        if verdict.status in ("ok", "constant_map"):
            assert torch.tensor(verdict.value).isfinite(), verdict
        else:
            assert verdict.status in ("undefined", "not_applicable"), verdict
            assert verdict.reason


def given(raw: Tensor) -> MapSource:
    """Maps that somebody else made, whatever the images are."""

    def source(trace: Trace, spec: Spec) -> Saliency:
        return finish(raw[: len(trace.batch)], trace.size, "range")

    return source


def some_maps(seed: int) -> MapSource:
    """Random maps that differ from image to image, with a few peaks: what lies above the mean of mere noise is all over the image."""
    return given(torch.rand(4, 5, 4, generator=torch.Generator().manual_seed(seed)) ** 4)
