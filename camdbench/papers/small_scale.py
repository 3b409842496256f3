"""`--small`: the same recipe with the embedded data set and networks in place of the paper's."""

from __future__ import annotations

from typing import Any

from camdbench.core.merging import merge_nested
from camdbench.papers.cell_settings import CellSettings
from camdbench.papers.training import CHOSEN

DATASET, MODEL, SIZE = "shortcuts", "shortcuts-ce", 96
_LEARNED_FROM = ("train", "trainval", "train_noval")
_SMALL: dict[str, Any] = {
    "network": "shortcuts",
    "init": MODEL,
    "data": {"dataset": DATASET, "train": "train", "limit": 64, "evaluation": ["val"], "evaluation_limit": 16},
    "optimiser": {"lr": 1e-4},  # a few steps from good weights: the paper's rates are for other batches and networks
    "epochs": 1,
    "batch_size": 16,
    "validation": "val",
}
_SMALL_PROBE: dict[str, Any] = {"data": {"train": "train", "limit": 64}, "optimiser": {"lr": 0.005}, "epochs": 6, "batch_size": 8}
_FEW: dict[str, Any] = {"data": {"limit": 128}, "batch_size": 8}  # 16 images of each class to choose from


def small_scale(part: CellSettings) -> CellSettings:
    """A measurement on the embedded data set and network; explainers, metrics, target rule and loss are kept.

    What counts in pixels of 224, or names a layer of the paper's network, stands in the recipe's own `small`. Samples are
    left to `--limit`, and an embedded network knows its own mean and std.
    """
    replaced = part.model_copy(
        update={
            "dataset": DATASET,
            "split": "train" if part.split in _LEARNED_FROM else "val",
            "paper_images": None,
            "sample": None,
            "mean": None,
            "std": None,
            "model": MODEL,
            "probe": None if part.probe is None else merge_nested(part.probe, _SMALL_PROBE),
            "small": None,
        }
    )
    return replaced if part.small is None else part.small.over(replaced)


def small_training(recipe: dict[str, Any]) -> dict[str, Any]:
    """A training recipe of a minute: one epoch on few drawn images, by the same loss, surgery, augmentation and optimiser."""
    kept = {name: value for name, value in recipe.items() if name not in ("head_stage", "name")}
    small = merge_nested(kept, _SMALL)
    data = recipe.get("data", {})
    if "pretraining" in kept:
        small["pretraining"] = {name: value for name, value in kept["pretraining"].items() if name not in (*_SMALL, "head_stage", "name")}
    small["data"] = _SMALL["data"] | {name: data[name] for name in ("object_regions", *CHOSEN) if name in data}
    return merge_nested(small, _FEW) if "shots" in data else small
