"""The HTML of a report: templates, styles and scripts in one text."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment

_HOME = Path(__file__).parent
_SCRIPTS = (
    "d3.min",
    "plot.umd.min",
    "tools",
    "tables",
    "chart_parts",
    "charts",
    "curve_chart",
    "cost_chart",
    "sweep_chart",
    "image_facts",
    "image_parts",
    "map_values",
    "image_view",
    "browser",
    "page",
)
_OF_CHARTS = ("d3.min", "plot.umd.min", "chart_parts", "charts", "curve_chart", "cost_chart", "sweep_chart")
_STYLES = ("page.css", "charts.css")


def render(*, in_files: bool = False, charts: bool = True, **content: Any) -> str:
    """Return the page. Every text is escaped, and its policy allows no request and no script but its own.

    Args:
        in_files: whether pictures are files beside the page, which may add scripts with the details of images.
        charts: whether the page has charts; else it is without their scripts.
        **content: what the templates show; those of sections that `sections` does not name need nothing.
    """
    scripts = [_asset(f"{name}.js") for name in _SCRIPTS if charts or name not in _OF_CHARTS]
    hashes = " ".join(f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts)
    pictures, further = ("data: 'self' file:", " 'strict-dynamic'") if in_files else ("data:", "")
    policy = f"default-src 'none'; img-src {pictures}; style-src 'unsafe-inline'; script-src {hashes}{further}"
    styles = "".join(map(_asset, _STYLES))
    return _environment().get_template("page.html.j2").render(**content, styles=styles, scripts=scripts, policy=policy)


@cache
def _asset(name: str) -> str:
    return (_HOME / "assets" / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    from camdbench.core.signs import visible

    found = Environment(
        loader=FileSystemLoader(_HOME / "templates"), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    found.filters["visible"] = visible
    return found
