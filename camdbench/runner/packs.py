"""Packs: consecutive parts of a run in one file each, which is read faster; `tables.part_files` has the rules.

A pack is written whole, named, read back, and only then are the parts removed whose contents it holds. A crash between any two of
these steps, another session that packs at the same time, and a part that is written late leave the table as it is; packing again
removes what is left.
"""

from __future__ import annotations

import os
import re
import warnings
from collections.abc import Collection, Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import TYPE_CHECKING, Any, NamedTuple
from uuid import uuid4

from camdbench.core.errors import CamdbenchError, CamdbenchWarning
from camdbench.core.files import reading
from camdbench.core.written_files import write_file
from camdbench.tables.part_files import CHUNK, CHUNKS, FIXES, PartFile, chunks_of, counted, drop_seen, folders, is_gone, parquet_names

if TYPE_CHECKING:
    import pyarrow as pa

    from camdbench.runner.prepare import Run

KINDS = ("rows", "curves", "usage")
WORTH = 16  # parts; fewer consecutive ones are packed on request only, as reading one takes about a millisecond
_AGAIN = 3  # times, after another session has removed a file
_PARTS = 64  # parts in memory at once, and in one row group; fewer if they hold long curves
_BYTES = 16_000_000
_OLD = 86_400  # seconds after which a temporary file is that of a session that was killed
_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}\.tmp")


class Compacted(NamedTuple):
    """What was packed.

    Attributes:
        parts: parts that are in packs now.
        packs: packs written.
        removed: files removed: these parts, others that a pack holds, and temporary files of killed sessions.
    """

    parts: int
    packs: int
    removed: int


def finish(run: Run) -> None:
    """End a session: if nothing of the run is missing now, whoever made it, remove partial results and pack the parts.

    A failure to pack is a warning, as all rows are there.
    """
    assert run.directory is not None
    run.directory.list_again()
    if run.missing()[0]:
        return
    run.directory.clear_partial()
    cells = {(model, str(spec)) for model in run.row_names for spec in run.request.jobs}
    try:
        compact(run.directory.root, least=WORTH, cells=cells)
    except CamdbenchError as error:
        warnings.warn(f"the run is complete, but its parts could not be packed: {error}", CamdbenchWarning, stacklevel=2)


def compact(root: Path, *, least: int = 2, cells: Collection[tuple[str, str]] | None = None) -> Compacted:
    """Pack the parts of a run, and remove what packs hold and what killed sessions left.

    Args:
        root: the run directory.
        least: consecutive parts that are worth a pack.
        cells: models and explainers; default: all.

    Raises:
        CamdbenchError: a part is damaged, or a file cannot be written or removed.
    """
    done = Compacted(0, 0, _remove_temporary(root))
    for kind in KINDS:
        for folder, model in folders(root / kind, "model"):
            inner: list[tuple[Path, str | None]] = [(folder, None)] if cells is None or any(model == own for own, _ in cells) else []
            inner += [(path, name) for path, name in folders(folder, "explainer") if cells is None or (model, name) in cells]
            for path, explainer in inner:
                found = _repeat_if_gone(path, model, explainer, kind, least)
                done = Compacted(*(one + other for one, other in zip(done, found, strict=True)))
    return done


def _repeat_if_gone(folder: Path, model: str, explainer: str | None, kind: str, least: int) -> Compacted:
    """Pack one folder; begin again if another session has packed a file that was about to be read."""
    for further in reversed(range(_AGAIN + 1)):
        try:
            parts, packs = _write_packs(folder, model, explainer, kind, least)
            return Compacted(parts, packs, _remove_superseded(folder, model, explainer, kind))
        except CamdbenchError as error:
            if not further or not is_gone(error):
                raise
    raise AssertionError


def _write_packs(folder: Path, model: str, explainer: str | None, kind: str, least: int) -> tuple[int, int]:
    """Write the packs of one folder; return the numbers of parts and packs."""
    files = counted(folder, model, explainer)
    seen = {chunk for file in files if _is_pack(file.path) for chunk in _content(file, kind)}
    new = [file for file in files if not _is_pack(file.path) and not seen.issuperset(_content(file, kind))]
    runs = [run for run in _consecutive(new, kind) if len(run) >= least]
    for run in runs:
        first, last = run[0].chunks[0], run[-1].chunks[0]
        pack = folder / f"pack-{first:05d}-{last:05d}-{uuid4().hex[:8]}.parquet"
        write_file(pack, lambda path, run=run, span=(first, last): _write(path, run, kind, span, seen))
    return sum(map(len, runs)), len(runs)


def _consecutive(parts: Sequence[PartFile], kind: str) -> Iterator[list[PartFile]]:
    """Yield runs of parts without a gap between their chunks and with the same columns."""
    before: tuple[int, pa.Schema] | None = None
    run = list[PartFile]()
    for part in parts:
        schema = _schema(part, kind)
        if before is not None and (part.chunks[0] > before[0] + 1 or not schema.equals(before[1], check_metadata=True)):
            yield run
            run = []
        run.append(part)
        before = part.chunks[0], schema
    if run:
        yield run


