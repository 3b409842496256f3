"""Quantus through the bridge: its own values, ours beside them, what is refused and why, and what is left as it was."""

# ruff: noqa: NPY002 - the global generator is the one that Quantus draws from
from __future__ import annotations

import random
import warnings
from typing import Any

import numpy as np
import pytest
import torch
from helpers.each import each
from helpers.metric_inputs import inputs_of, measure, measured
from helpers.quantus_library import quantus
from helpers.toys import SIZE, toy_batch, toy_classifier
from scipy.stats import spearmanr

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.core.quantus_unsupported import UNSUPPORTED
from camdbench.core.registries import metrics
from camdbench.metrics.common import quantus_bridge
from camdbench.models.classifier import Classifier

FIXED: dict[str, Any] = {"normalise": False, "disable_warnings": True, "display_progressbar": False}
PASSED = [name for name in metrics.names() if name.startswith("quantus:")]


def test_every_metric_of_quantus_is_passed_through_or_refused() -> None:
    renamed = {"ModelParameterRandomisation"}  # an old name of MPRT
    known = {found.__name__ for found in vars(quantus).values() if isinstance(found, type) and hasattr(found, "evaluation_category")}
    assert len(known) > 30
    assert {f"quantus:{name}" for name in known - renamed} == (set(PASSED) | set(UNSUPPORTED)) - {"quantus:MST-C"}
    assert not set(PASSED) & set(UNSUPPORTED)


@each("name", UNSUPPORTED)
def test_a_refused_metric_says_why(name: str) -> None:
    with pytest.raises(UsageError, match=f"metric {name}: "):
        metrics.parse(name)


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        ("quantus:Sparseness", "sparseness(protocol=mask)"),
        ("quantus:Complexity", "entropy(protocol=mask)"),
        ("quantus:EffectiveComplexity(eps=0.1)", "effective_complexity(protocol=mask, threshold=0.1)"),
        ('quantus:Sparseness(maps="raw")', "sparseness"),
    ],
)
def test_where_both_are_right_they_agree(theirs: str, ours: str) -> None:
    batch = toy_batch()
    found = measured(toy_classifier(), batch, theirs, "gradcam(relu=False)").values
    torch.testing.assert_close(found, measured(toy_classifier(), batch, ours, "gradcam(relu=False)").values, rtol=1e-3, atol=1e-3)


def test_faithfulness_is_what_quantus_says_of_the_image_alone() -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    with classifier.frozen():
        metric_inputs = inputs_of(classifier, batch)
        found = measure(metric_inputs, "quantus:FaithfulnessCorrelation(subset_size=30, nr_runs=20)").values
        network = torch.nn.Module()
        network.forward = lambda inputs: classifier(classifier.mean + classifier.std * inputs)
        for index in range(4):
            state = np.random.get_state()
            np.random.seed(metric_inputs.generators("quantus:FaithfulnessCorrelation")[index].initial_seed() % 2**32)
            metric = quantus.FaithfulnessCorrelation(subset_size=30, nr_runs=20, abs=False, return_aggregate=False, **FIXED)
            inputs = ((batch.images - classifier.mean) / classifier.std).double().numpy()[index : index + 1]
            maps = metric_inputs.saliency.double().unsqueeze(1).numpy()[index : index + 1]
            expected = metric(network.eval(), inputs, batch.labels.numpy()[index : index + 1], maps, channel_first=True, softmax=False)
            np.random.set_state(state)
            assert found[index].item() == pytest.approx(expected[0], abs=1e-3)


