"""Figures as files: text as text, and equal figures as equal bytes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING, Any

from camdbench.core.written_files import write_whole

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_TEXT: dict[Any, Any] = {"svg.fonttype": "none", "pdf.fonttype": 42, "svg.hashsalt": "camdbench"}
_METADATA: dict[str, dict[str, Any]] = {"png": {"Software": None}, "pdf": {"CreationDate": None}, "svg": {"Date": None}}


def save_figure(figure: Figure, path: Path, dpi: int) -> Path:
    """Write a figure by the suffix of its file, .png, .pdf or .svg; return the file.

    Raises:
        CamdbenchError: it cannot be written.
    """
    write_whole(path, figure_bytes(figure, path.suffix.lower()[1:], dpi))
    return path


def figure_bytes(figure: Figure, form: str, dpi: int) -> bytes:
    """Encode a figure as `png`, `pdf` or `svg`."""
    from matplotlib import rc_context

    content = io.BytesIO()
    with rc_context(_TEXT):
        figure.savefig(content, format=form, dpi=dpi, metadata=_METADATA[form])
    return content.getvalue()