def _write(path: Path, parts: Sequence[PartFile], kind: str, span: tuple[int, int], seen: set[tuple[str, int]]) -> None:
    """Write a pack; of parts with several explainers, without what an earlier file holds."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = _schema(parts[0], kind)
    schema = schema.append(pa.field(CHUNK, pa.int32())).with_metadata((schema.metadata or {}) | {CHUNKS: f"{span[0]}-{span[1]}".encode()})
    whole: Any = [own.name for own in schema if not pa.types.is_floating(own.type) and not pa.types.is_nested(own.type)]
    with pq.ParquetWriter(path, schema, compression="zstd", use_dictionary=whole, write_page_checksum=True) as writer:
        for tables in _groups(parts, kind):
            if parts[0].explainer is None:
                tables = [drop_seen(table, seen) for table in tables]
            joined = pa.concat_tables(tables).unify_dictionaries().cast(schema)
            writer.write_table(joined, row_group_size=max(1, len(joined)))


def _groups(parts: Sequence[PartFile], kind: str) -> Iterator[list[pa.Table]]:
    """Yield the tables of a few consecutive parts, as many as fit in `_PARTS` and `_BYTES`, at least one."""
    group: list[pa.Table] = []
    size = 0
    for part in parts:
        table = _with_chunk(part, _read(part.path, kind))
        if group and (len(group) == _PARTS or size + table.nbytes > _BYTES):
            yield group
            group, size = [], 0
        group.append(table)
        size += table.nbytes
    if group:
        yield group


def _with_chunk(part: PartFile, table: pa.Table) -> pa.Table:
    import pyarrow as pa

    return table.append_column(CHUNK, pa.repeat(pa.scalar(part.chunks[0], pa.int32()), len(table)))


def _remove_superseded(folder: Path, model: str, explainer: str | None, kind: str) -> int:
    """Remove parts, and packs of other sessions, whose contents are in an earlier pack, which is read first; return their number."""
    files = [PartFile(folder / name, model, explainer, tuple(chunks_of(name) or ())) for name in parquet_names(folder)]
    taken, packs, gone = set[tuple[str, int]](), list[PartFile](), list[Path]()
    for file in files:  # packs come first by name
        content = _content(file, kind)
        if taken.issuperset(content):
            gone.append(file.path)
        elif _is_pack(file.path):
            taken |= content
            packs.append(file)
    for pack in packs if gone else ():
        _check(pack.path, kind)
    for path in gone:
        _remove(path)
    return len(gone)


def _content(file: PartFile, kind: str) -> set[tuple[str, int]]:
    """Explainers and chunks that a file holds."""
    if file.explainer is not None:
        return {(file.explainer, chunk) for chunk in file.chunks}
    table = _read(file.path, kind)
    table = table if CHUNK in table.column_names else _with_chunk(file, table)
    return set(zip(table.column("explainer").to_pylist(), table.column(CHUNK).to_pylist(), strict=True))


def _read(path: Path, kind: str) -> pa.Table:
    """Read a file whole, with the check of its pages."""
    with _opened(path, kind) as file:
        return file.read(use_threads=False)


def _check(path: Path, kind: str) -> None:
    """Read a file, one row group at a time, with the check of its pages."""
    with _opened(path, kind) as file:
        for group in range(file.num_row_groups):
            file.read_row_group(group, use_threads=False)


@contextmanager
def _opened(path: Path, kind: str) -> Generator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with (
        reading(path, fix=FIXES[kind], error=CamdbenchError),
        pa.OSFile(str(path)) as source,
        pq.ParquetFile(source, page_checksum_verification=True) as file,
    ):
        yield file


def _schema(part: PartFile, kind: str) -> pa.Schema:
    """Columns of a part, without the note of pandas, which holds the number of rows."""
    import pyarrow.parquet as pq

    with reading(part.path, fix=FIXES[kind], error=CamdbenchError):
        schema = pq.read_schema(part.path)
    return schema.with_metadata({name: own for name, own in (schema.metadata or {}).items() if name != b"pandas"})


def _is_pack(path: Path) -> bool:
    return path.name.startswith("pack-")


def _remove_temporary(root: Path) -> int:
    """Remove temporary files that are older than a day by the clock of the file system; return their number."""
    try:
        with TemporaryFile(dir=root) as own:
            now = os.fstat(own.fileno()).st_mtime
    except OSError as error:
        raise CamdbenchError(f"{root}: cannot be written ({error.strerror}); the table is whole, so it may stay as it is") from None
    removed = 0
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names if _TEMPORARY.fullmatch(name)):
            try:
                old = now - path.stat().st_mtime > _OLD
            except FileNotFoundError:
                continue
            if old:
                _remove(path)
                removed += 1
    return removed


def _remove(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise CamdbenchError(f"{path}: cannot be removed ({error.strerror}); the table is whole, so it may stay") from None
