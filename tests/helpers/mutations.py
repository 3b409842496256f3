"""Seeded mutations of files of every kind that a command reads, and of command lines."""

from __future__ import annotations

import io
import json
import os
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

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
    [],
    {},
    [[]],
    {"a": 1},
    [None],
)


def _bytes(change: Callable[[bytes, random.Random], bytes]) -> Mutation:
    def mutate(file: Path, draw: random.Random) -> None:
        file.write_bytes(change(file.read_bytes(), draw))

    return mutate


def _flip(content: bytes, draw: random.Random) -> bytes:
    found = bytearray(content)
    for _ in range(draw.choice([1, 1, 8, 64])):
        found[draw.randrange(len(found))] ^= draw.randrange(1, 256)
    return bytes(found)


def _insert(content: bytes, draw: random.Random) -> bytes:
    place = draw.randrange(len(content))
    return content[:place] + draw.choice([b"\xff\xfe", b"\0", b"\r", b'"', b"\t", b"\xe9", b"[" * 2000, b"9" * 5000]) + content[place:]


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
    file.write_text(yaml.safe_dump(_change(yaml.safe_load(file.read_text("utf-8")), draw), sort_keys=False), encoding="utf-8")


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
        "seed: !!python/object:os.system x\n",
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
                ["", "abc", "nan", "inf", "-1", "1e400", '"', "9" * 40, "1.5", "é", "="]
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


def _state_change(file: Path, draw: random.Random) -> None:
    import torch

    found = draw.choice([*ODD, {"w": torch.zeros(1)}, {1: torch.zeros(1)}, [torch.zeros(1)], [{"explainer": "fakecam"}], torch.zeros(2)])
    buffer = io.BytesIO()
    torch.save(found, buffer)
    file.write_bytes(buffer.getvalue())


def _ids_change(file: Path, draw: random.Random) -> None:
    file.write_text(draw.choice(["", "\n\n", "x\n", "1,2\n", "\0\n", "shortcuts-val-00000\n" * 3, "\x1b[31m\n"]), encoding="utf-8")


def _python_change(file: Path, draw: random.Random) -> None:
    heads = (
        "import sys; sys.exit(3)",
        "raise BaseException('x')",
        "def f(:",
        "\0",
        "1/0",
        "x = " + "(" * 300,
        "raise SystemExit",
        "import nosuch",
        "# coding: klingon",
    )
    bodies = (
        "import sys; sys.exit()",
        "raise BaseException('b')",
        "return None",
        "return 3",
        "return trace.images",
        "1/0",
        "return trace.images.mean(1)[:, 0]",
        "raise SystemExit(0)",
        "exit()",
        "raise GeneratorExit",
        "def f(): return f()\n    return f()",
    )
    text = file.read_text("utf-8")
    file.write_text(
        f"{draw.choice(heads)}\n{text}" if draw.random() < 0.5 else text.replace("return trace.images.mean(1)", draw.choice(bodies)),
        encoding="utf-8",
    )


def _replaced(file: Path, draw: random.Random) -> None:
    """Something else in place of the file."""
    file.unlink()
    match draw.randrange(6):
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
        case _:
            pass


COMMON: tuple[Mutation, ...] = (
    _bytes(_flip),
    _bytes(_flip),
    _bytes(_insert),
    _bytes(lambda content, draw: content[: draw.randrange(len(content))]),
    _bytes(
        lambda content, draw: draw.choice(
            [b"", b"\0" * 64, content * 2, content.decode("latin-1").encode("utf-16"), b"\xef\xbb\xbf" + content]
        )
    ),
    _replaced,
)
OWN: dict[str, tuple[Mutation, ...]] = {
    ".json": (_json_change, _json_change, _json_change, _json_change, _json_odd),
    ".yaml": (_yaml_change, _yaml_change, _yaml_change, _yaml_odd, _yaml_odd),
    ".csv": (_table_change, _table_change, _table_change),
    ".parquet": (_parquet_change, _parquet_change, _parquet_change),
    ".npy": (_array_change, _array_claim),
    ".npz": (_array_change, _array_claim),
    ".safetensors": (_tensors_change,),
    ".pt": (_state_change, _state_change),
    ".txt": (_ids_change,),
    ".py": (_python_change, _python_change, _python_change),
}


def mutate(file: Path, seed: str) -> str:
    """Change a file in place by one mutation of its kind; return the mutation's name."""
    draw = random.Random(seed)
    own = OWN.get(file.suffix, ())
    mutation = draw.choice((*own, *own, *COMMON))
    mutation(file, draw)
    return mutation.__name__
