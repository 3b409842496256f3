"""Robustness and sanity checks through Quantus: explanations of perturbed images, or of a random network.

Noise is added in normalised space, with one stream of random numbers per image. Quantus takes 200 noise samples; the
default here is 10, as in Opti-CAM.
"""

from __future__ import annotations

from typing import Any

from pydantic import PositiveFloat, PositiveInt

from camdbench.core.errors import NotApplicable
from camdbench.core.metric_families import EXPLAINED_AGAIN, FLAT_MAP
from camdbench.core.option_types import MapKind
from camdbench.core.registries import metric
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.quantus_bridge import quantus_scores_of_reexplained, result_of
from camdbench.metrics.common.result import MetricResult

_PROTOCOLS = (EXPLAINED_AGAIN.variant("quantus06", masking="normalised", maps="default"),)
_CHANGED = "the map is constant, or noise changes the predicted class"
_UNDER_NOISE = {
    "higher_is_better": False,
    "unit": "",
    "values": "[0, inf)",
    "tolerance": 0.002,
    "needs": ("explainer",),
    "explains": "nr_samples",
    "undefined": FLAT_MAP,
    "protocols": _PROTOCOLS,
}


@metric("quantus:MaxSensitivity", paper="Yeh et al. 2019, arXiv:1901.09392, sec. 3", **_UNDER_NOISE)
def max_sensitivity(
    inputs: MetricInputs, *, nr_samples: PositiveInt = 10, lower_bound: PositiveFloat = 0.2, maps: MapKind = "default"
) -> MetricResult:
    r"""Max-sensitivity: largest relative change of the map among noisy copies of the image (Quantus).

    .. math:: \max_e \|E(x + e) - E(x)\| / \|E(x)\|

    A cross-check of `max_sensitivity`, with other random numbers.

    Returns:
        (B,) float64 in [0, inf); lower is better.
    """
    options = {"nr_samples": nr_samples, "lower_bound": lower_bound}
    return _result(inputs, "MaxSensitivity", maps, options, noise="batch_uniform_noise")


@metric("quantus:AvgSensitivity", paper="Yeh et al. 2019, arXiv:1901.09392, sec. 3, with the mean instead of the maximum", **_UNDER_NOISE)
def avg_sensitivity(
    inputs: MetricInputs, *, nr_samples: PositiveInt = 10, lower_bound: PositiveFloat = 0.2, maps: MapKind = "default"
) -> MetricResult:
    r"""Average sensitivity: mean relative change of the map among noisy copies of the image (Quantus).

    .. math:: \frac{1}{N} \sum_e \|E(x + e) - E(x)\| / \|E(x)\|

    A cross-check of `avg_sensitivity`, with other random numbers.

    Returns:
        (B,) float64 in [0, inf); lower is better.
    """
    options = {"nr_samples": nr_samples, "lower_bound": lower_bound}
    return _result(inputs, "AvgSensitivity", maps, options, noise="batch_uniform_noise")


_EXPLAINED_AGAIN = {
    "higher_is_better": False,
    "unit": "",
    "values": "[0, inf)",
    "needs": ("explainer",),
    "undefined": FLAT_MAP,
    "protocols": _PROTOCOLS,
}


@metric(
    "quantus:LocalLipschitzEstimate",
    paper="Alvarez-Melis & Jaakkola 2018, arXiv:1806.08049, definition of the local Lipschitz estimate",
    tolerance=0.005,
    explains="nr_samples",
    **_EXPLAINED_AGAIN,
)
def local_lipschitz_estimate(
    inputs: MetricInputs, *, nr_samples: PositiveInt = 10, perturb_std: PositiveFloat = 0.1, maps: MapKind = "default"
) -> MetricResult:
    r"""Local Lipschitz estimate: largest ratio of map change to image change under noise (Quantus).

    .. math:: \max_{x'} \|E(x) - E(x')\| / \|x - x'\|

    Noise is Gaussian, norms are Euclidean, the image's over all three channels.

    Returns:
        (B,) float64 in [0, inf); lower is better.
    """
    options = {"nr_samples": nr_samples, "perturb_std": perturb_std}
    return _result(inputs, "LocalLipschitzEstimate", maps, options, noise="batch_gaussian_noise")


_STABLE = {
    "higher_is_better": False,
    "unit": "",
    "values": "[0, inf)",
    "paper": "Agarwal et al. 2022, arXiv:2203.06877, eq. 2 (input), 3 (representation), 5 (output)",
    "needs": ("explainer",),
    "explains": "nr_samples",
    "undefined": _CHANGED,
    "protocols": _PROTOCOLS,
}


