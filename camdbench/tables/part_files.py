"""Tables of a run in many files: which files count, and what they hold.

`KIND/model=…/explainer=…/` holds parts, `part-CHUNK.parquet`, and packs of consecutive parts, `pack-FIRST-LAST-ID.parquet`. Files in
`KIND/model=…/` itself, `part-CHUNK-ID.parquet` and packs, hold several explainers, with the explainer as a column.

Sessions may write and pack at the same time, and any of them may be killed at any moment, as:

1. parts of a chunk that a pack holds are ignored;
2. of two packs, the first by name counts for a chunk; values are deterministic, so either will do;
3. no file is edited, and a pack is whole before its parts are removed;
4. a reader that finds a file gone lists again.
"""

from __future__ import annotations

import errno
import re
from collections import defaultdict
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from camdbench.core.errors import CamdbenchError
from camdbench.core.files import reading, reason_of

if TYPE_CHECKING:
    import pyarrow as pa

CHUNK = "chunk"  # column of a pack
CHUNKS = b"camdbench.chunks"  # in the footer of a pack: its chunks, FIRST-LAST
_NAME = re.compile(r"part-(?P<one>\d{5,6})(-[0-9a-f]{8})?\.parquet|pack-(?P<first>\d{5,6})-(?P<last>\d{5,6})-[0-9a-f]{8}\.parquet")
_LISTINGS = 4  # the first, and three after a file has gone
_GONE = (errno.ENOENT, errno.ESTALE)  # the second on NFS
_PARTITIONS = ("model", "explainer")  # in the path
_INTEGERS = frozenset({"label", "target", "predicted", "images", "forward", "backward", "tail_forward", "tail_backward", CHUNK})
_NUMBERS = frozenset({"value", "x", "probability", "seconds", "peak_memory_mb"})
_ABSENT = {"objective": "logit"}  # values of columns that files of older runs lack
_OF_LISTS = {"x": "text", "value": "lists of numbers"}  # of curves since schema 3
FIXES = {
    "rows": "delete it and run the same command again",
    "curves": "delete it and the file of the same numbers under rows/, and run the same command again",
    "predictions": "delete it; the predicted classes of its images are then unknown, their values are not affected",
    "usage": "delete it; the usage of its images is then unknown, their values are not affected",
}


class PartFile(NamedTuple):
    """A file that counts.

    Attributes:
        path: the file, a part or a pack.
        model: name of the model in rows.
        explainer: canonical spec of the explainer; None if it is a column of the file.
        chunks: the chunks for which the file counts; a pack may hold more.
    """

    path: Path
    model: str
    explainer: str | None
    chunks: tuple[int, ...]


def chunks_of(name: str) -> range | None:
    """Return the chunks of a part or pack by its file name; None for other names.

    >>> chunks_of("part-00007.parquet"), chunks_of("pack-00000-00195-0a1b2c3d.parquet"), chunks_of("part-7 (copy).parquet")
    (range(7, 8), range(0, 196), None)
    """
    found = _NAME.fullmatch(name)
    if found is None:
        return None
    first, last = (int(found["one"] or found[side]) for side in ("first", "last"))
    return range(first, last + 1) or None


def part_files(root: Path, kind: str) -> list[PartFile]:
    """Return the files that count, by model and explainer.

    Args:
        root: a run directory.
        kind: `rows`, `curves` or `usage`.

    Raises:
        CamdbenchError: a folder cannot be listed, or holds a file that is none of a run.
    """
    found = list[PartFile]()
    for folder, model in folders(root / kind, "model"):
        found += counted(folder, model, None)
        for inner, explainer in folders(folder, "explainer"):
            found += counted(inner, model, explainer)
    return found


def counted(folder: Path, model: str, explainer: str | None) -> list[PartFile]:
    """Return the files of one folder that count, packs first; arguments and errors as of `PartFile` and `part_files`.

    Files with several explainers all count, as one of them may lack an explainer that another one has.
    """
    found, taken = list[PartFile](), set[int]()
    for name in parquet_names(folder):  # packs come first by name
        chunks = chunks_of(name)
        if chunks is None:
            raise CamdbenchError(f"{folder / name}: not a file of a run; remove it from the run directory")
        left = tuple(chunk for chunk in chunks if chunk not in taken)
        if explainer is not None:
            taken.update(left)
        if left:
            found.append(PartFile(folder / name, model, explainer, left))
    return found


