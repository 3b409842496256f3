"""Captum's attributions of a layer."""

from __future__ import annotations

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.option_types import Colour, MapChannels, RandomBaseline
from camdbench.core.registries import explainer
from camdbench.explainers.common.captum_bridge import attributed
from camdbench.explainers.common.captum_inputs import baselines, copies_at_once, one_by_one, places
from camdbench.explainers.common.captum_methods import Attribution
from camdbench.explainers.common.trace import Trace


@explainer(
    "captum:LayerGradCam",
    paper="Selvaraju et al. 2017, arXiv:1610.02391, eq. 1, 2",
    cost=Cost(forward=2, tail_backward=1),
    needs=("layer", "gradients"),
    refuses="layers without channels first",
    values="(-inf, inf)",
)
def layer_grad_cam(trace: Trace, *, layer: str | None = None, relu_attributions: bool = False) -> Tensor:
    r"""Grad-CAM (Captum): channels weighted by their mean gradients.

    .. math:: \sum_k \bar g_k A_k

    Equal to `gradcam(relu=relu_attributions)`; Captum keeps negative values by default.

    Returns:
        (B, h, w), signed unless `relu_attributions`.
    """
    return attributed(trace, Attribution("LayerGradCam", layer=layer, options={"relu_attributions": relu_attributions}))


@explainer(
    "captum:LayerActivation",
    paper="Captum, layer_activation.py",
    cost=Cost(forward=2),
    needs=("layer",),
    refuses="layers that run more than once",
)
def layer_activation(trace: Trace, *, layer: str | None = None, channels: MapChannels = "abs") -> Tensor:
    r"""Layer activation (Captum): output of a layer, which depends on no class.

    .. math:: \sum_k |A_k|

    Returns:
        (B, h, w) on the layer's grid, signed for `channels="sum"`.
    """
    return attributed(trace, Attribution("LayerActivation", layer=layer, channels=channels))


@explainer(
    "captum:LayerGradientXActivation",
    paper="Captum, layer_gradient_x_activation.py; Draelos & Carin 2020, arXiv:2011.08891, definition of HiResCAM",
    cost=Cost(forward=2, tail_backward=1),
    needs=("layer", "gradients"),
    refuses="layers that run more than once",
    values="(-inf, inf)",
)
def layer_gradient_x_activation(trace: Trace, *, layer: str | None = None, channels: MapChannels = "sum") -> Tensor:
    r"""Gradient x activation of a layer (Captum).

    .. math:: \sum_k g_k \odot A_k

    Equal to `hirescam(relu=False)` for `channels="sum"`.

    Returns:
        (B, h, w) on the layer's grid, signed for `channels="sum"`.
    """
    return attributed(trace, Attribution("LayerGradientXActivation", layer=layer, channels=channels))


@explainer(
    "captum:LayerIntegratedGradients",
    paper="Sundararajan et al. 2017, arXiv:1703.01365, eq. 1; Captum, layer_integrated_gradients.py",
    cost=Cost(forward=3, repeats=(Repeat("n_steps", forward=1, tail_backward=1),)),
    needs=("layer", "gradients"),
    refuses="layers that run more than once",
    values="(-inf, inf)",
)
def layer_integrated_gradients(
    trace: Trace, *, layer: str | None = None, n_steps: PositiveInt = 50, baseline: Colour = "black", channels: MapChannels = "sum"
) -> Tensor:
    r"""Integrated Gradients of a layer (Captum): path integral of gradients between activations.

    .. math:: (A - A_0) \odot \int_0^1 \nabla_A y(A_0 + a (A - A_0))\,da

    A and A0 are the activations of the image and of the baseline.

    Returns:
        (B, h, w) on the layer's grid, signed for `channels="sum"`.
    """
    options = {"n_steps": n_steps, "internal_batch_size": copies_at_once(trace)}
    return attributed(
        trace,
        Attribution("LayerIntegratedGradients", layer=layer, baseline=baseline, channels=channels, options=options, of_image=one_by_one),
    )


@explainer(
    "captum:LayerConductance",
    paper="Dhamdhere et al. 2018, arXiv:1805.12233, definition of conductance; Shrikumar et al. 2018, arXiv:1807.09946",
    cost=Cost(forward=2, tail_backward=1, repeats=(Repeat("n_steps", forward=1, tail_backward=1),)),
    needs=("layer", "gradients"),
    refuses="layers that run more than once",
    values="(-inf, inf)",
)
def layer_conductance(
    trace: Trace, *, layer: str | None = None, n_steps: PositiveInt = 50, baseline: Colour = "black", channels: MapChannels = "sum"
) -> Tensor:
    r"""Layer conductance (Captum): Integrated Gradients that flow through a layer.

    .. math:: \int_0^1 \nabla_A y \odot \frac{\partial A}{\partial a}\,da

    Along the path of images from the baseline; the sum over steps of gradients times changes of activations.

    Returns:
        (B, h, w) on the layer's grid, signed for `channels="sum"`.
    """
    options = {"n_steps": n_steps}
    return attributed(
        trace, Attribution("LayerConductance", layer=layer, baseline=baseline, channels=channels, options=options, of_image=one_by_one)
    )


@explainer(
    "captum:InternalInfluence",
    paper="Leino et al. 2018, arXiv:1802.03788, definition 1",
    cost=Cost(forward=1, repeats=(Repeat("n_steps", forward=1, tail_backward=1),)),
    needs=("layer", "gradients"),
    refuses="layers that run more than once",
    values="(-inf, inf)",
)
def internal_influence(
    trace: Trace, *, layer: str | None = None, n_steps: PositiveInt = 50, baseline: Colour = "black", channels: MapChannels = "sum"
) -> Tensor:
    r"""Internal influence (Captum): mean gradient at a layer along the path from a baseline to the image.

    .. math:: \int_0^1 \nabla_A y(x_0 + a (x - x_0))\,da

    Returns:
        (B, h, w) on the layer's grid, signed for `channels="sum"`.
    """
    options = {"n_steps": n_steps, "internal_batch_size": copies_at_once(trace)}
    return attributed(
        trace, Attribution("InternalInfluence", layer=layer, baseline=baseline, channels=channels, options=options, of_image=one_by_one)
    )