@metric("quantus:RelativeInputStability", tolerance=1.0, **_STABLE)
def relative_input_stability(
    inputs: MetricInputs, *, nr_samples: PositiveInt = 10, same_class: bool = True, maps: MapKind = "default"
) -> MetricResult:
    r"""Relative input stability: largest ratio of relative map change to relative image change (Quantus).

    .. math:: \max_{x'} \|(E(x) - E(x')) / E(x)\| / \|(x - x') / x\|

    Noise is drawn from U(0.02, 0.2), positive only, as in Quantus. Changes are relative per pixel, so maps with many zeros have
    huge values. With `same_class` an image has no value if noise changes the predicted class.

    Returns:
        (B,) float64 in [0, inf); lower is better.
    """
    return _stability(inputs, "RelativeInputStability", maps, nr_samples, same_class)


@metric("quantus:RelativeOutputStability", tolerance=100.0, **_STABLE)
def relative_output_stability(
    inputs: MetricInputs, *, nr_samples: PositiveInt = 10, same_class: bool = True, maps: MapKind = "default"
) -> MetricResult:
    r"""Relative output stability: largest ratio of relative map change to logit change (Quantus).

    .. math:: \max_{x'} \|(E(x) - E(x')) / E(x)\| / \|f(x) - f(x')\|

    Noise and options as in `quantus:RelativeInputStability`.

    Returns:
        (B,) float64 in [0, inf); lower is better.
    """
    return _stability(inputs, "RelativeOutputStability", maps, nr_samples, same_class)


@metric("quantus:RelativeRepresentationStability", tolerance=0.001, **_STABLE)
def relative_representation_stability(
    inputs: MetricInputs, *, nr_samples: PositiveInt = 10, same_class: bool = True, maps: MapKind = "default"
) -> MetricResult:
    r"""Relative representation stability: largest ratio of relative map to relative layer change (Quantus).

    .. math:: \max_{x'} \|(E(x) - E(x')) / E(x)\| / \|(A(x) - A(x')) / A(x)\|

    A is the target layer's output; Quantus takes all layers, which some networks do not allow. Noise and options as in
    `quantus:RelativeInputStability`.

    Returns:
        (B,) float64 in [0, inf); lower is better.
    """
    layer = f"wrapped.0.network.{inputs.classifier.layer_name()}"
    return _stability(inputs, "RelativeRepresentationStability", maps, nr_samples, same_class, layer_names=[layer])


@metric(
    "quantus:Continuity",
    paper="Montavon et al. 2018, Digital Signal Processing 73, section on explanation continuity",
    explains="nr_steps",
    **_EXPLAINED_AGAIN,
)
def continuity(inputs: MetricInputs, *, nr_steps: PositiveInt = 28, maps: MapKind = "default") -> MetricResult:
    r"""Continuity: largest ratio of map change to image change among horizontal shifts (Quantus).

    .. math:: \max_{x'} \|E(x) - E(x')\|_1 / \|x - x'\|_2

    The image is shifted from left to right in `nr_steps` steps; uncovered pixels are black.

    Returns:
        (B,) float64 in [0, inf); lower is better.
    """
    width = inputs.images.shape[-1]
    if nr_steps >= 2 * width or (2 * width + 1) % nr_steps == 0:  # steps of no pixel, or one beyond the image
        raise NotApplicable(f"nr_steps={nr_steps}: no such shifts of an image {width} pixels wide; give another number")
    return _result(inputs, "Continuity", maps, {"nr_steps": nr_steps, "abs": True})


NO_HISTOGRAM = "the map is constant, or the histogram of the map has no entropy"


@metric(
    "quantus:EfficientMPRT",
    paper="Hedström et al. 2023, arXiv:2401.06465, definition of eMPRT",
    higher_is_better=True,
    unit="",
    values="[-1, inf)",
    tolerance=0.005,
    needs=("explainer",),
    explains=1,
    undefined=NO_HISTOGRAM,
    protocols=_PROTOCOLS,
)
def efficient_mprt(inputs: MetricInputs, *, maps: MapKind = "default") -> MetricResult:
    r"""Efficient MPRT: relative rise of the map histogram's entropy when all weights are random (Quantus).

    .. math:: (H(E_{\mathrm{random}}(x)) - H(E(x))) / H(E(x))

    Entropies are over 100 bins. Random weights are Quantus' own, seed 42.

    Returns:
        (B,) float64 in [-1, inf); higher is better.
    """
    return _result(inputs, "EfficientMPRT", maps, {}, softmax=True, layers=True)


def _stability(inputs: MetricInputs, name: str, maps: str, samples: int, same_class: bool, **more: Any) -> MetricResult:
    options = {"nr_samples": samples, "return_nan_when_prediction_changes": same_class, **more}
    return _result(inputs, name, maps, options, noise="batch_uniform_noise", layers=bool(more))


def _result(
    inputs: MetricInputs, name: str, maps: str, options: dict[str, Any], *, softmax: bool = False, noise: str = "", layers: bool = False
) -> MetricResult:
    scores = quantus_scores_of_reexplained(inputs, name, maps, options, softmax=softmax, noise=noise, layers=layers)
    return result_of(scores, inputs.images)
