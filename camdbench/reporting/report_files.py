"""Where a report goes: one file that holds its pictures, or a folder in which they are files."""

from __future__ import annotations

import json
import shutil
import warnings
from base64 import b64decode
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any
from uuid import uuid4

from camdbench.core.errors import CamdbenchWarning, UsageError
from camdbench.core.written_files import make_folder, write_whole, writing

BUDGET = 15_000_000  # bytes of a file, above which browsers become slow
PART_SIZE = 64  # images whose details are one file of data
_GENERATOR = 'name="generator" content="camdbench report"'  # in the page; a folder without it is never replaced
_FIX = {False: "--images N shows fewer images, --images all writes a folder", True: "--images N shows fewer images"}


class OneFile:
    """A report in one file.

    Args:
        file: the page.

    Attributes:
        in_files: whether pictures are files; False.
    """

    in_files = False

    def __init__(self, file: Path) -> None:
        self.page = file
        self._sizes = {"inputs": 0, "maps": 0}

    def keep(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Return the facts of the next image as the page holds them; pictures are base64 texts."""
        self._sizes["inputs"] += len(facts.get("input", "")) + len(facts.get("mask", ""))
        self._sizes["maps"] += sum(len(text) for own in facts.get("maps", {}).values() for text, *_ in own.values())
        return dict(facts)

    def write(self, text: str, data: str) -> None:
        """Write the page, which holds `data`; warn if it is large."""
        write_whole(self.page, text)
        rest = len(data.encode()) - sum(self._sizes.values())
        _check_size(self.page, len(text.encode()), self._sizes | {"values and names of images": rest}, in_files=False)


class InFolder:
    """A report in a folder, which opens from disk: pictures are files, details of images are scripts that the page adds.

    Args:
        folder: the folder.
        place: where its files are written until all are.

    Attributes:
        in_files: whether pictures are files; True.
    """

    in_files = True

    def __init__(self, folder: Path, place: Path) -> None:
        self.page = folder / "index.html"
        self._folder, self._place = folder, place
        self._details = list[dict[str, Any]]()

    def keep(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        """Write the pictures of the next image; return what the list of images needs, in which they are names of files."""
        place = len(self._details)
        home = f"pictures/{place:05d}"
        pictures = {name: f"{home}/{name}.{kind}" for name, kind in (("input", "webp"), ("mask", "png")) if facts.get(name)}
        contents = {file: facts[name] for name, file in pictures.items()}
        maps = dict[str, dict[str, Any]]()
        for m, (model, own) in enumerate(facts.get("maps", {}).items()):
            names = {explainer: f"{home}/{m}-{e}.webp" for e, explainer in enumerate(own)}
            contents |= {names[explainer]: own[explainer][0] for explainer in own}
            maps[model] = {explainer: (names[explainer], *own[explainer][1:]) for explainer in own}
        with writing(self._folder):
            for file, text in contents.items():
                (self._place / home).mkdir(parents=True, exist_ok=True)
                (self._place / file).write_bytes(b64decode(text))
        self._details.append({**facts, **pictures, "maps": maps} if facts else {})
        shown = {"input": pictures["input"]} if "input" in pictures else {}
        return {**shown, "part": place // PART_SIZE}

    def write(self, text: str, data: str) -> None:
        """Write the details of images, then the page, which holds `data`; warn of large files."""
        with writing(self._folder):
            (self._place / "data").mkdir()
            for number, first in enumerate(range(0, len(self._details), PART_SIZE)):
                content = json.dumps(self._details[first : first + PART_SIZE], allow_nan=False, separators=(",", ":"))
                script = f"camdbenchPart({number}, {json.dumps(content)});\n"  # as a text, since names may mean something in a script
                file = Path("data", f"part-{number:03d}.js")
                (self._place / file).write_text(script, encoding="ascii")
                _check_size(file, len(script), {"values and names of its images": len(script)}, in_files=True)
        write_whole(self._place / "index.html", text)
        _check_size(self.page, len(text.encode()), {"values and names of images": len(data.encode())}, in_files=True)


def _check_size(file: Path, size: int, parts: Mapping[str, int], *, in_files: bool) -> None:
    if size <= BUDGET:
        return
    largest = max(parts, key=lambda name: parts[name])
    what = f"{file}: {size / 1e6:.0f} MB, more than {BUDGET / 1e6:.0f}, of which {parts[largest] / 1e6:.0f} MB are {largest}"
    warnings.warn(f"{what}; {_FIX[in_files]}", CamdbenchWarning, stacklevel=4)


@contextmanager
def one_file(out: Path | None, run: Path) -> Generator[OneFile]:
    """A report in one file; its folder is checked before any work.

    Args:
        out: the file; None: `report.html` in the run.
        run: the run directory.

    Raises:
        UsageError: the file cannot be written.
    """
    file = out or run / "report.html"
    if file.is_dir():
        raise UsageError(f"{_flag(out)}{file}: a folder; give a file, or --images all for a folder")
    _check_place(file.parent, out)
    yield OneFile(file)


@contextmanager
def in_folder(out: Path | None, run: Path) -> Generator[InFolder]:
    """A report in a folder, which replaces an older one whole.

    Args:
        out: the folder; None: `report` in the run.
        run: the run directory.

    Raises:
        UsageError: the folder cannot be written, or is something else than a report.
    """
    folder = out or run / "report"
    if folder.exists() and not _is_replaceable(folder):
        raise UsageError(f"{_flag(out)}{folder}: not the folder of a report; give a new folder")
    _check_place(folder.parent, out)
    temporary = folder.with_name(f".{folder.name}.{uuid4().hex}.tmp")
    old = folder.with_name(f"{temporary.name}.old")
    try:
        with writing(folder):
            temporary.mkdir()
        yield InFolder(folder, temporary)
        with writing(folder):
            if folder.exists():
                folder.rename(old)
            temporary.rename(folder)
    finally:
        for left in (temporary, old):
            shutil.rmtree(left, ignore_errors=True)


def _flag(out: Path | None) -> str:
    return "" if out is None else "--out = "


def _check_place(folder: Path, out: Path | None) -> None:
    """Check that a folder can be written; that of a run is one which the user has not named."""
    if out is not None:
        make_folder(folder, "--out")
        return
    try:
        with TemporaryFile(dir=folder):
            pass
    except OSError as failure:
        raise UsageError(f"{folder}: cannot be written ({failure.strerror}); give --out") from failure


def _is_replaceable(folder: Path) -> bool:
    """Whether a path is an empty folder or that of a report."""
    if not folder.is_dir():
        return False
    page = folder / "index.html"
    return not any(folder.iterdir()) or (page.is_file() and _GENERATOR.encode() in page.read_bytes()[:4096])
