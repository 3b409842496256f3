"""Expected Grad-CAM: Grad-CAM with expected gradients.

Buono et al. 2024, arXiv:2406.01274. The authors have released no code: the distributions of baselines and of noise are choices made here.
"""

from __future__ import annotations

from dataclasses import replace

import torch
from pydantic import NonNegativeFloat, PositiveInt
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.difference import Difference
from camdbench.core.option_types import RandomBaseline
from camdbench.core.registries import explainer
from camdbench.explainers.common.masked_scoring import fill_image
from camdbench.explainers.common.noisy_copies import drawing, noise_width
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.common.weighted_channels import weighted_sum
from camdbench.functional.float_precision import to_float64


@explainer(
    "expectedgradcam",
    paper="Buono et al. 2024, arXiv:2406.01274, definition of Expected Grad-CAM",
    cost=Cost(forward=1, repeats=(Repeat("samples", forward=1, tail_backward=1),)),
    needs=("layer", "gradients"),
    stochastic=True,
    differs=(
        Difference(
            "paper",
            "chooses the distribution of baselines by the data",
            "here they are uniform noise or a fixed colour, since an explainer does not have the training images",
        ),
    ),
)
def expectedgradcam(
    trace: Trace,
    *,
    layer: str | None = None,
    samples: PositiveInt = 20,
    baseline: RandomBaseline = "noise",
    noise: NonNegativeFloat = 0.15,
    relu: bool = True,
) -> Tensor:
    r"""Expected Grad-CAM: Grad-CAM with gradients averaged over baselines and noisy copies of the image.

    .. math:: \mathrm{ReLU}(\sum_k w_k A_k), \quad w_k = \mathrm{E}_{x_0, a, e}[\mathrm{mean}(G_k(x_0 + a (x + e - x_0)))]

    A are the activations of the image, a is uniform in [0, 1], and e is normal with `noise` times the image's range of values as standard
    deviation. `baseline` is as in `gradientshap`: uniform pixels, the mean colour or black. On a global average pooling + linear head
    gradients are the same at all images, and the map is that of `gradcam`.

    Args:
        trace: images, logits and activations of a batch.
        layer: target layer; default: the classifier's.
        samples: points per image.
        baseline: distribution of x_0.
        noise: standard deviation of e, relative to the range of the image.
        relu: whether negative values are set to 0.

    Returns:
        (B, h, w), non-negative unless `relu=False`.
    """
    seen, images = trace.at(layer), trace.images
    places = drawing(trace, "expectedgradcam places", torch.rand, (1, 1, 1))
    baselines = drawing(trace, "expectedgradcam baselines", torch.rand, images.shape[1:])
    noises = drawing(trace, "expectedgradcam noise", torch.randn, images.shape[1:])
    width, total = noise_width(images, noise), torch.zeros((), dtype=torch.float64, device=images.device)
    for _ in range(samples):
        start = baselines(1)[:, 0] if baseline == "noise" else fill_image(trace, baseline)
        end = images + width * noises(1)[:, 0] if noise else images
        points = start + places(1)[:, 0] * (end - start)
        total = total + to_float64(seen.of(replace(trace.batch, images=points)).gradients).mean((2, 3))
    return weighted_sum(total / samples, seen.activations, relu=relu)
