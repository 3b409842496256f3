"""Default layer, order of tokens and attention of every image classifier of transformers, measured on random weights at 224 pixels.

    pip install 'camdbench[hf,timm]'
    python benchmarks/huggingface                      # writes results/huggingface.csv and the table of docs/huggingface.md
    python benchmarks/huggingface --only vit,swin      # measures these families anew
    python benchmarks/huggingface --page               # writes the table of docs/huggingface.md from results/huggingface.csv

Configurations are the narrow ones of the tests, for images of 224 pixels: neither layers nor the order of tokens depend on width.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from camdbench.core.errors import NotApplicable
from camdbench.datasets.in_memory import make_batch
from camdbench.explainers.common.explain import explain
from camdbench.explainers.common.trace import Trace
from camdbench.models.attention import record_attention, transformer_of
from camdbench.models.classifier import Classifier
from camdbench.models.huggingface_layers import FAMILIES, REFUSED, WITHOUT_GRID

ROOT = Path(__file__).parents[2]
RESULT, PAGE = ROOT / "results" / "huggingface.csv", ROOT / "docs" / "huggingface.md"
SIDE, IMAGES = 224, 8  # pixels; images for gradients

sys.path.insert(0, str(ROOT / "tests"))
_AT_224 = {"image_size": SIDE, "patch_size": {4: 4, 8: 16}, "window_size": 7, "num_patches": 196}


def options_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a configuration of the tests, for images of 224 pixels."""
    found = dict[str, Any]()
    for key, value in options.items():
        new = _AT_224.get(key, value)
        new = new[value] if isinstance(new, dict) and key == "patch_size" else new
        found[key] = options_of(value) if isinstance(value, dict) else [new, new] if isinstance(value, list) and key in _AT_224 else new
    return found


def classifier_of(family: str) -> Classifier:
    """Classifier of ten classes with random weights."""
    from helpers.hf_families import TINY, build

    if family == "levit":  # a narrow one is constant
        TINY[family] = ({}, SIDE)
    network = build(family, 10, **options_of(TINY[family][0]))
    return Classifier(network, mean=0.5, std=0.5, name=family, input_size=SIDE).requires_grad_(False)


def measure(family: str) -> dict[str, Any]:
    """One line of the table."""
    classifier = classifier_of(family)
    images = torch.rand(IMAGES, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(1))
    trace = Trace(classifier, make_batch(images), target=1)
    product = trace.gradients * trace.activations
    least = (product.sum(1).abs().flatten(1).amax(1) / product.abs().sum(1).flatten(1).amax(1)).min()
    maps = {cam: explain(classifier, images, f"{cam}(relu=False)", targets=1) for cam in ("hirescam", "gradcam")}
    difference = (maps["hirescam"].raw - maps["gradcam"].raw).abs().max() / maps["gradcam"].raw.abs().max()
    with classifier.captured() as seen, torch.no_grad():
        classifier(images[:1])
    layout = classifier.layout(seen.output(), (SIDE, SIDE))
    found, places = places_found(classifier, images[:1])
    return {
        "family": family,
        "layer": classifier.layer,
        "layout": layout.kind,
        "grid": f"{layout.height} x {layout.width}",
        "prefix": layout.prefix,
        "channels": product.shape[1],
        "ok": f"{maps['hirescam'].status.count('ok')}/{IMAGES}",
        "least": f"{float(least):.2g}",
        "gradcam": "equal" if difference < 1e-4 else f"{float(difference):.2g}",
        "found": f"{found}/{places}",
        "attention": attention_of(classifier, images[:1]),
    }


def places_found(classifier: Classifier, image: Tensor) -> tuple[int, int]:
    """Number of altered blocks of the image at whose own place the layer changes most, and of altered blocks.

    Changes (P, h w) are relative to those of the same place by all blocks, and to those of all places by the same block, which
    removes what an altered block changes everywhere at once, as squeeze and excitation do.
    """
    plain = activations(classifier, image)
    rows, columns = plain.shape[2:]
    side, step = SIDE // rows, -(-rows // 7)
    chosen = [(row, column) for row in range(0, rows, step) for column in range(0, columns, step)]
    changes = list[Tensor]()
    for part in (chosen[start : start + 7] for start in range(0, len(chosen), 7)):
        altered = image.repeat(len(part), 1, 1, 1)
        for number, (row, column) in enumerate(part):
            block = (number, slice(None), slice(row * side, (row + 1) * side), slice(column * side, (column + 1) * side))
            altered[block] = 1 - altered[block]
        changes.append((activations(classifier, altered) - plain).abs().sum(1).flatten(1))
    change = torch.cat(changes)[:, [row * columns + column for row, column in chosen]]
    relative = change / change.mean(0) / change.mean(1, keepdim=True)
    return int((relative.argmax(1) == torch.arange(len(chosen))).sum()), len(chosen)


def activations(classifier: Classifier, images: Tensor) -> Tensor:
    """Output of the target layer as (B, C, h, w)."""
    with classifier.captured() as seen, torch.no_grad():
        classifier(images)
    return classifier.layout(seen.output(), (SIDE, SIDE)).to_grid(seen.output())


def attention_of(classifier: Classifier, images: Tensor) -> str:
    """Number of recorded matrices and of blocks, or why none is recorded."""
    try:
        with record_attention(classifier.network) as seen, torch.no_grad():
            classifier(images)
    except NotApplicable as error:
        reason = str(error).partition(": ")[2]
        return "none" if "no self-attention" in reason or "is read from" in reason else reason
    return f"{len(seen.probabilities)} of {len(transformer_of(classifier.network).blocks)} blocks"


def page_table(lines: pd.DataFrame) -> str:
    """The table of docs/huggingface.md."""
    titles = ("family", "default layer", "layout, grid, prefix tokens", "least", "Grad-CAM", "found", "attention")
    rows = [titles, ("---",) * len(titles)]
    for own in lines.itertuples():
        where = f"{own.layout}, {own.grid}, {own.prefix}"
        rows.append((own.family, f"`{own.layer}`", where, own.least, own.gradcam, own.found, own.attention))
    rows += [(family, f"refused: {reason}", *[""] * 5) for family, reason in sorted((REFUSED | WITHOUT_GRID).items())]
    return "".join(f"| {' | '.join(map(str, row))} |\n" for row in rows)


def write_page(lines: pd.DataFrame) -> None:
    """Write the table between the markers of the page."""
    text = PAGE.read_text(encoding="utf-8")
    table = page_table(lines)
    text = re.sub(r"(<!-- families -->\n).*?(<!-- end -->)", lambda found: f"{found[1]}\n{table}\n{found[2]}", text, flags=re.DOTALL)
    PAGE.write_text(text, encoding="utf-8", newline="\n")


def main() -> None:
    """Measure all families, or write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default=",".join(FAMILIES), help="families, comma-separated")
    parser.add_argument("--page", action="store_true", help="write the page alone")
    options = parser.parse_args()
    lines = pd.read_csv(RESULT, dtype=str) if RESULT.is_file() else pd.DataFrame(columns=["family"])
    for family in () if options.page else options.only.split(","):
        line = measure(family)
        print(", ".join(f"{name} {value}" for name, value in line.items()), flush=True)
        lines = pd.concat([lines[lines["family"] != family], pd.DataFrame([line]).astype(str)]).sort_values("family")
        lines.to_csv(RESULT, index=False, lineterminator="\n")
    write_page(lines)


if __name__ == "__main__":
    main()
