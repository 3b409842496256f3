"""Option types shared by several functions, resolved by name in `core.options`. Free of torch and pydantic."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal

Methods = str | Callable[..., Any] | Sequence[Any] | Mapping[str, Any]  # specs, functions or objects; a mapping has their names in rows
Masking = Literal["pixels", "normalised"]  # masked to black, or after mean and std to the mean colour
ScoredClass = Literal["target", "predicted"]  # the explained class, or the network's
KnownClass = Literal["label", "target"]
ScoredOutput = Literal["logit", "probability"]
ScoredObjective = Literal["logit", "probability", "objective"]  # or what was explained
Readout = Literal["probability", "accuracy"]
PathReadout = Literal["probability", "accuracy", "logit", "objective"]  # along a curve
MapKind = Literal["default", "raw"]  # normalised as the explainer declares, or raw
MapRange = Literal["default", "range"]
MapSign = Literal["default", "relu", "abs"]
MapSize = Literal["abs", "abs, layer grid", "default"]
MapStatistics = Literal["default", "batch statistics"]
Resize = Literal["bilinear", "bicubic"]
GroundTruth = Literal["exclusive boxes", "inclusive boxes", "masks"]
BoxTruth = Literal["exclusive boxes", "inclusive boxes"]
HeatmapTruth = Literal["exclusive boxes", "inclusive boxes", "VOC slices"]
BoxEnds = Literal["exclusive", "clovaai"]
ThresholdChoice = Literal["completeness", "none"]  # whether a table chooses a threshold of part importance
Released = Literal["paper", "release"]  # by the paper, or by released code
ConstantMap = Literal["undefined", "scored"]  # whether a constant map has a value
Connectivity = Literal[4, 8]
TieOrder = Literal["first", "last"]
Resample = Literal["bilinear", "bicubic"]
MapChannels = Literal["max", "sum", "abs"]  # one value per place from those of channels
Colour = Literal["mean", "black"]
RandomBaseline = Literal["noise", "mean", "black"]
SegmentKind = Literal["quickshift", "grid"]
Fill = Literal["uniform", "lowest", "blank"]
Interpolation = Literal["linear", "neighbours"]  # of pixels between known ones
Imputer = Literal["neighbours", "blank", "blurred", "average"]  # values of imputed pixels
SaveMaps = Literal["none", "view", "raw"]  # maps of a run that are stored
TwoOrMore = Annotated[int, "2 or more"]  # bounds: `core.options`
PositiveFraction = Annotated[float, "in (0, 1]"]  # bounds: `core.options`
Preprocess = Annotated[str, "resize256_crop224, resize224_distort, short448, keep, model or fit(…)"]
