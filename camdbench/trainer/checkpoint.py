"""Checkpoint files, written atomically: weights, provenance, log, and the state of an unfinished run."""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel
from safetensors.torch import save
from torch import Tensor

from camdbench.core.files import check_growth, check_regular
from camdbench.core.written_files import write_whole


def write_weights(path: Path, state: Mapping[str, Tensor]) -> None:
    """Write a state dict as safetensors."""
    content = save({name: tensor.detach().cpu().contiguous() for name, tensor in state.items()})
    write_whole(path, content, resumes=True)  # safetensors' own save_file sets permissions that hide the file from other users


def write_json(path: Path, facts: Mapping[str, object]) -> None:
    """Write plain values as indented JSON."""
    write_whole(path, json.dumps(facts, indent=2, ensure_ascii=False) + "\n", resumes=True)


def write_csv(path: Path, rows: Sequence[Mapping[str, object]]) -> None:
    """Write one or more rows as CSV with all their columns; floats with six significant digits."""

    def short(value: Any) -> Any:
        return f"{value:.6g}" if isinstance(value, float) else value

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    names = list(dict.fromkeys(name for row in rows for name in row))
    writer.writerow(names)
    writer.writerows([short(row.get(name, "")) for name in names] for row in rows)
    write_whole(path, text.getvalue(), resumes=True)


def run_key(recipe: BaseModel, fingerprints: Mapping[str, str], device: torch.device) -> str:
    """Hash over everything that must be equal for a run to resume."""
    facts = [recipe.model_dump(mode="json"), dict(fingerprints), device.type, torch.__version__]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def save_run(path: Path, key: str, state: Mapping[str, Any]) -> None:
    """Write the state of a run, made of tensors and plain values; replaces the file."""
    content = io.BytesIO()  # so that a full disk raises OSError, not an error of torch
    torch.save({"key": key, "state": dict(state)}, content)
    write_whole(path, content.getbuffer(), resumes=True)


def load_run(path: Path, key: str) -> dict[str, Any] | None:
    """The state of the run of this key; None if the file is missing, damaged or of another run."""
    try:
        check_regular(path)
        check_growth(path)
        saved = torch.load(path, map_location="cpu", weights_only=True)
        return saved["state"] if saved["key"] == key else None
    except Exception:  # torch raises many types on a damaged file; each means a fresh start
        return None