def parquet_names(folder: Path) -> list[str]:
    """Return the names of a folder's Parquet files, sorted; a leading dot marks unfinished ones.

    The folder is listed twice, as one listing may miss both a pack that is being named and its parts, which are removed then.

    Raises:
        CamdbenchError: the folder cannot be listed.
    """
    return sorted(name for name in {*_list(folder), *_list(folder)} if name.endswith(".parquet") and not name.startswith("."))


def read_parts(
    root: Path,
    kind: str,
    columns: Sequence[str],
    metrics: Sequence[str] | None = None,
    explainers: Sequence[str] | None = None,
    models: Sequence[str] | None = None,
    chunks: range | None = None,
) -> Iterator[tuple[PartFile, pa.Table]]:
    """Read the files that count, one after the other; each chunk of an explainer once.

    Args:
        root: a run directory.
        kind: `rows`, `curves` or `usage`.
        columns: columns of the tables, in order; also `model`, `explainer` and `chunk`.
        metrics: metric specs; default: all.
        explainers: explainer specs; default: all; files of several explainers are read whole.
        models: names of models in rows; default: all.
        chunks: leave out files without any of these chunks; default: read all.

    Yields:
        File, with the chunks that are read, and table: the whole of a part, one row group of a pack, so that memory does not grow with
        the run. Text is dictionary-encoded, with a dictionary of each table.

    Raises:
        CamdbenchError: a file is damaged or cannot be read.
    """
    seen = defaultdict[str, set[tuple[str, int]]](set)
    further = _LISTINGS
    while further:
        further -= 1
        try:
            for part in part_files(root, kind):
                wanted = explainers is None or part.explainer is None or part.explainer in explainers
                wanted = wanted and (models is None or part.model in models)
                wanted = wanted and (chunks is None or any(chunk in chunks for chunk in part.chunks))
                if wanted and (found := _unseen(part, seen[part.model])) is not None:
                    for table in _read(found, kind, columns, metrics, seen[part.model]):
                        yield found, table
            further = 0
        except CamdbenchError as error:
            if not further or not is_gone(error):
                raise


def is_gone(error: CamdbenchError) -> bool:
    """Return whether a file could not be read as another session has removed it."""
    return getattr(error.__context__, "errno", None) in _GONE


def _unseen(part: PartFile, seen: set[tuple[str, int]]) -> PartFile | None:
    """Return a file with the chunks that were not read before the folder was listed again; None without any."""
    if part.explainer is None:
        return part
    chunks = tuple(chunk for chunk in part.chunks if (part.explainer, chunk) not in seen)
    return part._replace(chunks=chunks) if chunks else None


def _read(
    part: PartFile, kind: str, columns: Sequence[str], metrics: Sequence[str] | None, seen: set[tuple[str, int]]
) -> Iterator[pa.Table]:
    """Yield the row groups of one file, without what was read before, and note its chunks in `seen`."""
    import pyarrow as pa
    import pyarrow.compute as pc

    held = chunks_of(part.path.name)
    assert held is not None
    wanted = {*columns} | ({"metric"} if metrics is not None else set())
    wanted |= {CHUNK, "explainer"} if part.explainer is None else {CHUNK} if len(held) > 1 else set()
    with reading(part.path, fix=FIXES[kind], error=CamdbenchError):
        for table in row_groups(part, kind, held, sorted(wanted)):
            if part.explainer is None:
                table = drop_seen(table, seen)
            elif len(held) > 1:
                table = table.filter(pc.field(CHUNK).isin(list(part.chunks))) if len(part.chunks) < len(held) else table
                seen.update((part.explainer, chunk) for chunk in table.column(CHUNK).unique().to_pylist())
            if metrics is not None:
                table = table.filter(pc.field("metric").cast(pa.string()).isin(list(metrics)))
            yield table.select(list(columns))
    if part.explainer is not None:
        seen.update((part.explainer, chunk) for chunk in part.chunks)


@contextmanager
def naming(path: Path, kind: str) -> Generator[None]:
    """Name a file that was read in an error of its content; it may be gone by now, as files are packed.

    Raises:
        CamdbenchError: the content is none of a run's.
    """
    try:
        yield
    except Exception as failure:
        raise CamdbenchError(f"{path}: damaged ({reason_of(failure)}); {FIXES[kind]}") from failure


