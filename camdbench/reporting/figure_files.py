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
    from matplotlib import rc_context

    content, form = io.BytesIO(), path.suffix.lower()[1:]
    with rc_context(_TEXT):
        figure.savefig(content, format=form, dpi=dpi, metadata=_METADATA[form])
    write_whole(path, content.getbuffer())
    return path
