"""The run directory: part files, which are written atomically, `run.json`, and one file per session.

RUN/run.json                                            the record; written once by the first session
RUN/run.yaml                                            the resolved options of the last session, an export
RUN/own/                                                copies of the Python files of references and plug-ins, for a reader
RUN/sessions/START-HOST-ID.json                         versions, machine, usage and end of a session, and its explainers
RUN/rows/model=…/explainer=…/part-00000.parquet         one file per explainer and chunk of images
RUN/curves/model=…/explainer=…/part-00000.parquet       curves from which values are computed, one row per image
RUN/usage/model=…/part-00000-ID.parquet                 image passes, seconds and memory; one file per unit
RUN/rows/model=…/explainer=…/pack-00000-00195-….parquet   consecutive parts in one file, which takes their place; also of curves and usage
RUN/predictions/model=…/part-00000-ID.parquet           predicted class and its probability, one row per image; one file per unit
RUN/maps/model=…/explainer=…/part-00000.safetensors     raw maps, `maps.HxW`, `scale.HxW` and `position.HxW` (`saved_maps.pack`), and
                                                        maps to be seen, `view.bytes`, `view.offset` and `view.position` (`view_maps`)
RUN/partial/model=…/chunk-00000/*.pt                    results of an unfinished chunk

A chunk of an explainer is done when a part or a pack under `rows` holds it (`tables.part_files` has the rules).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import quote

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.files import check_utf8, read_json, reading
from camdbench.core.row import Row
from camdbench.core.settings import identity_of
from camdbench.core.written_files import AlreadyWritten, creating, make_folder, write_file, write_json
from camdbench.runner.config import RunConfig
from camdbench.runner.part_tables import UsageRow, prediction_table, row_table, save_table, usage_table
from camdbench.runner.session import Session
from camdbench.tables.curve_lists import FILE_OPTIONS
from camdbench.tables.load import MODEL_FACTS, SCHEMA, load_run
from camdbench.tables.part_files import counted
from camdbench.tables.sessions import read_sessions

if TYPE_CHECKING:
    import pyarrow as pa
    from torch import Tensor

_SUFFIX = {"maps": "safetensors"}


class PartKey(NamedTuple):
    """One explainer on one chunk of the images, with one model."""

    model: str
    explainer: str
    chunk: int


@dataclass(frozen=True)
class RunRecord:
    """Content of `run.json`: everything on which the values of a run depend.

    Attributes:
        run: name of the run.
        config: configuration without execution fields.
        dataset: fingerprint, number of images, classes.
        models: by name in rows: hashes of weights and code, layer, classes, mean, std, output, batch mates, prefix tokens, input
            size, the result of the network's check, and `probe`: logits of two fixed images, compared with a tolerance.
        code: hash of camdbench's code.
        maps: hash of the saved maps; None if explainers compute them.
        map_normalisation: normalisation of the maps of a file.
        given: hashes of given maps by explainer, of all sessions.
        plugins: code hashes of explainers, metrics and data sets from plug-ins, by kind and name.
        explainers: by spec: paper, whether a control, layers.
        metrics: by spec: paper, protocol, direction, unit, tolerance; `curve_points` if the images leave its curve few points.
        ids: image ids, in order.
        chunk_size: images in one part file.
        schema: version of this format.
    """

    run: str
    config: Mapping[str, Any]
    dataset: Mapping[str, Any]
    models: Mapping[str, Mapping[str, Any]]
    code: str
    maps: str | None
    map_normalisation: str | None
    plugins: Mapping[str, str]
    explainers: Mapping[str, Mapping[str, Any]]
    metrics: Mapping[str, Mapping[str, Any]]
    ids: Sequence[str]
    chunk_size: int
    schema: int = SCHEMA
    given: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, about: Mapping[str, Any]) -> RunRecord:
        """Return the record from the content read by `load_run`.

        Raises:
            ValidationError: of pydantic; a field has another type.
        """
        from pydantic import TypeAdapter

        return TypeAdapter(cls).validate_python({item.name: about.get(item.name) for item in fields(cls)})

    @property
    def identity(self) -> dict[str, Any]:
        """Facts that must agree between sessions in one run directory."""
        models = {
            f"{'network code' if fact == 'code' else fact} of {name}": own.get(fact, default)
            for name, own in self.models.items()
            for fact, default in MODEL_FACTS.items()
        }
        config = {"objective": RunConfig.objective} | dict(self.config) | {"models": list(self.models)}
        return identity_of(RunConfig, config) | {
            "data": self.dataset.get("fingerprint"),
            "images": hashlib.sha256("\n".join(self.ids).encode()).hexdigest()[:16],
            "chunk_size": self.chunk_size,
            "code": self.code,
            "maps": self.maps,
            "map_normalisation": self.map_normalisation,
            **models,
            **{f"code of {name}": code for name, code in self.plugins.items()},
            **{f"maps of {name}": content for name, content in self.given.items()},
        }


class RunDirectory:
    """Writable run directory; the only class that knows its file names.

    Args:
        root: the directory; created if missing.

    Raises:
        UsageError: the directory cannot be created or written.
        UnwritableFile: the disk is full.
    """

    def __init__(self, root: Path) -> None:
        self.root, self._done = root, dict[tuple[str, str], frozenset[int]]()
        check_utf8("--out", root.name)
        make_folder(root, "--out")

    def with_absolute_paths(self) -> RunDirectory:
        """Return the directory with an absolute path, for a process in another folder."""
        return RunDirectory(self.root.resolve())

    @cached_property
    def name(self) -> str:
        """Name of the run in its rows: of the folder in which it was begun, also after the folder was copied."""
        file = self.root / "run.json"
        return str(read_json(file, fix="restore it", error=CamdbenchError).get("run") if file.is_file() else self.root.resolve().name)

    def is_done(self, key: PartKey, *, now: bool = False) -> bool:
        """Return whether a part is complete: its rows exist, in a part or a pack.

        Args:
            key: the part.
            now: list the folder again, as other sessions may have written to it; else each folder is listed once.

        Raises:
            CamdbenchError: the folder cannot be listed, or holds a file that is none of a run.
        """
        cell = key.model, key.explainer
        if now or cell not in self._done:
            files = counted(part_file(self.root, "rows", key).parent, *cell)
            self._done[cell] = frozenset(chunk for file in files for chunk in file.chunks)
        return key.chunk in self._done[cell]

    def list_again(self) -> None:
        """Forget what is done, as sessions have written since."""
        self._done.clear()

    def partial(self, model: str, chunk: int) -> Path:
        """Return the folder of a chunk's partial results."""
        return self.root / "partial" / f"model={quote(model, safe='')}" / f"chunk-{chunk:05d}"

    def clear_partial(self) -> None:
        """Remove remaining partial results of a complete run, unless another session may be writing some."""
        folder = self.root / "partial"
        if folder.is_dir() and all(session["ended"] != "running" for session in read_sessions(self.root)):
            rmtree(folder, ignore_errors=True)

    def write_usage(self, model: str, chunk: int, usage: Sequence[UsageRow]) -> None:
        """Write the usage of some explainers on a chunk, before their parts.

        The file is named by its explainers: a session that repeats a unit replaces it, and one that computes what an interrupted
        session left of a unit, or further explainers, writes another one. `load_usage` counts each explainer once.

        Raises:
            CamdbenchError: the file cannot be written.
        """
        if usage:
            path = unit_file(self.root, "usage", model, chunk, [row.explainer for row in usage])
            write_file(path, lambda path: save_table(usage_table(usage), path))

    def write_predictions(self, model: str, chunk: int, explainers: Sequence[str], predictions: Mapping[str, tuple[int, float]]) -> None:
        """Write predicted classes and their probabilities, by image of a chunk, before the parts of these explainers.

        The file is named as that of the usage, by the explainers of the unit; `load_predictions` counts each image once.

        Raises:
            CamdbenchError: the file cannot be written.
        """
        if predictions:
            path = unit_file(self.root, "predictions", model, chunk, explainers)
            write_file(path, lambda path: save_table(prediction_table(predictions), path))

    def write(self, key: PartKey, rows: Sequence[Row], curves: pa.Table | None, maps: Mapping[str, Tensor] | None) -> None:
        """Write a part, its rows last; without maps it has no file of these.

        Raises:
            CamdbenchError: a file cannot be written.
        """
        if maps:
            from safetensors.torch import save  # its save_file hides the file from other users

            content = save(dict(maps))
            write_file(part_file(self.root, "maps", key), lambda path: path.write_bytes(content))
        if curves is not None:
            write_file(part_file(self.root, "curves", key), lambda path: save_table(curves, path, **FILE_OPTIONS))
        write_file(part_file(self.root, "rows", key), lambda path: save_table(row_table(rows), path))
        if (cell := (key.model, key.explainer)) in self._done:
            self._done[cell] |= {key.chunk}

    def read_record(self) -> RunRecord | None:
        """Read the record, with the explainers and plug-ins of all sessions; None if there is no run.

        Raises:
            UsageError: damaged, or of another version of camdbench.
        """
        if not (self.root / "run.json").is_file():
            return None
        try:
            about = load_run(self.root)
            with reading(self.root / "run.json", fix="delete it and run the same command again", error=CamdbenchError):
                return RunRecord.of(about)
        except UsageError:
            raise
        except CamdbenchError as error:
            raise UsageError(f"--out {self.root}: {error}; or choose another folder") from None

    def create_record(self, record: RunRecord) -> bool:
        """Write `run.json`; return False, and leave the file as it is, if another session has written it first.

        Raises:
            CamdbenchError: the file cannot be written.
        """
        try:
            write_json(self.root / "run.json", asdict(record), creating)
        except AlreadyWritten:
            return False
        return True

    def session(self, **facts: Any) -> Session:
        """Return a session in this directory, with facts for its file."""
        return Session(self.root / "sessions", facts)


def part_file(root: Path, kind: str, key: PartKey) -> Path:
    """Return the path of a part in `rows`, `curves` or `maps`."""
    folder = root / kind / f"model={quote(key.model, safe='')}" / f"explainer={quote(key.explainer, safe='')}"
    return folder / f"part-{key.chunk:05d}.{_SUFFIX.get(kind, 'parquet')}"


def unit_file(root: Path, kind: str, model: str, chunk: int, explainers: Iterable[str]) -> Path:
    """Return the path of `usage` or `predictions` of some explainers, in any order, on a chunk."""
    name = hashlib.sha256("\n".join(sorted(set(explainers))).encode()).hexdigest()[:8]
    return root / kind / f"model={quote(model, safe='')}" / f"part-{chunk:05d}-{name}.parquet"
