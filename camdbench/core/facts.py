"""Facts that the decorator of each registered function states; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.protocols import Protocol


@dataclass(frozen=True)
class ExplainerFacts:
    """What must be known of an explainer before it runs.

    Attributes:
        paper: where the method is defined.
        cost: image passes that it makes for one image, alone; None: not stated.
        needs: what it reads beside images and logits: `layer` (a target layer), `gradients` (a network that
            can be differentiated), `boxes`, `masks`,
            `linear head` (global average pooling and a linear layer behind the target layer), `attention`.
        refuses: networks or images for which it is not defined; it says so by `NotApplicable`.
        aliases: names under which other libraries know it.
        normalisation: how the raw map becomes a mask in [0, 1] at image size; `none` for maps that already are one.
        control: a control that no method should lose against; set apart in tables.
        stochastic: draws random numbers, always from (seed, image id).
        formula: LaTeX; if empty, the first `.. math::` of the docstring.
        values: range of the raw map with default options.
        differs: how other implementations differ.
    """

    paper: str
    cost: Cost | None = None
    needs: tuple[Literal["layer", "gradients", "boxes", "masks", "linear head", "attention"], ...] = ()
    refuses: str = ""
    aliases: tuple[str, ...] = ()
    normalisation: Literal["range", "max", "sigmoid", "none"] = "range"
    control: bool = False
    stochastic: bool = False
    formula: str = ""
    values: str = "[0, inf)"
    differs: tuple[Difference, ...] = ()


@dataclass(frozen=True, kw_only=True)
class MetricFacts:
    """What must be known of a metric before its numbers can be read.

    Attributes:
        paper: where the metric is defined, with the equation.
        higher_is_better: direction, for ranking and bold type.
        unit: unit of the values, `%` or empty.
        tolerance: how far a mean may move, in `unit`, before the regression check calls it moved.
        protocols: the conventions by which values can be made, the default first.
        needs: what it reads beside images and logits: `boxes`, `masks`, `explainer` (it explains altered images again),
            `linear head`.
        scope: `map`, or `model` for a property of the model alone, which is measured once, not for each explainer.
        undefined: why an image may have no value.
        aliases: longer names, and names under which other libraries know it; rows say the registered one.
        formula: LaTeX; if empty, the first `.. math::` of the docstring.
        values: range of the values under the default protocol, such as `[0, 100]`.
        differs: how other implementations differ.
    """

    paper: str
    higher_is_better: bool
    unit: str
    tolerance: float = 0.1
    protocols: tuple[Protocol, ...] = (Protocol("default"),)
    needs: tuple[Literal["boxes", "masks", "explainer", "linear head"], ...] = ()
    scope: Literal["map", "model"] = "map"
    undefined: str = ""
    aliases: tuple[str, ...] = ()
    formula: str = ""
    values: str = ""
    differs: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class DatasetFacts:
    """What must be known of a data set before it is opened.

    Attributes:
        paper: where it comes from.
        splits: the names that `split=` takes; empty where the layout has none.
        gives: what its samples hold beside image and label: `boxes`, `masks`.
        on_disk: whether it needs `--data-root`.
        optional: annotations that are there if a path under the data root is: `masks: CUB_200_2011/segmentations`.
        licence: what its owners allow.
        source: where it can be had.
        download: whether torchvision can fetch it, on demand.
    """

    paper: str
    splits: tuple[str, ...]
    gives: tuple[Literal["boxes", "masks"], ...] = ()
    on_disk: bool = True
    optional: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""
    download: bool = False


@dataclass(frozen=True)
class ModelFacts:
    """What must be known of an embedded model.

    Attributes:
        paper: the recipe or publication it comes from.
        dataset: the data set whose classes it predicts.
    """

    paper: str
    dataset: str


@dataclass(frozen=True)
class LossFacts:
    """What must be known of a training loss.

    Attributes:
        paper: where the loss is defined, with the equation.
        needs: what it reads beside images and labels: `boxes`, `masks`, `class masks` (one for each class, where there are).
    """

    paper: str
    needs: tuple[Literal["boxes", "masks", "class masks"], ...] = ()
