"""The registries of camdbench and the facts that each decorator must state; free of torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.protocols import Protocol
from camdbench.core.quantus_unsupported import UNSUPPORTED
from camdbench.core.registry import Registry
from camdbench.core.spec import Spec, parse_specs


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
        values: range of the raw map, such as `[0, inf)`.
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
    values: str = ""
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


explainers = Registry("explainer", ExplainerFacts, "camdbench.explainers")
metrics = Registry("metric", MetricFacts, "camdbench.metrics", refused=UNSUPPORTED)
datasets = Registry("dataset", DatasetFacts, "camdbench.datasets")
models = Registry("model", ModelFacts, "camdbench.models")
losses = Registry("loss", LossFacts, "camdbench.trainer")

explainer = explainers.register
metric = metrics.register
dataset = datasets.register
model = models.register
loss = losses.register


NO_EXPLAINER = Spec("none")  # stands in rows of metrics that judge the model alone


def protocol_of(metric_spec: Spec) -> Protocol:
    """The protocol by which a metric's values are made, its options included."""
    return metrics.get(metric_spec.name).protocol(metric_spec)


def has_model_scope(metric_spec: Spec) -> bool:
    """Whether a metric is a property of the model, whatever explains it."""
    return metrics.get(metric_spec.name).facts.scope == "model"


def needs_of(spec: Spec) -> set[str]:
    """What an explainer reads, and what those that it wraps read."""
    return {need for part in spec.walk() for need in explainers.get(part.name).facts.needs}


def is_control(spec: Spec) -> bool:
    """Whether an explainer, or whatever it wraps innermost, is a control."""
    return all(explainers.get(part.name).facts.control for part in spec.walk() if not part.wrapped)


def parse_explainers(texts: str | Iterable[str | Spec], gives: Collection[str]) -> tuple[Spec, ...]:
    """Read and check specs of explainers.

    Among them `all` is every one at its defaults, wrappers apart, methods before controls; `controls` the controls. `none`
    alone is no explainer, for metrics that judge the model alone.

    Args:
        texts: specs with commas, or a list of such.
        gives: the annotations that the images have, `boxes`, `masks`; groups leave out what needs others.

    Raises:
        UsageError: a name, an option or a value is wrong, or one spec stands twice.
    """
    if texts == str(NO_EXPLAINER):
        return ()
    lacks = {"boxes", "masks"} - set(gives)
    fit = [entry for entry in explainers if not entry.wraps and not lacks & set(entry.facts.needs)]
    controls = [Spec(entry.name) for entry in fit if entry.facts.control]
    methods = [Spec(entry.name) for entry in fit if not entry.facts.control]
    return _with_groups(explainers, texts, {"all": methods + controls, "controls": controls})


def parse_metrics(texts: str | Iterable[str | Spec], gives: Collection[str], *, explains: bool = True) -> tuple[Spec, ...]:
    """Read and check specs of metrics; among them `all` is every one of our own under its default protocol.

    Args:
        texts: specs with commas, or a list of such.
        gives: the annotations that the images have, `boxes`, `masks`; `all` leaves out what needs others.
        explains: whether altered images can be explained again; if not, `all` leaves out what needs that.

    Raises:
        UsageError: a name, an option or a value is wrong, or one spec stands twice.
    """
    lacks = {"boxes", "masks"} - set(gives) | (set() if explains else {"explainer"})
    fit = [entry for entry in metrics if ":" not in entry.name and not lacks & set(entry.facts.needs)]
    return _with_groups(metrics, texts, {"all": [Spec(entry.name) for entry in fit]})


def _with_groups(registry: Registry[Any], texts: str | Iterable[str | Spec], groups: Mapping[str, Sequence[Spec]]) -> tuple[Spec, ...]:
    """The checked specs, each group's members in place of its name, apart from those that are named themselves."""
    given = [texts] if isinstance(texts, str) else list(texts)
    written = [spec for text in given for spec in ((text,) if isinstance(text, Spec) else parse_specs(text))]
    named = registry.parse([spec for spec in written if str(spec) not in groups])
    found, left = list[Spec](), iter(named)
    for spec in written:
        members = groups.get(str(spec))
        found += [next(left)] if members is None else [member for member in members if member not in (*named, *found)]
    return tuple(found)