DIRECT: dict[str, tuple[dict[str, Any], bool]] = {  # spec -> arguments of Quantus' class, and whether it reads probabilities
    "quantus:AUC": ({}, False),
    "quantus:AttributionLocalisation": ({}, False),
    "quantus:PointingGame": ({}, False),
    "quantus:RelevanceMassAccuracy": ({}, False),
    "quantus:RelevanceRankAccuracy": ({}, False),
    "quantus:TopKIntersection(k=20)": ({"k": 20}, False),
    "quantus:FaithfulnessEstimate(features_in_step=32)": ({"features_in_step": 32}, False),
    "quantus:MonotonicityCorrelation(features_in_step=48, nr_samples=3)": ({"features_in_step": 48, "nr_samples": 3}, True),
    "quantus:PixelFlipping(features_in_step=32)": ({"features_in_step": 32}, True),
    "quantus:RegionPerturbation(patch_size=4, regions_evaluation=5)": ({"patch_size": 4, "regions_evaluation": 5}, True),
    "quantus:Selectivity(patch_size=4)": ({"patch_size": 4}, True),
}


@pytest.mark.parametrize("spec", DIRECT)
def test_is_what_quantus_gives_for_the_image_alone(spec: str) -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    name, (options, softmax) = spec.partition("(")[0], DIRECT[spec]
    if name == "quantus:MonotonicityCorrelation":
        options = options | {"similarity_func": lambda a, b, **_: np.array([spearmanr(x, y)[0] for x, y in zip(a, b, strict=True)])}
    with classifier.frozen():
        metric_inputs = inputs_of(classifier, batch)
        found = measure(metric_inputs, spec)
        network = torch.nn.Module()
        network.forward = lambda inputs: classifier(classifier.mean + classifier.std * inputs)
        images = ((batch.images - classifier.mean) / classifier.std).double().numpy()
        maps = metric_inputs.saliency.double().unsqueeze(1).numpy()
        for index in range(4):
            one, state = slice(index, index + 1), np.random.get_state()
            np.random.seed(metric_inputs.generators(name)[index].initial_seed() % 2**32)
            given = images[one].copy(), batch.labels.numpy()[one], maps[one].copy()
            metric = getattr(quantus, name.removeprefix("quantus:"))(**options, abs=True, return_aggregate=False, **FIXED)
            truth = batch.masks[one, None].numpy().astype(int)
            with warnings.catch_warnings(action="ignore"):  # AttributionLocalisation divides by the size of no image, and does not use it
                expected = metric(network.eval(), *given, s_batch=truth, channel_first=True, softmax=softmax)[0]
            np.random.set_state(state)
            ours = found.curves["curve"].y[index].numpy() if found.curves else found.values[index].item()
            assert ours == pytest.approx(np.asarray(expected, dtype=float).flatten() if found.curves else float(expected), abs=1e-3)


def test_perturbations_of_an_image_are_quantus_own_whoever_shares_its_batch() -> None:
    classifier, batch = toy_classifier(), toy_batch()
    spec = 'quantus:LocalLipschitzEstimate(nr_samples=3, maps="raw")'
    together = measured(classifier, batch, spec).values
    order = [2, 0]
    chosen = [batch.part(index, index + 1) for index in order]
    for index, part in zip(order, chosen, strict=True):
        torch.testing.assert_close(measured(classifier, part, spec).values[0], together[index], rtol=1e-4, atol=1e-6)


def test_a_linear_map_has_the_lipschitz_constant_that_it_has() -> None:
    # noise of spread s in each channel moves the image by s sqrt(3 n), and the mean of three channels of std 1/2 by s/2 sqrt(n/3)
    classifier = toy_classifier()
    classifier.std.fill_(0.5)
    found = measured(classifier, toy_batch(), 'quantus:LocalLipschitzEstimate(nr_samples=5, maps="raw")', lambda x, t, c: x.mean(1)).values
    assert ((found > 1 / 6) & (found < 0.2)).all()


def test_efficient_mprt_is_nought_for_a_map_that_does_not_look_at_the_weights() -> None:
    assert measured(toy_classifier(), toy_batch(), "quantus:EfficientMPRT", "edges").values.tolist() == pytest.approx([0] * 4, abs=1e-9)
    assert (measured(toy_classifier(), toy_batch(), "quantus:EfficientMPRT").values.abs() > 1e-3).any()


