"""Modules of benchmarks/speed, which is a script and no package."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[2] / "benchmarks" / "speed"


def speed_module(name: str) -> Any:
    """A module of the benchmark, by the name that its neighbours import it by."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))  # last, so that it hides nothing
    return importlib.import_module(name)
