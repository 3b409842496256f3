"""Background independence of FunnyBirds: share of background objects that the network ignores."""

from __future__ import annotations

from typing import Literal

import torch

from camdbench.core.difference import Difference
from camdbench.core.protocols import Protocol
from camdbench.core.registries import metric
from camdbench.metrics.common.bird_parts import is_irrelevant, object_drops, output
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.labels import labels_of
from camdbench.metrics.common.result import Curve, MetricResult

_FIXED = Protocol("fixed", scored_class="label", scored_output="centred_logit", reduction="ratio of means")
INDEPENDENCE_PROTOCOLS = (_FIXED, _FIXED.variant("release", scored_output="logit"))
NO_OBJECTS = "the image has no background objects, or the label is unknown"


@metric(
    "background_independence",
    paper="Hesse et al. 2023, arXiv:2308.06248, section 4.1 (background independence, B.I.)",
    higher_is_better=True,
    unit="%",
    values="[0, 100]",
    tolerance=1.0,
    aliases=("bi",),
    needs=("parts",),
    scope="model",
    undefined=NO_OBJECTS,
    protocols=INDEPENDENCE_PROTOCOLS,
    differs=(
        Difference(
            "released code",
            "compares the drop with 5 % of the logit, which a constant on all logits changes (protocol=release)",
            "here 5 % of the logit minus the mean of all logits",
        ),
    ),
)
def background_independence(inputs: MetricInputs, *, scored_output: Literal["logit", "centred_logit"] = "centred_logit") -> MetricResult:
    r"""Background independence (BI): share of background objects that the score does not depend on.

    .. math:: 100\,|\{j : f_y(x) - f_y(x_{\bar j}) < 0.05\,|f_y(x)|\}| / n

    An object counts if its removal lowers the score by less than 5 %.
    f_y is the score of the label, x without j the image without background object j of n. Tables divide the sums over images, the curves
    `numerator` and `denominator` (B, 1), so that images with many objects count more.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.

    Raises:
        NotApplicable: the images have no background objects that can be removed.
    """
    labels = labels_of(inputs)
    score = output(inputs.logits, labels.classes, scored_output)
    drops = object_drops(inputs, labels.classes, scored_output)
    counts = torch.tensor([len(own) for own in drops], dtype=torch.float64)
    ignored = torch.stack([is_irrelevant(own, scored).sum() for own, scored in zip(drops, score, strict=True)]).double()
    undefined = (counts == 0) | ~labels.known.cpu()
    values = torch.where(undefined, torch.nan, 100 * ignored / counts)
    curves = {name: Curve(torch.zeros(1), own[:, None]) for name, own in (("numerator", 100 * ignored), ("denominator", counts))}
    return MetricResult(values, undefined, curves)
