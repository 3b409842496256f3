"""Target layers and gradients that an explainer needs, checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from camdbench.core.errors import UsageError
from camdbench.core.registries import explainers, needs_of
from camdbench.core.spec import Spec
from camdbench.models.classifier import Classifier
from camdbench.models.target_layers import Layer, check_layer


def checked_layers(classifier: Classifier, spec: Spec, base: str | None, seen: Sequence[Layer]) -> tuple[str, ...]:
    """Names of the layers that an explainer and those that it wraps read, each checked.

    Args:
        classifier: the model.
        spec: checked spec; `layer` of its options is a name, or a tuple of names for methods that fuse layers; `layers` of a wrapper
            are those at which the wrapped explainer runs.
        base: the layer if no option names one; default: the classifier's own.
        seen: the survey of the classifier.

    Raises:
        UsageError: a layer is unknown or cannot be explained; the message names one that works.
    """
    names = [check_layer(classifier, name, seen) for name in _wanted(spec, base)]
    return tuple(dict.fromkeys(names))


def _wanted(spec: Spec, base: str | None) -> Iterator[str | None]:
    """Layers that an explainer and those that it wraps read, None for the classifier's own.

    Raises:
        UsageError: a wrapper that names layers holds an explainer that reads none, or one that names its own.
    """
    options = explainers.get(spec.name).arguments(spec)
    if "layers" in options:
        check_several(spec.name, options["layers"])
        inner = spec.wrapped[0]
        if "layer" not in needs_of(inner):
            raise UsageError(f"explainer {spec}: {inner} reads no layer; wrap one that does, such as gradcampp")
        if own := next((part for part in inner.walk() if part.arguments.get("layer") is not None or "layers" in part.arguments), None):
            raise UsageError(f"explainer {spec}: {own} names its own layer; leave layer out, {spec.name} gives it its layers")
        for name in options["layers"]:
            yield from _wanted(inner, name)
        return
    if "layer" in explainers.get(spec.name).facts.needs:
        wanted = options.get("layer")
        for name in wanted if isinstance(wanted, tuple) else (wanted,):
            yield base if name is None else str(name)
    for part in spec.wrapped:
        yield from _wanted(part, base)


def check_several(name: str, layers: Sequence[str]) -> None:
    """Check that a wrapper is given two layers or more.

    Raises:
        UsageError: it is given fewer.
    """
    if len(layers) < 2:
        raise UsageError(
            f'{name}(layers={tuple(layers)}): name two layers or more, such as layers=("layer3", "layer4"); see: camdbench layers'
        )


def check_explainer(classifier: Classifier, spec: Spec, problem: str) -> None:
    """Check that the network gives what an explainer and those that it wraps need.

    Args:
        classifier: the model.
        spec: checked spec.
        problem: why the network gives no gradients; empty if it does.

    Raises:
        UsageError: it needs gradients, which the network does not give.
    """
    if problem and "gradients" in needs_of(spec):
        raise UsageError(f"explainer {spec}: needs gradients of {classifier.name}, but {problem}; use one without them, such as rise")
