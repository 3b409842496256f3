"""What every metric promises, checked for every registered one, through the runner's own scoring."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pytest
import torch
from helpers.each import subcase
from helpers.network_hooks import images_counted
from helpers.toys import SIZE, Toy, ToyData, reordered, toy_batch, toy_classifier
from skimage.segmentation import slic
from torch import Tensor

from camdbench.core.registries import NO_EXPLAINER, has_model_scope, metrics, protocol_of
from camdbench.core.spec import Spec
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.saliency import Saliency, finish
from camdbench.explainers.common.trace import Trace
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
    "morf": ("morf(patch=3)", "morf(patch=1, step=16, regions=0, scored_output='accuracy')"),
    "lerf": ("lerf(patch=3)", "lerf(patch=1, step=16, regions=0, scored_output='accuracy')"),
    "accuracy": ("accuracy",),
    "group_accuracy": ("group_accuracy", "group_accuracy(by='background')"),
    "background_gap": ("background_gap",),
    "top5": ("top5", "top5(count=2)"),
    "average_precision": ("average_precision", "average_precision(scored_output='probability')"),
    "core": ("core", "core(scored_class='target')"),
    "noncore": ("noncore",),
    "core_share": ("core_share",),
    "redundancy": ("redundancy",),
    "contrastive_iou": ("contrastive_iou",),
    "cam_agreement": ("cam_agreement", "cam_agreement(threshold=0.1)"),
    "ablation_accuracy": ("ablation_accuracy", *(f"ablation_accuracy(ablation={how!r})" for how in ("none", "gray_bbox", "tile"))),
    "rfs": ("rfs",),
    "lead": ("lead(step=16)",),
    "normalised_insertion": ("normalised_insertion(step=16)",),
    "normalised_deletion": ("normalised_deletion(step=16)",),
    "sufficient_share": (
        "sufficient_share(step=16, start='blank', criterion='probability', level=0.99)",
        "sufficient_share(step=16, scored_class='predicted')",
    ),
    "necessary_share": ("necessary_share(step=16, criterion='probability', level=0.99)",),
    "srg": ("srg(segments=12)", "srg(segments=12, scored_output='accuracy', fill='average')"),
    "sic": ("sic(least=0.0, shares=(0.01, 0.05, 0.2, 0.5), scored_class='predicted')",),
    "aic": ("aic(shares=(0.01, 0.05, 0.2, 0.5), scored_class='predicted')",),
    "arcc": ("arcc(percentages=(30, 60))",),
    "mstc": ("mstc", "mstc(share=0.1, neighbours=3)"),
    "road": ("road(percentages=(30, 60))",),
    "road_morf": ("road_morf(percentages=(30, 60), scored_output='probability')",),
    "road_lerf": ("road_lerf(percentages=(30, 60), scored_output='probability')",),
    "om": ("om", "om(connectivity=4, scored_class='target')"),
    "le": ("le", "le(at_least=True, constant_map='scored')"),
    "om50": ("om50",),
    "le50": ("le50",),
    "boxacc": ("boxacc(thresholds=20)",),
    "maxboxacc": ("maxboxacc(thresholds=20)",),
    "maxboxaccv2": ("maxboxaccv2(thresholds=20)",),
    "pxap": ("pxap", "pxap(ground_truth='exclusive boxes')"),
    "pointing": ("pointing(ties='expected')", "pointing(ties='centroid', tolerance=1.5)"),
    "f1": ("f1", "f1(ground_truth='masks')"),
    "energy_pointing": ("energy_pointing",),
    "ch": ("ch",),
    "grid_pointing": ("grid_pointing",),
    "focus": ("focus",),
    "difull": ("difull",),
    "dipart": ("dipart",),
    "relevance_mass": ("relevance_mass", "relevance_mass(maps='relu')"),
    "relevance_rank": ("relevance_rank", "relevance_rank(maps='abs', ties='first')"),
    "iou": ("iou", "iou(threshold=0.2, ground_truth='inclusive boxes')"),
    "saliency_density": ("saliency_density",),
    "sm": ("sm", "sm(seen='image', scored_class='label')"),
    "adcc": ("adcc",),
    "coherency": ("coherency",),
    "complexity": ("complexity",),
    "infidelity": ("infidelity(samples=6)",),
    "f_fidelity_plus": (
        "f_fidelity_plus(samples=3, sizes=(20, 60), scored_output='probability')",
        "f_fidelity_plus(samples=2, sizes=(50,))",
    ),
    "f_fidelity_minus": (
        "f_fidelity_minus(samples=3, sizes=(20, 60), scored_output='probability')",
        "f_fidelity_minus(samples=2, sizes=(100,))",
    ),
    "mcs": ("mcs(network='shortcuts-so', only_right=False)",),
    "idr": ("idr(only_right=False)",),
    "csdc": ("csdc(only_right=False)", "csdc(thresholds=(0.1,), only_right=False)"),
    "preservation_check": ("preservation_check(only_right=False)",),
    "deletion_check": ("deletion_check(only_right=False)",),
    "distractibility": ("distractibility",),
    "single_deletion": ("single_deletion", "single_deletion(scored_output='centred_logit')"),
    "target_sensitivity": ("target_sensitivity",),
    "background_independence": ("background_independence",),
    "iir": ("iir(steps=4, only_right=False)",),
    "irof": ("irof(segments=12)",),
    "sensitivity_n": ("sensitivity_n(cells=4, sizes=3, samples=8)", "sensitivity_n(cells=4, sizes=1, samples=8, maps='default')"),
    "mufidelity": ("mufidelity(cells=4, samples=12)", "mufidelity(cells=4, samples=12, scored_output='probability')"),
    "non_sensitivity": ("non_sensitivity(cells=4, eps=0.2)", "non_sensitivity(cells=4, eps=0.01, masking='normalised')"),
    "saco": ("saco(groups=4)", "saco(groups=5, fill='blank', scored_class='predicted')"),
    "monotonicity": ("monotonicity(patch=4)", "monotonicity(patch=3, scored_output='logit')"),
    "completeness": ("completeness",),
    "input_invariance": ("input_invariance", "input_invariance(shift=0.5, maps='default')"),
    "sparseness": ("sparseness",),
    "entropy": ("entropy", "entropy(normalised=True)"),
    "effective_complexity": ("effective_complexity(threshold=0.5)", "effective_complexity(normalised=True)"),
    "max_sensitivity": ("max_sensitivity(samples=2)", 'max_sensitivity(samples=2, masking="pixels", maps="raw")'),
    "avg_sensitivity": ("avg_sensitivity(samples=2)",),
    "cgc_loss": ("cgc_loss(negatives=2)", 'cgc_loss(negatives=2, maps="default")'),
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
    found = dict[tuple[object, ...], str]()
    for name, specs in ROWS.items():
        cheap = metrics.parse_one(specs[0]).arguments
        protocols = [str(metrics.check(Spec.of(name, cheap | {"protocol": own.name}))) for own in metrics.get(name).protocols]
        for spec in (*specs, *protocols):
            parsed = metrics.parse_one(spec)
            found.setdefault((name, protocol_of(parsed).name, repr(sorted(metrics.get(name).arguments(parsed).items()))), spec)
    return list(found.values())


SPECS = _specs()
JOBS = {"completeness": Spec.of("integratedgradients", {"steps": 8})}  # explainers of metrics that score few; else Grad-CAM
OF_MAPS = [spec for spec in SPECS if not has_model_scope(metrics.parse_one(spec))]


def test_every_metric_has_a_row() -> None:
    assert set(ROWS) == set(metrics.names())


def test_protocols_set_options_that_the_metric_takes(subtests: pytest.Subtests) -> None:
    for spec in SPECS:
        with subcase(subtests, spec):
            parsed = metrics.parse_one(spec)
            entry = metrics.get(parsed.name)
            for option in entry.options:
                if option.name in entry.arguments(parsed):
                    option.check(entry.arguments(parsed)[option.name], parsed.name)
            assert len(protocol_of(parsed).digest(parsed.name)) == 8


CLOSE = {"rtol": 1e-4, "atol": 1e-4}  # two ways to one value


@pytest.fixture(autouse=True)
def _float64_where_bits_decide(request: pytest.FixtureRequest) -> None:
    """Enlarged maps have values on the edges of EfficientMPRT's histogram: the last bit of a float32 sum moves a place to the next bin.

    Of a network in float64 the maps are equal in all bits of float32 whatever the order of the sums.
    """
    if "callspec" in vars(request.node) and request.node.callspec.params.get("name") == "quantus:EfficientMPRT":
        request.getfixturevalue("float64")


@pytest.mark.parametrize("name", ROWS)
def test_keeps_every_promise_with_every_spec(name: str, subtests: pytest.Subtests) -> None:
    batch = toy_batch()
    for spec in (spec for spec in SPECS if spec.partition("(")[0] == name):
        for toy in ("gap", "dense"):  # a head that sees places matters here alone
            _values_are_repeatable_and_independent_of_the_batch(batch, spec, toy, subtests)
        for scale in (torch.nan, 30.0, 1e4):  # of the logits; with the last two, float32 probabilities are one and zero
            with subcase(subtests, f"{spec}: logits times {scale}"):
                _extreme_logits_give_no_score_or_a_value(batch, spec, scale)
        for case, changed in _odd_regions(batch).items():
            with subcase(subtests, f"{spec}: {case}"):
                check_statuses(scores_of(toy_classifier(), changed, spec))
        if spec in OF_MAPS:
            _odd_maps_have_a_value_or_a_status_and_are_left_as_they_were(batch, spec, subtests)


def _values_are_repeatable_and_independent_of_the_batch(batch: Batch, spec: str, toy: str, subtests: pytest.Subtests) -> None:
    classifier = toy_classifier(toy)
    before = _state_of(classifier, batch)
    first = result_of(classifier, batch, spec)
    with subcase(subtests, f"{spec}: leaves the model and the images as they were", toy=toy):
        assert _state_of(classifier, batch) == before
        assert not any(module._forward_hooks for module in classifier.modules())
    found = per_image(first)
    wanted = values(found)
    with subcase(subtests, f"{spec}: a value in the declared range, or a reason, for every image", toy=toy):
        _check_values(found, classifier, spec)
        assert outside(wanted, metrics.get(metrics.parse_one(spec).name).facts.values) == []
    with subcase(subtests, f"{spec}: curves have places and finite values", toy=toy):
        _check_curves(first)
    with subcase(subtests, f"{spec}: repeatable to the bit", toy=toy):
        torch.testing.assert_close(values(scores_of(classifier, batch, spec)), wanted, rtol=0, atol=0, equal_nan=True)
    with subcase(subtests, f"{spec}: independent of the batch size and of the order", toy=toy):
        order = [2, 0, 3, 1]
        shuffled = reordered(batch, order)
        one, three = (values(scores_of(classifier, shuffled.part(*ends), spec)) for ends in ((0, 1), (1, 4)))
        torch.testing.assert_close(wanted[order], torch.cat([one, three]), **CLOSE, equal_nan=True)


def _extreme_logits_give_no_score_or_a_value(batch: Batch, spec: str, scale: float) -> None:
    classifier = toy_classifier()
    classifier.network.head[-1].weight.data.mul_(scale)
    found = scores_of(classifier, batch, spec)
    if scale == scale:
        check_statuses(found)
    else:
        assert {score.status for score in found} <= {"error", "not_applicable"}


def _odd_regions(batch: Batch) -> dict[str, Batch]:
    beside = torch.tensor([[100.0, 100.0, 120.0, 130.0], [-9.0, -9.0, -2.0, -1.0]])
    return {
        "no boxes, empty masks": replace(batch, boxes=tuple(torch.zeros(0, 4) for _ in range(4)), masks=torch.zeros_like(batch.masks)),
        "boxes beside the image, full masks": replace(batch, boxes=(beside,) * 4, masks=torch.ones_like(batch.masks)),
    }


def _odd_maps_have_a_value_or_a_status_and_are_left_as_they_were(batch: Batch, spec: str, subtests: pytest.Subtests) -> None:
    for case, make in ODD_MAPS.items():
        with subcase(subtests, f"{spec}: {case} maps"):
            found = scores_of(toy_classifier(), batch, spec, given(make()))
            if case == "nan":
                assert {score.status for score in found} <= {"error", "undefined", "not_applicable"}
            else:
                check_statuses(found)
    with subcase(subtests, f"{spec}: maps are not written to"):
        raw = torch.randn(4, *SIZE, generator=torch.Generator().manual_seed(0))
        before = raw.clone()
        scores_of(toy_classifier(), batch, spec, given(raw))
        assert torch.equal(raw, before)


@pytest.mark.parametrize("name", ROWS)
def test_its_first_spec_tells_maps_apart_and_neither_other_images_nor_other_explainers_change_a_value(
    name: str, subtests: pytest.Subtests
) -> None:
    spec = ROWS[name][0]
    if spec in OF_MAPS and "explainer" not in metrics.get(name).facts.needs:  # such a metric scores the explainer, not the one map
        with subcase(subtests, "different maps have different values"):
            _different_maps_have_different_values(spec)
    if not name.startswith("quantus:") or "explainer" in metrics.get(name).facts.needs:  # others of Quantus see one image at a time
        with subcase(subtests, "an image has the same value alone, among three and among 64 in any order"):
            _an_image_has_the_same_value_alone_among_three_and_among_64_in_any_order(spec)
    if spec in OF_MAPS:
        with subcase(subtests, "further explainers pass only images that depend on their maps, and change no value"):
            _further_explainers_pass_only_images_that_depend_on_their_maps_and_change_no_value(name)


def _different_maps_have_different_values(spec: str) -> None:
    batch = toy_batch()
    right = replace(batch, labels=toy_classifier()(batch.images).argmax(1))  # OM is 100 wherever the network errs
    found = (values(scores_of(toy_classifier(), right, spec, some_maps(seed))).tolist() for seed in range(8))
    first = next(found)
    assert any(other != first for other in found)


def _state_of(classifier: Classifier, batch: Batch) -> tuple[object, ...]:
    """What a metric could have changed, in a form that compares by value."""
    return batch.images.tolist(), batch.masks.tolist(), classifier.weights_hash(), torch.random.get_rng_state().tolist()


def _check_values(found: list[Score], classifier: Classifier, spec: str) -> None:
    assert [score.image for score in found] == [0, 1, 2, 3]
    if "linear head" in metrics.get(spec.partition("(")[0]).facts.needs and classifier.name == "toy-dense":
        assert {score.status for score in found} == {"not_applicable"}
    elif spec.startswith("aic") and classifier.name == "toy-gap":
        assert {score.status for score in found} == {"undefined"}  # it predicts one class, of the seed pixels, too
    else:
        assert any(score.status == "ok" for score in found), {score.reason for score in found}
    check_statuses(found)


def outside(found: Tensor, declared: str) -> list[float]:
    """The values, NaN aside, that lie outside a range such as `[0, 100)`, or are none of two such as `{0, 100}`."""
    low, high = map(float, declared[1:-1].split(", "))
    left = [value for value in found.tolist() if value == value]
    if declared[0] == "{":
        return [value for value in left if value not in (low, high)]
    excluded = {low if declared[0] == "(" else None, high if declared[-1] == ")" else None}
    return [value for value in left if not low <= value <= high or value in excluded]


@pytest.mark.parametrize(
    ("declared", "wrong"), [("[0, 100]", [-1, 101]), ("(0, 100)", [-1, 0, 100, 101]), ("{0, 100}", [-1, 50, 101]), ("(-inf, 100]", [101])]
)
def test_the_check_of_ranges_finds_values_outside(declared: str, wrong: list[float]) -> None:
    assert outside(torch.tensor([-1, 0, 50, 100, 101, torch.nan]), declared) == wrong


def _check_curves(found: BatchResult) -> None:
    for scores in found.scores.values():
        for curve in scores.curves.values():
            assert curve.x.ndim == 1
            assert curve.y.shape == (len(found.ids), len(curve.x))
            assert curve.y[scores.scored].isfinite().all()


def _an_image_has_the_same_value_alone_among_three_and_among_64_in_any_order(spec: str) -> None:
    classifier, batch = toy_classifier(), toy_batch(64)
    order = torch.randperm(64, generator=torch.Generator().manual_seed(0)).tolist()
    found = values(scores_of(classifier, reordered(batch, order), spec))[torch.tensor(order).argsort()]
    for start, stop in ((0, 1), (3, 6), (63, 64)):
        own = values(scores_of(classifier, batch.part(start, stop), spec))
        torch.testing.assert_close(found[start:stop], own, **CLOSE, equal_nan=True)


# Images that a further explainer adds for each image of the batch; for all other metrics none. A curve's ends are shared where they
# are versions of the image. 16 x 12 pixels are 12 steps of 16, 24 patches of 3 x 3, 12 of 4 x 4 and, with three channels, 18 times 32.
FURTHER: dict[str, int] = {
    **dict.fromkeys(("ad", "ag", "ai", "sm", "coherency", "adcc"), 1),
    **dict.fromkeys(("insertion", "deletion", "normalised_insertion", "normalised_deletion"), 12 - 1),
    **dict.fromkeys(("sufficient_share", "necessary_share"), 12 - 1),
    "lead": 2 * (12 - 1),
    **dict.fromkeys(("sic", "aic"), 4),
    "arcc": 1 + 2 * 2,
    "aopc": 5,
    **dict.fromkeys(("morf", "lerf"), 24),
    "saco": 4,
    "monotonicity": 12 - 1,
    **dict.fromkeys(("f_fidelity_plus", "f_fidelity_minus"), 3 * 2),
    "road": 2 * 2,
    **dict.fromkeys(("road_morf", "road_lerf"), 2),
    "quantus:FaithfulnessEstimate": 18,
    "quantus:MonotonicityCorrelation": 2 * 18,
    "quantus:Selectivity": 12 - 1,
    "quantus:PixelFlipping": 18 - 1,
    "quantus:RegionPerturbation": 4,
    "quantus:RelativeRepresentationStability": 1 + 3 * 2,  # Quantus reads the layer by hooks, in passes of its own
    "quantus:EfficientMPRT": 2,  # of Quantus' own copies
}


def _further_explainers_pass_only_images_that_depend_on_their_maps_and_change_no_value(name: str) -> None:
    spec, batch = ROWS[name][0], toy_batch(2)
    cams, found = ("gradcam", "hirescam", "layercam", "xgradcam"), dict[int, list[BatchResult]]()
    images = dict[int, int]()
    for count in (1, 2, 4):
        with images_counted(Toy) as seen:
            found[count] = _of_several(cams[:count], batch, spec)
        images[count] = seen.images
    further = {"irof": sum(_segments(batch)), "srg": sum(2 * count - 1 for count in _segments(batch, 1.0))}.get(
        name, 2 * FURTHER.get(name, 0)
    )
    assert images == {count: images[1] + (count - 1) * further for count in (1, 2, 4)}
    torch.testing.assert_close(values(per_image(found[4][0])), values(per_image(found[1][0])), rtol=0, atol=0, equal_nan=True)
    [alone] = _of_several(cams[3:], batch, spec)
    torch.testing.assert_close(values(per_image(found[4][3])), values(per_image(alone)), rtol=0, atol=0, equal_nan=True)
    assert found[4][3].usage["metrics"].passes == alone.usage["metrics"].passes


def _of_several(cams: tuple[str, ...], batch: Batch, spec: str) -> list[BatchResult]:
    classifier, others = toy_classifier(), ReferenceImages(ToyData(toy_batch()), seed=0, target="label")
    jobs, metric = [Spec(cam) for cam in cams], metrics.parse_one(spec)
    with torch.inference_mode(mode=False), classifier.frozen():
        return list(score_batch(classifier, batch, jobs, [metric], target="label", seed=0, others=others))


def _segments(batch: Batch, compactness: float = 10.0) -> list[int]:
    """Number of segments that replace parts of each image, by scikit-image."""
    pictures = batch.images.permute(0, 2, 3, 1).double().numpy()
    return [len(np.unique(slic(picture, n_segments=12, compactness=compactness, sigma=0))) for picture in pictures]


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


def result_of(classifier: Classifier, batch: Batch, spec: str, source: Callable[[Spec], MapSource] | None = None) -> BatchResult:
    """One metric on one batch as a run scores it, on Grad-CAM's maps by default."""
    metric = metrics.parse_one(spec)
    job = NO_EXPLAINER if has_model_scope(metric) else JOBS.get(metric.name, Spec("gradcam"))
    with torch.inference_mode(mode=False), classifier.frozen():
        more = {} if source is None else {"source": source}
        others = ReferenceImages(ToyData(toy_batch()), seed=0, target="label")
        return next(score_batch(classifier, batch, [job], [metric], target="label", seed=0, others=others, **more))


