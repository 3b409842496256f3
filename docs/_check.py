"""Check of a built site: `python docs/_check.py SITE` after `sphinx-build docs SITE`.

It fails if an entry lacks a page, a direction, a formula, a picture or a reference, if a link leads nowhere, or if the site
is larger than 60 MB.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

sys.path.insert(0, str(Path(__file__).parent))

from _generate import KINDS, NO_REFERENCE, read_pictures, references
from _model_pages import families
from _page_text import file_of

from camdbench.core.registries import datasets, explainers, losses, metrics
from camdbench.papers.recipe_files import recipe_files

LARGEST = 40  # MB; most of it figures of examples and pictures
_REGISTRIES = {"explainers": explainers, "metrics": metrics, "losses": losses, "datasets": datasets}
_DIRECTIONS = {True: "Higher is better.", False: "Lower is better.", None: "Not stated: values are not ranked."}


class _Links(HTMLParser):
    """Targets of links and pictures, and anchors, of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.targets, self.anchors = list[str](), set[str]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self.anchors |= {str(found[name]) for name in ("id", "name") if found.get(name)}
        self.targets += [str(found[name]) for name in ("href", "src") if found.get(name) and tag in ("a", "img")]


@cache
def _links(page: Path) -> _Links:
    found = _Links()
    found.feed(page.read_text(encoding="utf-8"))
    return found


def entries() -> dict[str, list[str]]:
    """Names by kind."""
    return {kind: registry.names() for kind, registry in _REGISTRIES.items()} | {"models": families(), "recipes": list(recipe_files())}


def lacking(site: Path) -> Iterator[str]:
    """What entries lack, one line each."""
    for kind in KINDS:
        for name in entries()[kind]:
            page = site / "reference" / kind / f"{file_of(name)}.html"
            if not page.is_file():
                yield f"{kind} {name}: no page"
            elif kind in _REGISTRIES:
                yield from (f"{kind} {name}: no {what}" for what in _missing(kind, name, page.read_text(encoding="utf-8")))


def _missing(kind: str, name: str, html: str) -> Iterator[str]:
    facts = _REGISTRIES[kind].get(name).facts
    if kind == "metrics" and _DIRECTIONS[facts.higher_is_better] not in html:
        yield "direction"
    if kind != "datasets" and "<math" not in html:
        yield "formula"
    if kind in ("explainers", "metrics") and "_images/" not in html and "parts" not in facts.needs:  # no embedded image has parts
        yield "picture"
    if (kind, name) not in references() and (kind, name) not in NO_REFERENCE:
        yield "reference"


def broken(site: Path) -> Iterator[str]:
    """Links inside the site whose page, file or anchor does not exist."""
    for page in sorted(site.rglob("*.html")):
        for target in dict.fromkeys(_links(page).targets):
            path, _, anchor = target.partition("#")
            if "://" in target or target.startswith(("mailto:", "data:", "javascript:")):
                continue
            file = page if not path else (page.parent / unquote(path).partition("?")[0]).resolve()
            if not file.exists():
                yield f"{page.relative_to(site)}: {target}: no such file"
            elif anchor and file.suffix == ".html" and unquote(anchor) not in _links(file).anchors:
                yield f"{page.relative_to(site)}: {target}: no such anchor"


def size(site: Path) -> float:
    """Size in MB, without the pickled documents."""
    return sum(file.stat().st_size for file in site.rglob("*") if file.is_file() and ".doctrees" not in file.parts) / 1e6


def main(site: Path) -> int:
    """Print problems and counts; 1 if there are problems."""
    problems = [*lacking(site), *broken(site)]
    if (megabytes := size(site)) > LARGEST:
        problems.append(f"{megabytes:.0f} MB, more than {LARGEST}")
    counts = ", ".join(f"{len(names)} {kind}" for kind, names in entries().items())
    drawn = len([one for one in read_pictures(Path(__file__).parent / "reference").values() if one["text"]])
    tested = f"{len(references())} entries with a reference test, {len(NO_REFERENCE)} without"
    sys.stdout.write("".join(f"{line}\n" for line in [*problems, counts, tested, f"{drawn} pictures", f"{megabytes:.1f} MB"]))
    return min(len(problems), 1)


if __name__ == "__main__":
    raise SystemExit(main(Path(sys.argv[1])))
