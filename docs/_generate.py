"""Reference pages: one for each explainer, metric, loss, data set, model family and recipe, from the registries."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from _docstrings import cell
from _index_pages import dataset_index, explainer_index, loss_index, metric_index, model_index, recipe_index
from _model_pages import families, model_page
from _page_text import Extras, Reference, dataset_page, explainer_page, file_of, loss_page, metric_page
from _recipe_pages import recipe_page, recipes_of, tables

from camdbench.core.registries import datasets, explainers, losses, metrics
from camdbench.core.switch_values import SWITCH_MEANINGS, VALUE_MEANINGS

HERE = Path(__file__).parent
REFERENCES = HERE / "reference_tests.csv"
TIES = HERE / "ties.csv"
GUIDES = HERE / "datasets"
KINDS = ("explainers", "metrics", "losses", "datasets", "models", "recipes")  # folders of pages
_BATCH = "Quantus computes the value from maps of the whole batch; tests check its inputs, seeds and reasons, not its number"
NO_REFERENCE = {  # (kind, name) -> why there is no independent reference
    ("metrics", f"quantus:{name}"): _BATCH
    for name in (
        "AvgSensitivity",
        "Continuity",
        "MaxSensitivity",
        "RelativeInputStability",
        "RelativeOutputStability",
        "RelativeRepresentationStability",
    )
}


def pages(pictures: Mapping[str, Any] | None = None) -> dict[str, str]:
    """Markdown by path under `docs/reference`.

    Args:
        pictures: facts of drawn pictures by `KIND/NAME`, from `_pictures`; default: none.
    """
    drawn = pictures or {}
    found = {"switches.md": switch_page()}
    found["explainers/index.md"], found["metrics/index.md"] = explainer_index(), metric_index()
    found["losses/index.md"], found["datasets/index.md"] = loss_index(), dataset_index()
    found["recipes/index.md"] = recipe_index()
    for entry in explainers:
        found[f"explainers/{file_of(entry.name)}.md"] = explainer_page(entry, extras_of("explainers", entry.name, drawn))
    for entry in metrics:
        found[f"metrics/{file_of(entry.name)}.md"] = metric_page(entry, extras_of("metrics", entry.name, drawn))
    for entry in losses:
        found[f"losses/{file_of(entry.name)}.md"] = loss_page(entry, extras_of("losses", entry.name, drawn))
    for entry in datasets:
        page = dataset_page(entry, extras_of("datasets", entry.name, drawn), guide=guide_of(entry.name))
        found[f"datasets/{file_of(entry.name)}.md"] = page
    own = {name: model_page(name) for name in families()}
    found |= {f"models/{name}.md": text for name, text in own.items()}
    found["models/index.md"] = model_index({name: _first_line(text) for name, text in own.items()})
    return found | {f"recipes/{each.name}.md": recipe_page(each) for each in tables()}


def write_pages(folder: Path, pictures: Mapping[str, Any] | None = None) -> list[Path]:
    """Write the pages that are new or changed, remove those of entries that no longer exist, and return the written files."""
    written, wanted = list[Path](), pages(pictures)
    for path, text in wanted.items():
        file = folder / path
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
            written.append(file)
    for file in folder.glob("*/*.md"):
        path = file.relative_to(folder)
        if path.parts[0] in KINDS and path.as_posix() not in wanted:
            file.unlink()
    return written


def extras_of(kind: str, name: str, pictures: Mapping[str, Any]) -> Extras:
    """Facts of an entry that its decorator does not state."""
    drawn = pictures.get(f"{kind}/{name}", {})
    return Extras(
        references=references().get((kind, name), ()),
        recipes=recipes_of().get((kind, name), ()),
        ties=tuple(
            (" ".join(one for one in names if one != name), when) for names, when, _ in ties() if name in names and kind == "explainers"
        ),
        picture=drawn.get("text", ""),
        measured=drawn.get("cost", ""),
        unreferenced=NO_REFERENCE.get((kind, name), ""),
    )


@cache
def references() -> dict[tuple[str, str], tuple[Reference, ...]]:
    """Reference tests by kind and name, from `reference_tests.csv`; an empty file gives none."""
    found = dict[tuple[str, str], tuple[Reference, ...]]()
    if REFERENCES.is_file():
        with REFERENCES.open(encoding="utf-8", newline="") as stream:
            for row in csv.DictReader(stream):
                key = (row["kind"], row["name"])
                found[key] = (*found.get(key, ()), Reference(row["test"], row["against"]))
    return found


@cache
def ties() -> tuple[tuple[tuple[str, ...], str, str], ...]:
    """Explainers with equal maps, when, and the test that shows it, from `ties.csv`."""
    if not TIES.is_file():
        return ()
    with TIES.open(encoding="utf-8", newline="") as stream:
        return tuple((tuple(row["explainers"].split()), row["when"], row["test"]) for row in csv.DictReader(stream))


def guides() -> list[str]:
    """Data sets whose layout has a page under `docs/datasets`, which becomes a part of the generated one."""
    return [name for name in datasets.names() if (GUIDES / f"{name}.md").is_file()]


def guide_of(name: str) -> str:
    """Text of `docs/datasets/NAME.md` with its headings one level lower and its links from the generated page; empty without it."""
    file = GUIDES / f"{name}.md"
    if not file.is_file():
        return ""
    _, _, text = file.read_text(encoding="utf-8").partition("\n")
    text = re.sub(r"^(#+) ", r"#\1 ", text, flags=re.MULTILINE)
    return re.sub(r"\]\((?!https?:|#)([^)]+)\)", _moved, text).strip()


def _moved(found: re.Match[str]) -> str:
    """Link of a guide as its generated page has it: other guides are generated pages too."""
    target, _, anchor = found[1].partition("#")
    name = Path(target).stem
    path = f"{name}.md" if "/" not in target and name in datasets.names() else f"../../datasets/{target}"
    return f"]({path}{'#' if anchor else ''}{anchor})"


def switch_page() -> str:
    """Page of protocol switches, with the meaning of every value."""
    lines = ["# Values of switches", "", "Meanings of the seven switches of a [protocol](../protocols.md), as a report shows them.", ""]
    for switch, meaning in SWITCH_MEANINGS.items():
        lines += [f"## {switch}", "", f"{meaning[0].upper()}{meaning[1:]}.", "", "| value | meaning |", "| --- | --- |"]
        lines += [*(f"| `{value}` | {cell(text)} |" for value, text in VALUE_MEANINGS[switch].items()), ""]
    return "\n".join(lines)


def _first_line(page: str) -> str:
    return next(line for line in page.splitlines() if line and line[0] not in "(#")


def read_pictures(folder: Path) -> dict[str, Any]:
    """Facts of drawn pictures by `KIND/NAME`, from `pictures/pictures.json` of the folder; empty if none are drawn."""
    file = folder / "pictures" / "pictures.json"
    groups = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    return {name: facts for group in groups.values() for name, facts in group["facts"].items()}
