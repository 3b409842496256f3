"""Robustness and sanity through Quantus: what explains altered images, or an altered network, again.

Noise is added in the mean/std-normalised space; each image has its own stream of random numbers. Quantus takes 200 samples of
noise where these take 10, the number at which Opti-CAM measures.
"""

from __future__ import annotations

from typing import Any

from pydantic import PositiveFloat, PositiveInt

from camdbench.core.errors import NotApplicable
from camdbench.core.metric_families import EXPLAINED_AGAIN, FLAT_MAP
from camdbench.core.option_types import MapKind
from camdbench.core.registries import metric
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.quantus_bridge import as_values, ask_again
from camdbench.metrics.common.result import MetricResult

_PROTOCOLS = (EXPLAINED_AGAIN.variant("quantus06", masking="normalised", maps="default"),)
_CHANGED = "no place of the map differs from another, or noise changes the predicted class"


_UNDER_NOISE = {"tolerance": 0.002, "needs": ("explainer",), "undefined": FLAT_MAP, "protocols": _PROTOCOLS}


@metric(
    "quantus:MaxSensitivity", paper="Yeh et al. 2019, arXiv:1901.09392", higher_is_better=False, unit="", values="[0, inf)", **_UNDER_NOISE
)
def max_sensitivity(
    inputs: MetricInputs,
    *,
    nr_samples: PositiveInt = 10,
    lower_bound: PositiveFloat = 0.2,
    maps: MapKind = "default",
) -> MetricResult:
    r"""Largest relative change of the map among noisy versions of the image, as Quantus computes it.

    .. math:: \max_e \|E(x + e) - E(x)\| / \|E(x)\|

    (B,) >= 0. A cross-check of `max_sensitivity`, with other random numbers.
    """
    options = {"nr_samples": nr_samples, "lower_bound": lower_bound}
    return _measured(inputs, "MaxSensitivity", maps, options, noise="batch_uniform_noise")


@metric(
    "quantus:AvgSensitivity",
    paper="Yeh et al. 2019, arXiv:1901.09392, with the mean instead of the maximum",
    higher_is_better=False,
    unit="",
    values="[0, inf)",
    **_UNDER_NOISE,
)
def avg_sensitivity(
    inputs: MetricInputs,
    *,
    nr_samples: PositiveInt = 10,
    lower_bound: PositiveFloat = 0.2,
    maps: MapKind = "default",
) -> MetricResult:
    r"""Mean relative change of the map among noisy versions of the image, as Quantus computes it.

    .. math:: \frac{1}{N} \sum_e \|E(x + e) - E(x)\| / \|E(x)\|

    (B,) >= 0. A cross-check of `avg_sensitivity`, with other random numbers.
    """
    options = {"nr_samples": nr_samples, "lower_bound": lower_bound}
    return _measured(inputs, "AvgSensitivity", maps, options, noise="batch_uniform_noise")


_EXPLAINED_AGAIN = {"needs": ("explainer",), "undefined": FLAT_MAP, "protocols": _PROTOCOLS}


@metric(
    "quantus:LocalLipschitzEstimate",
    paper="Alvarez-Melis & Jaakkola 2018, arXiv:1806.08049",
    higher_is_better=False,
    unit="",
    values="[0, inf)",
    tolerance=0.005,
    **_EXPLAINED_AGAIN,
)
def local_lipschitz_estimate(
    inputs: MetricInputs,
    *,
    nr_samples: PositiveInt = 10,
    perturb_std: PositiveFloat = 0.1,
    maps: MapKind = "default",
) -> MetricResult:
    r"""Largest change of the map relative to the change of the image, among images with Gaussian noise.

    .. math:: \max_{x'} \|E(x) - E(x')\| / \|x - x'\|

    (B,) >= 0: max ||E(x) - E(x')|| / ||x - x'||, Euclidean norms, the image's over all three channels.
    """
    options = {"nr_samples": nr_samples, "perturb_std": perturb_std}
    return _measured(inputs, "LocalLipschitzEstimate", maps, options, noise="batch_gaussian_noise")


_STABLE = {"paper": "Agarwal et al. 2022, arXiv:2203.06877", "needs": ("explainer",), "undefined": _CHANGED, "protocols": _PROTOCOLS}


@metric("quantus:RelativeInputStability", higher_is_better=False, unit="", values="[0, inf)", tolerance=1.0, **_STABLE)
def relative_input_stability(
    inputs: MetricInputs, *, nr_samples: PositiveInt = 10, same_class: bool = True, maps: MapKind = "default"
) -> MetricResult:
    r"""Largest relative change of the map for each relative change of the image, among images with noise.

    .. math:: \max_{x'} \|(E(x) - E(x')) / E(x)\| / \|(x - x') / x\|

    (B,) >= 0. Noise is drawn from U(0.02, 0.2), as Quantus does, upwards only. Changes are relative place by place, so maps
    with many zeros have huge values. With `same_class` an image has no value where noise changes the predicted class.
    """
    return _stability(inputs, "RelativeInputStability", maps, nr_samples, same_class)


