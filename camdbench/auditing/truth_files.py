"""The folder of an audit: its record, logits of coalitions in parts, and the finished tables.

DIR/audit.json                              options, runs and code; written once, before any work
DIR/logits/model=…/draws-00000.safetensors  logits (n, K, 2^p, C) float32 of the coalitions of a chunk of images
DIR/logits/model=…/cells-00000.safetensors  logits (n, P, G^2 + 1, C) float32 of images whose cells join one by one
DIR/truth.parquet                           truth of each image with each network
DIR/networks.csv, explainers.csv, metrics.csv, agreement.csv, meta.csv, audit.md, audit.png

Parts are written whole, and their content depends on the record alone. An audit that was stopped, and two at once, end with the same files.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

import numpy as np
import pandas as pd

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.files import read_json, reading, to_json
from camdbench.core.written_files import AlreadyWritten, creating, make_folder, replacing, write_whole
from camdbench.tables.render import to_csv

RECORD = "audit.json"
Game = Literal["draws", "cells"]  # of objects and backgrounds, or of grid cells
SCHEMA = 1
_FIX = "delete it and run the same command again"
_SHOWN = 60  # characters of a value in a message


@dataclass(frozen=True)
class AuditFolder:
    """The folder of one audit.

    Attributes:
        root: the folder.
    """

    root: Path

    def claim(self, record: Mapping[str, Any]) -> None:
        """Make the folder, and write the record, or compare it with the one that is there.

        Raises:
            UsageError: the folder holds an audit with other options, runs or code, or cannot be written.
            CamdbenchError: its record is damaged, or the disk is full.
        """
        make_folder(self.root, "--out")
        file, wanted = self.root / RECORD, {"schema": SCHEMA, **json.loads(json.dumps(record))}
        if not file.is_file():
            try:
                with creating(file, resumes=True) as temporary:
                    temporary.write_text(to_json(wanted), encoding="utf-8")
            except AlreadyWritten:
                pass
            else:
                return
        found = read_json(file, fix=_FIX, error=CamdbenchError)
        for name in (*wanted, *found):
            if found.get(name) != wanted.get(name) and name != "revision":
                raise UsageError(
                    f"--out = {self.root}: holds another audit ({name}: {_short(found.get(name))}, now {_short(wanted.get(name))}); "
                    "choose another folder"
                )

    def logits_file(self, kind: Game, model: str, chunk: int) -> Path:
        """The file of the logits of a game on a chunk of images."""
        return self.root / "logits" / f"model={quote(model, safe='')}" / f"{kind}-{chunk:05d}.safetensors"

    def read_logits(self, kind: Game, model: str, chunk: int, shape: tuple[int, ...]) -> np.ndarray | None:
        """Read the logits (*shape, C) of a game on a chunk; None if they are not there.

        Raises:
            CamdbenchError: the file is damaged, or holds logits of another shape.
        """
        from safetensors.numpy import load

        file = self.logits_file(kind, model, chunk)
        if not file.is_file():
            return None
        with reading(file, fix=_FIX, error=CamdbenchError):
            found = load(file.read_bytes())["logits"]
            if found.shape[:-1] != shape or found.dtype != np.float32:
                raise ValueError(f"logits {found.dtype} of shape {found.shape}, not float32 of {(*shape, 'C')}")
            return found

    def write_logits(self, kind: Game, model: str, chunk: int, logits: np.ndarray) -> None:
        """Write the logits of a game on a chunk as float32, in which networks state them.

        Raises:
            CamdbenchError: the file cannot be written.
        """
        from safetensors.numpy import save

        content = save({"logits": np.ascontiguousarray(logits, dtype=np.float32)})
        write_whole(self.logits_file(kind, model, chunk), content, resumes=True)

    def write_table(self, name: str, table: pd.DataFrame) -> None:
        """Write a table as CSV or, by its name, as Parquet.

        Raises:
            CamdbenchError: the file cannot be written.
        """
        if name.endswith(".parquet"):
            import pyarrow as pa

            from camdbench.runner.part_tables import save_table

            with replacing(self.root / name, resumes=True) as temporary:
                save_table(pa.Table.from_pandas(table, preserve_index=False).replace_schema_metadata(None), temporary)
        else:
            self.write_text(name, to_csv(table))

    def write_text(self, name: str, text: str) -> None:
        """Write a text.

        Raises:
            CamdbenchError: the file cannot be written.
        """
        write_whole(self.root / name, text, resumes=True)


def _short(value: object) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
