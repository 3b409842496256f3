"""Provenance: versions, code hash, git revision, command line, time, and training of a checkpoint."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
import sys
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from camdbench.core.files import read_json

_PACKAGES = ("camdbench", "torch", "torchvision", "numpy", "pandas", "scipy", "scikit-image", "quantus", "pillow", "pyarrow")
_SCIENCE = ("core", "datasets", "explainers", "functional", "metrics", "models", "runner")
_ROOT = Path(__file__).parents[1]


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that determine values."""
    found = {"python": platform.python_version()}
    found |= {name: _version(name) for name in _PACKAGES}
    return found | {"libwebp": _libwebp()}


@cache
def _version(name: str) -> str:
    """Version of an installed package, which does not change while a process runs."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _libwebp() -> str:
    """Version of the library by which Pillow compresses images; the sizes of `sic` and `aic` depend on it."""
    from PIL import features

    return features.version("webp") or "not installed"


@cache
def code_hash(*further: str) -> str:
    """SHA-256 (16 hex digits) of the source files that determine values, and of `further` folders of the package."""
    digest = hashlib.sha256()
    for part in (*_SCIENCE, *further):
        for file in sorted((_ROOT / part).rglob("*.py")):
            digest.update(file.relative_to(_ROOT).as_posix().encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()[:16]


def git_revision() -> str | None:
    """Git revision of the checkout, with `-dirty` if it has changes; None outside a checkout."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(_ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=10).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")) != _ROOT.parent:
            return None
        return git("rev-parse", "HEAD") + ("-dirty" if git("status", "--porcelain", "--", str(_ROOT)) else "")
    except (OSError, subprocess.SubprocessError):
        return None


def now() -> str:
    """Current time in UTC, ISO 8601, to the second."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def command_line() -> list[str]:
    """Command-line words; the program without its folder."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def training_of(model: str) -> dict[str, Any]:
    """Training of a checkpoint: `{"training": {"recipe": …, "seed": …}}`; empty if unknown.

    `recipe` is a hash of the recipe without name and seed and of the image fingerprints. Networks that differ only in the
    seed share it.

    Args:
        model: requested model; the JSON file beside a checkpoint contains its recipe.
    """
    file = Path(model).with_suffix(".json")
    if not model.endswith(".safetensors") or not file.is_file():
        return {}
    facts = read_json(file, what="checkpoint", fix="train again")
    recipe = facts.get("recipe")
    if not isinstance(recipe, dict) or not isinstance(facts.get("seed"), int):
        return {}
    same = {name: value for name, value in recipe.items() if name not in ("name", "seed")}
    text = json.dumps([same, facts.get("fingerprints")], sort_keys=True)
    return {"training": {"recipe": hashlib.sha256(text.encode()).hexdigest()[:16], "seed": facts["seed"]}}
