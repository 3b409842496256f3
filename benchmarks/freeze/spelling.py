"""Spellings that differ between states of camdbench: the one place where `record` knows old and new words."""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from process import camdbench

# name -> (command whose help decides, pattern found in the new help only, new words, old words)
_WORDS: dict[str, tuple[str, str, list[str], list[str]]] = {
    "image_ids": ("run", r"--image-ids", ["--image-ids"], ["--ids"]),
    "save_maps": ("run", r"--save-maps (\[|[A-Z]{2})", ["--save-maps", "raw"], ["--save-maps"]),
    "no_maps": ("run", r"--save-maps \[none\|view", ["--save-maps", "none"], []),
    "runner_up": ("run", r"runner_up", ["runner_up"], ["second"]),
    "explainer_name": ("score", r"--explainer-name", ["--explainer-name"], ["--name"]),
    "training_seeds": ("compare", r"--training-seeds", ["--training-seeds"], ["--seeds"]),
    "half_width": ("compare", r"--half-width", ["--half-width"], ["--within"]),
    "small": ("reproduce", r"--small", ["--small"], ["--scaled"]),
    "make_masks": ("data", r"make-masks", ["make-masks"], ["masks"]),
}
_FOLDERS = {"curves": ("curves", "points"), "usage": ("usage", "costs")}
_DATA_KEYS = {"limit": "count", "evaluation_limit": "evaluate_count", "evaluation": "evaluate"}


def words(name: str) -> list[str]:
    """Return the words of the camdbench in use for one entry of the table."""
    command, pattern, new, old = _WORDS[name]
    return new if re.search(pattern, help_text(command)) else old


@cache
def help_text(command: str) -> str:
    """Return the help of a command."""
    return camdbench([*command.split(), "--help"], Path.cwd()).stdout


def folder(run: Path, kind: str) -> Path:
    """Return the folder of a run directory that holds `rows`, `curves`, `usage` or `maps`."""
    names = _FOLDERS.get(kind, (kind,))
    return next((run / name for name in names if (run / name).is_dir()), run / names[0])


def data_key(recipe: Mapping[str, Any], name: str) -> str:
    """Return the spelling of a key of a training recipe's `data`, by the keys that the recipe has."""
    return name if {"limit", "evaluation"} & set(recipe["data"]) else _DATA_KEYS[name]


def registries() -> Any:
    """Return the module that holds the registries."""
    for name in ("registries", "catalogue"):
        try:
            return importlib.import_module(f"camdbench.core.{name}")
        except ModuleNotFoundError:
            continue
    raise SystemExit("camdbench.core: no module registries or catalogue; add its new name to benchmarks/freeze/spelling.py")
