"""One command of camdbench in a process of its own, which is forked with the libraries already imported."""

from __future__ import annotations

import importlib
import os
import runpy
import subprocess
import sys
import traceback
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryFile

_LIBRARIES = "torch torchvision pandas scipy.stats pyarrow.parquet safetensors.torch pydantic rich.table captum.attr skimage"


def preload() -> None:
    """Import the libraries that commands use; their import would take most of the time of a recording."""
    for name in _LIBRARIES.split():
        importlib.import_module(name)


def camdbench(arguments: Sequence[str], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run `python -m camdbench ARGUMENTS` in a folder.

    The process is forked and starts with no module of camdbench imported. With ray, and where there is no fork, it is a new one.
    """
    if "ray" in arguments or not hasattr(os, "fork"):
        command = [sys.executable, "-m", "camdbench", *arguments]
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    with TemporaryFile() as out, TemporaryFile() as errors:
        child = os.fork()
        if not child:
            _become(arguments, folder, out.fileno(), errors.fileno())
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        texts = [file.seek(0) or file.read().decode() for file in (out, errors)]
    return subprocess.CompletedProcess(list(arguments), code, *texts)


def _become(arguments: Sequence[str], folder: Path, out: int, errors: int) -> None:
    """Run the command in this process and leave it."""
    code = 1
    try:
        os.dup2(out, 1)
        os.dup2(errors, 2)
        os.chdir(folder)
        sys.path[0], sys.argv = str(folder), ["camdbench", *arguments]
        for name in [name for name in sys.modules if name.partition(".")[0] == "camdbench"]:
            del sys.modules[name]
        runpy.run_module("camdbench", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