@metric("quantus:RelativeOutputStability", higher_is_better=False, unit="", values="[0, inf)", tolerance=100.0, **_STABLE)
def relative_output_stability(
    inputs: MetricInputs, *, nr_samples: PositiveInt = 10, same_class: bool = True, maps: MapKind = "default"
) -> MetricResult:
    r"""Largest relative change of the map for each change of the logits, among images with noise.

    .. math:: \max_{x'} \|(E(x) - E(x')) / E(x)\| / \|f(x) - f(x')\|

    (B,) >= 0, otherwise as quantus:RelativeInputStability.
    """
    return _stability(inputs, "RelativeOutputStability", maps, nr_samples, same_class)


@metric("quantus:RelativeRepresentationStability", higher_is_better=False, unit="", values="[0, inf)", tolerance=0.001, **_STABLE)
def relative_representation_stability(
    inputs: MetricInputs, *, nr_samples: PositiveInt = 10, same_class: bool = True, maps: MapKind = "default"
) -> MetricResult:
    r"""Largest relative change of the map for each relative change of the target layer's output, among images with noise.

    .. math:: \max_{x'} \|(E(x) - E(x')) / E(x)\| / \|(A(x) - A(x')) / A(x)\|

    (B,) >= 0, otherwise as quantus:RelativeInputStability. Quantus would take all layers, which not every network bears.
    """
    layer = f"held.0.network.{inputs.classifier.layer_name()}"
    return _stability(inputs, "RelativeRepresentationStability", maps, nr_samples, same_class, layer_names=[layer])


@metric(
    "quantus:Continuity",
    paper="Montavon et al. 2018, Digital Signal Processing 73",
    higher_is_better=False,
    unit="",
    values="[0, inf)",
    **_EXPLAINED_AGAIN,
)
def continuity(inputs: MetricInputs, *, nr_steps: PositiveInt = 28, maps: MapKind = "default") -> MetricResult:
    r"""Largest change of the map relative to the change of the image, among shifts of the image from left to right.

    .. math:: \max_{x'} \|E(x) - E(x')\|_1 / \|x - x'\|_2

    (B,) >= 0: max ||E(x) - E(x')||_1 / ||x - x'||_2 over `nr_steps` shifts; what the shift uncovers is black.
    """
    width = inputs.images.shape[-1]
    if nr_steps >= 2 * width or (2 * width + 1) % nr_steps == 0:  # steps of no pixel, or one beyond the image
        raise NotApplicable(f"nr_steps={nr_steps} is no number of steps for images {width} pixels wide; give another")
    return _measured(inputs, "Continuity", maps, {"nr_steps": nr_steps, "abs": True})


NO_HISTOGRAM = "no place of the map differs from another, or the histogram of the map has no entropy"


@metric(
    "quantus:EfficientMPRT",
    paper="Hedström et al. 2023, arXiv:2401.06465",
    higher_is_better=True,
    unit="",
    values="[-1, inf)",
    tolerance=0.005,
    needs=("explainer",),
    undefined=NO_HISTOGRAM,
    protocols=_PROTOCOLS,
)
def efficient_mprt(inputs: MetricInputs, *, maps: MapKind = "default") -> MetricResult:
    r"""How far the entropy of the map's histogram rises, relatively, when all weights of the network are random.

    .. math:: (H(E_{\mathrm{random}}(x)) - H(E(x))) / H(E(x))

    (B,): (entropy with random weights - entropy) / entropy, over 100 bins. Random weights are Quantus' own, seed 42.
    """
    return _measured(inputs, "EfficientMPRT", maps, {}, softmax=True, layers=True)


def _stability(inputs: MetricInputs, name: str, maps: str, samples: int, same_class: bool, **more: Any) -> MetricResult:
    options = {"nr_samples": samples, "return_nan_when_prediction_changes": same_class, **more}
    return _measured(inputs, name, maps, options, noise="batch_uniform_noise", layers=bool(more))


def _measured(
    inputs: MetricInputs, name: str, maps: str, options: dict[str, Any], *, softmax: bool = False, noise: str = "", layers: bool = False
) -> MetricResult:
    values = as_values(ask_again(inputs, name, maps, options, softmax=softmax, noise=noise, layers=layers), inputs.images)
    return MetricResult(values, undefined=values.isnan())
