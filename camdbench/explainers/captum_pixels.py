"""Captum's attributions of pixels by gradients and relevance: cross-checks of camdbench's own explainers."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.map_sum import Completeness
from camdbench.core.option_types import Colour, MapChannels, RandomBaseline
from camdbench.core.registries import explainer
from camdbench.explainers.common.captum_bridge import attributed
from camdbench.explainers.common.captum_inputs import baselines, copies_at_once, one_by_one
from camdbench.explainers.common.captum_methods import Attribution
from camdbench.explainers.common.trace import Trace


@explainer(
    "captum:Saliency",
    paper="Simonyan et al. 2014, arXiv:1312.6034, section 3",
    cost=Cost(forward=2, backward=1),
    needs=("gradients",),
)
def saliency(trace: Trace, *, channels: MapChannels = "max") -> Tensor:
    r"""Vanilla gradient (Captum): gradient of the class logit at each pixel.

    .. math:: \max_c |\partial y / \partial x_c|

    Equal to `saliency`. Captum gives a value per channel, which `channels` reduces.

    Returns:
        (B, H, W), non-negative unless `channels="sum"`.
    """
    return attributed(trace, Attribution("Saliency", channels=channels, options={"abs": False}))


@explainer(
    "captum:InputXGradient",
    paper="Shrikumar et al. 2016, arXiv:1605.01713; Captum, input_x_gradient.py",
    cost=Cost(forward=2, backward=1),
    needs=("gradients",),
    normalisation="max",
    values="(-inf, inf)",
)
def input_x_gradient(trace: Trace, *, channels: MapChannels = "sum") -> Tensor:
    r"""Input x gradient (Captum): pixel values in [0, 1] times their gradients.

    .. math:: \sum_c x_c\,\partial y / \partial x_c

    Equal to `inputxgradient`.

    Returns:
        (B, H, W), signed for `channels="sum"`.
    """
    return attributed(trace, Attribution("InputXGradient", channels=channels))


@explainer(
    "captum:IntegratedGradients",
    paper="Sundararajan et al. 2017, arXiv:1703.01365, eq. 1, 3",
    cost=Cost(forward=1, repeats=(Repeat("n_steps", forward=1, backward=1),)),
    needs=("gradients",),
    normalisation="max",
    values="(-inf, inf)",
    completeness=Completeness("baseline", when={"channels": "sum"}),
)
def integrated_gradients(
    trace: Trace,
    *,
    n_steps: PositiveInt = 50,
    baseline: Colour = "black",
    method: Literal["gausslegendre", "riemann_trapezoid", "riemann_middle", "riemann_left", "riemann_right"] = "gausslegendre",
    channels: MapChannels = "sum",
) -> Tensor:
    r"""Integrated Gradients (Captum): path integral of gradients from a baseline to the image.

    .. math:: (x - x_0) \odot \int_0^1 \nabla y(x_0 + a (x - x_0))\,da

    Equal to `integratedgradients(steps=n_steps)` for the default quadrature `method`.

    Returns:
        (B, H, W), signed for `channels="sum"`.
    """
    options = {"n_steps": n_steps, "method": method, "internal_batch_size": copies_at_once(trace)}
    return attributed(trace, Attribution("IntegratedGradients", baseline=baseline, channels=channels, options=options, of_image=one_by_one))


@explainer(
    "captum:GuidedBackprop",
    paper="Springenberg et al. 2015, arXiv:1412.6806, section 4",
    cost=Cost(forward=2, backward=1),
    needs=("gradients",),
    refuses="networks whose nonlinearities are not modules of the type ReLU",
)
def guided_backprop(trace: Trace, *, channels: MapChannels = "max") -> Tensor:
    r"""Guided backpropagation (Captum): gradient at the pixels; every ReLU passes positive gradients only.

    .. math:: g_{\mathrm{in}} = [g_{\mathrm{out}} > 0]\,[x > 0]\,g_{\mathrm{out}}

    Equal to `guidedbackprop` where every ReLU is a module.

    Returns:
        (B, H, W), non-negative unless `channels="sum"`.
    """
    return attributed(trace, Attribution("GuidedBackprop", channels=channels))


@explainer(
    "captum:Deconvolution",
    paper="Zeiler & Fergus 2014, arXiv:1311.2901, section 2.1; Springenberg et al. 2015, arXiv:1412.6806, figure 1",
    cost=Cost(forward=2, backward=1),
    needs=("gradients",),
    refuses="networks whose nonlinearities are not modules of the type ReLU",
)
def deconvolution(trace: Trace, *, channels: MapChannels = "max") -> Tensor:
    r"""Deconvolution (Captum): gradient at the pixels; every ReLU passes the positive part of the gradient.

    .. math:: g_{\mathrm{in}} = [g_{\mathrm{out}} > 0]\,g_{\mathrm{out}}

    Whether the ReLU was active does not matter, unlike in `captum:GuidedBackprop`: without max pooling the map depends on the
    class alone.

    Returns:
        (B, H, W), non-negative unless `channels="sum"`.
    """
    return attributed(trace, Attribution("Deconvolution", channels=channels))


@explainer(
    "captum:GuidedGradCam",
    paper="Selvaraju et al. 2017, arXiv:1610.02391, section 3.2",
    cost=Cost(forward=3, backward=2),
    needs=("layer", "gradients"),
    refuses="networks whose nonlinearities are not modules of the type ReLU, and layers without channels first",
)
def guided_grad_cam(
    trace: Trace,
    *,
    layer: str | None = None,
    interpolate_mode: Literal["nearest", "bilinear", "bicubic"] = "nearest",
    channels: MapChannels = "max",
) -> Tensor:
    r"""Guided Grad-CAM (Captum): guided backpropagation times Grad-CAM up-sampled to the image.

    .. math:: g_{\mathrm{guided}} \odot \mathrm{up}(\mathrm{GradCAM})

    Captum's default up-sampling is by nearest neighbour; `guidedgradcam` is bilinear, as in the paper.

    Returns:
        (B, H, W), non-negative unless `channels="sum"`.
    """
    return attributed(trace, Attribution("GuidedGradCam", layer=layer, channels=channels, options={"interpolate_mode": interpolate_mode}))


@explainer(
    "captum:DeepLift",
    paper="Shrikumar et al. 2017, arXiv:1704.02685, section 3.5.2 (Rescale)",
    cost=Cost(forward=3, backward=2),
    needs=("gradients",),
    normalisation="max",
    refuses="functional and reused ReLUs, and networks on which maps do not sum to the change of the logit, as with max pooling",
    values="(-inf, inf)",
    completeness=Completeness("baseline", when={"channels": "sum"}),
    objective="linear",
)
def deep_lift(trace: Trace, *, baseline: Colour = "black", channels: MapChannels = "sum") -> Tensor:
    r"""DeepLIFT with the Rescale rule (Captum): difference from a baseline times multipliers.

    .. math:: (x - x_0)\,m

    Equal to `deeplift` where every nonlinearity is a module that runs once; it is refused elsewhere.

    Returns:
        (B, H, W), signed for `channels="sum"`.
    """
    return attributed(trace, Attribution("DeepLift", baseline=baseline, channels=channels))


@explainer(
    "captum:DeepLiftShap",
    paper="Lundberg & Lee 2017, arXiv:1705.07874, section 4.2 (Deep SHAP)",
    cost=Cost(forward=1, repeats=(Repeat("n_baselines", forward=2, backward=2),)),
    needs=("gradients",),
    normalisation="max",
    stochastic=True,
    refuses="functional and reused ReLUs, and networks on which maps do not sum to the change of the logit, as with max pooling",
    values="(-inf, inf)",
    completeness=Completeness("baseline", when={"channels": "sum"}),
    objective="linear",
)
def deep_lift_shap(
    trace: Trace, *, baseline: RandomBaseline = "noise", n_baselines: PositiveInt = 5, channels: MapChannels = "sum"
) -> Tensor:
    r"""Deep SHAP (Captum): mean of DeepLIFT maps over baselines.

    .. math:: \mathrm{E}_{x_0}[(x - x_0)\,m(x, x_0)]

    Baselines are images of uniform noise, drawn for each image, or copies of a colour, which give `captum:DeepLift`.

    Returns:
        (B, H, W), signed for `channels="sum"`.
    """
    return attributed(trace, Attribution("DeepLiftShap", channels=channels, of_image=baselines(baseline, n_baselines)))


@explainer(
    "captum:GradientShap",
    paper="Lundberg & Lee 2017, arXiv:1705.07874; Erion et al. 2021, arXiv:1906.10670, definition of expected gradients",
    cost=Cost(forward=1, repeats=(Repeat("n_samples", forward=1, backward=1),)),
    needs=("gradients",),
    normalisation="max",
    stochastic=True,
    values="(-inf, inf)",
    completeness=Completeness("baseline", when={"channels": "sum", "stdevs": 0.0}),
)
def gradient_shap(
    trace: Trace,
    *,
    n_samples: PositiveInt = 5,
    stdevs: NonNegativeFloat = 0.0,
    baseline: RandomBaseline = "noise",
    n_baselines: PositiveInt = 5,
    channels: MapChannels = "sum",
) -> Tensor:
    r"""GradientSHAP (Captum): gradients at random points between baselines and noisy copies of the image.

    .. math:: \mathrm{E}_{x_0, a}[(x - x_0) \odot \nabla y(x_0 + a (x - x_0))]

    `stdevs` is the deviation of the noise. Each sample takes one of `n_baselines` baselines; see `captum:DeepLiftShap`. Captum's
    default of 5 samples is small; `gradientshap` takes 50.

    Returns:
        (B, H, W), signed for `channels="sum"`.
    """
    options = {"n_samples": n_samples, "stdevs": stdevs}
    return attributed(trace, Attribution("GradientShap", channels=channels, options=options, of_image=baselines(baseline, n_baselines)))


@explainer(
    "captum:NoiseTunnel",
    paper="Smilkov et al. 2017, arXiv:1706.03825, section 2.2; Adebayo et al. 2018, arXiv:1810.03292 (VarGrad)",
    cost=Cost(forward=1, repeats=(Repeat("nt_samples", forward=1, backward=1),)),
    needs=("gradients",),
    normalisation="max",
    stochastic=True,
    values="(-inf, inf)",
)
def noise_tunnel(
    trace: Trace,
    *,
    method: Literal["Saliency", "InputXGradient", "GuidedBackprop", "Deconvolution"] = "Saliency",
    nt_type: Literal["smoothgrad", "smoothgrad_sq", "vargrad"] = "smoothgrad",
    nt_samples: PositiveInt = 5,
    stdevs: NonNegativeFloat = 1.0,
    channels: MapChannels = "sum",
) -> Tensor:
    r"""Noise tunnel (Captum): mean, mean square or variance of another method's attributions under noise.

    .. math:: \frac{1}{n} \sum_i E(x + e_i)

    `stdevs` is the deviation of the noise of pixels in [0, 1]. Captum's default of 1 hides the image;
    Smilkov et al. take 0.1 to 0.2.
    `smoothgrad` of `Saliency` is the mean of signed gradients, as in `smoothgrad`.

    Returns:
        (B, H, W), signed for `channels="sum"`.
    """
    options = {"nt_type": nt_type, "nt_samples": nt_samples, "stdevs": stdevs} | ({"abs": False} if method == "Saliency" else {})
    return attributed(trace, Attribution("NoiseTunnel", inner=method, channels=channels, options=options))


@explainer(
    "captum:LRP",
    paper="Bach et al. 2015, PLOS ONE 10(7), eq. 58 (epsilon rule)",
    cost=Cost(forward=3, backward=1),
    needs=("gradients",),
    normalisation="max",
    refuses="networks without biases on which relevance is not conserved, as with residual additions, and layers without a rule",
    values="(-inf, inf)",
    objective="logit",
)
def lrp(trace: Trace, *, channels: MapChannels = "sum") -> Tensor:
    r"""Layer-wise relevance propagation with the epsilon rule (Captum).

    .. math:: R_i = \sum_j \frac{a_i w_{ij}}{z_j + \epsilon\,\mathrm{sign}(z_j)}\,R_j

    Relevance of the normalised image, with an epsilon of 1e-9; biases absorb some of it. On networks of ReLUs and max pooling it is the
    normalised input times its gradient (Ancona et al. 2018, arXiv:1711.06104, proposition 1).

    Returns:
        (B, H, W), signed for `channels="sum"`.
    """
    return attributed(trace, Attribution("LRP", channels=channels))
