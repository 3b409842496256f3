"""Pages of the Python API under its public names: what `camdbench.__all__` holds, in groups, and what public functions return.

`write_pages` is called by conf.py; tests/test_site.py checks that every public name is in exactly one group.
"""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes

import camdbench


class Group(NamedTuple):
    """A page of the API.

    Attributes:
        title: heading of the page.
        intro: sentence under it.
        names: public names, in the order of the page.
        returned: classes that have no public name, as public functions return them or take them.
    """

    title: str
    intro: str
    names: tuple[str, ...]
    returned: tuple[str, ...] = ()


GROUPS = {
    "benchmarks": Group(
        "Benchmarks",
        "Run explainers and metrics over a data set, score maps that exist, and reproduce tables of papers.",
        ("run", "score", "evaluate", "reproduce", "RunConfig", "Resources"),
        (
            "tables.result_rows.Rows",
            "core.progress.Progress",
            "papers.reproduce.Reproduction",
            "papers.agreement.CellComparison",
            "papers.agreement.OurValue",
        ),
    ),
    "tables": Group(
        "Tables and reports",
        "Read the rows of finished runs, summarise and compare them, and write reports.",
        ("load_rows", "load_cells", "summarise", "compare", "check", "audit", "report"),
        (
            "tables.cell_values.Cells",
            "core.row.Row",
            "tables.pool.Pooled",
            "tables.seed_variance.seed_spread",
            "tables.golden.GoldenComparison",
            "auditing.audit.AuditTables",
            "reporting.report.ReportPage",
        ),
    ),
    "networks": Group(
        "Networks and maps",
        "Wrap a network, look at its layers, and explain images.",
        (
            "classifier",
            "load_classifier",
            "zero_shot",
            "optimised",
            "layers",
            "explain",
            "captum",
            "cam",
            "reuse_freed_memory",
            "Classifier",
            "Explanation",
            "Explanations",
        ),
        ("models.scored_outputs.with_region", "models.scored_outputs.with_similarity"),
    ),
    "data": Group(
        "Data",
        "Data in any usual form; [your own data](../../datasets/own.md) lists the forms and their rules.",
        ("data", "Sample", "Batch"),
        ("datasets.samples.Dataset", "datasets.samples.Interventions", "functional.file_boxes.FileBoxes"),
    ),
    "training": Group(
        "Training",
        "Train networks with guided losses, retrain without pixels, and train segmentation heads.",
        ("train", "roar", "probe", "TrainingStep", "LossResult"),
        (
            "trainer.run_state.Epoch",
            "trainer.loop.StepProgress",
            "trainer.training_previews.Preview",
            "trainer.roar.RoarProgress",
            "trainer.roar.Training",
            "trainer.probe.ProbeResult",
            "trainer.tasks.segmentation_score.SegmentationScore",
            "trainer.tasks.segmenter.load_segmenter",
        ),
    ),
    "plugins": Group(
        "Plug-ins",
        "Five decorators register a function under a name; facts are keyword arguments. `CONTRIBUTING.md` has a complete file for each.",
        (
            "explainer",
            "metric",
            "dataset",
            "model",
            "loss",
            "metric_of",
            "Trace",
            "MetricInputs",
            "MetricResult",
            "Curve",
            "Protocol",
            "Cost",
            "Repeat",
        ),
        (
            *(f"core.facts.{kind}Facts" for kind in ("Explainer", "Metric", "Dataset", "Model", "Loss")),
            "core.difference.Difference",
            "core.map_sum.Completeness",
        ),
    ),
    "errors": Group(
        "Errors",
        "Messages name the thing, the value and the fix on one line.",
        ("CamdbenchError", "UsageError", "SampleError", "NotApplicable"),
    ),
}
DECORATORS = {  # public name -> what a function becomes, and the class of its facts
    "explainer": ("an explainer", "ExplainerFacts"),
    "metric": ("a metric", "MetricFacts"),
    "dataset": ("a data set", "DatasetFacts"),
    "model": ("a model", "ModelFacts"),
    "loss": ("a training loss", "LossFacts"),
}
OPTIONS = {  # of autodoc, where the defaults do not fit
    "Classifier": ":members: frozen, captured, replay, weights_hash",
    "Explanation": ":members: show, save, numpy, probabilities",
    "Explanations": ":members: show, save",
    "MetricInputs": ":members:",
    "Protocol": ":members: variant, digest",
    "TrainingStep": ":members: main_pass, extra_pass, images, labels, logits, masks, class_masks, present, known_labels, trace",
    "Trace": ":members:\n   :inherited-members:",
    "tables.cell_values.Cells": ":members: n_failed, n_not_applicable, n_undefined, n_constant, select, select_images",
    "tables.result_rows.Rows": ":members: directory, summary",
}


