"""Seeded mutations of files of every kind that a command reads, and of command lines."""

from __future__ import annotations

import io
import json
import os
import random
import re
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from helpers.picture_mutations import PICTURES
from helpers.plugin_mutations import PLUGINS

Mutation = Callable[[Path, random.Random], None]
DEEP = 100_000
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    1.5,
    10**30,
    float("nan"),
    float("inf"),
    "",
    "a",
    "\ud800",
    "x" * 300,
    "../..",
    "../../x",
    "/x",
    "a\0b",
    "\x1b[31m\x9b0m",
    "\u202e",
    -(2**63),
    2**63,
    1e308,
    True,
    [],
    {},
    [[]],
    {"a": 1},
    [None],
)


def _flip(file: Path, draw: random.Random) -> None:
    found = bytearray(file.read_bytes() or b"\0")
    for _ in range(draw.choice([1, 1, 8, 64])):
        found[draw.randrange(len(found))] ^= draw.randrange(1, 256)
    file.write_bytes(bytes(found))


def _insert(file: Path, draw: random.Random) -> None:
    content = file.read_bytes() or b"\0"
    place = draw.randrange(len(content))
    file.write_bytes(
        content[:place] + draw.choice([b"\xff\xfe", b"\0", b"\r", b'"', b"\t", b"\xe9", b"[" * 2000, b"9" * 5000]) + content[place:]
    )


def _cut(file: Path, draw: random.Random) -> None:
    content = file.read_bytes() or b"\0"
    file.write_bytes(content[: draw.randrange(len(content))])


def _other(file: Path, draw: random.Random) -> None:
    """Other bytes: none, zeros, twice, UTF-16, a byte order mark."""
    content = file.read_bytes()
    others = (b"", b"\0" * 64, content * 2, content.decode("latin-1").encode("utf-16"), b"\xef\xbb\xbf" + content)
    file.write_bytes(draw.choice(others))


def _huge(file: Path, draw: random.Random) -> None:
    """More bytes than the process may have, as a hole."""
    del draw
    with file.open("r+b") as opened:
        opened.truncate(6 * 2**30)


