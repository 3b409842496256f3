"""Completeness of FunnyBirds: which parts a map names important, against the parts that decide.

Hesse et al. 2023 (arXiv:2308.06248), section 4. A part is important at threshold t if its importance, the sum of the raw map over the
dilated part, exceeds t times the sum of the map. The four metrics share all versions of an image.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.errors import UsageError
from camdbench.core.option_types import Released, ThresholdChoice
from camdbench.core.protocols import Protocol
from camdbench.core.registries import metric
from camdbench.functional.part_sets import minimal_sufficient_sets
from camdbench.metrics.common.bird_parts import (
    class_variants,
    importances,
    is_irrelevant,
    logits_without,
    object_drops,
    part_drops,
    part_names,
)
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.labels import labels_of
from camdbench.metrics.common.result import Curve, MetricResult

Name = Literal["csdc", "preservation", "deletion", "distractibility"]
_PAPER = "Hesse et al. 2023, arXiv:2308.06248, section 4.2"
_THRESHOLDS = tuple(torch.linspace(0.01, 0.5, 80, dtype=torch.float64).tolist())
_RELEASE = {"compat": "release"}
_FIXED = Protocol("fixed", maps="raw", resize="bilinear", ground_truth="parts", reduction="held-out threshold")
_ON_LABEL = _FIXED.variant("fixed", scored_class="label", scored_output="accuracy")
_ON_PREDICTION = _FIXED.variant("fixed", scored_class="predicted", scored_output="accuracy")
_ON_DROPS = _FIXED.variant("fixed", scored_class="target", scored_output="centred_logit")
LABEL_PROTOCOLS = (
    _ON_LABEL,
    _ON_LABEL.variant("release", reduction="best threshold", options=_RELEASE),
    _ON_LABEL.variant("mean", reduction="mean", options={"choice": "none"}),
)
PREDICTION_PROTOCOLS = (
    _ON_PREDICTION,
    _ON_PREDICTION.variant("release", reduction="best threshold", options=_RELEASE),
    _ON_PREDICTION.variant("mean", reduction="mean", options={"choice": "none"}),
)
DROP_PROTOCOLS = (
    _ON_DROPS,
    _ON_DROPS.variant("release", scored_class="label", scored_output="logit", reduction="best threshold", options=_RELEASE),
    _ON_DROPS.variant("mean", reduction="mean", options={"choice": "none"}),
)
NOT_RIGHT = "the network errs, or the map explains another class than the label"
NOT_PREDICTED = "the map explains another class than the predicted one"
NONE_IRRELEVANT = "no part and no background object is irrelevant, or the map explains another class than the protocol's"
_NEGATIVE = Difference(
    "released code",
    "calls each part important whose importance exceeds a negative number, where the map sums to less than 0 (protocol=release)",
    "here t times 0 for such maps",
)
_CHOICE = Difference(
    "released code",
    "chooses the threshold on the images that it scores (protocol=release)",
    "here on the other half of the images, which favours no method",
)
_ALL = {"paper": _PAPER, "higher_is_better": True, "unit": "%", "values": "[0, 100]", "tolerance": 1.6, "needs": ("parts",)}


@metric(
    "csdc",
    aliases=("controlled_synthetic_data_check",),
    undefined=NOT_RIGHT,
    protocols=LABEL_PROTOCOLS,
    differs=(
        Difference(
            "released code", "finds no sufficient set for the last class, whose images score 0 (protocol=release)", "0 instead of CSDC"
        ),
        _NEGATIVE,
        _CHOICE,
    ),
    **_ALL,
)
def csdc(
    inputs: MetricInputs,
    *,
    thresholds: tuple[float, ...] | None = None,
    choice: ThresholdChoice = "completeness",
    only_right: bool = True,
    compat: Released = "paper",
) -> MetricResult:
    r"""CSDC: share of a minimal sufficient set of parts that the map names important.

    .. math:: 100 \max_{M \in \mathcal{M}_y} |M \cap P_t| / |M|

    A set of parts is sufficient if no other class has all of them. P_t are the parts that are important at threshold t. Only images that
    the network classifies correctly and whose map explains the label count; all with `only_right=False`.

    The value of an image is the mean over `thresholds`, 80 from 0.01 to 0.5 by default. The number of the table is that at the threshold
    that maximises (CSDC + PC + DC) / 3 + D: with protocol `fixed`, of the other half of the images; with `release`, of the same images;
    with `mean`, the mean over thresholds. `thresholds=(t,)` sets it. Images count for the choice where this metric has a value.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.

    Raises:
        NotApplicable: the images have no parts, or the raw map is unknown.
    """
    return _completeness(inputs, "csdc", _Rules(_checked(thresholds), compat, only_right), choice)


@metric(
    "preservation_check", aliases=("pc",), undefined=NOT_PREDICTED, protocols=PREDICTION_PROTOCOLS, differs=(_NEGATIVE, _CHOICE), **_ALL
)
def preservation_check(
    inputs: MetricInputs,
    *,
    thresholds: tuple[float, ...] | None = None,
    choice: ThresholdChoice = "completeness",
    only_right: bool = True,
    compat: Released = "paper",
) -> MetricResult:
    r"""Preservation check (PC): whether the prediction stays without the unimportant parts.

    .. math:: 100\,[\arg\max_c f_c(x_{P_t}) = \arg\max_c f_c(x)]

    x_P is the object with the parts P alone. The map explains the prediction; `only_right=False` scores all maps. Threshold,
    options and the number of the table as in `csdc`.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.

    Raises:
        NotApplicable: the images have no parts, or the raw map is unknown.
    """
    return _completeness(inputs, "preservation", _Rules(_checked(thresholds), compat, only_right), choice)


@metric("deletion_check", aliases=("dc",), undefined=NOT_PREDICTED, protocols=PREDICTION_PROTOCOLS, differs=(_NEGATIVE, _CHOICE), **_ALL)
def deletion_check(
    inputs: MetricInputs,
    *,
    thresholds: tuple[float, ...] | None = None,
    choice: ThresholdChoice = "completeness",
    only_right: bool = True,
    compat: Released = "paper",
) -> MetricResult:
    r"""Deletion check (DC): whether the prediction changes without the important parts.

    .. math:: 100\,[\arg\max_c f_c(x_{\bar P_t}) \neq \arg\max_c f_c(x)]

    The object keeps the parts that are not in P_t. The map explains the prediction; `only_right=False` scores all maps. Threshold,
    options and the number of the table as in `csdc`.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.

    Raises:
        NotApplicable: the images have no parts, or the raw map is unknown.
    """
    return _completeness(inputs, "deletion", _Rules(_checked(thresholds), compat, only_right), choice)


@metric(
    "distractibility",
    undefined=NONE_IRRELEVANT,
    protocols=DROP_PROTOCOLS,
    differs=(
        Difference(
            "released code",
            "compares the drop with 5 % of the logit, which a constant on all logits changes (protocol=release)",
            "here 5 % of the logit minus the mean of all logits",
        ),
        _NEGATIVE,
        _CHOICE,
    ),
    **_ALL,
)
def distractibility(
    inputs: MetricInputs,
    *,
    thresholds: tuple[float, ...] | None = None,
    choice: ThresholdChoice = "completeness",
    compat: Released = "paper",
) -> MetricResult:
    r"""Distractibility (D): share of irrelevant parts and objects that the map does not name important.

    .. math:: 100 \left(1 - |P_t \cap U| / |U|\right)

    U are the parts and background objects whose removal raises the score of the class, or lowers it by less than 5 % of it. Threshold,
    options and the number of the table as in `csdc`.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.

    Raises:
        NotApplicable: the images have no parts, or the raw map is unknown.
    """
    return _completeness(inputs, "distractibility", _Rules(_checked(thresholds), compat), choice)


class _Rules(NamedTuple):
    """Thresholds, and whether maps of a negative sum, the last class and scores are the release's, and images without error alone."""

    thresholds: tuple[float, ...]
    compat: Released
    only_right: bool = True


