"""Identity of a network beyond its weights: its code, what it keeps in plain attributes, and its answers to two fixed images."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from camdbench.core.object_text import network_text
from camdbench.models.network_output import to_logits

if TYPE_CHECKING:
    from camdbench.models.classifier import Classifier

PROBE_TOLERANCE = 1e-3  # of the spread of the logits; devices differ by less
_CLASSES = 16  # logits of an image in the record


def network_code(network: nn.Module) -> str:
    """Hash (16 hexadecimal digits) of a network's structure and code.

    Over `repr(network)`, the plain attributes and hooks of its modules, and the code of their classes: the source of a user's
    class with its neighbours, name and version of the package of an installed one.
    """
    return hashlib.sha256(network_text(network).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def probe(classifier: Classifier, outputs: Tensor) -> list[list[float]]:
    """Logits (2, at most 16) in float32, of classes at equal distances, from the outputs (2, C) for the two probe images."""
    rows = to_logits(outputs, classifier.output).float().cpu()
    step = -(-rows.shape[1] // _CLASSES)
    return [[float(f"{value:.7g}") for value in row] for row in rows[:, ::step].tolist()]


def same_probe(first: Sequence[Sequence[float]], second: Sequence[Sequence[float]]) -> bool:
    """Whether two probes agree within 1e-3 of the spread of the first.

    >>> same_probe([[0.0, 1.0]], [[0.0, 1.0005]]), same_probe([[0.0, 1.0]], [[0.0, 1.01]])
    (True, False)
    """
    one, two = torch.tensor(first, dtype=torch.float64), torch.tensor(second, dtype=torch.float64)
    if one.shape != two.shape:
        return False
    finite = one[one.isfinite()]
    spread = float(finite.max() - finite.min()) if len(finite) else 0.0
    return torch.allclose(one, two, rtol=0, atol=PROBE_TOLERANCE * spread + 1e-9, equal_nan=True)
