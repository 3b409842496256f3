"""Baselines of guided losses: IoU (RIA), energy, input gradients (RRR) and noise on the background (CoRM)."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from pydantic import NonNegativeFloat, PositiveFloat

from camdbench.core.errors import UsageError
from camdbench.core.registries import loss
from camdbench.functional.normalise import normalise, upsample
from camdbench.functional.soft_overlap import energy_inside, soft_iou
from camdbench.trainer.step import TrainingStep, label_loss, map_of
from camdbench.trainer.task import LossResult


@loss("ria", paper="after Ahmadi et al., Region of Interest Activation, as SO-Loss, section II.B, describes it", needs=("masks",))
def ria(
    step: TrainingStep,
    *,
    weight: NonNegativeFloat = 1.0,
    threshold: PositiveFloat = 0.5,
    sharpness: PositiveFloat = 20.0,
    cam: str = "gradcam",
) -> LossResult:
    r"""RIA: cross-entropy plus the soft IoU distance of the label's map to the mask.

    .. math:: \mathrm{CE} + \lambda\,(1 - \mathrm{IoU}(\sigma(k (n(s) - \theta)), M))

    The map is up-sampled, normalised to its range and thresholded by a sigmoid, which has a gradient. The original text was
    not available. An image without a mask has no second term (`skipped`).

    Args:
        step: the batch.
        weight: lambda, weight of the IoU distance.
        threshold: theta, threshold of the map, in [0, 1].
        sharpness: k, slope of the sigmoid.
        cam: the explainer.

    Returns:
        (B,) not negative; lower is better.
    """
    raw = upsample(map_of(step.trace, cam), (step.masks.shape[-2], step.masks.shape[-1]))
    empty = ~step.masks.flatten(1).any(1)
    apart = torch.where(empty, 0, 1 - soft_iou(normalise(raw, "range"), step.masks, threshold, sharpness))
    ce = label_loss(step.logits, step.labels)
    return LossResult(ce + weight * apart, {"ce": ce, "ria": apart.where(~empty, torch.nan), "skipped": empty.to(ce.dtype)}, step.logits)


@loss(
    "energy", paper="Rao et al. 2023, Model Guidance, arXiv:2303.11932, definition of the energy loss; released losses.py", needs=("masks",)
)
def energy(step: TrainingStep, *, weight: NonNegativeFloat = 1.0, cam: str = "gradcam(relu=False)") -> LossResult:
    r"""Energy loss: cross-entropy plus the energy of the map outside the mask, as a fraction of all.

    .. math:: \mathrm{CE} + \lambda \left(1 - \frac{\sum_{i \in M} s_i^+}{\sum_i s_i^+}\right)

    The paper also uses boxes and other maps. A map without a positive part gives 1 and no gradient. An image without a mask
    has no second term (`skipped`).

    Args:
        step: the batch.
        weight: lambda, weight of the energy.
        cam: the explainer.

    Returns:
        (B,) not negative; lower is better.
    """
    raw = upsample(map_of(step.trace, cam), (step.masks.shape[-2], step.masks.shape[-1]))
    empty = ~step.masks.flatten(1).any(1)
    outside = torch.where(empty, 0, 1 - energy_inside(raw, step.masks))
    ce = label_loss(step.logits, step.labels)
    return LossResult(
        ce + weight * outside, {"ce": ce, "energy": outside.where(~empty, torch.nan), "skipped": empty.to(ce.dtype)}, step.logits
    )


@loss("rrr", paper="Ross et al. 2017, Right for the Right Reasons, arXiv:1703.03717, eq. 1", needs=("masks",))
def rrr(step: TrainingStep, *, weight: NonNegativeFloat = 1.0) -> LossResult:
    r"""RRR: cross-entropy plus the squared input gradient outside the mask (eq. 1).

    .. math:: \mathrm{CE} + \lambda_1 \sum_d \left((1 - M_d)\, \frac{\partial}{\partial x_d} \sum_c \log p_c\right)^2

    Derivatives are by pixels in [0, 1]. The optimiser has the weight decay of eq. 1.
    With batch statistics, the gradient of an image includes its effect on the other images of the batch.

    Args:
        step: the batch.
        weight: lambda_1; the paper chooses it to balance both terms.

    Returns:
        (B,) not negative; lower is better.
    """
    images = step.images.detach().clone().requires_grad_()
    logits = step.main_pass(images).logits
    (slope,) = torch.autograd.grad(logits.log_softmax(1).sum(), images, create_graph=True)
    wrong = (slope * ~step.masks[:, None]).square().sum((1, 2, 3))
    ce = label_loss(logits, step.labels)
    return LossResult(ce + weight * wrong, {"ce": ce, "rrr": wrong}, logits)


@loss("corm", paper="Singla et al. 2022, Core Risk Minimization, arXiv:2203.15566, definition of CoRM", needs=("masks",))
def corm(step: TrainingStep, *, sigma: PositiveFloat = 0.25, probability: PositiveFloat = 1.0) -> LossResult:
    r"""CoRM: cross-entropy on images with Gaussian noise outside the object.

    .. math:: \mathrm{CE}(x + \sigma\, n\, (1 - M))

    n is standard normal; images are clipped to [0, 1]. An image without a mask has no noise.

    Args:
        step: the batch.
        sigma: standard deviation of the noise, on the scale [0, 1].
        probability: probability of noise in an image.

    Returns:
        (B,) nats, not negative; 0 for an image without label.

    Raises:
        UsageError: the probability is above 1.
    """
    if probability > 1:
        raise UsageError(f"corm(probability={probability}): a probability is at most 1; choose a value in (0, 1]")
    images, masks = step.images, step.masks
    drawn = torch.rand(len(images), generator=step.random) < probability
    noise = sigma * torch.randn(images.shape, generator=step.random)
    where = ~masks & (masks.flatten(1).any(1) & drawn.to(masks.device))[:, None, None]
    logits = step.main_pass((images + noise.to(images) * where[:, None]).clamp(0, 1)).logits
    total = F.cross_entropy(logits, step.labels, ignore_index=-1, reduction="none")
    return LossResult(total, {"ce": total}, logits)
