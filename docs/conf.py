"""Configuration of the site (`tox -e docs`, or `sphinx-build -W docs docs/_build`); writes the reference pages from the registries."""

from __future__ import annotations

import re
import sys
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

import camdbench
from camdbench import __version__
from camdbench.core import registries
from camdbench.core.facts import MetricFacts
from camdbench.core.protocols import Protocol
from camdbench.core.switch_values import SWITCH_MEANINGS, VALUE_MEANINGS

sys.path.insert(0, str(Path(__file__).parent))

from _gallery import sphinx_gallery_conf  # noqa: F401  (a neighbour of this file)

project = "camdbench"
author = "camdbench contributors"
release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_click", "sphinx_gallery.gen_gallery", "_gallery"]
html_theme = "furo"
html_title = f"camdbench {release}"
exclude_patterns = ["_build", "examples", "gallery/backreferences"]
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
        called = ", ".join(
            ["DATASET" if kind == "datasets" else "EXPLAINER"] * entry.wraps
            + [f"{option.name}={option.default!r}" for option in entry.options]
        )
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


def write_switches() -> None:
    """Write the page of protocol switches, with the meaning of every value."""
    lines = ["# Values of switches", "", "Meanings of the seven switches of a [protocol](../protocols.md), as a report shows them.", ""]
    for switch, meaning in SWITCH_MEANINGS.items():
        lines += [f"## {switch}", "", f"{meaning[0].upper()}{meaning[1:]}.", "", "| value | meaning |", "| --- | --- |"]
        lines += [*(f"| `{value}` | {text} |" for value, text in VALUE_MEANINGS[switch].items()), ""]
    (HERE / "reference" / "switches.md").write_text("\n".join(lines), encoding="utf-8")


def write_report() -> None:
    """Write the report of a small run, which the page on reports links: seconds, as the network and the images are in the package."""
    with TemporaryDirectory() as folder:
        run = Path(folder, "example")
        camdbench.run("gradcam,opticam(iterations=20),saliency,uniform", "ad,ag,insertion,pointing", limit=16, out=run, progress=False)
        camdbench.report(run, out=HERE / "reference" / "pages" / "report-example.html")


for name, kind in (
    ("explainers", registries.explainers),
    ("metrics", registries.metrics),
    ("datasets", registries.datasets),
    ("losses", registries.losses),
):
    write_reference(name, kind)
write_switches()
write_report()
html_extra_path = ["reference/pages"]
