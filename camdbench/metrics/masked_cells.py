"""Score changes when random subsets of grid cells are removed, against the map's sums: Sensitivity-n, MuFidelity, non-sensitivity.

The subsets depend on seed and image alone: all explainers share their passes (`metrics/common/mask_bank.py`).
"""

from __future__ import annotations

import torch
from pydantic import PositiveInt
from torch import Tensor

from camdbench.core.difference import Difference
from camdbench.core.metric_families import MASKED
from camdbench.core.option_types import MapKind, Masking, PositiveFraction, ScoredClass, ScoredObjective
from camdbench.core.registries import metric
from camdbench.functional.cell_grid import subset_sizes
from camdbench.functional.coherency import coherency
from camdbench.functional.similarity import spearman
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.mask_bank import Readout, Subsets, cell_map, grid_side, is_still, map_sums, subset_scores
from camdbench.metrics.common.perturbation_curves import scored_classes
from camdbench.metrics.common.result import Curve, MetricResult

CELLS = MASKED.variant("cells", scored_output="logit", maps="raw")
ANCONA = (CELLS.variant("ancona"),)
BHATT = (CELLS.variant("bhatt"),)
NGUYEN = (CELLS.variant("nguyen", scored_output="probability"),)
_CORRELATED = {
    "higher_is_better": True,
    "unit": "",
    "values": "[-1, 1]",
    "tolerance": 0.005,
    "undefined": "the map is constant, or its sums or the class's score are the same for all subsets of a size",
}


@metric(
    "sensitivity_n",
    paper="Ancona et al. 2018, arXiv:1711.06104, definition of sensitivity-n and section 4",
    aliases=("sensitivityn", "sensitivity-n"),
    protocols=ANCONA,
    differs=(
        Difference("paper", "removes single pixels and averages over images for each n", "here cells, and a value of each image"),
        Difference(
            "Quantus 0.6",
            "removes pixels cumulatively in the map's order, and correlates each step's sum with the drop of all steps so far, over images",
            "the exact explanation of a linear model scores 0.65 instead of 1; its pairs correlate -0.89 over steps and images",
        ),
    ),
    **_CORRELATED,
)
def sensitivity_n(
    inputs: MetricInputs,
    *,
    cells: PositiveInt = 16,
    sizes: PositiveInt = 5,
    samples: PositiveInt = 100,
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    scored_output: ScoredObjective = "logit",
    maps: MapKind = "raw",
) -> MetricResult:
    r"""Sensitivity-n: correlation of map sum and logit drop over random subsets of n cells, mean over n.

    .. math:: \mathrm{mean}_n\, r_S\Big(\sum_{i \in S} R_i, f(x) - f(x_{\setminus S})\Big), \quad |S| = n

    The image is divided into `cells` x `cells` cells. For each of `sizes` numbers n, evenly spaced on a logarithmic scale from one cell to
    80 % of them, `samples` random subsets are removed: they become black, or of the mean colour with `masking="normalised"`.
    `scored_output="objective"` reads what was explained (`--objective`). r is Pearson's correlation over the subsets of one image; the
    curve holds it for each n. The raw map is signed and enlarged bilinearly.

    Returns:
        (B,) float64 in [-1, 1]; higher is better.
    """
    side, readout = grid_side(inputs, cells), Readout(masking, scored_class, scored_output)
    numbers, found, undefined = subset_sizes(side**2, sizes), list[Tensor](), inputs.is_constant.cpu()
    for size in numbers:
        subsets = Subsets(side, size, samples)
        sums, scores = map_sums(inputs, subsets, maps), subset_scores(inputs, subsets, readout)
        undefined = undefined | is_still(sums) | is_still(scores)
        found.append(1 - 2 * coherency(sums[:, None], scores[:, None]))  # the drop moves against the score
    y = torch.stack(found, 1)
    values = torch.where(undefined, torch.nan, y.mean(1))
    return MetricResult(values, undefined, {"correlation": Curve(torch.tensor(numbers, dtype=torch.float64), y)})


