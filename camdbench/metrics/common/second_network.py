"""A second network that a metric reads: given by name or checkpoint, loaded once, and identified by its weights."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import torch

from camdbench.core.errors import NotApplicable
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.models.classifier import Classifier
from camdbench.models.zoo import load_classifier


def second_network(inputs: MetricInputs, name: str | None) -> Classifier:
    """The network of this name, frozen, on the device of the explained one, which it is without a name.

    Raises:
        UsageError: there is no such network.
        NotApplicable: it has another number of classes.
    """
    if name is None:
        return inputs.classifier
    found = load_second(name, str(inputs.classifier.device))
    return inputs.shared(("second network", name), lambda: _checked(found, inputs))


def load_second(name: str, device: str = "cpu") -> Classifier:
    """A network by name or checkpoint; loaded again if its file has changed."""
    file = Path(name)
    state = (file.stat().st_mtime_ns, file.stat().st_size) if file.is_file() else None
    return _loaded(name, device, state)


@lru_cache(maxsize=4)
def _loaded(name: str, device: str, state: tuple[int, int] | None) -> Classifier:
    del state
    with torch.random.fork_rng(devices=[]):  # layers draw initial weights
        return load_classifier(name, device=device)


def _checked(found: Classifier, inputs: MetricInputs) -> Classifier:
    with torch.no_grad():
        classes = found(inputs.images[:1]).shape[1]
    if classes != inputs.logits.shape[1]:
        raise NotApplicable(f"network {found.name} has {classes} classes, the explained network {inputs.logits.shape[1]}")
    return found
