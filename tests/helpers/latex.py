"""Whether LaTeX takes a table, and whether it fits the page."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

_PACKAGES = r"\usepackage[T1]{fontenc}\usepackage{booktabs}\usepackage{graphicx}"


def _has_latex() -> bool:
    if not shutil.which("pdflatex") or not shutil.which("kpsewhich"):
        return False
    return subprocess.run(["kpsewhich", "booktabs.sty", "graphicx.sty"], capture_output=True, check=False).returncode == 0


needs_latex = pytest.mark.skipif(not _has_latex(), reason="needs LaTeX with booktabs")


def assert_compiles(tables: str, folder: Path) -> None:
    """Fail where pdflatex does, where a table is wider or longer than the page, and where a character has no glyph."""
    (folder / "t.tex").write_text(rf"\documentclass{{article}}{_PACKAGES}\begin{{document}}{tables}\end{{document}}", encoding="utf-8")
    command = ["pdflatex", "-draftmode", "-interaction=nonstopmode", "-halt-on-error", "t.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-800:]
    log = (folder / "t.log").read_text(encoding="utf-8", errors="replace")
    for trouble in ("Overfull", "Float too large", "Missing character"):
        assert trouble not in log, log[log.index(trouble) - 200 : log.index(trouble) + 200]
