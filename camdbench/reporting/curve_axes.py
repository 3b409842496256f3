"""Labels of the axes of curves: what changes along x, and which quantity y is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from camdbench.core.spec import parse_spec
from camdbench.tables.threshold_choice import CURVES

_SCORES = {
    "probability": "class probability",
    "log_probability": "log-probability of the class",
    "logit": "class logit",
    "accuracy": "fraction of images with the class predicted",
}
_DROP = "drop of the class probability"
_IMPORTANCE = "threshold of importance, share of the map"
_AXES = {
    "insertion": ("fraction of pixels inserted", ""),
    "deletion": ("fraction of pixels deleted", ""),
    "lead": ("fraction of pixels inserted or deleted", ""),
    "normalised_insertion": ("fraction of pixels inserted", "class probability between those of the start and of the image"),
    "normalised_deletion": ("fraction of pixels deleted", "class probability between those of the blank image and of the image"),
    "sic": ("recovered information", "recovered class probability"),
    "aic": ("recovered information", "class recognised"),
    "srg": ("fraction of pixels removed", ""),
    "morf": ("fraction of patches replaced, most relevant first", ""),
    "lerf": ("fraction of patches replaced, least relevant first", ""),
    "road": ("fraction of pixels imputed", ""),
    "road_morf": ("fraction of pixels imputed, most relevant first", ""),
    "road_lerf": ("fraction of pixels imputed, least relevant first", ""),
    "aopc": ("patches replaced, most relevant first", _DROP),
    "irof": ("fraction of segments replaced, most relevant first", "class probability relative to that of the image"),
    "monotonicity": ("fraction of patches added, least relevant first", ""),
    "sensitivity_n": ("cells in a subset", "correlation of map and drop of the score"),
    "randomisation": ("layers with random weights", "similarity to the map of the trained model"),
    "pxap": ("threshold of the map", "pixels of the map above the threshold"),
    "csdc": (_IMPORTANCE, "share of a sufficient set named (%)"),
    "preservation_check": (_IMPORTANCE, "prediction kept (%)"),
    "deletion_check": (_IMPORTANCE, "prediction changed (%)"),
    "distractibility": (_IMPORTANCE, "irrelevant parts not named (%)"),
    "quantus:Selectivity": ("patches replaced, most relevant first", ""),
    "quantus:PixelFlipping": ("steps of replaced pixels, most relevant first", ""),
    "quantus:RegionPerturbation": ("regions replaced, most relevant first", _DROP),
}


class CurveAxes(NamedTuple):
    """Labels of both axes."""

    x: str
    y: str


def curve_axes(metric: str, curve: str, about: Mapping[str, Any]) -> CurveAxes | None:
    """Return the labels of a curve's axes.

    >>> curve_axes("deletion", "curve", {"switches": {"scored_output": "probability"}})
    CurveAxes(x='fraction of pixels deleted', y='class probability')

    Args:
        metric: spec of the metric.
        curve: name of the curve.
        about: what the run recorded of the metric: `switches` and `options`.

    Returns:
        The labels; `position` and `value` for metrics that are not known here; None: the points have no order.
    """
    name = parse_spec(metric).name if ".py:" not in metric else metric
    if curve in ("scores", "truth"):  # by class
        return None
    if curve in CURVES[1:] and name in _AXES and _AXES[name][0] == _IMPORTANCE:  # terms of the choice of a threshold
        return None
    if curve.startswith("iou "):
        return CurveAxes("threshold of the map", f"images with IoU ≥ {curve.removeprefix('iou ')} (%)")
    if name not in _AXES:
        return CurveAxes("position", "value")
    x, y = _AXES[name]
    if name in ("morf", "lerf") and about.get("options", {}).get("patch") == 1:
        x = x.replace("patches", "pixels")
    output = str(about.get("switches", {}).get("scored_output") or "probability")
    return CurveAxes(x, y or _SCORES.get(output, output.replace("_", " ")))