def drop_seen(table: pa.Table, seen: set[tuple[str, int]]) -> pa.Table:
    """Return the rows of explainers and chunks that are not in `seen`, and add these to it.

    Args:
        table: a table with the columns `explainer` and `chunk`.
        seen: explainers with their chunks.
    """
    import pyarrow as pa

    pairs = list(zip(table.column("explainer").to_pylist(), table.column(CHUNK).to_pylist(), strict=True))
    new = pa.array([pair not in seen for pair in pairs], pa.bool_())
    seen.update(pairs)
    return table.filter(new)


def row_groups(part: PartFile, kind: str, held: range, names: Sequence[str]) -> Iterator[pa.Table]:
    """Yield columns of each row group of a file, their types checked; what its path says, model or chunk too, becomes columns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    given: dict[str, str | int] = {"model": part.model} | ({CHUNK: held[0]} if len(held) == 1 else {})
    given |= {} if part.explainer is None else {"explainer": part.explainer}
    with pa.OSFile(str(part.path)) as source:
        about = pq.ParquetFile(source).metadata
        _check_footer(about.metadata or {}, held)
        given |= {name: own for name, own in _ABSENT.items() if name in names and name not in about.schema.names}
        texts = [name for name in about.schema.names if name in names and name not in _INTEGERS | _NUMBERS]
        file = pq.ParquetFile(source, metadata=about, read_dictionary=texts, page_checksum_verification=True)
        for group in range(about.num_row_groups):
            table = file.read_row_group(group, [name for name in names if name not in given], use_threads=False)
            length = about.row_group(group).num_rows
            found = {name: _checked(name, table.column(name), kind) for name in names if name not in given}
            yield pa.table({name: _repeat(given[name], length) if name in given else found[name] for name in names})


def _check_footer(footer: dict[bytes, bytes], held: range) -> None:
    """Refuse a pack that was renamed: its footer also says which chunks it holds."""
    stated = footer.get(CHUNKS)
    if stated is not None and stated != f"{held[0]}-{held[-1]}".encode():
        raise ValueError(f"holds the chunks {stated.decode(errors='replace')}, not those of its name")


def _repeat(value: str | int, length: int) -> pa.Array:
    import pyarrow as pa

    if isinstance(value, int):
        return pa.repeat(pa.scalar(value, pa.int64()), length)
    return pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), length), pa.array([value], pa.string()))


def _checked(name: str, column: pa.ChunkedArray, kind: str) -> pa.ChunkedArray:
    """Return a column in its type; raise TypeError for text in place of numbers, or the reverse."""
    import pyarrow as pa

    expected = "integers" if name in _INTEGERS else "numbers" if name in _NUMBERS else "text"
    found = _kind(column.type)
    if kind == "curves" and found == _OF_LISTS.get(name):
        expected = found
    if expected != "numbers" and column.null_count:
        found = f"{found} with gaps"
    if len(column) and found != expected and (expected, found) != ("numbers", "integers"):
        raise TypeError(f"column {name}: expected {expected}, found {found}")
    text, numbers = pa.dictionary(pa.int32(), pa.string()), pa.float64()
    form = {"integers": pa.int64(), "numbers": numbers, "text": text, "lists of numbers": pa.list_(numbers)}[expected]
    if column.type == form:
        if expected == "text":
            column.validate(full=True)  # a damaged header of a page can leave codes without a word
        return column
    return column.cast(pa.string()).dictionary_encode() if expected == "text" else column.cast(form)


@cache
def _kind(kind: pa.DataType) -> str:
    from pyarrow import types

    if types.is_dictionary(kind):
        return _kind(kind.value_type)
    if types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind):
        return f"lists of {_kind(kind.value_type)}"
    if types.is_integer(kind):
        return "integers"
    if types.is_floating(kind):
        return "numbers"
    return "text" if types.is_string(kind) or types.is_large_string(kind) else str(kind)


def folders(folder: Path, kind: str) -> list[tuple[Path, str]]:
    """Return the folders `KIND=NAME` of a folder, sorted, with their names."""
    names = [name for name in sorted(set(_list(folder))) if name.startswith(f"{kind}=")]
    return [(folder / name, unquote(name.partition("=")[2])) for name in names]


def _list(folder: Path) -> list[str]:
    try:
        return [path.name for path in folder.iterdir()]
    except FileNotFoundError:
        return []
    except OSError as error:
        raise CamdbenchError(f"{folder}: cannot be listed ({error.strerror}); check the folder") from error
