"""The registries of explainers, metrics, data sets, models and losses; free of torch."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from camdbench.core.captum_unsupported import UNSUPPORTED as NOT_OF_CAPTUM
from camdbench.core.cost import PassEstimate
from camdbench.core.errors import UsageError
from camdbench.core.facts import DatasetFacts, ExplainerFacts, LossFacts, MetricFacts, ModelFacts
from camdbench.core.map_sum import Reference
from camdbench.core.protocols import Protocol
from camdbench.core.quantus_unsupported import UNSUPPORTED
from camdbench.core.registry import Registry
from camdbench.core.spec import Spec, parse_spec, split_specs

explainers = Registry("explainer", ExplainerFacts, "camdbench.explainers", unsupported=NOT_OF_CAPTUM)
metrics = Registry("metric", MetricFacts, "camdbench.metrics", unsupported=UNSUPPORTED)
datasets = Registry("dataset", DatasetFacts, "camdbench.datasets")
models = Registry("model", ModelFacts, "camdbench.models")
losses = Registry("loss", LossFacts, "camdbench.trainer")

explainer = explainers.register
metric = metrics.register
dataset = datasets.register
model = models.register
loss = losses.register


ANNOTATIONS = {"boxes", "masks", "mosaic", "backgrounds", "scenes", "parts"}  # what data sets may give; explainers or metrics may need it
NO_EXPLAINER = Spec("none")  # explainer in rows of metrics with model scope


def protocol_of(metric_spec: Spec) -> Protocol:
    """Protocol of a metric spec, options included."""
    return metrics.get(metric_spec.name).protocol(metric_spec)


def scores_objective(metric_spec: Spec) -> bool:
    """Whether a metric scores what the maps explain, by its protocol or by an option."""
    return protocol_of(metric_spec).scored_output == "objective"


def has_model_scope(metric_spec: Spec) -> bool:
    """Whether a metric is a property of the model alone."""
    return metrics.get(metric_spec.name).facts.scope == "model"


def innermost(spec: Spec) -> Spec:
    """What a spec wraps in the end; the spec itself if it wraps nothing.

    >>> str(innermost(Spec("grid", wrapped=(Spec("shortcuts"),))))
    'shortcuts'
    """
    return innermost(spec.wrapped[0]) if spec.wrapped else spec


def dataset_facts(spec: Spec) -> DatasetFacts:
    """Facts of a data set; a wrapper has those of the data set in its brackets, with its own annotations."""
    facts = datasets.get(spec.name).facts
    return replace(dataset_facts(spec.wrapped[0]), gives=facts.gives, optional=()) if spec.wrapped else facts


def needs_of(spec: Spec) -> set[str]:
    """Inputs that an explainer and the explainers it wraps need."""
    return {need for part in spec.walk() for need in explainers.get(part.name).facts.needs}


def is_control(spec: Spec) -> bool:
    """Whether all innermost explainers of a spec are controls."""
    return all(explainers.get(part.name).facts.control for part in spec.walk() if not part.wrapped)


def is_unstable(spec: Spec) -> bool:
    """Whether an explainer, or one that it wraps, states that it amplifies rounding with these options."""
    known = [(explainers.get(part.name), part) for part in spec.walk() if part.name in explainers]
    return any(
        entry.facts.unstable and entry.arguments(part)[str(entry.facts.unstable[0])] in entry.facts.unstable[1:] for entry, part in known
    )


def reference_of(spec: Spec) -> Reference | None:
    """Colour of the reference image x' if raw maps of this spec sum to y(x) - y(x'); `zero` if to y(x); None: no such claim.

    >>> reference_of(Spec("integratedgradients")), reference_of(Spec("gradcam"))
    ('black', None)
    """
    if spec.name not in explainers:  # saved maps of an own explainer
        return None
    entry = explainers.get(spec.name)
    return entry.facts.completeness and entry.facts.completeness.of(entry.arguments(spec))


def passes_of(spec: Spec, quantities: Mapping[str, int] | None = None) -> PassEstimate:
    """Image passes of an explainer for one image, with its options; wrapped explainers included.

    Args:
        spec: checked spec.
        quantities: values of `RUN_TIME` quantities, such as the number of channels; a missing one counts its least value.

    >>> str(passes_of(Spec("opticam"))), str(passes_of(Spec.of("opticam", {"iterations": 10})))
    ('202', '22')
    >>> str(passes_of(Spec.of("power", {"alpha": 2.0}, [Spec("scorecam")])))
    'at least 2'
    """
    if spec == NO_EXPLAINER:
        return PassEstimate(forward=1)
    entry = explainers.get(spec.name)
    if entry.facts.cost is None:
        return PassEstimate(lower_bound=True)
    wrapped = sum((passes_of(part, quantities) for part in spec.wrapped), PassEstimate())
    return entry.facts.cost.passes(entry.arguments(spec), wrapped, quantities)


def explained_versions(spec: Spec) -> int:
    """Altered versions of an image that a metric explains again, also those that it shares with another metric; 0: none, or unknown.

    >>> explained_versions(Spec.of("max_sensitivity", {"samples": 4})), explained_versions(Spec("adcc")), explained_versions(Spec("ad"))
    (4, 1, 0)
    """
    return _number(spec, metrics.get(spec.name).facts.explains)


def references_of(spec: Spec) -> int:
    """Reference images that a metric explains once in a run.

    >>> references_of(Spec.of("cgc_loss", {"negatives": 7})), references_of(Spec("adcc"))
    (8, 0)
    """
    references = _number(spec, metrics.get(spec.name).facts.references)
    return references + 1 if references else 0


def _number(spec: Spec, stated: int | str) -> int:
    """A number that a fact of a metric states, itself or by the option that it names."""
    return (metrics.get(spec.name).arguments(spec)[stated] or 0) if isinstance(stated, str) else stated


def parse_explainers(
    texts: str | Iterable[str | Spec], gives: Collection[str], objectives: Collection[str] = ("any", "linear", "logit")
) -> tuple[Spec, ...]:
    """Parse and check explainer specs.

    `all` stands for every built-in explainer at its defaults without wrappers and those of Captum, methods before controls;
    `controls` for the controls. `-NAME` leaves one out of them: `all,-extremal`.
    `none` alone means no explainer, for metrics with model scope.

    Args:
        texts: comma-separated specs, or a list of these.
        gives: annotations of the images, of `ANNOTATIONS`; groups omit explainers that need others.
        objectives: kinds of `ExplainerFacts.objective`; groups omit explainers of others.

    Raises:
        UsageError: unknown name, invalid option or value, or a duplicate.
    """
    if texts == str(NO_EXPLAINER):
        return ()
    lacks = ANNOTATIONS - set(gives)

    def members(name: str) -> list[Spec]:
        fit = [entry for entry in explainers if ":" not in entry.name and not entry.wraps and not lacks & set(entry.facts.needs)]
        fit = [entry for entry in fit if entry.facts.objective in objectives]
        controls = [Spec(entry.name) for entry in fit if entry.facts.control]
        return controls if name == "controls" else [Spec(entry.name) for entry in fit if not entry.facts.control] + controls

    return _with_groups(explainers, texts, ("all", "controls"), members)


def parse_metrics(texts: str | Iterable[str | Spec], gives: Collection[str], *, explains: bool = True) -> tuple[Spec, ...]:
    """Parse and check metric specs; `all` stands for every built-in metric under its default protocol, `-NAME` leaves one out.

    Args:
        texts: comma-separated specs, or a list of these.
        gives: annotations of the images, of `ANNOTATIONS`; `all` omits metrics that need others.
        explains: whether altered images can be explained; if not, `all` omits metrics that need it. It always omits those of two networks.

    Raises:
        UsageError: unknown name, invalid option or value, or a duplicate.
    """
    lacks = ANNOTATIONS - set(gives) | {"second network"} | (set() if explains else {"explainer"})

    def members(_: str) -> list[Spec]:
        return [Spec(entry.name) for entry in metrics if ":" not in entry.name and not lacks & set(entry.facts.needs)]

    return _with_groups(metrics, texts, ("all",), members)


def _with_groups(
    registry: Registry[Any], texts: str | Iterable[str | Spec], groups: Collection[str], members_of: Callable[[str], Sequence[Spec]]
) -> tuple[Spec, ...]:
    """Checked specs; a group name is replaced by its members that are neither named themselves nor left out, as `-NAME`."""
    given = [texts] if isinstance(texts, str) else list(texts)
    parts = [part for text in given for part in ((text,) if isinstance(text, Spec) else map(str.strip, split_specs(text)))]
    minus = [part for part in parts if isinstance(part, str) and part.startswith("-")]
    parsed = [part if isinstance(part, Spec) else parse_spec(part) for part in parts if part not in minus]
    named = registry.parse([spec for spec in parsed if str(spec) not in groups])
    if minus and len(named) == len(parsed):
        example = f"{next(iter(groups))},{minus[0]}"
        raise UsageError(f"{registry.kind} {minus[0]}: only {' and '.join(groups)} can leave one out; write {example}")
    omitted = _omitted(registry, minus, named)
    found, left = list[Spec](), iter(named)
    for spec in parsed:
        group = members_of(str(spec)) if str(spec) in groups else None
        found += [next(left)] if group is None else [member for member in group if member not in (*named, *omitted, *found)]
    return tuple(found)


def _omitted(registry: Registry[Any], minus: Sequence[str], named: Collection[Spec]) -> tuple[Spec, ...]:
    """Members that `-NAME` leaves out of a group."""
    omitted = registry.parse([part[1:] for part in minus])
    for spec in omitted:
        if spec != Spec(spec.name):
            raise UsageError(f"{registry.kind} -{spec}: leave it out by its name alone, -{spec.name}")
        if spec in named:
            raise UsageError(f"{registry.kind} {spec} is named and left out; omit one of the two")
    return omitted
