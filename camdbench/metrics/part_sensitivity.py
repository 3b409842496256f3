"""Correctness and contrastivity of FunnyBirds: part importances against drops of the score, and of two classes against each other.

Hesse et al. 2023 (arXiv:2308.06248), section 4.3 and 4.4.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.protocols import Protocol
from camdbench.core.registries import metric
from camdbench.functional.part_sets import SharedPairs, shared_pairs
from camdbench.functional.similarity import spearman
from camdbench.metrics.common.bird_parts import class_variants, importances, logits_of_sets, output, part_drops, part_names
from camdbench.metrics.common.ground_truth import result_of
from camdbench.metrics.common.inputs import AlteredImages, MetricInputs
from camdbench.metrics.common.labels import labels_of
from camdbench.metrics.common.result import MetricResult

_FIXED = Protocol("fixed", scored_class="target", scored_output="logit", maps="raw", resize="bilinear", ground_truth="parts")
DROP_PROTOCOLS = (_FIXED, _FIXED.variant("release", scored_class="label", options={"compat": "release"}))
_CONTRAST = _FIXED.variant("fixed", scored_class="two others")
CONTRAST_PROTOCOLS = (_CONTRAST, _CONTRAST.variant("release", options={"compat": "release"}))
NO_DROPS = "all parts change the score alike, or the map explains another class than the protocol's"
NO_PAIRS = "no two classes share two parts each with the label, the label is unknown, or the network itself does not follow the parts"
_ALL = {"higher_is_better": True, "unit": "%", "values": "[0, 100]", "tolerance": 1.6}


@metric(
    "single_deletion",
    paper="Hesse et al. 2023, arXiv:2308.06248, section 4.3 (single deletion, SD)",
    aliases=("sd",),
    needs=("parts",),
    undefined=NO_DROPS,
    protocols=DROP_PROTOCOLS,
    differs=(
        Difference(
            "released code",
            "omits images whose parts are equally important (protocol=release)",
            "here they score 50, as without correlation, so that a constant map has a value",
        ),
    ),
    **_ALL,
)
def single_deletion(
    inputs: MetricInputs, *, scored_output: Literal["logit", "centred_logit"] = "logit", compat: Literal["paper", "release"] = "paper"
) -> MetricResult:
    r"""Single deletion (SD): rank correlation of part importances with drops of the score.

    .. math:: 50 \left(1 + \rho(I_k, f_y(x) - f_y(x_{\bar k}))\right)

    I_k is the sum of the raw map over part k, dilated by 5 x 5 pixels, and rho Spearman's correlation over the parts. Drops are rounded to
    1e-6 of the score, which ties parts that are not visible.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.

    Raises:
        NotApplicable: the images have no parts, or the raw map is unknown.
    """
    labels = labels_of(inputs)
    classes = labels.classes if compat == "release" else inputs.targets
    _, drops = part_drops(inputs, classes, scored_output)
    sums = inputs.cached("part importances", lambda: importances(inputs, inputs.raw)).parts
    nowhere = drops.amax(1) == drops.amin(1)
    if compat == "release":
        nowhere = nowhere | (sums.amax(1) == sums.amin(1)) | ~(labels.known & (labels.classes == inputs.targets)).cpu()
    return result_of(50 * (1 + spearman(sums, drops)), nowhere)


@metric(
    "target_sensitivity",
    paper="Hesse et al. 2023, arXiv:2308.06248, section 4.4 (target sensitivity, TS)",
    aliases=("ts",),
    needs=("parts", "explainer"),
    explains=2,
    undefined=NO_PAIRS,
    protocols=CONTRAST_PROTOCOLS,
    differs=(
        Difference(
            "released code",
            "takes the last two classes where no pairs of parts are disjoint (protocol=release)",
            "here such images have no value",
        ),
    ),
    **_ALL,
)
def target_sensitivity(
    inputs: MetricInputs, *, scored_output: Literal["logit", "centred_logit"] = "logit", compat: Literal["paper", "release"] = "paper"
) -> MetricResult:
    r"""Target sensitivity (TS): whether parts that a class shares are more important in its own map.

    .. math:: 50\,[I_A(a) > I_A(b)] + 50\,[I_B(b) > I_B(a)]

    Classes a and b share two parts each with the class of the object, A and B, which are disjoint. I_A(a) is the importance of the parts A
    in the map of class a. Images count if the network follows the parts: its score of a is lower without A than without B, and that of b
    lower without B.

    Returns:
        (B,) float64 in [0, 100], per cent: 0, 50 or 100; higher is better.

    Raises:
        NotApplicable: the images have no parts, or the maps were made elsewhere.
    """
    labels, variants, names = labels_of(inputs), class_variants(inputs), part_names(inputs)
    found = [shared_pairs(variants, label) if 0 <= label < len(variants) else None for label in inputs.labels.tolist()]
    count = inputs.logits.shape[1]
    chosen = [own if own and max(own.classes) < count and (own.disjoint or compat == "release") else None for own in found]
    sides = [_side(inputs, chosen, side) for side in (0, 1)]
    removed = [[[names[part] for part in own.pairs[side]] if own else () for own in chosen] for side in (0, 1)]
    without = [logits_of_sets(inputs, gone, f"target sensitivity {compat} {side}") for side, gone in enumerate(removed)]
    obeys = torch.tensor([own is not None for own in chosen]) & labels.known.cpu()
    for side, classes in enumerate(sides):
        own, other = (output(without[place], classes, scored_output) for place in (side, 1 - side))
        obeys = obeys & (own < other)
    versions = inputs.explain_versions(("target sensitivity", compat), lambda: [AlteredImages(inputs.images, own) for own in sides], 2)
    sums = [importances(inputs, maps.raw).parts for maps in versions]
    rises = [_importance(sums[side], chosen, side) > _importance(sums[1 - side], chosen, side) for side in (0, 1)]
    return result_of(50.0 * torch.stack(rises).sum(0), ~obeys)


def _side(inputs: MetricInputs, chosen: list[SharedPairs | None], side: int) -> Tensor:
    """One of the two classes of each image (B,), the explained class where there are none."""
    classes = [target if own is None else own.classes[side] for own, target in zip(chosen, inputs.targets.tolist(), strict=True)]
    return torch.tensor(classes).to(inputs.targets)


def _importance(sums: Tensor, chosen: list[SharedPairs | None], side: int) -> Tensor:
    """Importance of the parts of one pair, (B,)."""
    return torch.stack([row[list(own.pairs[side])].sum() if own else row.new_zeros(()) for row, own in zip(sums, chosen, strict=True)])
