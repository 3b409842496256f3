"""Python files of the user's: loading, and the hash of their code."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from camdbench.core.errors import UsageError
from camdbench.core.foreign_code import calling, plugin_hash


def load_file(path: str | Path, flag: str) -> ModuleType:
    """Run a Python file and return its module; its folder is on sys.path meanwhile."""
    file = Path(path).absolute()
    if not file.is_file():
        raise UsageError(f"{flag} {path}: no such file")
    name = f"camdbench_plugin_{file.stem}_{hashlib.sha256(str(file).encode()).hexdigest()[:8]}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise UsageError(f"{flag} {path}: not a Python file (*.py)")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    sys.path.insert(0, str(file.parent))
    try:
        with calling(f"{flag} {path}"):
            spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    finally:
        sys.path.remove(str(file.parent))
    return module


def code_of(target: Any) -> str:
    """Hash of the code of a function, class or object."""
    return plugin_hash(target)
