"""SaCo: whether groups of more salient pixels have a larger effect on the score, weighted by the difference of their salience."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.metric_families import MASKED
from camdbench.core.option_types import MapKind, Masking, ScoredClass, ScoredObjective
from camdbench.core.registries import metric
from camdbench.functional.curves import pairs
from camdbench.functional.pixel_order import pixel_ranks
from camdbench.functional.salience_groups import faithfulness_coefficient, group_means, groups_of
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.mask_bank import is_still, pixel_map
from camdbench.metrics.common.perturbation_curves import image_version, scored_classes
from camdbench.metrics.common.result import MetricResult

SACO_PROTOCOLS = (MASKED.variant("wu"), MASKED.variant("raw", maps="raw"))


@metric(
    "saco",
    paper="Wu et al. 2024, arXiv:2404.01415, algorithm 1",
    higher_is_better=True,
    unit="",
    values="[-1, 1]",
    tolerance=0.005,
    aliases=("salience_guided_faithfulness_coefficient",),
    undefined="all groups have the same salience, or the same effect on the score",
    differs=(
        Difference("paper", "sums the salience of a group", "here its mean, equal up to a factor if K divides the number of pixels"),
        Difference("paper", "divides by 0 where all groups have the same salience, and gives 1 where none has an effect", "here no value"),
    ),
    protocols=SACO_PROTOCOLS,
)
def saco(
    inputs: MetricInputs,
    *,
    groups: PositiveInt = 10,
    fill: Literal["average", "blank"] = "average",
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    scored_output: ScoredObjective = "probability",
    maps: MapKind = "default",
) -> MetricResult:
    r"""SaCo: salience-guided faithfulness coefficient of K groups of pixels in order of their salience.

    .. math:: F = \sum_{i<j} w_{ij} / \sum_{i<j} |w_{ij}|, \quad w_{ij} = \pm (s_i - s_j)

    The sign is positive if group i has at least the effect of group j: d_i >= d_j, with d_i = f(x) - f(x without group i). Pixels are
    ranked by the map and cut into `groups` groups of equal size; equal pixels stay in row order. A removed group shows the image's mean
    colour (`fill="average"`), or the blank colour of `masking`. s is the mean salience of a group. F depends on the differences of
    salience alone: a shift or scale of the map leaves it, but a normalisation that cuts negative values changes it (`maps="raw"` keeps
    them).

    Returns:
        (B,) float64 in [-1, 1]; higher is better.

    Raises:
        NotApplicable: `maps="raw"`, and the raw map is unknown.
    """
    shown, groups = pixel_map(inputs, maps), min(groups, inputs.size[0] * inputs.size[1])
    where = groups_of(pixel_ranks(shown.float()), groups)
    salience = group_means(shown.flatten(1), where, groups)
    scores = _scores(inputs, where, groups, fill, masking, scored_class, scored_output)
    undefined = inputs.is_constant.cpu() | (salience.amax(1) == salience.amin(1)) | is_still(scores)
    drops = scores[:, :1] - scores[:, 1:]
    values = torch.where(drops.isfinite().all(1), faithfulness_coefficient(salience, drops), torch.nan)
    return MetricResult(torch.where(undefined, torch.nan, values), undefined)


def _scores(
    inputs: MetricInputs,
    where: Tensor,
    groups: int,
    fill: Literal["average", "blank"],
    masking: Masking,
    scored_class: ScoredClass,
    scored_output: ScoredObjective,
) -> Tensor:
    """Scores of the image and of the image without each group, (B, 1 + K) float64 on the CPU."""
    images, classes = inputs.images, scored_classes(inputs, scored_class)
    version = image_version(inputs, fill, masking).expand(len(images), -1, -1, -1)
    shaped, found = where.to(images.device).unflatten(1, inputs.size), list[Tensor]()
    for image, group in pairs(len(images), groups, where.shape[1], images.device):
        removed = (shaped[image] == group[:, None, None])[:, None]
        logits = inputs.score(torch.where(removed, version[image], images[image]))
        found.append(inputs.output_of(logits, classes[image], scored_output, image))
    whole = inputs.output_of(inputs.logits, classes, scored_output)[:, None]
    return torch.cat([whole, torch.cat(found).unflatten(0, (len(images), groups))], 1)