def first_line(name: str) -> str:
    """First line of the docstring of a public object."""
    if name in DECORATORS:
        return f"Decorator: register a function as {DECORATORS[name][0]}."
    return (inspect.getdoc(getattr(camdbench, name)) or "").partition("\n")[0]


def directive(name: str) -> list[str]:
    """Lines of the autodoc directive of an object: a public name, or a path inside the package."""
    if name in DECORATORS:
        what, facts = DECORATORS[name]
        text = f"Register a function as {what}, under `name`. The facts are those of :class:`~camdbench.core.facts.{facts}`."
        return [f".. py:decorator:: camdbench.{name}(name, **facts)", "", f"   {text}", ""]
    value = _resolve(name)
    kind = "function"
    if inspect.isclass(value):
        kind = "exception" if issubclass(value, Exception) else "class"
    option = OPTIONS.get(name, "")
    return [f".. auto{kind}:: camdbench.{name}", *[f"   {option}"] * bool(option), ""]


def _resolve(name: str) -> object:
    """The object behind a name of a group."""
    module, _, last = name.rpartition(".")
    return getattr(__import__(f"camdbench.{module}", fromlist=[last]) if module else camdbench, last)


def page(group: Group) -> str:
    """Text of the page of a group."""
    lines = [f"# {group.title}", "", group.intro, "", "```{eval-rst}"]
    for name in (*group.names, *group.returned):
        lines += directive(name)
    return "\n".join([*lines, "```", ""])


def index() -> str:
    """Text of the page that lists all public names."""
    lines = ["# Python API", "", "All names are attributes of `camdbench` and are imported on first use.", ""]
    for key, group in GROUPS.items():
        lines += [f"## [{group.title}]({key}.md)", "", "| name | |", "| --- | --- |"]
        lines += [f"| {{py:obj}}`camdbench.{name}` | {first_line(name)} |" for name in group.names]
        lines += [""]
    return "\n".join([*lines, "```{toctree}", ":hidden:", "", *GROUPS, "```", ""])


_COLON = "\N{MODIFIER LETTER COLON}"  # in place of a colon while napoleon reads a text


def hide_colons(app: object, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Hook `autodoc-process-docstring`, before napoleon, which would read `One row per layer: name, …` as a type and a text."""
    del app, name, value, options
    if lines and what in ("property", "attribute"):
        lines[0] = lines[0].replace(":", _COLON)
    if "Returns:" in lines:
        first = lines.index("Returns:") + 1
        lines[first] = lines[first].replace(":", _COLON)


def show_colons(app: object, what: str, name: str, value: object, options: object, lines: list[str]) -> None:
    """Hook `autodoc-process-docstring`, after napoleon: bring the colons back."""
    del app, what, name, value, options
    lines[:] = [line.replace(_COLON, ":") for line in lines]


def write_pages(folder: Path) -> None:
    """Write a page per group, and their index; an unchanged page keeps its time, so that Sphinx does not read it again."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in {"index": index(), **{key: page(group) for key, group in GROUPS.items()}}.items():
        write_if_new(folder / f"{name}.md", text)


def write_if_new(file: Path, text: str) -> None:
    """Write a text, unless the file has it already."""
    if not file.is_file() or file.read_text(encoding="utf-8") != text:
        file.write_text(text, encoding="utf-8")


def set_dashes(app: Any, doctree: Any) -> None:
    """Hook `doctree-read`: a dash between a parameter and its text; `smartquotes`, which would set it, would change options, too."""
    del app
    for text in list(doctree.findall(nodes.Text)):
        if text == " -- ":
            text.parent.replace(text, nodes.Text(" \N{EN DASH} "))


def check_anchors(app: Any, environment: Any) -> None:
    """Hook `env-check-consistency`.

    Raises:
        RuntimeError: a public name has no anchor `camdbench.NAME`, under which other projects link it.
    """
    del app
    missing = {f"camdbench.{name}" for name in camdbench.__all__} - set(environment.domaindata["py"]["objects"])
    if missing:
        raise RuntimeError(f"no anchor: {', '.join(sorted(missing))}")