def _checked(thresholds: tuple[float, ...] | None) -> tuple[float, ...]:
    found = _THRESHOLDS if thresholds is None else thresholds
    if not found or not all(0 <= own <= 1 for own in found):
        raise UsageError(f"thresholds = {thresholds}: expected shares of the sum of the map in [0, 1]; give such as (0.05,)")
    return found


def _completeness(inputs: MetricInputs, name: Name, rules: _Rules, choice: ThresholdChoice) -> MetricResult:
    own = _scores(inputs, name, rules)
    x, undefined = torch.tensor(rules.thresholds, dtype=torch.float64), own.isnan().any(1)
    curves = {"score": Curve(x, own)}
    if choice == "completeness":
        known = (_scores(inputs, other, rules) for other in ("csdc", "preservation", "deletion", "distractibility"))
        sufficient, kept, lost, undistracted = known
        terms = (sufficient, (kept + lost) / 2, undistracted)
        curves |= {key: Curve(x, term.nan_to_num(0.0)) for key, term in zip(("csdc", "checks", "distractibility"), terms, strict=True)}
        curves["valid"] = Curve(torch.arange(3.0), torch.stack([~term.isnan().any(1) for term in terms], 1).double())
        halves = [float(hashlib.sha256(image.encode()).digest()[0] % 2) for image in inputs.ids]
        curves["half"] = Curve(torch.zeros(1), torch.tensor(halves, dtype=torch.float64)[:, None])
    return MetricResult(own.mean(1), undefined, curves)


