"""A run over a folder of troublesome pictures: each becomes rows that are right, or rows with status=error and the reason."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from helpers import dataset_layouts as fixtures
from PIL import Image

import camdbench

PLAIN = fixtures.scene(3).picture.resize((96, 96))


def bomb(file: Path) -> None:
    """A PNG whose header promises 60,000 x 60,000 pixels in a hundred bytes."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" * 100)), (b"IEND", b"")]
    body = b"".join(struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in chunks)
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def turned(file: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    PLAIN.transpose(Image.Transpose.ROTATE_90).save(file, exif=exif, quality=100, subsampling=0)


def deep(file: Path) -> None:
    Image.fromarray(np.asarray(PLAIN.convert("L")).astype(np.uint16) * 257).save(file)


def truncated(file: Path) -> None:
    PLAIN.save(file)
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


TROUBLE = {
    "plain.png": PLAIN.save,
    "animated.gif": lambda file: PLAIN.save(file, save_all=True, append_images=[PLAIN.transpose(Image.Transpose.FLIP_LEFT_RIGHT)]),
    "cmyk.jpg": lambda file: PLAIN.convert("CMYK").save(file, quality=100),
    "deep.png": deep,
    "grey.jpg": lambda file: PLAIN.convert("L").save(file, quality=100),
    "turned.jpg": turned,
    "bomb.png": bomb,
    "empty.jpg": lambda file: file.write_bytes(b""),
    "strip.png": lambda file: Image.new("RGB", (1, 60_000)).save(file),
    "truncated.jpg": truncated,
}
REASONS = {
    "bomb.png": "decompression bomb",
    "empty.jpg": "cannot be decoded",
    "strip.png": "too narrow for short448",
    "truncated.jpg": "cannot be decoded",
}


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory):
    home = tmp_path_factory.mktemp("trouble")
    (home / "data" / "star").mkdir(parents=True)
    for name, write in TROUBLE.items():
        write(home / "data" / "star" / name)
    dataset = 'folder(size=96, preprocess="short448")'
    return camdbench.run("centre", "ad,ag", dataset=dataset, data_root=home / "data", target="predicted", device="cpu", out=home / "run")


def test_every_picture_has_its_row(rows) -> None:
    assert sorted(rows["image"]) == sorted(2 * [f"star/{name}" for name in TROUBLE])  # one for each metric


@pytest.mark.parametrize("name", TROUBLE)
def test_it_is_right_or_says_why_not(rows, name: str) -> None:
    row = rows[rows["image"] == f"star/{name}"].iloc[0]
    if name in REASONS:
        assert row["status"] == "error"
        assert REASONS[name] in row["reason"]
        assert name in row["reason"]
        assert np.isnan(row["value"])
    else:
        assert row["status"] == "ok"
        assert np.isfinite(row["value"])


def test_what_only_stores_the_same_picture_otherwise_has_the_same_value(rows) -> None:
    values = rows.set_index(["image", "metric"])["value"].unstack()
    changed = values["ag"] - values["ad"]  # one of the two is zero
    assert abs(changed["star/plain.png"]) > 2, "a value that the picture decides"
    assert changed["star/turned.jpg"] == pytest.approx(changed["star/plain.png"], abs=0.5)
    assert changed["star/deep.png"] == pytest.approx(changed["star/grey.jpg"], abs=0.5)
