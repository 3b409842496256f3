"""Names of trained networks, and their recipe files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import yaml

from camdbench.core.written_files import write_whole


def join_name(*words: str) -> str:
    """Join words to a valid name of files and recipes; empty words are skipped.

    >>> join_name("cfce", "", "timm/ViT_tiny", "a1")
    'cfce-timm-vit_tiny-a1'
    """
    return re.sub(r"[^a-z0-9._-]+", "-", "-".join(filter(None, words)).lower())


def write_recipe(fields: Mapping[str, object], folder: Path) -> Path:
    """Write a recipe as FOLDER/NAME.yaml, for `camdbench train` or `camdbench probe`."""
    file = folder / f"{fields['name']}.yaml"
    write_whole(file, yaml.safe_dump(dict(fields), sort_keys=False), resumes=True)
    return file