@metric(
    "mufidelity",
    paper="Bhatt et al. 2020, arXiv:2005.00631, definition 3, with Spearman's correlation as in Xplique",
    aliases=("mu_fidelity",),
    protocols=BHATT,
    differs=(
        Difference("Bhatt et al.", "take Pearson's correlation over subsets of pixels", "`quantus:FaithfulnessCorrelation`"),
        Difference(
            "Xplique",
            "removes each cell with probability 0.2, so that the sizes of subsets differ",
            "larger subsets have larger sums and drops: a map that knows nothing of the image scores above 0",
        ),
        Difference("Xplique", "gives 0 where a correlation is not defined", "here the image has no value"),
    ),
    **_CORRELATED,
)
def mufidelity(
    inputs: MetricInputs,
    *,
    cells: PositiveInt = 9,
    share: PositiveFraction = 0.2,
    samples: PositiveInt = 200,
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    scored_output: ScoredObjective = "logit",
    maps: MapKind = "raw",
) -> MetricResult:
    r"""MuFidelity: Spearman correlation of map sum and logit drop over random subsets of cells.

    .. math:: \rho_S\Big(\sum_{i \in S} R_i, f(x) - f(x_{\setminus S})\Big)

    `samples` random subsets, each of the same `share` of `cells` x `cells` cells, rounded, at least one cell. Options as in
    `sensitivity_n`; subsets of the same grid and size are shared with it.

    Returns:
        (B,) float64 in [-1, 1]; higher is better.
    """
    side = grid_side(inputs, cells)
    subsets = Subsets(side, max(1, round(share * side**2)), samples)
    sums, scores = map_sums(inputs, subsets, maps), subset_scores(inputs, subsets, Readout(masking, scored_class, scored_output))
    undefined = inputs.is_constant.cpu() | is_still(sums) | is_still(scores)
    return MetricResult(torch.where(undefined, torch.nan, -spearman(sums, scores)), undefined)


@metric(
    "non_sensitivity",
    paper="Nguyen & Martinez 2020, arXiv:2007.07584, definition of non-sensitivity",
    higher_is_better=False,
    unit="%",
    values="[0, 100]",
    protocols=NGUYEN,
    undefined="the map is zero everywhere",
    differs=(
        Difference(
            "Quantus 0.6",
            "counts elements instead of cells, compares the signed map with eps, and does not scale the map",
            "negative values count as no relevance; the value depends on the image's size and the map's scale",
        ),
    ),
)
def non_sensitivity(
    inputs: MetricInputs,
    *,
    cells: PositiveInt = 14,
    eps: PositiveFraction = 1e-5,
    masking: Masking = "pixels",
    scored_class: ScoredClass = "target",
    scored_output: ScoredObjective = "probability",
    maps: MapKind = "raw",
) -> MetricResult:
    r"""Non-sensitivity: share of cells that are without relevance or without effect, but not both.

    .. math:: 100\,|A \bigtriangleup X| / N,\ A = \{|R_i| < \epsilon \max_j |R_j|\},\ X = \{|f(x) - f(x_{\setminus i})| < \epsilon\}

    R_i is the sum of the raw map over a cell, enlarged bilinearly. Each of the `cells` x `cells` cells is removed alone: it becomes black,
    or of the mean colour with `masking="normalised"`.

    Returns:
        (B,) float64 in [0, 100], per cent; lower is better.
    """
    side = grid_side(inputs, cells)
    relevance = cell_map(inputs, side, maps).abs()
    scores = subset_scores(inputs, Subsets(side), Readout(masking, scored_class, scored_output))
    whole = inputs.output_of(inputs.logits, scored_classes(inputs, scored_class), scored_output)[:, None]
    largest = relevance.amax(1, keepdim=True)
    apart = (relevance < eps * largest) ^ ((whole - scores).abs() < eps)
    known = largest.squeeze(1).isfinite() & scores.isfinite().all(1) & whole.squeeze(1).isfinite()
    undefined = largest.squeeze(1) == 0
    return MetricResult(torch.where(undefined | ~known, torch.nan, 100 * apart.double().mean(1)), undefined)
