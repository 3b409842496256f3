"""docs/design/passes.md: every explainer and metric has a row, and as many images pass through small networks as the row says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from explainers.test_costs import IMAGES, passes_announced, quantities_of, specs_of, toy_of
from helpers.each import each, subcase
from helpers.seen_passes import passes_seen
from helpers.speed_tool import speed_module
from helpers.toys import SIZE, ToyData, maps_of, size_of, toy_batch, toy_classifier
from skimage.segmentation import slic

from camdbench.core.registries import NO_EXPLAINER, explained_versions, explainers, has_model_scope, metrics, references_of
from camdbench.core.spec import Spec
from camdbench.runner.resources import ReferenceImages
from camdbench.runner.scoring import score_batch

tool = speed_module("passes")
PAGE = tool.read_page()
CAMS = tuple(explainers.parse("gradcam,hirescam,gradcampp,xgradcam"))
RESNET = {"channels": 2048, "pixels": 224 * 224, "patches": 625, "batch": 1, "linear_head": 1, "network_layers": 107}
UNSEEN = {  # what hooks cannot see, with the reason
    "captum:LRP": "Captum cuts the graph at the logits and hooks every module",
    "captum:LayerLRP": "as captum:LRP",
    "cmwp": "walks through the modules one by one",
    "ebp": "walks through the modules one by one",
    "legrad": "starts at the scores of the blocks, not at the logits",
    "shapleycam": "the second derivative passes no tensor twice",
    "genericattention": "its way back ends at the first block's attention, a tail for the hooks",
    "tibav": "as genericattention",
}
CHEAP = {  # metrics with settings that the toy is large enough for
    "arcc": ("arcc", "arcc(percentages=(30,))"),
    "aopc": ("aopc(patch=3, regions=5)", "aopc(patch=3)", 'aopc(patch=3, regions=4, patching="sliding")'),
    "cgc_loss": ("cgc_loss(negatives=2)", "cgc_loss(negatives=0)"),
    "deletion": ("deletion(step=20)", "deletion(intervals=10)"),
    "f_fidelity_minus": ("f_fidelity_minus(samples=3, sizes=(20, 60))",),
    "f_fidelity_plus": ("f_fidelity_plus(samples=3, sizes=(20, 60))",),
    "idr": ("idr(only_right=False)",),
    "iir": ("iir(steps=3, only_right=False)", 'iir(steps=2, only_right=False, search_dtype="network")'),
    "infidelity": ("infidelity(samples=6)",),
    "insertion": ("insertion(step=20)", 'insertion(intervals=10, start="blank")', 'insertion(step=20, maps="batch statistics")'),
    "irof": ("irof(segments=9)",),
    "lead": ("lead(step=20)", 'lead(intervals=10, start="blank")'),
    "lerf": ("lerf(patch=3, regions=5)", "lerf(patch=3, regions=0, intervals=4)"),
    "mcs": ("mcs(network='shortcuts-so', only_right=False)",),
    "mufidelity": ("mufidelity(cells=4, samples=7)",),
    "monotonicity": ("monotonicity(patch=4)",),
    "morf": ("morf(patch=3, regions=5, step=2)", "morf(protocol=chefer)", "morf(patch=3, regions=0)"),
    "necessary_share": ("necessary_share(step=20)",),
    "non_sensitivity": ("non_sensitivity(cells=3)",),
    "normalised_deletion": ("normalised_deletion(step=20)",),
    "normalised_insertion": ("normalised_insertion(step=20)",),
    "quantus:Continuity": ("quantus:Continuity(nr_steps=6)",),
    "quantus:FaithfulnessCorrelation": ("quantus:FaithfulnessCorrelation(subset_size=20, nr_runs=5)",),
    "quantus:FaithfulnessEstimate": ("quantus:FaithfulnessEstimate(features_in_step=24)",),
    "quantus:MonotonicityCorrelation": ("quantus:MonotonicityCorrelation(features_in_step=24, nr_samples=2)",),
    "quantus:PixelFlipping": ("quantus:PixelFlipping(features_in_step=24)",),
    "quantus:RegionPerturbation": ("quantus:RegionPerturbation(patch_size=4, regions_evaluation=5)",),
    "quantus:Selectivity": ("quantus:Selectivity(patch_size=4)",),
    "quantus:TopKIntersection": ("quantus:TopKIntersection(k=10)",),
    "randomisation": ("randomisation", "randomisation(layers=2)"),
    "road": ("road", "road(percentages=(10, 50))"),
    "saco": ("saco(groups=5)",),
    "srg": ("srg(segments=9, compactness=10.0)", "srg(protocol=pixels, step=20)", 'srg(segments=0, step=20, fill="average")'),
    "sufficient_share": ("sufficient_share(step=20)", 'sufficient_share(step=20, start="blank")'),
    "sensitivity_n": ("sensitivity_n(cells=4, sizes=3, samples=7)",),
    "sic": ("sic", "sic(shares=(0.1, 0.5))"),
    "sm": ("sm", 'sm(seen="image")'),
}
COMPLETE = tuple(
    explainers.parse('integratedgradients(steps=2),gradientshap(samples=2, baseline="black"),deeplift,integratedgradients(steps=3)')
)
OUTSIDE = {"difull", "dipart"}  # their logits are those of heads outside of the network, whose way back hooks cannot see


def test_every_explainer_and_metric_has_one_row() -> None:
    for rows, registry in ((PAGE.explainers, explainers), (PAGE.metrics, metrics)):
        assert set(rows) == {name for name in registry.names() if registry.is_built_in(name)}


def test_formulas_are_of_options_and_of_the_quantities_that_the_page_explains() -> None:
    used = set[str]()
    for rows, registry in ((PAGE.explainers, explainers), (PAGE.metrics, metrics)):
        for name, row in rows.items():
            assert row.reason, name
            names = set[str]().union(*(tool.names_in(formula) for formula in [*row.needed.values(), *row.made.values()]))
            used |= names - {option.name for option in registry.get(name).options}
    assert used == set(PAGE.quantities)


@each("formula", ["open('x')", "().__class__", "samples ** 9", "[1]", "other", "1 +", "lambda: 1", "1 < 2 < 3"])
def test_a_cell_that_is_no_formula_is_refused(formula: str) -> None:
    with pytest.raises(ValueError, match="formula"):
        tool.evaluate(formula, {"samples": 2})


def test_a_name_with_two_rows_is_refused(tmp_path: Path) -> None:
    page = tmp_path / "passes.md"
    text = tool.PAGE.read_text(encoding="utf-8")
    page.write_text(text.replace("| `rise` |", "| `rise`, `gradcam` |"), encoding="utf-8")
    with pytest.raises(ValueError, match="gradcam: more than one row"):
        tool.read_page(page)


@pytest.mark.parametrize("name", explainers.names())
def test_the_row_of_an_explainer_is_what_hooks_see_and_what_it_announces(name: str, subtests: pytest.Subtests) -> None:
    for spec in specs_of(name):
        with subcase(subtests, spec):
            _the_row_is_what_hooks_see_and_what_is_announced(spec)


def _the_row_is_what_hooks_see_and_what_is_announced(spec: str) -> None:
    """Announced costs have no checks, made once a batch, and Captum's Guided Grad-CAM counts a way back to the layer as a whole one."""
    checked = explainers.parse_one(spec)
    toy = toy_of(checked.name)
    classifier, batch = toy_classifier(toy), toy_batch(IMAGES, size=size_of(toy))
    with passes_seen(classifier.network) as seen:
        maps_of(classifier, batch, spec)
    quantities = [quantities_of(toy, spec, image) for image in range(IMAGES)]
    made, without_checks = _of_both(checked, quantities, IMAGES), _of_both(checked, quantities, float("inf"))
    if checked.name not in UNSEEN:
        assert tuple(seen[kind] for kind in tool.KINDS) == made
    elif "one by one" not in UNSEEN[checked.name]:
        assert seen["forward"] == made[0]
    announced = passes_announced(toy, spec)
    if spec == "captum:GuidedGradCam":
        assert sum(without_checks) == announced.total
    else:
        assert without_checks == (announced.forward, announced.backward, announced.tail_forward, announced.tail_backward)
    assert sum(_of_both(checked, quantities, IMAGES, made=False)) <= sum(made)


