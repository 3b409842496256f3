"""Insertion and deletion: class score while pixels are inserted or deleted, most relevant first."""

from __future__ import annotations

from typing import Literal

from pydantic import NonNegativeInt, PositiveInt

from camdbench.core.difference import Difference
from camdbench.core.metric_families import CONSTANT_MAP, MASKED, MEAN_MASKED
from camdbench.core.option_types import MapStatistics, Masking, PathReadout, ScoredClass, TieOrder
from camdbench.core.registries import metric
from camdbench.metrics.common.curve_points import pixel_counts
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.perturbation_curves import PerturbationPath, PixelOrder, area_under
from camdbench.metrics.common.result import MetricResult

TORCHCAM = "torch-cam 0.5, DeletionInsertionMetric"
OPTICAM = MASKED.variant("opticam", scored_class="predicted", paper="Zhang et al. 2024, arXiv:2301.07002, section 5.3.2")
RISE = MEAN_MASKED.variant(
    "rise",
    scored_class="predicted",
    options={"step": 1792, "ties": "last"},
    paper="Petsiuk et al. 2018, arXiv:1806.07421, as the released code evaluates whole data sets",
)
CGC = MEAN_MASKED.variant(
    "cgc",
    scored_class="predicted",
    maps="batch statistics",
    options={"step": 1792, "ties": "last"},
    paper="Pillai et al. 2022, arXiv:2110.00527, as the released code evaluates, with its maps made in train mode",
)
INSERTION_PROTOCOLS = (
    OPTICAM,
    RISE,
    CGC,
    MEAN_MASKED.variant("torchcam", scored_class="predicted", options={"intervals": 20, "start": "blank"}, paper=TORCHCAM),
    MASKED.variant(
        "xplique",
        options={"intervals": 10, "rounding": "point", "start": "blank", "ties": "last"},
        paper="Fel et al. 2022, arXiv:2206.04394, class Insertion",
    ),
)
DIFFERS = (
    Difference(
        "Opti-CAM",
        "the paper leaves open in which space its zeros are; the released code masks pixels",
        "Grad-CAM of shortcuts-ce on 16 images, by pixels and by the mean colour: deletion 22.6 and 30.2, insertion 66.4 and 66.9",
    ),
    Difference("RISE", "its sort leaves the order of equal pixels open", "values of maps with ties"),
    Difference(
        "Xplique",
        "takes images as they come and scores logits by default (scored_output=logit)",
        "here images are in [0, 1] and probabilities are scored",
    ),
    Difference("CGC", "makes maps in train mode", "its values depend on the batch and on the order of the data"),
)
_PETSIUK = {
    "unit": "%",
    "values": "[0, 100]",
    "differs": DIFFERS,
    "paper": "Petsiuk et al. 2018, arXiv:1806.07421, definitions of deletion and insertion",
    "undefined": CONSTANT_MAP,
}


@metric("insertion", higher_is_better=True, protocols=INSERTION_PROTOCOLS, **_PETSIUK)
def insertion(
    inputs: MetricInputs,
    *,
    step: PositiveInt = 224,
    intervals: NonNegativeInt = 0,
    rounding: Literal["step", "point"] = "step",
    start: Literal["blurred", "blank"] = "blurred",
    ties: TieOrder = "first",
    masking: Masking = "pixels",
    scored_class: ScoredClass = "predicted",
    scored_output: PathReadout = "probability",
    maps: MapStatistics = "default",
) -> MetricResult:
    r"""Insertion: area under the class probability while pixels are inserted, most relevant first.

    .. math:: 100 \int_0^1 p(x_u)\,du

    The curve's x is the fraction of inserted pixels, both ends included. Trapezoids over the true fractions give RISE's sum
    if `step` divides the number of pixels.

    Every step inserts `step` pixels, the last one the rest. `intervals` sets the number of steps of equal size: the step is
    rounded up (`rounding="step"`), or the pixel count of each point is rounded down (`"point"`). Pixels are inserted into the
    image blurred by RISE's kernel (`start="blurred"`) or into a blank one: black for `masking="pixels"`, the mean colour for
    `"normalised"`, which also pads the blur. Of equal pixels the first in raster order comes first; `ties="last"` reverses
    an ascending sort, as in RISE.

    `scored_output="accuracy"` is 1 if the class has the largest logit; `logit`, which Xplique scores by default, and `objective`, what was
    explained (`--objective`), are areas times 100 and have no bounds.

    CGC makes its maps in train mode, where they depend on the batch, and the running statistics change from batch to batch.
    The protocol `cgc` reproduces what does not depend on the order of the data: maps with the batch statistics of the image
    alone, and curves of the unchanged network. The maps explain the run's class; CGC explains the label.

    Returns:
        (B,) float64 in [0, 100], per cent; higher is better.
    """
    counts = pixel_counts(inputs.size, step, intervals, rounding)
    return area_under(
        inputs, PerturbationPath(PixelOrder(ties=ties, maps=maps), counts, start, "image", masking, scored_class, scored_output)
    )


DELETION_PROTOCOLS = (
    OPTICAM,
    RISE,
    CGC,
    MEAN_MASKED.variant("torchcam", scored_class="predicted", options={"intervals": 20}, paper=TORCHCAM),
    MASKED.variant(
        "xplique", options={"intervals": 10, "rounding": "point", "ties": "last"}, paper="Fel et al. 2022, arXiv:2206.04394, class Deletion"
    ),
)


@metric("deletion", higher_is_better=False, protocols=DELETION_PROTOCOLS, **_PETSIUK)
def deletion(
    inputs: MetricInputs,
    *,
    step: PositiveInt = 224,
    intervals: NonNegativeInt = 0,
    rounding: Literal["step", "point"] = "step",
    ties: TieOrder = "first",
    masking: Masking = "pixels",
    scored_class: ScoredClass = "predicted",
    scored_output: PathReadout = "probability",
    maps: MapStatistics = "default",
) -> MetricResult:
    r"""Deletion: area under the class probability while pixels are deleted, most relevant first.

    .. math:: 100 \int_0^1 p(x_u)\,du

    The curve's x is the fraction of deleted pixels. A deleted pixel is black for `masking="pixels"`, of the mean colour for
    `"normalised"`. Options, protocols and pixel order as in `insertion`.

    Returns:
        (B,) float64 in [0, 100], per cent; lower is better.
    """
    counts = pixel_counts(inputs.size, step, intervals, rounding)
    return area_under(
        inputs, PerturbationPath(PixelOrder(ties=ties, maps=maps), counts, "image", "blank", masking, scored_class, scored_output)
    )