def _walk(node: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield (*path, key)
        yield from _walk(value, (*path, key))


def _change(content: Any, draw: random.Random) -> Any:
    """Content with one node removed, renamed or replaced; shallow nodes are as likely as deep ones."""
    paths = list(_walk(content))
    depth = draw.choice(sorted({len(path) for path in paths}))
    *outer, key = draw.choice([path for path in paths if len(path) == depth])
    inside = content
    for step in outer:
        inside = inside[step]
    match draw.randrange(5):
        case 0:
            del inside[key]
        case 1 if isinstance(inside, dict):
            inside[f"{key}s"] = inside.pop(key)
        case _:
            inside[key] = draw.choice(ODD)
    return content


def _json_change(file: Path, draw: random.Random) -> None:
    file.write_text(json.dumps(_change(json.loads(file.read_text("utf-8")), draw)), encoding="utf-8")


def _json_odd(file: Path, draw: random.Random) -> None:
    file.write_text(draw.choice([json.dumps(draw.choice(ODD)), "[" * DEEP, '{"a":' * DEEP, '{"schema": 2}', "9" * 5000]), encoding="utf-8")


def _yaml_change(file: Path, draw: random.Random) -> None:
    content = _change(yaml.safe_load(file.read_text("utf-8")), draw)
    for inside, name in ((content, "epochs"), (content.get("data"), "limit"), (content.get("data"), "evaluation_limit")):
        if isinstance(inside, dict) and isinstance(inside.get(name), int | float) and inside[name] > 8:
            inside[name] = 8  # more work is no fault
    file.write_text(yaml.safe_dump(content, sort_keys=False), encoding="utf-8")


def _yaml_odd(file: Path, draw: random.Random) -> None:
    bomb = "a: &a [x,x,x,x,x,x,x,x]\n" + "".join(
        f"{n}: &{n} [{','.join(f'*{p}' for _ in range(9))}]\n" for p, n in zip("abcdefgh", "bcdefghi", strict=True)
    )
    text = file.read_text("utf-8")
    lines = (
        "\tepochs: 1\n",
        "seed: 1\nseed: 2\n",
        "? [a]\n: 1\n",
        "? {a: 1}\n: 1\n",
        "seed: !!python/object/apply:os.system [touch executed]\n",
        "seed: 2020-01-01\n",
        "seed: *none\n",
        "<<: 3\n",
        "1: 2\n",
        "a: &a [*a]\n",
    )
    odd = (
        "[" * 5000,
        "{a: " * 5000,
        "- " * 5000,
        bomb,
        text + draw.choice(lines),
        "---\na: 1\n---\nb: 2\n",
        yaml.safe_dump(draw.choice(ODD[:4])),
    )
    file.write_text(draw.choice(odd), encoding="utf-8")


def _table_change(file: Path, draw: random.Random) -> None:
    lines = [line.split(",") for line in file.read_text("utf-8").splitlines()]
    row, column = draw.randrange(len(lines)), draw.randrange(len(lines[0]))
    match draw.randrange(5):
        case 0:
            lines = [line[:column] + line[column + 1 :] for line in lines]
        case 1:
            lines.append(lines[row])
        case 2:
            lines[row] = lines[row] + ["1"]
        case _:
            lines[row][min(column, len(lines[row]) - 1)] = draw.choice(
                ["", "abc", "nan", "inf", "-1", "1e400", '"', "9" * 40, "1.5", "é", "=1+1", "../../x", "/x", "\x1b[31m", "a\0b", "-"]
            )
    file.write_text("\n".join(map(",".join, lines)) + "\n", encoding="utf-8")


def _parquet_change(file: Path, draw: random.Random) -> None:
    table = pq.read_table(file, partitioning=None)
    place = draw.randrange(table.num_columns)
    name, count = table.column_names[place], len(table)
    others = (
        [f"t{n}" for n in range(count)],
        [None] * count,
        [[1]] * count,
        [b"\xff"] * count,
        [1.5] * count,
        [float("nan")] * count,
        [True] * count,
        [2**62] * count,
    )
    match draw.randrange(4):
        case 0:
            table = table.drop_columns([name])
        case 1:
            table = pa.concat_tables([table, table])
        case _:
            table = table.set_column(place, name, pa.array(draw.choice(others)))
    pq.write_table(table, file)


def _array_change(file: Path, draw: random.Random) -> None:
    shape = draw.choice([(), (0,), (3,), (0, 7, 7), (2, 3, 7, 7), (2, 0, 0), (500, 2, 2), (2, 7, 7)])
    kind = draw.choice(["f8", "c8", "U3", "S2", "M8[s]", "i1", "u8", "f2", "?", "V4", "f4,i4"])
    array = np.zeros(shape, kind)
    if draw.random() < 0.2:
        array = np.array([_Executed()], dtype=object)
    if file.suffix == ".npz":
        np.savez(file, **draw.choice([{"maps": array}, {"a": array, "b": array}, {}, {"image-00000": array}]))
    else:
        np.save(file, array)


def _array_claim(file: Path, draw: random.Random) -> None:
    header = {
        "descr": draw.choice(["<f4", "|O", "<f99", "zz"]),
        "fortran_order": False,
        "shape": draw.choice([(10**12, 7, 7), (10**30,), (4, 7, 7), (-1, 7, 7)]),
    }
    text = (repr(header) if draw.random() < 0.8 else "(" * 5000).encode()
    content = b"\x93NUMPY\x01\x00" + len(text + b"\n").to_bytes(2, "little") + text + b"\n" + b"\0" * 64
    if file.suffix == ".npy":
        file.write_bytes(content)
        return
    with zipfile.ZipFile(file, "w") as archive:
        for name in draw.choice([("maps.npy",), ("shortcuts-val-00000.npy", "b.npy"), ("a.txt", "b.npy"), ()]):
            archive.writestr(name, content)


def _tensors_change(file: Path, draw: random.Random) -> None:
    header = (
        json.dumps(draw.choice(ODD))
        if draw.random() < 0.5
        else json.dumps({"w": {"dtype": "F32", "shape": [10**9, 10**9], "data_offsets": [0, 8]}})
    )
    encoded = header.encode("utf-8", "backslashreplace")
    file.write_bytes((len(encoded) if draw.random() < 0.7 else 2**62).to_bytes(8, "little") + encoded + b"\0" * 8)


class _Executed:
    """Makes a file when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("executed"),)


def _state_change(file: Path, draw: random.Random) -> None:
    import torch

    found = draw.choice(
        [*ODD, {"w": torch.zeros(1)}, {1: torch.zeros(1)}, [torch.zeros(1)], [{"explainer": "fakecam"}], torch.zeros(2), *[_Executed()] * 6]
    )
    buffer = io.BytesIO()
    torch.save(found, buffer)
    file.write_bytes(buffer.getvalue())


def _ids_change(file: Path, draw: random.Random) -> None:
    file.write_text(draw.choice(["", "\n\n", "x\n", "1,2\n", "\0\n", "shortcuts-val-00000\n" * 3, "\x1b[31m\n"]), encoding="utf-8")


def _replaced(file: Path, draw: random.Random) -> None:
    """Something else in place of the file."""
    file.unlink()
    match draw.randrange(8):
        case 0:
            file.mkdir()
        case 1:
            os.mkfifo(file)
        case 2:
            file.symlink_to(file.name)
        case 3:
            file.symlink_to("/proc/self/mem")
        case 4:
            file.symlink_to("/dev/null")
        case 5:
            file.symlink_to("/dev/zero")
        case 6:
            file.symlink_to(Path.cwd().parent / "outside.txt")  # which nothing may write
        case _:
            pass


def _json_text(file: Path, draw: random.Random) -> None:
    """Numbers and keys that a JSON writer would not write."""
    text = file.read_text("utf-8")
    numbers = list(re.finditer(r"(?<=[:\[ ,])-?\d[\d.e+-]*(?=[,\]}\s])", text))
    keys = list(re.finditer(r'"[^"\\]+"(?=:)', text))
    if draw.random() < 0.5 and numbers:
        found, new = draw.choice(numbers), draw.choice(["NaN", "Infinity", "-Infinity", "1e999", "-0", "9" * 4000, "1" * 30, "0.5", '"1"'])
    elif len(keys) > 1:
        found, new = draw.choice(keys), draw.choice(keys)[0]
    else:
        return
    file.write_text(text[: found.start()] + new + text[found.end() :], encoding="utf-8")


def _lines_change(file: Path, draw: random.Random) -> None:
    """A line of words dropped, doubled or with another word."""
    lines = file.read_text("utf-8").splitlines() or [""]
    row = draw.randrange(len(lines))
    match draw.randrange(4):
        case 0:
            del lines[row]
        case 1:
            lines.append(lines[row])
        case _:
            words = lines[row].split(" ")
            words[draw.randrange(len(words))] = draw.choice(
                ["", "-1", "0", "nan", "1e400", "9" * 30, "x", "é", "../../x", "/x", "a\0b", "\x1b[31m", "1.5", "\u2028"]
            )
            lines[row] = " ".join(words)
    file.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _xml_change(file: Path, draw: random.Random) -> None:
    """Entities that multiply or name a file, nesting, and edges that are no numbers."""
    text = file.read_text("utf-8")
    entities = '<!DOCTYPE a [<!ENTITY e0 "lol">' + "".join(f'<!ENTITY e{n + 1} "{f"&e{n};" * 10}">' for n in range(9)) + "]>"
    outside = '<!DOCTYPE a [<!ENTITY x SYSTEM "file:///etc/passwd">]>'
    odd = (
        entities + text.replace("<name>", "<name>&e9;", 1),
        outside + text.replace("<name>", "<name>&x;", 1),
        '<!DOCTYPE a SYSTEM "http://localhost/x.dtd">' + text,
        "<annotation>" + "<a>" * DEEP,
        "<a>" * DEEP + text + "</a>" * DEEP,
        re.sub(r"<(xmin|ymax)>\d+", lambda found: f"<{found[1]}>{draw.choice(['', 'x', 'nan', '-inf', '1e999', '9' * 400])}", text),
        text.replace("bndbox", "box"),
        text.replace("<object>", "<object/>", 1),
        text * 2,
        "<annotation/>",
    )
    file.write_text(draw.choice(odd), encoding="utf-8")


def _mat_change(file: Path, draw: random.Random) -> None:
    """A MATLAB file with one variable of another type, shape or name."""
    from scipy.io import loadmat, savemat

    found = {name: own for name, own in loadmat(str(file)).items() if not name.startswith("__")}
    name = draw.choice(sorted(found))
    odd = (
        np.zeros((0, 0)),
        np.zeros(3),
        "text",
        np.array([[np.nan]]),
        {"a": 1},
        np.array([["a", 1]], dtype=object),
        1 + 2j,
        np.ones((2, 2, 2)),
    )
    value = found.pop(name)
    savemat(file, found | draw.choice([{name: draw.choice(odd)}, {name: draw.choice(odd)}, {f"{name}s": value}, {name: value[:, :0]}]))


def _store_change(file: Path, draw: random.Random) -> None:
    """An HDF5 file with other arrays, with links that loop or lead outside, or with an array larger than any memory."""
    import h5py

    with h5py.File(file, "w") as store:
        match draw.randrange(8):
            case 0:
                store["maps"] = h5py.SoftLink("/maps")
            case 1:
                store["maps"] = h5py.ExternalLink("/etc/passwd", "/x")
            case 2:
                store.create_dataset("maps", shape=(2, 10**6, 10**6), chunks=(1, 64, 64), dtype="f4", compression="gzip")
            case 3:
                store.create_dataset("maps", shape=(2, 10**5, 10**5), chunks=(1, 64, 64), dtype="f4", fillvalue=1)
            case 4:
                store["maps"] = np.zeros((2, 7, 7), draw.choice(["i1", "c8", "S3", "f8", "f2", "u8"]))
                store["ids"] = draw.choice([np.zeros(2), np.array([b"a", b"a"]), np.array([b"../../x", b"\xff"]), np.zeros((2, 2))])
            case 5:
                store.create_group("a").create_group("b")["c"] = h5py.SoftLink("/a")
            case 6:
                store["maps"] = np.zeros((2, 7, 7), np.dtype([("a", "f4"), ("b", "i4")]))
            case _:
                store["maps"] = np.zeros(draw.choice([(), (0,), (3,), (2, 0, 0), (500, 2, 2), (2, 1, 7, 7)]), "f4")
                store.create_dataset("ids", data=["x", "y"], dtype=h5py.string_dtype())


def _parquet_rows(file: Path, draw: random.Random) -> None:
    """A small file of many equal rows."""
    table = pq.read_table(file, partitioning=None)
    many = pa.table({name: pa.repeat(table[name][0], 10**5) for name in table.column_names}) if len(table) else table
    with pq.ParquetWriter(file, many.schema, compression="zstd") as writer:
        for _ in range(draw.choice([1, 5])):
            writer.write_table(many)


COMMON: tuple[Mutation, ...] = (_flip, _flip, _insert, _cut, _other, _replaced, _replaced, _huge)
OWN: dict[str, tuple[Mutation, ...]] = {
    ".json": (_json_change, _json_change, _json_change, _json_change, _json_odd, _json_text),
    ".yaml": (_yaml_change, _yaml_change, _yaml_change, _yaml_odd, _yaml_odd),
    ".csv": (_table_change, _table_change, _table_change, _table_change),
    ".parquet": (_parquet_change, _parquet_change, _parquet_change, _parquet_rows),
    ".npy": (_array_change, _array_claim),
    ".npz": (_array_change, _array_claim),
    ".safetensors": (_tensors_change,),
    ".pt": (_state_change, _state_change),
    ".pth": (_state_change, _state_change),
    ".txt": (_ids_change, _lines_change, _lines_change, _lines_change),
    ".xml": (_xml_change, _xml_change, _xml_change),
    ".mat": (_mat_change, _mat_change),
    ".h5": (_store_change, _store_change, _store_change),
    ".py": PLUGINS,
} | dict.fromkeys((".png", ".jpg", ".jpeg", ".JPEG", ".webp", ".gif", ".tif"), PICTURES)


def mutate(file: Path, seed: str, name: str = "") -> str:
    """Change a file in place by a mutation of its kind, or by the named one; return the mutation's name."""
    choices = (*OWN.get(file.suffix, ()) * 2, *COMMON)
    found = next((own for own in choices if own.__name__ == name), None) or random.Random(f"{file.suffix} {seed}").choice(choices)
    found(file, random.Random(f"{found.__name__} {seed}"))
    return found.__name__
