"""The facts of a classifier as a table for notebooks."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

from torch import Tensor

if TYPE_CHECKING:
    from camdbench.models.classifier import Classifier


def facts_as_html(classifier: Classifier) -> str:
    """Name, network, layer, normalisation, classes and results of the checks as an HTML table."""
    names = classifier.class_names
    facts = {
        "name": classifier.name,
        "network": type(classifier.network).__name__,
        "layer": classifier.layer,
        "input": f"{classifier.input_size} px",
        "mean": _numbers(classifier.mean),
        "std": _numbers(classifier.std),
        "classes": ", ".join(names[:5]) + (f" … ({len(names)})" if len(names) > 5 else ""),
        "output": classifier.output or "logits",
        "device": classifier.device,
        "checks": "; ".join(str(check.record()) for check in classifier.checks.values()) or "at first use",
    }
    return "<table>" + "".join(f"<tr><th>{escape(name)}</th><td>{escape(str(fact))}</td></tr>" for name, fact in facts.items()) + "</table>"


def _numbers(values: Tensor) -> str:
    return ", ".join(f"{value:.4g}" for value in values.flatten().tolist())
