"""Facts stated by the decorators of registered functions; free of torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_type_hints

from camdbench.core.cost import Cost
from camdbench.core.difference import Difference
from camdbench.core.map_sum import Completeness
from camdbench.core.protocols import Protocol


@dataclass(frozen=True)
class ExplainerFacts:
    """Facts of an explainer.

    Attributes:
        paper: definition of the method.
        cost: image passes per image if it runs alone; None: not stated.
        needs: inputs beside images and logits: `layer` (a target layer), `gradients` (a differentiable network), `boxes`,
            `masks`, `linear head` (global average pooling and a linear layer after the target layer), `attention`.
        refuses: networks or images for which it raises `NotApplicable`.
        aliases: names in other libraries.
        normalisation: mapping of the raw map to a mask in [0, 1]; `none` if the map already is one, `wrapped` for that of the
            wrapped explainer.
        control: a baseline that every method should beat; listed apart in tables.
        stochastic: draws random numbers, seeded by (seed, image id).
        formula: LaTeX; if empty, the first `.. math::` of the docstring.
        values: range of the raw map with default options.
        differs: how other implementations differ.
        completeness: what the raw map sums to; None: no claim.
        unstable: an option and its values at which the explainer amplifies rounding so far that single values depend on the
            batch and the processor; tables then print fewer digits.
        objective: which objectives it explains: `any`, those `linear` in the logits, or only the `logit` of the class, its definition.
    """

    paper: str
    cost: Cost | None = None
    needs: tuple[Literal["layer", "gradients", "boxes", "masks", "linear head", "attention"], ...] = ()
    refuses: str = ""
    aliases: tuple[str, ...] = ()
    normalisation: Literal["range", "max", "sigmoid", "none", "wrapped"] = "range"
    control: bool = False
    stochastic: bool = False
    formula: str = ""
    values: str = "[0, inf)"
    differs: tuple[Difference, ...] = ()
    completeness: Completeness | None = None
    unstable: tuple[str | bool, ...] = ()
    objective: Literal["any", "linear", "logit"] = "any"


@dataclass(frozen=True, kw_only=True)
class MetricFacts:
    """Facts of a metric.

    Attributes:
        paper: definition of the metric, with the equation.
        higher_is_better: direction, for ranking and bold type; None: not stated, and not ranked.
        unit: unit of the values, `%` or empty.
        tolerance: change of a mean, in `unit`, above which the regression check reports it as moved.
        protocols: conventions for computing the values, the default first.
        needs: inputs beside images and logits: `boxes`, `masks`, `explainer` (explains altered images), `linear head`, `mosaic` (images of
            several classes in one, by the data set `grid(…)`), `backgrounds` (class of the background), `scenes` (the image
            without its object), `parts` (versions without parts of the object), `second network` (given by an option).
        explains: altered versions of an image that are explained again: a number, or the option that is their number; 0: none, or unknown.
        references: other images with which maps are compared: a number, or an option. They, and one more in place of the image itself, are
            explained once in a run.
        scope: `map`, or `model` for a property of the model alone, computed once instead of once per explainer.
        undefined: why an image may have no value.
        aliases: longer names and names in other libraries; rows contain the registered name.
        formula: LaTeX; if empty, the first `.. math::` of the docstring.
        values: range of the values under the default protocol, such as `[0, 100]`.
        differs: how other implementations differ.
    """

    paper: str
    higher_is_better: bool | None
    unit: str
    tolerance: float = 0.1
    protocols: tuple[Protocol, ...] = (Protocol("default"),)
    needs: tuple[
        Literal["boxes", "masks", "mosaic", "backgrounds", "scenes", "parts", "explainer", "linear head", "second network"], ...
    ] = ()
    explains: int | str = 0
    references: int | str = 0
    scope: Literal["map", "model"] = "map"
    undefined: str = ""
    aliases: tuple[str, ...] = ()
    formula: str = ""
    values: str = ""
    differs: tuple[Difference, ...] = ()


@dataclass(frozen=True)
class DatasetFacts:
    """Facts of a data set.

    Attributes:
        paper: publication of the data set.
        splits: values of `split=`; empty if the layout has no splits.
        gives: annotations beside image and label: `boxes`, `masks`, `mosaic` (classes of the cells of a mosaic), `backgrounds`,
            `scenes` (the image without its object, version `background` of its interventions), `parts` (the part of each pixel, and
            interventions without parts of the object and without background objects).
        on_disk: whether it needs `--data-root`.
        optional: annotations present only if a path under the data root exists: `masks: CUB_200_2011/segmentations`.
        licence: terms of use.
        source: where to obtain it.
        download: whether torchvision can download it.
        no_copies: why reports hold no copies of its pictures unless asked to; empty if they do.
    """

    paper: str
    splits: tuple[str, ...]
    gives: tuple[Literal["boxes", "masks", "mosaic", "backgrounds", "scenes", "parts"], ...] = ()
    on_disk: bool = True
    optional: tuple[str, ...] = ()
    licence: str = ""
    source: str = ""
    download: bool = False
    no_copies: str = ""


@dataclass(frozen=True)
class ModelFacts:
    """Facts of a registered model.

    Attributes:
        paper: recipe or publication.
        dataset: data set whose classes it predicts.
        extra: extra of camdbench that installs its packages.
        packages: packages that it needs beyond those of camdbench, by the names under which they are imported.
    """

    paper: str
    dataset: str
    extra: str = ""
    packages: tuple[str, ...] = ()


@dataclass(frozen=True)
class LossFacts:
    """Facts of a training loss.

    Attributes:
        paper: definition of the loss, with the equation.
        needs: inputs beside images and labels: `boxes`, `masks`, `class masks` (one per present class).
        formula: LaTeX; if empty, the first `.. math::` of the docstring.
        differs: how other implementations differ.
    """

    paper: str
    needs: tuple[Literal["boxes", "masks", "class masks"], ...] = ()
    formula: str = ""
    differs: tuple[Difference, ...] = ()


def check_stated(what: str, facts: object) -> None:
    """Check the types of the facts of a plug-in; a list stands for a tuple.

    Raises:
        TypeError: a fact has another type.
    """
    from pydantic import TypeAdapter, ValidationError  # a listing of built-ins needs none

    for fact, kind in get_type_hints(type(facts)).items():
        value = getattr(facts, fact)
        try:
            TypeAdapter[object](kind).validate_python(tuple(value) if isinstance(value, list) else value, strict=True)
        except ValidationError as error:
            raise TypeError(f"{what}: {fact} = {value!r}: {error.errors()[0]['msg'].lower()}") from None


def arrow(higher_is_better: bool | None, unit: str) -> str:
    """Arrow towards better values, and unit.

    >>> arrow(True, "%"), arrow(None, "")
    ('↑ %', '')
    """
    return f"{'' if higher_is_better is None else '↑' if higher_is_better else '↓'} {unit}".strip()
