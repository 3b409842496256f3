"""Seeded mutations of pictures: other formats and modes, metadata, and headers that claim more than the file holds."""

from __future__ import annotations

import random
import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_EPS = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(executed) (w) file closefile\nshowpage\n%%EOF\n"


def _picture_mode(file: Path, draw: random.Random) -> None:
    """Another format and mode under the same name."""
    pixels = np.random.default_rng(draw.randrange(99)).integers(0, 256, (24, 32, 4), dtype=np.uint8)
    colours = Image.fromarray(pixels[..., :3])
    alpha = Image.fromarray(pixels)
    wide = Image.fromarray(pixels[..., 0].astype(np.uint16) * 257)
    numbers = Image.fromarray(pixels[..., 0].astype(np.float32))
    made = (
        (colours.convert("CMYK"), "JPEG"),
        (colours.convert("CMYK"), "TIFF"),
        (colours.convert("P"), "GIF"),
        (colours.convert("P"), "PNG"),
        (colours.convert("1"), "PNG"),
        (colours.convert("L"), "JPEG"),
        (colours.convert("LA"), "PNG"),
        (colours.convert("LAB"), "TIFF"),
        (colours.convert("HSV").convert("RGB"), "WEBP"),
        (alpha, "PNG"),
        (alpha, "WEBP"),
        (alpha.convert("PA").convert("RGBA"), "TIFF"),
        (wide, "PNG"),
        (wide, "TIFF"),
        (numbers, "TIFF"),
        (numbers.convert("I"), "TIFF"),
        (colours, "BMP"),
        (colours, "PPM"),
        (colours, "ICO"),
        (colours, "PDF"),
        (colours, "TGA"),
        (colours.resize((1, 1)), "PNG"),
        (colours.resize((1, 4000)), "PNG"),
        (colours.resize((4000, 1)), "JPEG"),
    )
    picture, form = draw.choice(made)
    picture.save(file, format=form)


def _picture_frames(file: Path, draw: random.Random) -> None:
    """An animation, a page in several, or a picture with odd metadata."""
    frames = [Image.new("RGB", (16, 16), (40 * n, 0, 0)) for n in range(5)]
    match draw.randrange(5):
        case 0:
            frames[0].save(file, format="GIF", save_all=True, append_images=frames[1:])
        case 1:
            frames[0].save(file, format="TIFF", save_all=True, append_images=[Image.new("L", (1, 1))])
        case 2:
            frames[0].save(file, format="WEBP", save_all=True, append_images=frames[1:])
        case 3:
            exif = Image.Exif()
            exif[0x0112] = draw.choice([0, 3, 5, 6, 8, 99])
            frames[0].resize((16, 8)).save(file, format="JPEG", exif=exif)
        case _:
            frames[0].save(file, format="JPEG", exif=b"Exif\0\0" + draw.randbytes(40), icc_profile=draw.randbytes(200))


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _picture_claim(file: Path, draw: random.Random) -> None:
    """A header that claims many pixels; an archive of text; a document that a program would run."""
    wide, high = draw.choice([(60_000, 60_000), (2**31 - 1, 2**31 - 1), (0, 0), (9_400, 9_400), (2**31 - 1, 1), (9_000, 9_000)])
    head = _SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", wide, high, 8, 2, 0, 0, 0))
    rows = _chunk(b"IDAT", zlib.compress(b"\0" * 10**6))
    text = _chunk(b"zTXt", b"a\0\0" + zlib.compress(b"\0" * 10**7))
    small = _SIGNATURE + _chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 2, 0, 0, 0))
    others = (
        head + rows + _chunk(b"IEND", b""),
        head + rows,
        small + text + rows + _chunk(b"IEND", b""),
        small + text * 40 + rows + _chunk(b"IEND", b""),
        b"BM" + struct.pack("<IIIIiiHHIIiiII", 70, 0, 54, 40, wide & 0x7FFFFFFF, -1, 1, 24, 0, 0, 0, 0, 0, 0),
        b"II*\0" + struct.pack("<IH", 8, 1) + struct.pack("<HHII", 256, 4, 2**32 - 1, 8) + struct.pack("<I", 8),
        b"GIF89a" + struct.pack("<HH", 65535, 65535) + b"\0\0\0,\0\0\0\0\xff\xff\xff\xff\0\x02\x02D\x01\0;",
        b"P6 99999 99999 255\n" + b"\0" * 64,
        _EPS,
        b"<svg xmlns='http://www.w3.org/2000/svg'/>",
    )
    file.write_bytes(draw.choice(others))


PICTURES = (_picture_mode, _picture_mode, _picture_frames, _picture_claim, _picture_claim)
