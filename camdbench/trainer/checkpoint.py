"""Checkpoint files, written atomically: weights, provenance, log, and the state of an unfinished run."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from safetensors.torch import save
from torch import Tensor

from camdbench.core.files import check_growth, check_regular, replacing


def write_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write a state dict as safetensors."""
    with replacing(path) as temporary:  # safetensors' own save_file sets permissions that hide the file from other users
        temporary.write_bytes(save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()}))


def write_json(path: Path, facts: Mapping[str, object]) -> None:
    """Write plain values as indented JSON."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write one or more rows as CSV with all their columns; floats with six significant digits."""

    def short(value: Any) -> Any:
        return f"{value:.6g}" if isinstance(value, float) else value

    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        names = list(dict.fromkeys(name for row in rows for name in row))
        writer.writerow(names)
        writer.writerows([short(row.get(name, "")) for name in names] for row in rows)


def run_key(recipe: BaseModel, fingerprints: Mapping[str, str], device: torch.device) -> str:
    """Hash over everything that must be equal for a run to resume."""
    facts = [recipe.model_dump(mode="json"), dict(fingerprints), device.type, torch.__version__]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def save_run(path: Path, key: str, state: Mapping[str, Any]) -> None:
    """Write the state of a run, made of tensors and plain values; replaces the file."""
    with replacing(path) as temporary:
        torch.save({"key": key, "state": dict(state)}, temporary)


def load_run(path: Path, key: str) -> dict[str, Any] | None:
    """The state of the run of this key; None if the file is missing, damaged or of another run."""
    try:
        check_regular(path)
        check_growth(path)
        saved = torch.load(path, map_location="cpu", weights_only=True)
        return saved["state"] if saved["key"] == key else None
    except Exception:  # torch raises many types on a damaged file; each means a fresh start
        return None
