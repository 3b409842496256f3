"""`--small`: recipes with the embedded data set and networks in place of the paper's."""

from __future__ import annotations

from typing import Any

from camdbench.core.merging import merge_nested
from camdbench.papers.cell_settings import CellSettings
from camdbench.papers.training import CHOSEN

DATASET, MODEL, SIZE = "shortcuts", "shortcuts-ce", 96
_TRAINING_SPLITS = ("train", "trainval", "train_noval")
_SMALL: dict[str, Any] = {
    "network": "shortcuts",
    "init": MODEL,
    "data": {"dataset": DATASET, "train": "train", "limit": 64, "evaluation": ["val"], "evaluation_limit": 16},
    "optimiser": {"lr": 1e-4},  # for few steps from trained weights
    "epochs": 1,
    "batch_size": 16,
    "validation": "val",
}
_SMALL_PROBE: dict[str, Any] = {"data": {"train": "train", "limit": 64}, "optimiser": {"lr": 0.005}, "epochs": 6, "batch_size": 8}
_FEW: dict[str, Any] = {"data": {"limit": 128}, "batch_size": 8}  # few-shot: 16 images per class to draw from


def small_scale(settings: CellSettings) -> CellSettings:
    """Settings with the embedded data set and network; explainers, metrics, target rule and loss are kept.

    The recipe's `small` overrides options in pixels of 224 and layer names of the paper's network. `--limit` sets the number
    of images; mean and std are those of the embedded network.
    """
    replaced = settings.model_copy(
        update={
            "dataset": DATASET,
            "split": "train" if settings.split in _TRAINING_SPLITS else "val",
            "paper_images": None,
            "sample": None,
            "mean": None,
            "std": None,
            "model": MODEL,
            "probe": None if settings.probe is None else merge_nested(settings.probe, _SMALL_PROBE),
            "small": None,
        }
    )
    return replaced if settings.small is None else settings.small.over(replaced)


def small_training(recipe: dict[str, Any]) -> dict[str, Any]:
    """A short training recipe: one epoch on few embedded images, with the same loss, surgery, augmentation and optimiser."""
    kept = {name: value for name, value in recipe.items() if name not in ("head_stage", "name")}
    small = merge_nested(kept, _SMALL)
    data = recipe.get("data", {})
    if "pretraining" in kept:
        small["pretraining"] = {name: value for name, value in kept["pretraining"].items() if name not in (*_SMALL, "head_stage", "name")}
    small["data"] = _SMALL["data"] | {name: data[name] for name in ("object_regions", *CHOSEN) if name in data}
    return merge_nested(small, _FEW) if "shots" in data else small