@pytest.mark.parametrize("name", PAGE.metrics)
def test_as_many_images_pass_as_the_row_of_a_metric_says(name: str, subtests: pytest.Subtests) -> None:
    for spec in CHEAP.get(name, (name,)):
        for count in (0,) if has_model_scope(metrics.parse_one(name)) else (1, 2, 4):
            with subcase(subtests, spec, explainers=count):
                _as_many_images_pass_as_the_row_says(spec, count)


def _as_many_images_pass_as_the_row_says(spec: str, count: int) -> None:
    metric = metrics.parse_one(spec)
    chosen = (COMPLETE if spec == "completeness" else CAMS)[:count]
    specs = chosen or (NO_EXPLAINER,)
    found = [after - before for after, before in zip(_seen(specs, metric), _seen(specs), strict=True)]
    made, needed = (tool.of_metric(metric, chosen, _quantities(metric), made=made) for made in (True, False))
    seen = slice(1) if metric.name in OUTSIDE else slice(None)
    assert found[seen] == pytest.approx([IMAGES * number for number in made][seen])
    assert sum(needed) <= sum(made)


def test_a_metric_states_how_many_versions_it_explains_again() -> None:
    """Reference images are shared by a batch, here of one image; the cells of a mosaic are no option."""
    for name, row in PAGE.metrics.items():
        spec = Spec(name)
        known = {**_quantities(spec), **metrics.get(name).arguments(spec), "network_layers": 107, "batch": 1}
        needed = row.values(known)["explained"] if "explained" in row.needed else 0
        assert explained_versions(spec) + references_of(spec) == (0 if name in OUTSIDE else needed), name