@explainer(
    "captum:LayerDeepLift",
    paper="Shrikumar et al. 2017, arXiv:1704.02685, section 3.5.2 (Rescale)",
    cost=Cost(forward=3, tail_backward=2),
    needs=("layer", "gradients"),
    refuses="functional and reused ReLUs, and networks on which maps do not sum to the change of the logit, as with max pooling",
    values="(-inf, inf)",
    objective="linear",
)
def layer_deep_lift(trace: Trace, *, layer: str | None = None, baseline: Colour = "black", channels: MapChannels = "sum") -> Tensor:
    r"""DeepLIFT of a layer (Captum): difference of activations times multipliers.

    .. math:: (A - A_0)\,m

    Returns:
        (B, h, w) on the layer's grid, signed for `channels="sum"`.
    """
    return attributed(trace, Attribution("LayerDeepLift", layer=layer, baseline=baseline, channels=channels))


@explainer(
    "captum:LayerDeepLiftShap",
    paper="Lundberg & Lee 2017, arXiv:1705.07874, section 4.2 (Deep SHAP)",
    cost=Cost(forward=1, repeats=(Repeat("n_baselines", forward=2, tail_backward=2),)),
    needs=("layer", "gradients"),
    stochastic=True,
    refuses="functional and reused ReLUs, and networks on which maps do not sum to the change of the logit, as with max pooling",
    values="(-inf, inf)",
    objective="linear",
)
def layer_deep_lift_shap(
    trace: Trace,
    *,
    layer: str | None = None,
    baseline: RandomBaseline = "noise",
    n_baselines: PositiveInt = 5,
    channels: MapChannels = "sum",
) -> Tensor:
    r"""Deep SHAP of a layer (Captum): mean of DeepLIFT maps over baselines.

    .. math:: \mathrm{E}_{x_0}[(A - A_0)\,m]

    Baselines as in `captum:DeepLiftShap`.

    Returns:
        (B, h, w) on the layer's grid, signed for `channels="sum"`.
    """
    return attributed(trace, Attribution("LayerDeepLiftShap", layer=layer, channels=channels, of_image=baselines(baseline, n_baselines)))


@explainer(
    "captum:LayerGradientShap",
    paper="Lundberg & Lee 2017, arXiv:1705.07874; Captum, layer_gradient_shap.py",
    cost=Cost(forward=1, repeats=(Repeat("n_samples", forward=3, tail_backward=1),)),
    needs=("layer", "gradients"),
    stochastic=True,
    refuses="layers that run more than once",
    values="(-inf, inf)",
)
def layer_gradient_shap(
    trace: Trace,
    *,
    layer: str | None = None,
    n_samples: PositiveInt = 5,
    stdevs: NonNegativeFloat = 0.0,
    baseline: RandomBaseline = "noise",
    n_baselines: PositiveInt = 5,
    channels: MapChannels = "sum",
) -> Tensor:
    r"""GradientSHAP of a layer (Captum): gradients times differences of activations at random points.

    .. math:: \mathrm{E}_{x_0, a}[(A - A_0) \odot \nabla_A y(x_0 + a (x - x_0))]

    Options as in `captum:GradientShap`.

    Returns:
        (B, h, w) on the layer's grid, signed for `channels="sum"`.
    """
    options = {"n_samples": n_samples, "stdevs": stdevs}
    return attributed(
        trace, Attribution("LayerGradientShap", layer=layer, channels=channels, options=options, of_image=baselines(baseline, n_baselines))
    )


@explainer(
    "captum:LayerFeatureAblation",
    paper="Captum, layer_feature_ablation.py",
    cost=Cost(forward=3, repeats=(Repeat("per feature", forward=1),)),
    needs=("layer",),
    refuses="layers that run more than once",
    values="(-inf, inf)",
)
def layer_feature_ablation(trace: Trace, *, layer: str | None = None) -> Tensor:
    r"""Feature ablation of a layer (Captum): drop of the class logit if a place of its grid is set to zero.

    .. math:: y - y(A_{\setminus u})

    All channels of a place are removed together.

    Returns:
        (B, h, w) on the layer's grid, signed.
    """
    options = {"layer_mask": places(trace, layer), "perturbations_per_eval": copies_at_once(trace)}
    return attributed(trace, Attribution("LayerFeatureAblation", layer=layer, channels="first", options=options, of_image=one_by_one))


@explainer(
    "captum:LayerLRP",
    paper="Bach et al. 2015, PLOS ONE 10(7), eq. 58 (epsilon rule)",
    cost=Cost(forward=3, tail_backward=1),
    needs=("layer", "gradients"),
    refuses="networks without biases on which relevance is not conserved, layers without a rule, and ReLUs as target layer",
    values="(-inf, inf)",
    objective="logit",
)
def layer_lrp(trace: Trace, *, layer: str | None = None, channels: MapChannels = "sum") -> Tensor:
    r"""Layer-wise relevance propagation to a layer with the epsilon rule (Captum).

    .. math:: R_i = \sum_j \frac{a_i w_{ij}}{z_j + \epsilon\,\mathrm{sign}(z_j)}\,R_j

    Returns:
        (B, h, w) on the layer's grid, signed for `channels="sum"`.
    """
    return attributed(trace, Attribution("LayerLRP", layer=layer, channels=channels))
