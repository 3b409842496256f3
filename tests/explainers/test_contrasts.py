"""Maps of one class against others: ContrastiveCAM and Finer-CAM."""

from __future__ import annotations

import pytest
import torch
from helpers.other_libraries import inputs_of
from helpers.toys import CLASSES, toy_classifier
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.contrastivecam import contrastivecam
from camdbench.explainers.finercam import finercam
from camdbench.explainers.gradcam import gradcam
from camdbench.explainers.hirescam import hirescam
from camdbench.models.classifier import Classifier

pytestmark = pytest.mark.usefixtures("float64")


def hires(classifier: Classifier, batch: Batch) -> Tensor:
    """The HiResCAM of every class (C, B, h, w), each by a backward pass of its own."""
    return torch.stack([hirescam(Trace(classifier, batch, target=index), relu=False) for index in range(CLASSES)])


def test_versus_the_mean_is_definition_3_4(classifier: Classifier, batch: Batch) -> None:
    with classifier.frozen():
        maps = hires(classifier, batch)
        pairwise = torch.stack([maps[batch.labels, range(4)] - maps[index] for index in range(CLASSES)])
        found = contrastivecam(Trace(classifier, batch))
    torch.testing.assert_close(found, pairwise.mean(0), rtol=1e-4, atol=1e-6)
    assert found.min() < 0 < found.max(), "the map is signed"


@pytest.mark.parametrize("versus", range(CLASSES))
def test_versus_a_class_is_the_difference_of_the_two_maps_and_against_itself_zero(
    classifier: Classifier, batch: Batch, versus: int
) -> None:
    with classifier.frozen():
        maps = hires(classifier, batch)
        found = contrastivecam(Trace(classifier, batch), versus=versus)
    torch.testing.assert_close(found, maps[batch.labels, range(4)] - maps[versus], rtol=1e-4, atol=1e-6)
    for index, label in enumerate(batch.labels.tolist()):
        assert bool(found[index].any()) is (label != versus)


@pytest.mark.parametrize("target", ["label", "predicted", "least_likely"])
def test_versus_the_runner_up_is_versus_the_highest_other_logit(classifier: Classifier, batch: Batch, target: str) -> None:
    with classifier.frozen():
        trace = Trace(classifier, batch, target=target)
        found = contrastivecam(trace, versus="runner_up")
        for index, (own, logits) in enumerate(zip(trace.targets.tolist(), trace.logits.tolist(), strict=True)):
            other = max((value, name) for name, value in enumerate(logits) if name != own)[1]
            torch.testing.assert_close(found[index], contrastivecam(trace, versus=other)[index])


def test_what_all_classes_share_cancels(batch: Batch) -> None:
    """Theorem 3.5: the same vector added to every row of the head adds one M to every HiResCAM."""
    maps = []
    for shift in (0.0, 3.0):
        classifier = toy_classifier("gap")
        classifier.network.head[-1].weight.data += shift * torch.linspace(-1, 1, 8)
        with classifier.frozen():
            trace = Trace(classifier, batch)
            maps.append((contrastivecam(trace), contrastivecam(trace, versus=2), hirescam(trace, relu=False)))
    for index, scale in enumerate((1e-4, 1e-4)):
        torch.testing.assert_close(maps[0][index], maps[1][index], rtol=1e-3, atol=scale)
    assert (maps[0][2] - maps[1][2]).abs().max() > 0.01, "the shift did nothing"


def test_on_a_linear_head_the_pairwise_map_adds_up_to_the_difference_of_logits_less_biases(batch: Batch) -> None:
    classifier = toy_classifier("gap").requires_grad_(False)
    trace = Trace(classifier, batch)
    bias = classifier.network.head[-1].bias
    expected = (trace.target_logits - bias[batch.labels]) - (trace.logits[:, 4] - bias[4])
    torch.testing.assert_close(contrastivecam(trace, versus=4).sum((1, 2)), expected, rtol=1e-4, atol=1e-5)


def test_a_class_may_be_named(batch: Batch) -> None:
    classifier = toy_classifier().requires_grad_(False)
    classifier.class_names = ("ant", "bee", "cat", "dog", "elk")
    trace = Trace(classifier, batch)
    assert torch.equal(contrastivecam(trace, versus="dog"), contrastivecam(trace, versus=3))
    with pytest.raises(UsageError, match=r"toy-gap: no class 'dogs'; did you mean 'dog'\?"):
        contrastivecam(trace, versus="dogs")
    for wrong in (-1, CLASSES):
        with pytest.raises(UsageError, match="the model has classes 0 to 4"):
            contrastivecam(trace, versus=wrong)


# ------------------------------------------------------------------------------- Finer-CAM


def test_finercam_is_gradcam_less_a_share_of_the_nearest_classes(classifier: Classifier, batch: Batch) -> None:
    with classifier.frozen():
        trace = Trace(classifier, batch)
        maps = torch.stack([gradcam(Trace(classifier, batch, target=index), relu=False) for index in range(CLASSES)])
        for gamma, count in ((0.6, 3), (1.0, 1), (0.3, 99)):
            found = finercam(trace, gamma=gamma, classes=count, relu=False)
            for index, own in enumerate(batch.labels.tolist()):
                logits = trace.logits[index].tolist()
                near = sorted((name for name in range(CLASSES) if name != own), key=lambda name: abs(logits[name] - logits[own]))[:count]
                expected = maps[own, index] - gamma * maps[near, index].mean(0)
                torch.testing.assert_close(found[index], expected, rtol=1e-4, atol=1e-6)
        torch.testing.assert_close(finercam(trace), finercam(trace, gamma=0.6, classes=3, relu=False).relu())


def test_without_comparison_finercam_is_gradcam(classifier: Classifier, batch: Batch) -> None:
    with classifier.frozen():
        trace = Trace(classifier, batch)
        torch.testing.assert_close(finercam(trace, gamma=0), gradcam(trace))


def test_finercam_of_grad_cam_weighs_classes_by_their_probability_and_differentiates_through_it(
    classifier: Classifier, batch: Batch
) -> None:
    import pytorch_grad_cam

    network = classifier.network
    with pytorch_grad_cam.FinerCAM(network, [network.relu2]) as peer:
        expected = torch.from_numpy(peer(inputs_of(classifier, batch))).to(batch.images)  # of the predicted class, in float32
    with classifier.frozen():
        found = finercam(Trace(classifier, batch, target="predicted"), compat="pgc")
    from camdbench.functional.normalise import normalise, upsample

    torch.testing.assert_close(normalise(upsample(normalise(found, "range"), (16, 12)), "range"), expected, rtol=0, atol=1e-3)