@each(
    ("metric", "names", "forward"),
    [
        ("insertion", "gradcam", 225),
        ("insertion,deletion", "gradcam", 449),
        ("aopc", "gradcam", 101),
        ("max_sensitivity", "gradcam,hirescam,gradcampp,xgradcam", 11),
        ("infidelity", "gradcam,hirescam,gradcampp,xgradcam", 101),
        ("random_logit", "gradcam,hirescam,gradcampp,xgradcam", 1),
        ("cgc_loss(negatives=7)", "gradcam,hirescam,gradcampp,xgradcam", 18),
        ("randomisation", "gradcam,hirescam,gradcampp,xgradcam", 18),
        ("ad,ag", "scorecam", 2051),
        ("ad", 'opticam(search_dtype="network")', 102),
        ("max_sensitivity(samples=3)", "gradcam,rise(masks=10)", 1 + 10 + 3 * 11),
    ],
)
def test_known_forward_passes_on_a_resnet50(metric: str, names: str, forward: int) -> None:
    specs = explainers.parse(names)
    total = tool.of_maps(specs, RESNET)
    for part in metrics.parse(metric):
        total = total.plus(tool.of_metric(part, specs, RESNET))
    assert total.forward == forward


def _of_both(spec: Spec, of_toys: Sequence[Mapping[str, int]], batch: float, *, made: bool = True) -> tuple[float, ...]:
    """Passes of both images together by the page."""
    total = tool.Passes()
    for of_toy in of_toys:
        known = {
            "channels": of_toy["per channel"],
            "active": of_toy["per replayed channel"],
            "windows": of_toy["per window position"],
            "places": of_toy["per feature"],
            "features": of_toy["per feature"],
            "crops": of_toy["per window"],
            "kept": of_toy["per kept window"],
            "linear_head": 0,
            "batch": batch,
        }
        total = total.plus(tool.of_explainer(spec, known, made=made))
    return tuple(round(number, 9) for number in total)


def _quantities(metric: Spec) -> dict[str, float]:
    options: dict[str, Any] = metrics.get(metric.name).arguments(metric)
    side = options.get("patch", options.get("patch_size", 1))
    patches = -(-SIZE[0] // side) * -(-SIZE[1] // side)
    return {
        "pixels": SIZE[0] * SIZE[1],
        "patches": patches,
        "found": _found(),
        "flips": 24,
        "network_layers": 4,
        "batch": IMAGES,
        "cells": 4,
        "parts": 5,
        "versions": 31,
        "objects": 1.5,
    }


@cache
def _found() -> float:
    """Mean number of SLIC's segments on the images."""
    images = toy_batch(IMAGES).images.permute(0, 2, 3, 1).double().numpy()
    return sum(slic(image, n_segments=9, compactness=10.0, start_label=0).max() + 1 for image in images) / IMAGES


@cache
def _seen(specs: tuple[Spec, ...], *chosen: Spec) -> list[int]:
    """Images of both images' run by kind, none of whose rows has the status error."""
    classifier = toy_classifier("gap")
    others = ReferenceImages(ToyData(toy_batch(3, seed=5)), seed=0, target="label")
    with torch.inference_mode(mode=False), classifier.frozen(), passes_seen(classifier.network) as seen:
        results = list(score_batch(classifier, toy_batch(IMAGES), specs, chosen, target="label", seed=0, others=others))
    states = {state for result in results for scores in result.scores.values() for state in scores.status}
    assert states <= {"ok", "undefined"}
    return [seen[kind] for kind in tool.KINDS]
