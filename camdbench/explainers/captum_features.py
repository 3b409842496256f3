"""Captum's attributions of windows and segments, by passes of altered images."""

from __future__ import annotations

from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.option_types import Colour, SegmentKind
from camdbench.core.registries import explainer
from camdbench.explainers.common.captum_bridge import attributed
from camdbench.explainers.common.captum_inputs import copies_at_once, features, one_by_one
from camdbench.explainers.common.captum_methods import Attribution
from camdbench.explainers.common.trace import Trace


@explainer(
    "captum:Occlusion",
    paper="Zeiler & Fergus 2014, arXiv:1311.2901, section 4.2",
    cost=Cost(forward=2, repeats=(Repeat("per window position", forward=1),)),
    values="(-inf, inf)",
)
def occlusion(
    trace: Trace, *, sliding_window_shapes: PositiveInt | None = None, strides: PositiveInt | None = None, baseline: Colour = "black"
) -> Tensor:
    r"""Occlusion (Captum): mean drop of the class logit over the windows that cover a pixel.

    .. math:: \mathrm{mean}_{W \ni u}\,(y(x) - y(x_{\setminus W}))

    Side and stride of square windows over all channels, in pixels; default: a fifth of the shorter side, and half of that,
    as in `occlusion`.
    Equal to `occlusion(score="logit", fill=baseline)` where the windows end at the border.

    Returns:
        (B, H, W), signed.
    """
    side = min(sliding_window_shapes or max(1, round(min(trace.size) / 5)), *trace.size)
    step = strides or max(1, side // 2)
    options = {"sliding_window_shapes": (3, side, side), "strides": (3, step, step), "perturbations_per_eval": copies_at_once(trace)}
    return attributed(trace, Attribution("Occlusion", baseline=baseline, channels="first", options=options, of_image=one_by_one))


@explainer(
    "captum:FeatureAblation",
    paper="Captum, feature_ablation.py",
    cost=Cost(forward=2, repeats=(Repeat("per feature", forward=1),)),
    values="(-inf, inf)",
)
def feature_ablation(trace: Trace, *, segments: SegmentKind = "grid", cells: PositiveInt = 8, baseline: Colour = "black") -> Tensor:
    r"""Feature ablation (Captum): drop of the class logit without a segment of the image.

    .. math:: y(x) - y(x_{\setminus i})


    Segments are quickshift superpixels or a grid of `cells` x `cells`.

    Returns:
        (B, H, W), signed: a segment's value on each of its pixels.
    """
    options = {"perturbations_per_eval": copies_at_once(trace)}
    return attributed(
        trace, Attribution("FeatureAblation", baseline=baseline, channels="first", options=options, of_image=features(segments, cells))
    )


@explainer(
    "captum:ShapleyValueSampling",
    paper="Castro et al. 2009, Computers & Operations Research 36(5), section 3; Strumbelj & Kononenko 2010, JMLR 11",
    cost=Cost(forward=2, repeats=(Repeat(("n_samples", "per feature"), forward=1),)),
    stochastic=True,
    values="(-inf, inf)",
)
def shapley_value_sampling(
    trace: Trace, *, n_samples: PositiveInt = 25, segments: SegmentKind = "grid", cells: PositiveInt = 8, baseline: Colour = "black"
) -> Tensor:
    r"""Shapley value sampling (Captum): mean contribution of a segment over random orders.

    .. math:: \phi_i = \frac{1}{n} \sum_\pi (y(S_\pi \cup i) - y(S_\pi))

    Values of an order sum to y(x) - y(baseline).
    Segments are quickshift superpixels or a grid of `cells` x `cells`.

    Returns:
        (B, H, W), signed: a segment's value on each of its pixels.
    """
    options = {"n_samples": n_samples, "perturbations_per_eval": copies_at_once(trace)}
    return attributed(
        trace, Attribution("ShapleyValueSampling", baseline=baseline, channels="first", options=options, of_image=features(segments, cells))
    )


@explainer(
    "captum:Lime",
    paper="Ribeiro et al. 2016, arXiv:1602.04938, eq. 1",
    cost=Cost(forward=1, repeats=(Repeat("n_samples", forward=1),)),
    stochastic=True,
    values="(-inf, inf)",
)
def lime(
    trace: Trace, *, n_samples: PositiveInt = 25, segments: SegmentKind = "grid", cells: PositiveInt = 8, baseline: Colour = "black"
) -> Tensor:
    r"""LIME (Captum): coefficients of a sparse linear model of the class logit on random segments.

    .. math:: \arg\min_w \sum_z \pi(z)\,(y(z) - w^\top z)^2 + \alpha \|w\|_1

    Captum's defaults: a lasso with alpha=0.01 and an exponential kernel of the cosine distance. Its 25 samples are few; `lime` takes 1000.
    Segments are quickshift superpixels or a grid of `cells` x `cells`.

    Returns:
        (B, H, W), signed: a segment's value on each of its pixels.
    """
    options = {"n_samples": n_samples, "perturbations_per_eval": copies_at_once(trace)}
    return attributed(trace, Attribution("Lime", baseline=baseline, channels="first", options=options, of_image=features(segments, cells)))


@explainer(
    "captum:KernelShap",
    paper="Lundberg & Lee 2017, arXiv:1705.07874, theorem 2",
    cost=Cost(forward=1, repeats=(Repeat("n_samples", forward=1),)),
    stochastic=True,
    values="(-inf, inf)",
)
def kernel_shap(
    trace: Trace, *, n_samples: PositiveInt = 25, segments: SegmentKind = "grid", cells: PositiveInt = 8, baseline: Colour = "black"
) -> Tensor:
    r"""KernelSHAP (Captum): Shapley values of segments by a weighted linear regression.

    .. math:: \arg\min_\phi \sum_z k(z)\,(y(z) - \phi_0 - \phi^\top z)^2

    With fewer samples than segments the regression is not determined; `kernelshap` takes 1000 samples and exact constraints.
    Segments are quickshift superpixels or a grid of `cells` x `cells`.

    Returns:
        (B, H, W), signed: a segment's value on each of its pixels.
    """
    options = {"n_samples": n_samples, "perturbations_per_eval": copies_at_once(trace)}
    return attributed(
        trace, Attribution("KernelShap", baseline=baseline, channels="first", options=options, of_image=features(segments, cells))
    )
