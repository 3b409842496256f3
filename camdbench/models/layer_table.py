"""`camdbench.layers`: table of the target layers of a model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from camdbench.core.references import has_reference, read_given
from camdbench.models.classifier import Classifier
from camdbench.models.own_models import build
from camdbench.models.target_layers import Layer, list_layers
from camdbench.models.zoo import load_untrained

if TYPE_CHECKING:
    import pandas as pd


def layers(model: Any, *, size: int | None = None, all: bool = False) -> pd.DataFrame:  # noqa: A002
    """Layers of a model, with the shape of their activations; no weights are needed.

    Args:
        model: a name of the zoo, a reference `FILE.py:NAME(options)`, a network, a function that returns one, or a `Classifier`.
        size: side of the images in pixels; default: the model's own.
        all: whether to include layers that cannot be explained.

    Returns:
        One row per layer: name, kind, channels, rows, columns, prefix (tokens before the patches), default, problem (empty
        if the layer can be explained).

    Raises:
        UsageError: unknown model.
    """
    import pandas as pd

    found, listed = layers_of(model, size)
    shown = [layer for layer in listed if all or not layer.problem]
    lines = [
        (own.name, own.kind, own.channels, own.height, own.width, own.prefix, own.name == found.layer, own.problem or "") for own in shown
    ]
    return pd.DataFrame(lines, columns=["name", "kind", "channels", "rows", "columns", "prefix", "default", "problem"])


def layers_of(model: Any, size: int | None) -> tuple[Classifier, list[Layer]]:
    """The classifier of a model, and all its layers for images of `size` x `size` pixels.

    Raises:
        UsageError: unknown model.
    """
    if isinstance(model, str | Path) and not has_reference(str(model)):
        found = load_untrained(str(model))
        found.output = "logits"  # of random weights, which say nothing about the kind of the outputs
    else:
        (given,) = read_given(str(model) if isinstance(model, str | Path) else [model], "model")
        found = build(given, {}, unstated={"mean": 0.0, "std": 1.0})  # shapes do not depend on these
    side = size or found.input_size
    return found, list_layers(found, (side, side))