def test_curves_come_with_their_area() -> None:
    found = measured(toy_classifier(), toy_batch(), "quantus:Selectivity(patch_size=4)")
    x, y = found.curves["curve"].x, found.curves["curve"].y
    assert x.tolist() == list(range(1, 13))
    torch.testing.assert_close(found.values, (y[:, 1:] + y[:, :-1]).sum(1) / 2 / 11)


@pytest.mark.parametrize(
    "spec", ["quantus:Sparseness", "quantus:FaithfulnessEstimate(features_in_step=32)", "quantus:MaxSensitivity(nr_samples=2)"]
)
def test_a_flat_map_has_no_value_and_the_others_keep_theirs(spec: str) -> None:
    def first_is_flat(images: torch.Tensor, targets: torch.Tensor, classifier: object) -> torch.Tensor:
        return torch.where((targets == 0)[:, None, None], 0.4, images.mean(1))

    found = measured(toy_classifier(), toy_batch(), spec, first_is_flat)
    alone = measured(toy_classifier(), toy_batch().part(1, 4), spec, first_is_flat)
    assert found.undefined.tolist() == [True, False, False, False]
    torch.testing.assert_close(found.values[1:], alone.values, rtol=1e-4, atol=1e-6)


def test_a_map_with_an_infinite_pixel_is_flat_and_not_finite_and_has_no_value() -> None:
    def first_is_infinite(images: torch.Tensor, targets: torch.Tensor, classifier: object) -> torch.Tensor:
        maps = images.mean(1)
        maps[targets == 0, 0, 0] = torch.inf
        return maps

    found = measured(toy_classifier(), toy_batch(), 'quantus:EffectiveComplexity(maps="raw")', first_is_infinite)
    assert found.undefined.tolist() == [True, False, False, False]


def test_empty_masks_have_no_value() -> None:
    batch = toy_batch()
    batch.masks[1] = False
    found = measured(toy_classifier(), batch, "quantus:PointingGame")
    assert found.undefined.tolist() == [False, True, False, False]


@pytest.mark.parametrize("spec", ["quantus:FaithfulnessCorrelation(subset_size=20, nr_runs=3)", "quantus:EfficientMPRT"])
def test_generators_numpy_and_the_model_are_left_as_they_were(spec: str) -> None:
    classifier = toy_classifier()
    weights, had = classifier.weights_hash(), hasattr(np, "trapz")
    states = np.random.get_state()[1].copy(), random.getstate(), torch.get_rng_state()
    check = quantus.helpers.asserts.assert_attributions
    measured(classifier, toy_batch(), spec)
    assert (np.random.get_state()[1] == states[0]).all()
    assert random.getstate() == states[1]
    assert torch.equal(torch.get_rng_state(), states[2])
    assert hasattr(np, "trapz") == had
    assert quantus.helpers.asserts.assert_attributions is check
    assert classifier.weights_hash() == weights
    assert not any(module._forward_hooks for module in classifier.modules())


@pytest.mark.parametrize("layers", [True, False])
def test_a_metric_of_layers_receives_a_copy_and_another_the_network_itself(monkeypatch: pytest.MonkeyPatch, layers: bool) -> None:
    given = list[Classifier]()

    def metric(model: torch.nn.Module, **_: Any) -> list[float]:
        given.append(quantus_bridge._inside(model).shown)
        assert any(module is given[0] for module in model.modules()) == layers  # Quantus finds layers through modules
        return [0.0] * 4

    monkeypatch.setattr(quantus_bridge, "_metric", lambda *_: metric)
    classifier = toy_classifier()
    with classifier.frozen():
        quantus_bridge.quantus_scores_of_reexplained(inputs_of(classifier, toy_batch()), "EfficientMPRT", "default", {}, layers=layers)
    assert (given[0] is classifier) == (not layers)
    shared = {weight.data_ptr() for weight in classifier.parameters()} & {weight.data_ptr() for weight in given[0].parameters()}
    assert bool(shared) == (not layers)


