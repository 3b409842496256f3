"""BAM: attribution to an object that one network reads and another does not, to a region with and without it, and to an inert patch."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import NonNegativeInt
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.errors import NotApplicable
from camdbench.core.protocols import Protocol
from camdbench.core.registries import metric
from camdbench.functional.float_precision import to_float64
from camdbench.functional.inert_patch import inert_patch
from camdbench.functional.normalise import upsample
from camdbench.metrics.common.ground_truth import result_of
from camdbench.metrics.common.inputs import AlteredImages, MetricInputs, SaliencyMaps
from camdbench.metrics.common.result import MetricResult
from camdbench.metrics.common.second_network import load_second
from camdbench.models.classifier import Classifier
from camdbench.models.float64_copy import check_float64, float64_copy
from camdbench.models.pass_counts import copy_counted

_CLIP = 0.99  # quantile at which the positive part of a map is clipped
_SAME = 0.1  # share of the attribution by which an inert patch may change it
PATCH_RIGHT = "the network errs on the background alone, or on it with the patch, or the mask is empty"
YANG = (
    Protocol("yang", scored_class="predicted", maps="relu, clipped at the 99th percentile, range", resize="bilinear", ground_truth="masks"),
)
BOTH_RIGHT = "a network errs, the map explains another class than the predicted one, or the mask is empty"
SCENE_RIGHT = "the network errs on the image or on its background alone, the map explains another class, or the mask is empty"


@metric(
    "mcs",
    paper="Yang and Kim 2019, arXiv:1907.09701, section 4.1 (model contrast score)",
    higher_is_better=True,
    unit="",
    values="[-1, 1]",
    tolerance=0.002,
    aliases=("model_contrast_score",),
    needs=("masks", "backgrounds", "explainer", "second network"),
    undefined=BOTH_RIGHT,
    protocols=YANG,
)
def model_contrast_score(inputs: MetricInputs, *, network: str | None = None, only_right: bool = True) -> MetricResult:
    r"""Model contrast score (BAM): attribution to the object, object network minus background network.

    .. math:: o(S_{\text{object}}) - o(S_{\text{background}}), \quad o(S) = \operatorname{mean}_{i \in \text{object}} v_i

    v is the positive part of the raw map, clipped at its 99th percentile and scaled to [0, 1]; a constant one is 0. The explained network
    predicts the label of the image, `network` the class of its background, both rightly, and each map explains the prediction;
    `only_right=False` scores all images, for their explained class.

    Returns:
        (B,) in [-1, 1]; higher is better.

    Raises:
        NotApplicable: `network` is missing, the images state no backgrounds, or the maps were made elsewhere.
        UsageError: there is no such network.
    """
    if network is None:
        raise NotApplicable("needs a network of the backgrounds; give network='CHECKPOINT'")
    if inputs.backgrounds is None:
        raise NotApplicable("needs the classes of backgrounds, which these images do not have")
    other = load_second(network, str(inputs.classifier.device))
    said = inputs.shared(("predictions of", network), lambda: _predictions(inputs, other, inputs.images))
    [scene] = inputs.explain_versions(("network", network), lambda: [AlteredImages(inputs.images, said, other)], 1)
    right = _is_right(inputs) & (said.cpu() == inputs.backgrounds.cpu()) | (not only_right)
    values = _inside(inputs, _raw(inputs)) - _inside(inputs, scene.raw)
    return result_of(values, ~(right & _has_object(inputs)))


@metric(
    "idr",
    paper="Yang and Kim 2019, arXiv:1907.09701, section 4.2 (input dependence rate)",
    higher_is_better=True,
    unit="%",
    values="{0, 100}",
    tolerance=1.6,
    aliases=("input_dependence_rate",),
    needs=("masks", "scenes", "explainer"),
    explains=1,
    undefined=SCENE_RIGHT,
    protocols=YANG,
)
def input_dependence_rate(inputs: MetricInputs, *, only_right: bool = True) -> MetricResult:
    r"""Input dependence rate (BAM): whether an irrelevant object is less salient than what it covers.

    .. math:: 100\,[o(S(\text{background alone})) > o(S(x))]

    o is the mean of the map over the object, scaled as in `mcs`. The explained network predicts backgrounds, as of
    `shortcuts(label="background")`, rightly for both images, and each map explains the prediction; `only_right=False` scores all
    images, for their explained class. Equal means, such as of maps that are zero there, count 0. Each map is scaled alone: the place
    of the object also gains where the rest of its map loses.

    Returns:
        (B,) 0 or 100, per cent; higher is better.

    Raises:
        NotApplicable: the images have no version without their object, or the maps were made elsewhere.
    """
    said, alone = _background_maps(inputs)
    right = _is_right(inputs) & (said.cpu() == inputs.labels.cpu()) | (not only_right)
    lost = _inside(inputs, alone.raw) > _inside(inputs, _raw(inputs))
    return result_of(100 * lost.double(), ~(right & _has_object(inputs)))


@metric(
    "iir",
    paper="Yang and Kim 2019, arXiv:1907.09701, section 4.3 (input independence rate)",
    higher_is_better=True,
    unit="%",
    values="{0, 100}",
    tolerance=1.6,
    aliases=("input_independence_rate",),
    needs=("masks", "scenes", "explainer"),
    explains=2,
    undefined=PATCH_RIGHT,
    protocols=YANG,
    differs=(
        Difference(
            "BAM (the authors' code)",
            "finds the patch by 300 steps of gradient descent of size 500 on pixels in [0, 255], and stores pixels modulo 256",
            "other patches; here 100 steps of Adam, and pixels stay in [0, 1]",
        ),
    ),
)
def input_independence_rate(
    inputs: MetricInputs, *, steps: NonNegativeInt = 100, only_right: bool = True, search_dtype: Literal["float64", "network"] = "float64"
) -> MetricResult:
    r"""Input independence rate (BAM): whether an inert patch leaves the attribution to its place unchanged.

    .. math:: 100\,[|o(S(x)) - o(S(x + d))| < 0.1\, o(S(x))]

    x is the background alone, o the mean of the map over the place of the object, scaled as in `mcs`. The patch d there starts as the
    object; `steps` steps of Adam minimise ||f(x + d) - f(x)|| - 0.05 ||d|| with f the logits (`camdbench.functional.inert_patch`).
    The network predicts the label for x and x + d; `only_right=False` scores all images. Each map explains the prediction.

    The inequality is strict: a map that is zero there before and after counts 0, a map with an equal mean above zero 100. So a map
    that never changes scores 100, and the rate is to be read with `idr`. `search_dtype="float64"` finds the patch with a copy of the
    network in float64, for one more forward pass: in float32 (`network`) it depends on batch size and processor by rounding.

    Returns:
        (B,) 0 or 100, per cent; higher is better.

    Raises:
        NotApplicable: the images have no version without their object, the maps were made elsewhere, or the network does not compute in
            float64.
    """
    said, alone = _background_maps(inputs)
    patched = inputs.shared(("inert patch", steps, search_dtype), lambda: _patched(inputs, steps, search_dtype))
    again = inputs.shared(("predictions with patch", steps, search_dtype), lambda: _predictions(inputs, inputs.classifier, patched))
    [other] = inputs.explain_versions(("inert patch", steps, search_dtype), lambda: [AlteredImages(patched, again)], 1)
    before, after = _inside(inputs, alone.raw), _inside(inputs, other.raw)
    right = ((said == inputs.labels) & (again == inputs.labels)).cpu() | (not only_right)
    return result_of(100 * ((before - after).abs() < _SAME * before).double(), ~(right & _has_object(inputs)))


def scaled(raw: Tensor, size: tuple[int, int]) -> Tensor:
    """Positive part of raw maps (B, h, w) at image size, clipped at its 99th percentile and scaled to [0, 1]; 0 if it is constant.

    >>> scaled(torch.tensor([[[-1.0, 0.0], [1.0, 3.0]]]), (2, 2)).round(decimals=4).tolist()
    [[[0.0, 0.0], [0.3401, 1.0]]]
    """
    values = to_float64(upsample(raw, size)).cpu().clamp_min(0).flatten(1)
    values = values.minimum(values.quantile(_CLIP, dim=1, keepdim=True))
    low, high = values.amin(1, keepdim=True), values.amax(1, keepdim=True)
    found = torch.where(high > low, (values - low) / torch.where(high > low, high - low, 1), 0)
    return found.unflatten(1, size)


def _inside(inputs: MetricInputs, raw: Tensor) -> Tensor:
    """Mean of the scaled maps over the object (B,) float64; 0 without an object."""
    mask = inputs.required_masks.cpu()
    return (scaled(raw, inputs.size) * mask).sum((1, 2)) / mask.sum((1, 2)).clamp_min(1)


def _raw(inputs: MetricInputs) -> Tensor:
    return inputs.saliency if inputs.raw is None else inputs.raw


def _is_right(inputs: MetricInputs) -> Tensor:
    """Whether the label is predicted and explained, (B,) on the CPU."""
    return ((inputs.predictions == inputs.labels) & (inputs.predictions == inputs.targets)).cpu()


def _has_object(inputs: MetricInputs) -> Tensor:
    return inputs.required_masks.flatten(1).any(1).cpu()


def _predictions(inputs: MetricInputs, network: Classifier, images: Tensor) -> Tensor:
    if network is inputs.classifier:
        return inputs.score(images).argmax(1)
    with copy_counted(network, inputs.classifier), torch.no_grad():
        return network(images).argmax(1)


def _background_maps(inputs: MetricInputs) -> tuple[Tensor, SaliencyMaps]:
    """Predicted classes (B,) of the backgrounds alone, and the maps that explain them."""
    scenes = _scenes(inputs)
    said = inputs.shared("predictions of backgrounds alone", lambda: _predictions(inputs, inputs.classifier, scenes))
    [alone] = inputs.explain_versions("backgrounds alone", lambda: [AlteredImages(scenes, said)], 1)
    return said, alone


def _patched(inputs: MetricInputs, steps: int, search_dtype: str) -> Tensor:
    """Backgrounds alone with an inert patch in the place of the object, (B, 3, H, W)."""
    network = inputs.classifier if search_dtype == "network" else float64_copy(inputs.classifier)
    scenes, start = (images.to(network.device, network.dtype) for images in (_scenes(inputs), inputs.images))
    with copy_counted(network, inputs.classifier):
        if network is not inputs.classifier:
            with torch.no_grad():
                check_float64(lambda: network(scenes))
        return inert_patch(network, scenes, start, inputs.required_masks.to(network.device), steps).to(inputs.images)


def _scenes(inputs: MetricInputs) -> Tensor:
    """Images without their objects, (B, 3, H, W).

    Raises:
        NotApplicable: there are none.
    """
    versions = inputs.interventions
    if versions is None or any("background" not in own.names for own in versions):
        raise NotApplicable("needs the images without their objects, which these data do not have")
    return inputs.shared("backgrounds alone", lambda: torch.stack([own("background") for own in versions]).to(inputs.images))
