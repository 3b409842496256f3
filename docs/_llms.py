"""llms.txt, a list of the pages with a sentence each, and llms-full.txt, the Markdown of all pages: for language models (llmstxt.org)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any


def title_and_sentence(text: str) -> tuple[str, str]:
    """Heading of a Markdown page, and the first line of its first paragraph."""
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    plain = re.sub(r"^(`{3,}|:{3,}).*?^\1$", "", text, flags=re.MULTILINE | re.DOTALL)
    first = re.search(r"^(?![#|:<>`\-*!])\S.*$", plain, re.MULTILINE)
    return (title[1] if title else ""), (first[0] if first else "")


def texts(pages: Iterable[tuple[str, str]], summary: str) -> tuple[str, str]:
    """Contents of llms.txt and llms-full.txt from names and Markdown of pages."""
    listed, full = [f"# camdbench\n\n> {summary}\n\n## Pages\n"], list[str]()
    for name, text in pages:
        title, sentence = title_and_sentence(text)
        listed.append(f"- [{title}](_sources/{name}.md.txt)" + f": {sentence}" * bool(sentence))
        full.append(f"<!-- {name} -->\n\n{text.strip()}\n")
    return "\n".join([*listed, ""]), "\n".join(full)


def write(app: Any, error: Exception | None) -> None:
    """Hook `build-finished`: write both files beside the pages."""
    if error is not None or app.builder.format != "html":
        return
    found = [(name, Path(app.env.doc2path(name))) for name in sorted(app.env.found_docs)]
    pages = [(name, path.read_text(encoding="utf-8")) for name, path in found if path.suffix == ".md"]
    listed, full = texts(pages, "Benchmark suite for visual explanations of image classifiers.")
    Path(app.outdir, "llms.txt").write_text(listed, encoding="utf-8")
    Path(app.outdir, "llms-full.txt").write_text(full, encoding="utf-8")
