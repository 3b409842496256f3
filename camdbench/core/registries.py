"""The registries of explainers, metrics, data sets, models and losses; free of torch."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from camdbench.core.facts import DatasetFacts, ExplainerFacts, LossFacts, MetricFacts, ModelFacts
from camdbench.core.protocols import Protocol
from camdbench.core.quantus_unsupported import UNSUPPORTED
from camdbench.core.registry import Registry
from camdbench.core.spec import Spec, parse_specs

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
