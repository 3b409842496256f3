"""Partial results of one unit, for resuming after an interruption; deleted once the unit's parts are written."""

from __future__ import annotations

import io
import uuid
from collections.abc import Sequence
from pathlib import Path
from time import monotonic
from typing import Self

import torch

from camdbench.core.errors import CamdbenchError
from camdbench.core.files import check_growth, reading
from camdbench.core.spec import Spec
from camdbench.core.written_files import write_whole
from camdbench.runner.results import BatchResult

SAVE_EVERY = 10.0  # seconds of work that a killed process can lose, besides the current batch


class PartialResults:
    """Files of one unit, with random names so that two sessions never write the same file.

    Pending results are written if the context is left by an exception or interrupt.

    Args:
        folder: folder of the files; None writes no files.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._pending, self._files = list[BatchResult](), list[Path]()
        self._last = monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is None:
            return
        try:
            self.save()
        except CamdbenchError:
            if not issubclass(kind, Exception):  # else the first error says more
                raise

    def load(self, explainers: Sequence[Spec]) -> list[BatchResult]:
        """Load results of earlier sessions, each image once.

        Args:
            explainers: explainers of the unit; results of others are ignored.

        Raises:
            CamdbenchError: a file is damaged.
        """
        if self._folder is None:
            return []
        names, kept, seen = set(map(str, explainers)), list[BatchResult](), set[tuple[str, str]]()
        self._files += sorted(self._folder.glob("[!.]*.pt"))
        for file in self._files:
            for result in _read(file):
                if result.explainer not in names:
                    continue
                own = {(result.explainer, image) for image in result.ids}
                if not own & seen:
                    kept.append(result)
                    seen |= own
        return kept

    def add(self, result: BatchResult) -> None:
        """Add a result; pending results are written every `SAVE_EVERY` seconds."""
        self._pending.append(result)
        if monotonic() - self._last >= SAVE_EVERY:
            self.save()

    def save(self) -> None:
        """Write pending results.

        Raises:
            CamdbenchError: the file cannot be written.
        """
        if self._folder is None:
            self._pending.clear()
        elif self._pending:
            path, content = (
                self._folder / f"{uuid.uuid4().hex}.pt",
                io.BytesIO(),
            )  # so that a full disk raises OSError, not an error of torch
            torch.save([result.state() for result in self._pending], content)
            write_whole(path, content.getbuffer(), resumes=True)
            self._files.append(path)
            self._pending.clear()
        self._last = monotonic()

    def clear(self) -> None:
        """Remove the files after the unit's parts are written, but none that another session has written since.

        The folder remains, as another session may be about to write in it.
        """
        self._pending.clear()
        for file in self._files:
            file.unlink(missing_ok=True)
        self._files.clear()


def _read(file: Path) -> list[BatchResult]:
    try:
        with reading(file, fix="delete it and run the same command again", error=CamdbenchError):
            check_growth(file)
            return [BatchResult.from_state(state) for state in torch.load(file, weights_only=True)]
    except CamdbenchError:
        if file.exists():
            raise
        return []  # another session has just finished the unit
