"""Target layers and gradients that an explainer needs, checked."""

from __future__ import annotations

from collections.abc import Sequence

from camdbench.core.errors import UsageError
from camdbench.core.registries import explainers, needs_of
from camdbench.core.spec import Spec
from camdbench.models.classifier import Classifier
from camdbench.models.target_layers import Layer, check_layer


def checked_layers(classifier: Classifier, spec: Spec, base: str | None, seen: Sequence[Layer]) -> tuple[str, ...]:
    """Names of the layers that an explainer and those that it wraps read, each checked.

    Args:
        classifier: the model.
        spec: checked spec; `layer` of its options is a name, or a tuple of names for methods that fuse layers.
        base: the layer if no option names one; default: the classifier's own.
        seen: the survey of the classifier.

    Raises:
        UsageError: a layer is unknown or cannot be explained; the message names one that works.
    """
    names = list[str]()
    for part in spec.walk():
        if "layer" in explainers.get(part.name).facts.needs:
            wanted = explainers.get(part.name).arguments(part).get("layer")
            for name in wanted if isinstance(wanted, tuple) else (wanted,):
                names.append(check_layer(classifier, base if name is None else str(name), seen))
    return tuple(dict.fromkeys(names))


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
