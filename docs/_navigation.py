"""Navigation beside a page: all sections, and the pages of its own section."""

from __future__ import annotations

from typing import Any


def collapse(_app: Any, _page: str, _template: str, context: dict[str, Any], _doctree: Any) -> None:
    """Hook `html-page-context`, before the theme's: entries of other sections, some 400, are on their own pages only."""
    if "toctree" in context:
        whole = context["toctree"]
        context["toctree"] = lambda **options: whole(**options | {"collapse": True})
