"""Stated facts of everything registered: a default, a cost or a direction changes on purpose only (pytest --force-regen)."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import pytest
from helpers.each import each
from pytest_regressions.file_regression import FileRegressionFixture

from camdbench.core.registries import explainers, losses, metrics

OF_KIND = {
    "explainers": ("cost", "needs", "normalisation", "control", "stochastic", "values"),
    "metrics": ("higher_is_better", "unit", "values", "tolerance", "needs", "scope"),
    "losses": ("needs",),
}


def short(value: Any) -> str:
    """A value; of a cost the counts that are not zero."""
    if isinstance(value, tuple):
        return f"({', '.join(map(short, value))})"
    if not hasattr(value, "forward"):
        return repr(value)
    stated = {field.name: getattr(value, field.name) for field in fields(value)}
    return f"[{', '.join(f'{name} {short(one)}' for name, one in stated.items() if one)}]"


@pytest.mark.parametrize("kind", OF_KIND)
def test_defaults_and_facts_are_the_recorded_ones(kind: str, file_regression: FileRegressionFixture) -> None:
    lines = []
    for entry in {"explainers": explainers, "metrics": metrics, "losses": losses}[kind]:
        options = ", ".join(f"{option.name}={option.default!r}" for option in entry.options)
        facts = ", ".join(f"{name} {short(getattr(entry.facts, name))}" for name in OF_KIND[kind])
        protocols = "".join(f"; {protocol.name} {protocol.digest(entry.name)}" for protocol in entry.protocols)
        lines.append(f"{entry.name}({options}): {facts}{protocols}\n")
    file_regression.check("".join(sorted(lines)), extension=".txt", basename=kind)


@each("name", [name for name in metrics.names() if not name.startswith("quantus:")])
def test_a_direction_is_the_docstring_s(name: str) -> None:
    entry = metrics.get(name)
    said = {"higher is better": True, "lower is better": False}
    assert [direction for words, direction in said.items() if words in entry.doc] == [entry.facts.higher_is_better]
