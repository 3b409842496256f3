"""Sensitivity-n, MuFidelity and non-sensitivity: exact explanations of linear models, slow references, and Quantus' other quantity."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.linear_models import contributions, linear_classifier
from helpers.metric_inputs import inputs_of, measure, measured
from helpers.toys import SIZE, toy_batch, toy_classifier
from scipy.stats import pearsonr, spearmanr
from torch import Tensor, nn

from camdbench.functional.cell_grid import cell_sums, cells, random_subsets
from camdbench.functional.normalise import upsample
from camdbench.functional.seeding import generator_for
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import MetricResult
from camdbench.models.classifier import Classifier

RAW = torch.randn(4, 8, 6, generator=torch.Generator().manual_seed(3))


def scored(classifier: Classifier, spec: str, raw: Tensor) -> MetricResult:
    """A metric on given raw maps of four images; the map in [0, 1] is another one, so that they cannot be mistaken."""
    batch = toy_batch()
    other = torch.rand(4, *SIZE, generator=torch.Generator().manual_seed(4))
    with torch.inference_mode(mode=False), classifier.frozen():
        return measure(MetricInputs(classifier, batch.images, batch.labels, other, raw=raw, ids=batch.ids, seed=5), spec)


def drops(classifier: Classifier, image: Tensor, label: int, subsets: Tensor, count: int, *, probability: bool = False) -> np.ndarray:
    """Drop of the score of an image without each subset (M, N), whose cells become black."""
    with torch.no_grad():
        altered = torch.stack([image * ~own[cells(SIZE, count, image.device)] for own in subsets])
        logits = classifier(torch.cat([image[None], altered])).double()
    scores = (logits.softmax(1) if probability else logits)[:, label]
    return (scores[0] - scores[1:]).numpy()


def test_sensitivity_n_is_the_mean_over_n_of_scipys_correlations() -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    found = scored(classifier, "sensitivity_n(cells=4, sizes=3, samples=9)", RAW)
    curve = found.curves["correlation"]
    assert curve.x.tolist() == [1, 4, 13]
    for image, name in enumerate(batch.ids):
        sums, wanted = cell_sums(upsample(RAW, SIZE), 4)[image], list[float]()
        for size in (1, 4, 13):
            subsets = random_subsets(generator_for(5, name, f"subsets of {size} of 4 x 4 cells"), 16, size, 9)
            predicted = (subsets * sums).sum(1).numpy()
            wanted.append(pearsonr(predicted, drops(classifier, batch.images[image], int(batch.labels[image]), subsets, 4))[0])
        assert curve.y[image].tolist() == pytest.approx(wanted, abs=1e-4)
        assert found.values[image].item() == pytest.approx(np.mean(wanted), abs=1e-4)


@pytest.mark.parametrize("output", ["logit", "probability"])
def test_mufidelity_is_scipys_rank_correlation(output: str) -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    found = scored(classifier, f"mufidelity(cells=5, samples=30, scored_output={output!r})", RAW).values
    for image, name in enumerate(batch.ids):
        subsets = random_subsets(generator_for(5, name, "subsets of 5 of 5 x 5 cells"), 25, 5, 30)  # 20 % of 25
        predicted = (subsets * cell_sums(upsample(RAW, SIZE), 5)[image]).sum(1).numpy()
        wanted = drops(classifier, batch.images[image], int(batch.labels[image]), subsets, 5, probability=output == "probability")
        assert found[image].item() == pytest.approx(spearmanr(predicted, wanted)[0], abs=1e-3)


@pytest.mark.parametrize("eps", [1e-5, 0.02, 0.3])
def test_non_sensitivity_counts_cells_one_by_one(eps: float) -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    raw = RAW.clone()
    raw[:, :3] = 0  # cells without relevance
    found, counts = scored(classifier, f"non_sensitivity(cells=4, eps={eps})", raw).values, list[int]()
    for image in range(4):
        sums = cell_sums(upsample(raw, SIZE), 4)[image]
        moved = drops(classifier, batch.images[image], int(batch.labels[image]), torch.eye(16, dtype=torch.bool), 4, probability=True)
        largest = max(abs(float(value)) for value in sums)
        counts.append(sum((abs(float(sums[cell])) < eps * largest) != (abs(moved[cell]) < eps) for cell in range(16)))
    assert found.tolist() == pytest.approx([100 * count / 16 for count in counts])
    assert max(counts) > 0


@pytest.mark.usefixtures("float64")
class TestExactExplanationOfALinearModel:
    @pytest.mark.parametrize("explainer", ["integratedgradients(steps=1)", "inputxgradient", "deeplift"])
    @pytest.mark.parametrize("spec", ["sensitivity_n(samples=20)", "mufidelity", "sensitivity_n(cells=3, sizes=3, samples=10)"])
    def test_correlations_are_one(self, spec: str, explainer: str) -> None:
        found = measured(linear_classifier(), toy_batch(), spec, explainer)
        assert found.values.tolist() == pytest.approx([1] * 4, abs=1e-4)  # sums within 1e-6 of each other count as equal
        for curve in found.curves.values():
            torch.testing.assert_close(curve.y, torch.ones_like(curve.y), rtol=0, atol=1e-5)

    def test_the_negative_map_has_minus_one_and_the_scale_does_not_matter(self) -> None:
        classifier, batch = linear_classifier(), toy_batch()
        exact = contributions(classifier, batch.images, batch.labels)
        for spec in ("sensitivity_n(samples=20)", "mufidelity"):
            assert scored(classifier, spec, -1e-3 * exact).values.tolist() == pytest.approx([-1] * 4, abs=1e-4)

    def test_the_mean_colour_is_the_reference_of_normalised_masking(self) -> None:
        classifier, batch = linear_classifier(), toy_batch()
        exact = contributions(classifier, batch.images, batch.labels, classifier.mean)
        assert scored(classifier, "sensitivity_n(samples=20, masking='normalised')", exact).values.tolist() == pytest.approx([1] * 4)
        assert (scored(classifier, "sensitivity_n(samples=20)", exact).values < 0.99).all()

    def test_cells_of_no_weight_are_without_relevance_and_effect(self) -> None:
        classifier, batch = linear_classifier(), toy_batch()
        classifier.network[1].weight.data.unflatten(1, (3, *SIZE))[:, :, :8] = 0
        exact = contributions(classifier, batch.images, batch.labels)
        spec = "non_sensitivity(cells=4, eps=1e-9, scored_output='logit')"
        assert scored(classifier, spec, exact).values.tolist() == [0] * 4
        assert scored(classifier, spec, exact.flip(1)).values.tolist() == [100] * 4

    @pytest.mark.filterwarnings("ignore")
    def test_quantus_pairs_other_quantities(self) -> None:
        """The sum of each step against the drop of all steps so far, over images: 0.65 for the exact explanation, whose pairs fall."""
        quantus = pytest.importorskip("quantus")
        generator = torch.Generator().manual_seed(0)
        weights, images = torch.randn(1, 192, generator=generator), torch.rand(16, 3, 8, 8, generator=generator)
        layer = nn.Linear(192, 2, bias=False)
        layer.weight.data = torch.cat([weights, -weights])
        exact = (images.flatten(1) * weights).numpy()
        options = {"features_in_step": 4, "perturb_baseline": 0.0, "abs": False, "normalise": False, "return_aggregate": False}
        ask = quantus.SensitivityN(**options, disable_warnings=True)
        network = nn.Sequential(nn.Flatten(), layer).eval()
        theirs = ask(network, images.numpy(), np.zeros(16, int), a_batch=exact.reshape(images.shape), device="cpu", softmax=False)
        steps = -np.sort(-exact, 1).reshape(16, -1, 4).sum(2)[:, : int(0.8 * 64 // 4)]
        so_far = steps.cumsum(1)
        assert np.mean(theirs) == pytest.approx(np.mean([pearsonr(*pair)[0] for pair in zip(steps.T, so_far.T, strict=True)]))
        assert np.mean(theirs) == pytest.approx(0.65, abs=0.01)
        assert pearsonr(steps.ravel(), so_far.ravel())[0] == pytest.approx(-0.89, abs=0.01)


def test_a_constant_map_and_a_network_that_does_not_move_have_no_correlation() -> None:
    raw = RAW.clone()
    raw[1] = 0.3
    for spec in ("sensitivity_n(cells=5, samples=8)", "mufidelity(cells=5, samples=20)"):
        found = scored(toy_classifier(), spec, raw)
        assert found.undefined.tolist() == found.values.isnan().tolist() == [False, True, False, False]
        still = toy_classifier()
        still.network.head[-1].weight.data.zero_()
        assert scored(still, spec, RAW).undefined.all()
    assert scored(toy_classifier(), "non_sensitivity(cells=4)", torch.zeros(4, 8, 6)).undefined.all()


def test_a_random_size_of_subsets_alone_gives_a_map_of_ones_a_correlation() -> None:
    """As in Xplique, which removes each cell with probability 0.2; here all subsets have one size, and such a map has no value."""
    classifier = linear_classifier()
    classifier.network[1].weight.data.abs_()
    image, subsets = toy_batch().images[0], torch.rand(200, 81, generator=torch.Generator().manual_seed(0)) < 0.2
    moved = drops(classifier, image, 0, subsets, 9)
    assert spearmanr(subsets.sum(1).numpy(), moved)[0] > 0.8
    assert scored(classifier, "mufidelity", torch.ones(4, *SIZE)).undefined.all()


def test_metrics_with_the_map_of_a_run() -> None:
    """The raw Grad-CAM on its grid, enlarged, is what the metric reads by default."""
    classifier, batch = toy_classifier(), toy_batch()
    with torch.inference_mode(mode=False), classifier.frozen():
        inputs = inputs_of(classifier, batch, seed=5)
        found = measure(inputs, "mufidelity(cells=4)").values
        enlarged = upsample(inputs.raw, SIZE)
    torch.testing.assert_close(found, scored(classifier, "mufidelity(cells=4)", enlarged).values)
