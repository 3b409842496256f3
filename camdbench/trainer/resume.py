"""Half-finished runs: what a training run needs in order to go on after a crash as if there had been none."""

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
    """A hash over everything that must be the same for a run to be continued."""
    facts = [recipe.model_dump(mode="json"), dict(fingerprints), device.type, torch.__version__]
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def save_run(path: Path, key: str, state: Mapping[str, Any]) -> None:
    """Write the state of a run, of tensors and plain values, in place of the one before it."""
    with replacing(path) as temporary:
        torch.save({"key": key, "state": dict(state)}, temporary)


def load_run(path: Path, key: str) -> dict[str, Any] | None:
    """The state of the run of that key; None where there is none, it is damaged, or it belongs to another run."""
    try:
        held = torch.load(path, map_location="cpu", weights_only=True)
        return held["state"] if held["key"] == key else None
    except Exception:  # torch fails in many ways on a damaged file, and each means: begin anew
        return None
