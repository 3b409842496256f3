"""State of an unfinished training run on disk, for resuming it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel

from camdbench.core.files import replacing


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
        saved = torch.load(path, map_location="cpu", weights_only=True)
        return saved["state"] if saved["key"] == key else None
    except Exception:  # torch raises many types on a damaged file; each means a fresh start
        return None
