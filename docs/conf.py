"""Configuration of the site (`tox -e docs`, or `sphinx-build -W docs docs/_build`); writes the reference pages from the registries."""

from __future__ import annotations

import re
from dataclasses import asdict
from pathlib import Path

from camdbench import __version__
from camdbench.core import registries
from camdbench.core.facts import MetricFacts
from camdbench.core.protocols import Protocol

project = "camdbench"
author = "camdbench contributors"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click"]
html_theme = "furo"
html_title = f"camdbench {release}"
exclude_patterns = ["_build"]
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
myst_enable_extensions = ["deflist"]
myst_heading_anchors = 3

HERE = Path(__file__).parent


def protocol_table(protocols: tuple[Protocol, ...]) -> list[str]:
    """Markdown table of a metric's protocols; switches that none of them sets are left out."""
    if not protocols:
        return []
    rows = [{**protocol.switches, **protocol.options, "paper": protocol.paper} for protocol in protocols]
    names = [name for name in dict.fromkeys(name for row in rows for name in row) if any(row.get(name, "") != "" for row in rows)]
    lines = [f"| protocol | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for protocol, row in zip(protocols, rows, strict=True):
        lines.append(f"| `{protocol.name}` | {' | '.join(str(row.get(name, '')) for name in names)} |")
    return lines


def write_reference(kind: str, registry: registries.Registry) -> None:
    """Write the page of a registry, with the facts that `camdbench list KIND NAME` shows."""
    lines = [f"# {kind.capitalize()}", ""]
    for entry in registry:
        called = ", ".join(["EXPLAINER"] * entry.wraps + [f"{option.name}={option.default!r}" for option in entry.options])
        facts = {key.replace("_", " "): value for key, value in asdict(entry.facts).items() if value not in ((), "", False)}
        for shown in ("protocols", "formula"):  # shown by the table below and by the docstring
            facts.pop(shown, None)
        if "differs" in facts:
            facts["differs"] = tuple(
                f"{other.who} {other.what}" + f" ({other.effect})" * bool(other.effect) for other in entry.facts.differs
            )
        if isinstance(entry.facts, MetricFacts):
            facts.pop("higher_is_better", None)
            facts = {"direction": "higher is better" if entry.facts.higher_is_better else "lower is better"} | facts
        if "cost" in facts:
            facts["cost"] = entry.facts.cost
        text = re.sub(r"\.\. math:: (.+)", r"```{math}\n\1\n```", entry.doc)
        lines += [f"## {entry.name}", "", f"`{entry.name}({called})`" if called else f"`{entry.name}`", "", text, ""]
        lines += [f"- **{key}**: {', '.join(map(str, value)) if isinstance(value, tuple) else value}" for key, value in facts.items()]
        lines += ["", *protocol_table(entry.protocols), ""]
    folder = HERE / "reference"
    folder.mkdir(exist_ok=True)
    (folder / f"{kind}.md").write_text("\n".join(lines), encoding="utf-8")


for name, kind in (
    ("explainers", registries.explainers),
    ("metrics", registries.metrics),
    ("datasets", registries.datasets),
    ("losses", registries.losses),
):
    write_reference(name, kind)
