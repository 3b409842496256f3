"""Pages of explainers, metrics, losses and data sets: registry entry -> Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from _docstrings import Docstring, cell, literal, one_line, prose, read_docstring, table, type_in_words
from _option_text import meaning_of

from camdbench.core.facts import DatasetFacts, ExplainerFacts, LossFacts, MetricFacts
from camdbench.core.metric_audit import audit_lines
from camdbench.core.registry_entry import Entry
from camdbench.core.switch_values import SWITCH_MEANINGS, VALUE_MEANINGS

NORMALISATIONS = {
    "range": "the raw map minus its minimum, divided by its range",
    "max": "the positive part of the raw map, divided by its maximum",
    "sigmoid": "the sigmoid of the raw map",
    "none": "the raw map already is a mask in [0, 1]",
    "wrapped": "that of the explainer in the brackets",
}
OBJECTIVES = {
    "any": "any [objective](../../objectives.md)",
    "linear": "[objectives](../../objectives.md) that are linear in the logits",
    "logit": "the logit of the class, by definition",
}
NO_PARTS = "The images of the package have no parts, so this page has no picture: [FunnyBirds](../datasets/funnybirds.md) has them."
DIRECTIONS = {True: "higher is better", False: "lower is better", None: "not stated: values are not ranked"}


@dataclass(frozen=True)
class Reference:
    """What an entry is tested against.

    Attributes:
        test: `FILE.py::TEST` under `tests/`.
        against: independent implementation, formula or value.
    """

    test: str
    against: str


@dataclass(frozen=True)
class Extras:
    """Facts of an entry that its decorator does not state.

    Attributes:
        references: tests against independent references.
        recipes: recipes that use the entry.
        ties: explainers with an equal map, and when.
        picture: Markdown of the picture with its values; empty if none is drawn.
        measured: counted image passes; empty if not counted.
        unreferenced: why there is no reference test; empty if there is one.
    """

    references: tuple[Reference, ...] = ()
    recipes: tuple[str, ...] = ()
    ties: tuple[tuple[str, str], ...] = ()
    picture: str = ""
    measured: str = ""
    unreferenced: str = ""


@dataclass
class _Page:
    """Lines of a page with its head."""

    lines: list[str] = field(default_factory=list[str])

    def add(self, *lines: str) -> None:
        self.lines += [*lines, ""]

    def section(self, title: str, lines: Iterable[str]) -> None:
        """Add a section unless it is empty."""
        if found := list(lines):
            self.add(f"## {title}", "", *found)

    def text(self) -> str:
        return "\n".join(self.lines).rstrip() + "\n"


def file_of(name: str) -> str:
    """File name of an entry's page, without suffix.

    >>> file_of("captum:Lime")
    'captum-Lime'
    """
    return name.replace(":", "-").replace("/", "-")


def link(kind: str, name: str) -> str:
    """Link from a page of an entry to that of another one."""
    return f"[`{name}`](../{kind}/{file_of(name)}.md)"


def explainer_page(entry: Entry[ExplainerFacts], extras: Extras) -> str:
    """Page of an explainer."""
    facts, doc = entry.facts, read_docstring(entry.doc)
    page = _head("explainers", entry, doc, facts.formula)
    page.section("Maps", [extras.picture] if extras.picture else [])
    page.section("Details", [doc.text] if doc.text else [])
    switches = [option.name for option in entry.options if isinstance(option.default, bool)]
    page.section(
        "Facts",
        _facts(
            {
                "raw map": doc.returns,
                "range": facts.values and f"{cell(facts.values)} with default options",
                "mask": NORMALISATIONS[facts.normalisation],
                "needs": _needs(facts.needs),
                "refuses": cell(facts.refuses),
                "objectives": OBJECTIVES[facts.objective],
                "cost, declared": facts.cost and cell(facts.cost.describe(switches)),
                "passes at the defaults": facts.cost and not entry.wraps and str(facts.cost.passes(entry.defaults())),
                "cost, counted": extras.measured,
                "random numbers": "seeded by seed and image" if facts.stochastic else "none",
                "completeness": facts.completeness and cell(facts.completeness),
                "unstable": _unstable(facts.unstable),
                "control": facts.control and "a baseline that a method should beat; not ranked",
                "other names": ", ".join(f"`{alias}`" for alias in facts.aliases),
            }
        ),
    )
    _signature(page, entry, doc, "EXPLAINER")
    page.section(
        "Ties",
        table(
            ("equal map", "when"),
            [(", ".join(f"[`{one}`]({file_of(one)}.md)" for one in names.split()), cell(when)) for names, when in extras.ties],
        )
        if extras.ties
        else [],
    )
    _foot(page, entry, doc, extras)
    used = f"{entry.name}(gradcam)" if entry.wraps else entry.name
    page.section("Use", ["```", f"camdbench run --explainers {_quoted(used)} --metrics ad,ag", "```"])
    return page.text()


def metric_page(entry: Entry[MetricFacts], extras: Extras) -> str:
    """Page of a metric."""
    facts, doc = entry.facts, read_docstring(entry.doc)
    page = _head("metrics", entry, doc, facts.formula, f"**{DIRECTIONS[facts.higher_is_better].capitalize()}.**")
    page.section("Values", [extras.picture or NO_PARTS] if extras.picture or "parts" in facts.needs else [])
    page.section("Details", [doc.text] if doc.text else [])
    page.section(
        "Facts",
        _facts(
            {
                "direction": DIRECTIONS[facts.higher_is_better],
                "values": doc.returns,
                "range": cell(facts.values),
                "unit": {"%": "per cent", "": "none"}.get(facts.unit, facts.unit),
                "tolerance": f"{facts.tolerance:g}: a larger change of a mean is reported by [`camdbench check`](../../regression.md)",
                "value of": "the network alone, computed once" if facts.scope == "model" else "a map of an image",
                "needs": _needs(facts.needs),
                "explains again": _again(facts.explains, facts.references),
                "undefined": facts.undefined and f"if {cell(facts.undefined)}",
                "cost": extras.measured,
                "other names": ", ".join(f"`{alias}`" for alias in facts.aliases),
            }
        ),
    )
    page.section("Protocols", _protocols(entry))
    _signature(page, entry, doc, "")
    page.section("Audit", _audit(entry.name))
    _foot(page, entry, doc, extras)
    explainer = "none" if facts.scope == "model" else "gradcam"
    page.section("Use", ["```", f"camdbench run --explainers {explainer} --metrics {_quoted(entry.name)}{_more(facts)}", "```"])
    return page.text()


def loss_page(entry: Entry[LossFacts], extras: Extras) -> str:
    """Page of a loss."""
    facts, doc = entry.facts, read_docstring(entry.doc)
    page = _head("losses", entry, doc, facts.formula, "**Lower is better.**")
    page.section("Details", [doc.text] if doc.text else [])
    page.section("Facts", _facts({"values": doc.returns, "needs": _needs(facts.needs)}))
    _signature(page, entry, doc, "")
    _foot(page, entry, doc, extras)
    page.section("Use", ["```", f"camdbench train --loss {_quoted(entry.name)} --out runs/{file_of(entry.name)}", "```"])
    return page.text()


def dataset_page(entry: Entry[DatasetFacts], extras: Extras, *, guide: str) -> str:
    """Page of a data set; `guide` is Markdown on its layout on disk; empty if there is none."""
    facts, doc = entry.facts, read_docstring(entry.doc)
    page = _head("datasets", entry, doc, "")
    page.section("Details", [doc.text] if doc.text else [])
    page.section(
        "Facts",
        _facts(
            {
                "splits": ", ".join(f"`{split}`" for split in facts.splits) or "none",
                "annotations": _needs(facts.gives) if facts.gives else "class of the image",
                "if present": ", ".join(cell(one) for one in facts.optional),
                "read from": "a folder, `--data-root`" if facts.on_disk else "the package",
                "licence": cell(facts.licence),
                "source": cell(facts.source),
                "download": "by torchvision, with `--download`" if facts.download else facts.on_disk and "by hand, from the source",
                "copies in reports": facts.no_copies and f"none unless asked for: {cell(facts.no_copies)}",
            }
        ),
    )
    _signature(page, entry, doc, "DATASET")
    page.section("Layout", [guide] if guide else [])
    _foot(page, entry, doc, extras)
    return page.text()


def _head(kind: str, entry: Entry[Any], doc: Docstring, formula: str, note: str = "") -> _Page:
    page = _Page()
    page.add(f"({kind}-{file_of(entry.name).lower()})=", f"# {entry.name}")
    page.add(doc.summary)
    if formula:
        page.add("```{math}", formula, "```")
    if note:
        page.add(note)
    if entry.facts.paper:
        page.add(f"Definition: {prose(entry.facts.paper)}.")
    return page


def _foot(page: _Page, entry: Entry[Any], doc: Docstring, extras: Extras) -> None:
    page.section("Errors", table(("error", "reason"), [(f"`{name}`", cell(why)) for name, why in doc.raises.items()]) if doc.raises else [])
    differs = getattr(entry.facts, "differs", ())
    rows = [(cell(one.who), cell(one.what), cell(one.effect or "not known")) for one in differs]
    page.section("How implementations differ", table(("implementation", "what it does", "effect on its values"), rows) if rows else [])
    tested = [(cell(one.against), f"`tests/{one.test}`") for one in extras.references]
    reference = table(("held against", "test"), tested) if tested else [f"None: {extras.unreferenced}."] * bool(extras.unreferenced)
    page.section("Reference", reference)
    page.section("Recipes", [", ".join(link("recipes", name) for name in extras.recipes)] if extras.recipes else [])


def _signature(page: _Page, entry: Entry[Any], doc: Docstring, wrapped: str) -> None:
    given = [wrapped] * entry.wraps + [f"{option.name}={option.default!r}" for option in entry.options]
    lines = ["```python", _folded(f'"{entry.name}"' if ":" in entry.name else entry.name, given), "```", ""]
    if entry.wraps:
        lines += [f"`{wrapped}` is another {'data set' if wrapped == 'DATASET' else 'explainer'} with its options.", ""]
    if entry.options:
        rows = [
            (
                f"`{option.name}`",
                cell(type_in_words(option.annotation)),
                cell(literal(option.default)),
                meaning_of(entry.name, option.name, doc),
            )
            for option in entry.options
        ]
        lines += table(("option", "type", "default", "meaning"), rows)
    page.section("Options", lines)


def _folded(name: str, given: list[str]) -> str:
    """A call, on one line if it fits 100 characters."""
    flat = f"{name.strip(chr(34))}({', '.join(given)})" if given else name.strip('"')
    return flat if len(flat) <= 100 else "\n".join([f"{name.strip(chr(34))}(", *(f"    {one}," for one in given), ")"])


def _protocols(entry: Entry[MetricFacts]) -> list[str]:
    known = entry.protocols
    rows = []
    for at, one in enumerate(known):
        options = ", ".join(f"`{name}={value!r}`" for name, value in one.options.items())
        name = f"`{one.name}`" + (" (default)" if at == 0 else "")
        rows.append((name, cell(one.paper or entry.facts.paper), options or "defaults"))
    lines = table(("protocol", "convention of", "options"), rows)
    switched = []
    for switch in SWITCH_MEANINGS:
        values = dict.fromkeys(one.switches[switch] for one in known)
        for value in values:
            if value:
                where = [f"`{one.name}`" for one in known if one.switches[switch] == value]
                meaning = VALUE_MEANINGS[switch].get(value, "")
                owner = "all" if len(where) == len(known) else ", ".join(where)
                switched.append((f"[{switch}](../switches.md#{switch.replace('_', '-')})", f"`{value}`", cell(meaning), owner))
    return [*lines, *table(("switch", "value", "meaning", "protocols"), switched)]


def _audit(metric: str) -> list[str]:
    lines = audit_lines(metric)
    if not lines:
        return []
    why = "Kendall's tau of the metric's order of explainers with a measured truth, on networks that differ in their training data"
    return [f"{why}; see [what to believe](../../believe.md).", "", *(f"- {cell(line)}" for line in lines)]


def _facts(found: Mapping[str, object]) -> list[str]:
    return table(("fact", "value"), [(name, str(value)) for name, value in found.items() if value])


_NEEDS = {
    "layer": "a target layer",
    "gradients": "a differentiable network",
    "linear head": "global average pooling and a linear layer",
    "explainer": "the explainer, to explain altered images",
    "mosaic": "mosaics of several images, by the data set `grid(…)`",
    "backgrounds": "the class of the background",
    "scenes": "the image without its object",
    "second network": "a second network, given by an option",
    "class masks": "a mask for each class of the image",
}


def _again(explains: int | str, references: int | str) -> str:
    count = f"`{explains}`" if isinstance(explains, str) else str(explains)
    found = [f"{count} altered version{'' if explains == 1 else 's'} of each image"] if explains else []
    found += [f"once in a run, `{references}` + 1 other images"] if references else []
    return ", and ".join(found)


def _needs(needs: Iterable[str]) -> str:
    return ", ".join(_NEEDS.get(one, one) for one in needs) or "images and logits"


def _unstable(option: tuple[str | bool, ...]) -> str:
    if not option:
        return ""
    name, *values = option
    return f"with `{name}` = {' or '.join(literal(one) for one in values)} single values depend on batch and processor"


def _more(facts: MetricFacts) -> str:
    return " --dataset 'grid(shortcuts)'" if "mosaic" in facts.needs else ""


def _quoted(text: str) -> str:
    return f"'{text}'" if set(text) & set("():") else text


def first_sentence(entry: Entry[Any]) -> str:
    """The summary for a table."""
    return cell(one_line(entry.summary))
