"""The way of `camdbench run` through the package: modules imported, modules entered, frames to the explainer, arrows between modules.

python tests/helpers/way.py
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from inspect import CO_OPTIMIZED
from pathlib import Path
from tempfile import TemporaryDirectory
from types import FrameType
from typing import NamedTuple

ARGUMENTS = ("run", "-e", "gradcam", "-m", "ad", "--limit", "2", "--quiet")
EXPLAINER = "explainers/gradcam.py"


class Way(NamedTuple):
    """What a command passes through.

    Attributes:
        imported: modules of the package whose code is run.
        entered: those of them in which a function is called; class bodies do not count.
        frames: frames of the package on the stack when the explainer is called, itself included.
    """

    imported: tuple[str, ...]
    entered: tuple[str, ...]
    frames: tuple[str, ...]


def way_of(arguments: tuple[str, ...] = ARGUMENTS, explainer: str = EXPLAINER) -> Way:
    """Run a command in this process, which must not have imported the package, and return its way.

    Args:
        arguments: words of the command; a temporary `--out` is added.
        explainer: module of the explainer.
    """
    import camdbench

    root = Path(camdbench.__file__).parent
    imported, entered, frames = dict[str, None](), dict[str, None](), list[str]()

    def profile(frame: FrameType, event: str, argument: object) -> None:
        del argument
        code = frame.f_code
        if event != "call" or not code.co_filename.startswith(str(root)):
            return
        module = Path(code.co_filename).relative_to(root).as_posix()
        imported[module] = None
        if code.co_flags & CO_OPTIMIZED:  # a function; not the body of a module or class
            entered[module] = None
            if module == explainer and not frames:
                frames.extend(reversed(list(_stack(frame, root))))

    from camdbench.cli.main import run_cli

    with TemporaryDirectory() as folder:
        sys.setprofile(profile)
        try:
            code = run_cli([*arguments, "--out", str(Path(folder) / "run")])
        finally:
            sys.setprofile(None)
    assert code == 0
    bodies = {Path(module.__file__) for module in list(sys.modules.values()) if getattr(module, "__file__", None)}
    whole = sorted({*imported, *(path.relative_to(root).as_posix() for path in bodies if path.is_relative_to(root))})
    return Way(tuple(whole), tuple(sorted(entered)), tuple(frames))


def _stack(frame: FrameType | None, root: Path) -> Iterator[str]:
    """Frames of the package, the innermost first."""
    while frame is not None:
        if frame.f_code.co_filename.startswith(str(root)):
            yield f"{Path(frame.f_code.co_filename).relative_to(root).as_posix()}:{frame.f_code.co_name}"
        frame = frame.f_back


def arrows(package: str) -> set[tuple[str, str]]:
    """Imports between the modules of a folder of the package, also those within functions and for type checkers."""
    import camdbench

    found = set[tuple[str, str]]()
    for path in sorted((Path(camdbench.__file__).parent / package).glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith(f"camdbench.{package}."):
                found.add((path.stem, str(node.module).rpartition(".")[2]))
            if isinstance(node, ast.ImportFrom) and node.module == f"camdbench.{package}":
                found |= {(path.stem, alias.name) for alias in node.names}
    return found


if __name__ == "__main__":
    way = way_of()
    for module in way.imported:
        sys.stdout.write(f"{'entered ' if module in way.entered else 'imported'}  {module}\n")
    sys.stdout.write(f"{len(way.imported)} modules imported, {len(way.entered)} entered\n")
    sys.stdout.write(f"{len(way.frames)} frames to the explainer: {' > '.join(way.frames)}\n")
    sys.stdout.write(f"{len(arrows('runner'))} imports between the modules of runner\n")
