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
_SCRIPTS = ("d3.min.js", "plot.umd.min.js", "charts.js", "page.js")
_OF_CHARTS = ("d3", "plot", "charts")


def render(*, charts: bool = True, **content: Any) -> str:
    """Return the page. Every text is escaped, and its policy allows no request and no script but its own.

    Args:
        charts: whether the page has charts; else it is without their scripts.
        **content: what the templates show; those of sections that `sections` does not name need nothing.
    """
    scripts = [_asset(name) for name in _SCRIPTS if charts or name.partition(".")[0] not in _OF_CHARTS]
    hashes = " ".join(f"'sha256-{b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts)
    policy = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src {hashes}"
    return _environment().get_template("page.html.j2").render(**content, styles=_asset("page.css"), scripts=scripts, policy=policy)


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