def test_passes_of_copies_are_counted_too() -> None:
    classifier = toy_classifier()
    with classifier.frozen():
        metric_inputs = inputs_of(classifier, toy_batch())
        start = classifier.passes
        measure(metric_inputs, "quantus:EfficientMPRT")
        spent = classifier.passes - start
    assert spent.tail_backward == 2 * 4  # the map again, and that of the random network
    assert spent.forward == 4 * 4  # and each network's prediction


@pytest.mark.parametrize(
    "spec",
    ["quantus:FaithfulnessCorrelation(subset_size=576)", "quantus:PixelFlipping(features_in_step=224)", "quantus:Continuity(nr_steps=5)"],
)
def test_options_that_do_not_fit_the_image_are_said(spec: str) -> None:
    assert SIZE == (16, 12)
    with pytest.raises(NotApplicable, match=spec.partition("(")[2].partition(")")[0]):
        measured(toy_classifier(), toy_batch(), spec)


@pytest.mark.parametrize("name", ["FaithfulnessEstimate", "PixelFlipping", "MonotonicityCorrelation"])
def test_steps_that_nobody_gave_divide_the_image(name: str) -> None:
    assert SIZE == (16, 12)
    given = "features_in_step=192"
    found, expected = (measured(toy_classifier(), toy_batch(), spec) for spec in (f"quantus:{name}", f"quantus:{name}({given})"))
    torch.testing.assert_close(found, expected, equal_nan=True)


class TestReasons:
    """What the refusals say of Quantus 0.6; where one of these fails, a newer Quantus may be let through."""

    inputs = np.random.RandomState(0).rand(2, 3, 16, 16)
    maps = np.random.RandomState(1).rand(2, 1, 16, 16)

    def ask(self, name: str, count: int, **options: Any) -> Any:
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten(), torch.nn.Linear(4, 3))
        call = options.pop("call", {})
        metric = getattr(quantus, name)(**FIXED, **options)
        return metric(network.eval(), self.inputs[:count], np.zeros(count, int), self.maps[:count].copy(), channel_first=True, **call)

    def test_irof_fails_on_three_channels(self) -> None:
        with pytest.raises(AssertionError, match="mask shape"):
            self.ask("IROF", 2)

    def test_infidelity_draws_nothing_at_random(self) -> None:
        found = list[list[float]]()
        for seed, samples in ((0, 1), (1, 1), (0, 3)):
            state = np.random.get_state()
            np.random.seed(seed)
            torch.manual_seed(0)  # the network's weights
            found.append(self.ask("Infidelity", 2, perturb_patch_sizes=[4], n_perturb_samples=samples))
            np.random.set_state(state)
        assert found[0] == found[1]
        assert found[0] == pytest.approx(found[2])

    def test_input_invariance_fails_where_a_convolution_has_no_bias(self) -> None:
        network = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3, bias=False), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
        metric = quantus.InputInvariance(**FIXED)
        with pytest.raises(TypeError):
            metric(network.eval(), self.inputs, np.zeros(2, int), self.maps.copy(), channel_first=True, explain_func=lambda **_: self.maps)

    def test_completeness_asks_for_equality(self) -> None:
        assert self.ask("Completeness", 2) == [False, False]

    def test_road_fails_on_three_channels(self) -> None:
        with pytest.raises(IndexError):
            self.ask("ROAD", 2)

    @pytest.mark.filterwarnings("ignore")
    def test_sensitivity_n_has_no_value_for_one_image(self) -> None:
        try:
            found = self.ask("SensitivityN", 1, features_in_step=32, return_aggregate=False)
        except ValueError:  # a correlation of one number
            return
        assert np.isnan(found).all()

    @pytest.mark.filterwarnings("ignore")
    def test_smooth_mprt_does_not_ask_the_explainer(self) -> None:
        asked = list[int]()

        def explain(model: object, inputs: Any, targets: Any, **_: object) -> Any:
            asked.append(len(inputs))
            return self.maps[: len(inputs)]

        self.ask("SmoothMPRT", 1, nr_samples=2, call={"explain_func": explain})
        assert not asked
