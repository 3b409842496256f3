"""Configuration of the site (`tox -e docs`, or `sphinx-build -W docs docs/_build`); writes the reference pages from the registries."""

from __future__ import annotations

import re
import sys
import zlib
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory

from sphinx.application import Sphinx

import camdbench
from camdbench import __version__
from camdbench.core import registries
from camdbench.core.facts import MetricFacts
from camdbench.core.protocols import Protocol
from camdbench.core.switch_values import SWITCH_MEANINGS, VALUE_MEANINGS

project = "camdbench"
author = "camdbench contributors"
release = __version__
extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx.ext.intersphinx",
    "sphinx_click",
    "sphinx_copybutton",
    "sphinx_design",
    "sphinxext.opengraph",
]
html_theme = "furo"
html_title = f"camdbench {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
exclude_patterns = ["_build"]
smartquotes = False  # commands and options are pasted, so `--` and quotes stay as they are
autodoc_typehints = "signature"
autodoc_member_order = "bysource"
myst_enable_extensions = ["deflist", "colon_fence"]
myst_heading_anchors = 3
copybutton_prompt_text = r"\$ |>>> |\.\.\. "
copybutton_prompt_is_regexp = True
ogp_site_url = ""  # the project has no address yet
ogp_social_cards = {"enable": False}

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))

import _api  # noqa: E402  (a neighbour of this file)

# Without network, the empty inventory stands for the others: the site builds the same, without links to other libraries.
NO_INVENTORY = HERE / "reference" / "none.inv"
NO_INVENTORY.parent.mkdir(exist_ok=True)
NO_INVENTORY.write_bytes(
    b"# Sphinx inventory version 2\n# Project: none\n# Version: 0\n# The remainder of this file is compressed using zlib.\n"
    + zlib.compress(b"")
)
intersphinx_mapping = {
    name: (address, (None, str(NO_INVENTORY)))
    for name, address in {
        "python": "https://docs.python.org/3",
        "torch": "https://docs.pytorch.org/docs/stable",
        "numpy": "https://numpy.org/doc/stable",
        "pandas": "https://pandas.pydata.org/docs",
    }.items()
}
intersphinx_timeout = 5
nitpicky = True
nitpick_ignore_regex = [
    # other libraries: linked where their inventories can be read
    (r"py:.*", r"(torch|numpy|np|pandas|pd|pathlib|collections|contextlib|matplotlib)\..*|Tensor|Path|Axes"),
    # type variables, and names of unions
    (r"py:class", r"[A-Z]|Dtype|MapSource|MapsLike|Normalisation|Objective|Output|OwnFiles|Status|BatchMates|PreviewState"),
    # written without their module, as that is imported for types alone
    (r"py:.*", r"Dataset|OfModel|Progress|Request|ResultError|UnwritableFile"),
    # parts that no user makes
    (r"py:class", r"camdbench\.(metrics\.common|models|functional|trainer|papers|tables|datasets)\..*"),
]


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
_api.write_pages(HERE / "reference" / "api")
html_extra_path = ["reference/pages"]


def setup(app: Sphinx) -> None:
    """Connect the hooks of the API pages, before and after napoleon's."""
    app.connect("autodoc-process-docstring", _api.hide_colons, priority=400)
    app.connect("autodoc-process-docstring", _api.show_colons, priority=600)
    app.connect("env-check-consistency", _api.check_anchors)