def scores_of(classifier: Classifier, batch: Batch, spec: str, source: Callable[[Spec], MapSource] | None = None) -> list[Score]:
    """The value of each image, or the reason for none."""
    return per_image(result_of(classifier, batch, spec, source))


def per_image(result: BatchResult) -> list[Score]:
    """The scores of the only metric, image by image."""
    (found,) = result.scores.values()
    return [Score(*own) for own in zip(range(len(result.ids)), found.values, found.status, found.reasons, strict=True)]


def values(found: list[Score]) -> Tensor:
    """The values, NaN where there is none."""
    return torch.tensor([score.value for score in found], dtype=torch.float64)


def check_statuses(found: list[Score]) -> None:
    """Every score is a number, or NaN with a status and a reason."""
    for score in found:
        if score.status in ("ok", "constant_map"):
            assert torch.tensor(score.value).isfinite(), score
        else:
            assert score.status in ("undefined", "not_applicable"), score
            assert score.reason


def given(raw: Tensor) -> Callable[[Spec], MapSource]:
    """Given maps, whatever the images and the explainer are."""

    def source(trace: Trace, spec: Spec) -> Saliency:
        return finish(raw[: len(trace.batch)], trace.size, "range")

    return lambda spec: source


def some_maps(seed: int) -> Callable[[Spec], MapSource]:
    """Random maps that differ from image to image, with a few peaks: what lies above the mean of mere noise is all over the image."""
    return given(torch.rand(4, 5, 4, generator=torch.Generator().manual_seed(seed)) ** 4)
