"""Sanity checks against a cascade and similarities written out with PyTorch, scipy and scikit-image."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from helpers.metric_inputs import inputs_of, measure, measured
from helpers.toys import SIZE, toy_batch, toy_classifier
from scipy.stats import spearmanr
from skimage.metrics import structural_similarity
from torch import Tensor
from torch.nn.functional import interpolate

from camdbench.functional.seeding import generator_for
from camdbench.models.classifier import Classifier

FROM_ABOVE = ["head.2", "conv2", "norm1", "conv1"]


def cascaded(classifier: Classifier) -> list[Classifier]:
    """Models with one, two, … random layers, by a fresh copy each."""
    found = list[Classifier]()
    for count in range(1, len(FROM_ABOVE) + 1):
        copy = deepcopy(classifier)
        for name in FROM_ABOVE[:count]:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(generator_for(0, name, "random weights").initial_seed())
                copy.network.get_submodule(name).reset_parameters()
        found.append(copy)
    return found


def shown(raw: Tensor) -> np.ndarray:
    return interpolate(raw[:, None], SIZE, mode="bilinear", align_corners=False)[:, 0].double().numpy()


def stretched(item: np.ndarray) -> np.ndarray:
    return (item - item.min()) / (item.max() - item.min())


SIMILARITIES = {
    "spearman": lambda a, b: spearmanr(a.ravel(), b.ravel()).statistic,
    "spearman_abs": lambda a, b: spearmanr(abs(a).ravel(), abs(b).ravel()).statistic,
    "ssim": lambda a, b: structural_similarity(stretched(a), stretched(b), gaussian_weights=True, data_range=1),
}


@pytest.mark.parametrize("how", SIMILARITIES)
def test_it_is_the_mean_likeness_over_the_cascade(how: str) -> None:
    classifier = toy_classifier("gap")
    with classifier.frozen():
        inputs = inputs_of(classifier, toy_batch(), "gradcam(relu=False)")
        found = measure(inputs, f"randomisation(similarity={how}, layers=None)")
        own = shown(inputs.raw)
        for step, model in enumerate(cascaded(classifier)):
            with model.frozen():
                maps = shown(inputs_of(model, toy_batch(), "gradcam(relu=False)").raw)
            expected = [SIMILARITIES[how](a, b) for a, b in zip(own, maps, strict=True)]
            assert found.curves["similarity"].y[:, step].tolist() == pytest.approx(expected, abs=2e-4)
    assert found.curves["similarity"].x.tolist() == [1, 2, 3, 4]
    torch.testing.assert_close(found.values, found.curves["similarity"].y.mean(1))
    assert (found.values < 0.9).all()


def test_protocols_divide_the_layers_and_quantus_counts_the_trained_model() -> None:
    places = {
        protocol: measured(toy_classifier(), toy_batch(), f"randomisation(protocol={protocol})").curves["similarity"].x.tolist()
        for protocol in ("adebayo", "opticam", "quantus")
    }
    assert places == {"adebayo": [1, 2, 3, 4], "opticam": [1, 2, 3, 4], "quantus": [0, 1, 2, 3, 4]}
    two = measured(toy_classifier(), toy_batch(), "randomisation(layers=2)").curves["similarity"].x.tolist()
    assert two == [2, 4]
    found = measured(toy_classifier(), toy_batch(), "randomisation(protocol=quantus)")
    torch.testing.assert_close(found.curves["similarity"].y[:, 0], torch.ones(4, dtype=torch.float64))


def test_a_map_that_does_not_look_at_the_weights_fails_the_check() -> None:
    for how in ("spearman", "ssim"):
        values = measured(toy_classifier(), toy_batch(), f"randomisation(similarity={how})", "edges").values
        torch.testing.assert_close(values, torch.ones(4, dtype=torch.float64))


def test_the_classifier_is_not_touched_and_pays_for_all_models() -> None:
    classifier = toy_classifier()
    before = classifier.weights_hash()
    with classifier.frozen():
        inputs = inputs_of(classifier, toy_batch())
        start = classifier.passes
        measure(inputs, "randomisation(layers=3)")
        spent = classifier.passes - start
        measure(inputs, "randomisation(layers=3, similarity=ssim)")
        assert classifier.passes - start == spent  # the maps are shared
    assert (spent.forward, spent.tail_backward) == (3 * 4, 3 * 4)
    assert classifier.weights_hash() == before


def test_a_constant_map_is_undefined_and_a_constant_map_of_a_random_model_has_nothing_in_common() -> None:
    def fades(images: Tensor, targets: Tensor, classifier: Classifier) -> Tensor:
        trained = classifier.network.head[-1].weight.abs().max() > 1
        return images.mean(1) * (targets > 0)[:, None, None] if trained else torch.full((len(images), *SIZE), 0.7)

    found = measured(toy_classifier(), toy_batch(), "randomisation", fades)
    assert found.undefined.tolist() == [True, False, False, False]
    assert found.values.isnan().tolist() == [True, False, False, False]
    assert found.values[1:].tolist() == [0, 0, 0]


def test_images_smaller_than_a_block_have_no_histograms() -> None:
    assert measured(toy_classifier(), toy_batch(), "randomisation(similarity=hog)").undefined.all()
    large = measured(toy_classifier(), toy_batch(2, size=(48, 64)), "randomisation(similarity=hog)")
    assert not large.undefined.any()
    assert large.values.isfinite().all()


class TestRandomLogit:
    def test_it_is_the_likeness_to_the_map_of_the_class_that_is_drawn(self, classifier: Classifier) -> None:
        batch = toy_batch()
        with classifier.frozen():
            inputs = inputs_of(classifier, batch, "gradcam(relu=False)")
            found = measure(inputs, "random_logit").values.tolist()
            for index, name in enumerate(batch.ids):
                draw = int(torch.randint(4, (), generator=generator_for(0, name, "random_logit")))
                other = [label for label in range(5) if label != batch.labels[index]][draw]
                maps = shown(inputs.explain(batch.images, torch.full((4,), other)).raw)
                expected = SIMILARITIES["ssim"](shown(inputs.raw)[index], maps[index])
                assert found[index] == pytest.approx(expected, abs=1e-4)

    def test_the_other_class_is_never_the_explained_one_and_any_other(self) -> None:
        seen = set[tuple[int, int]]()

        def watch(images: Tensor, targets: Tensor, classifier: Classifier) -> Tensor:
            seen.update(enumerate(targets.tolist()))
            return images.mean(1)

        for seed in range(40):
            classifier = toy_classifier()
            with classifier.frozen():
                measure(inputs_of(classifier, toy_batch(), watch, seed=seed), "random_logit")
        assert seen == {(image, label) for image in range(4) for label in range(5)}

    def test_a_map_that_does_not_look_at_the_class_fails_the_check(self) -> None:
        values = measured(toy_classifier(), toy_batch(), "random_logit", "edges").values
        torch.testing.assert_close(values, torch.ones(4, dtype=torch.float64))

    def test_a_constant_map_is_undefined(self) -> None:
        def flat(images: Tensor, targets: Tensor, classifier: Classifier) -> Tensor:
            return images.mean(1) * (targets != 2)[:, None, None]

        assert measured(toy_classifier(), toy_batch(), "random_logit", flat).undefined.tolist() == [False, False, True, False]