def _scores(inputs: MetricInputs, name: Name, rules: _Rules) -> Tensor:
    """Scores (B, T) in per cent at each threshold; NaN rows where there is none."""
    return inputs.cached(("completeness", name, rules), lambda: 100 * _SCORES[name](inputs, rules))


def _sufficient(inputs: MetricInputs, rules: _Rules) -> Tensor:
    labels, important = labels_of(inputs), _important(inputs, rules)
    variants = class_variants(inputs)
    right = (inputs.predictions == labels.classes) & (inputs.targets == labels.classes) | (not rules.only_right)
    right = (labels.known & right).cpu()
    found = torch.full(important.shape[:2], torch.nan, dtype=torch.float64)
    for image in torch.nonzero(right)[:, 0].tolist():
        label = int(labels.classes[image])
        lost = label >= len(variants) or (rules.compat == "release" and label == len(variants) - 1)
        sets = () if lost else minimal_sufficient_sets(variants, label)
        shares = [important[image][:, sorted(parts)].double().mean(1) for parts in sets]
        found[image] = torch.stack(shares).amax(0) if shares else 0.0
    return found


def _preserved(inputs: MetricInputs, rules: _Rules) -> Tensor:
    return _predicted(inputs, rules, lambda important: ~important, same=True)


def _deleted(inputs: MetricInputs, rules: _Rules) -> Tensor:
    return _predicted(inputs, rules, lambda important: important, same=False)


def _predicted(inputs: MetricInputs, rules: _Rules, removed: Callable[[Tensor], Tensor], *, same: bool) -> Tensor:
    """Whether the prediction without some parts is the same, or another one, at each threshold (B, T)."""
    gone = removed(_important(inputs, rules))
    names = part_names(inputs)
    sets = [[name for part, name in enumerate(names) if number >> part & 1] for number in range(2 ** len(names))]  # by their bits
    kept = torch.stack([logits_without(inputs, own).argmax(1).cpu() for own in sets], 1)
    numbers = (gone * 2 ** torch.arange(len(names))).sum(2)
    found = (kept == inputs.predictions.cpu()[:, None]).gather(1, numbers)
    explained = (inputs.predictions == inputs.targets).cpu() | (not rules.only_right)
    return torch.where(explained[:, None], (found if same else ~found).double(), torch.nan)


def _undistracted(inputs: MetricInputs, rules: _Rules) -> Tensor:
    labels, release = labels_of(inputs), rules.compat == "release"
    classes = labels.classes if release else inputs.targets
    scored_output = "logit" if release else "centred_logit"
    score, drops = part_drops(inputs, classes, scored_output)
    beside, sums = object_drops(inputs, classes, scored_output), importances(inputs, inputs.raw, objects=True)
    known = ((labels.known & (labels.classes == inputs.targets)) if release else torch.ones_like(labels.known)).cpu()
    found = list[Tensor]()
    for image in range(len(inputs)):
        irrelevant = is_irrelevant(torch.cat([drops[image], beside[image]]), score[image])
        importance = torch.cat([sums.parts[image], sums.objects[image]])
        named = _exceeding(importance[None], sums.whole[image : image + 1], rules)[0][:, irrelevant].double()
        found.append(1 - named.mean(1) if known[image] and irrelevant.any() else named.new_full((len(rules.thresholds),), torch.nan))
    return torch.stack(found)


def _important(inputs: MetricInputs, rules: _Rules) -> Tensor:
    """Whether each part is important at each threshold, (B, T, K) bool."""
    sums = inputs.cached("part importances", lambda: importances(inputs, inputs.raw))
    return _exceeding(sums.parts, sums.whole, rules)


def _exceeding(importance: Tensor, whole: Tensor, rules: _Rules) -> Tensor:
    """Whether importances (B, K) exceed each threshold times the sums of the maps (B,), (B, T, K) bool."""
    total = whole if rules.compat == "release" else whole.clamp_min(0)
    least = total[:, None] * torch.tensor(rules.thresholds, dtype=torch.float64)
    return importance[:, None] > least[:, :, None]


_SCORES: dict[Name, Callable[[MetricInputs, _Rules], Tensor]] = {
    "csdc": _sufficient,
    "preservation": _preserved,
    "deletion": _deleted,
    "distractibility": _undistracted,
}
