"""Images per pass: by device, from the free memory of a GPU, halved where that was not enough; and no other module decides."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from helpers.each import each
from torch import Tensor

import camdbench
from camdbench.functional.pass_size import copies_per_pass, images_per_pass, in_halves

PACKAGE = Path(camdbench.__file__).parent
CPU, CUDA = torch.device("cpu"), torch.device("cuda:1")
GIB = 2**30


@each(
    ("side", "dtype", "images"),
    [(32, torch.float32, 512), (96, torch.float32, 56), (224, torch.float32, 10), (224, torch.float64, 5), (2000, torch.float32, 1)],
)
def test_on_a_cpu_a_pass_fits_the_cache(side: int, dtype: torch.dtype, images: int) -> None:
    for gradients in (False, True):
        assert images_per_pass(CPU, side * side, dtype=dtype, gradients=gradients) == images
    assert images_per_pass(CPU, side * side, dtype=torch.bfloat16) == images_per_pass(CPU, side * side)


@each(
    ("free", "reserved", "allocated", "images"),
    [
        (80, 0, 0, 668),  # no more than saturates it
        (64, 0, 0, 668),
        (63, 0, 0, 334),  # half of the memory, in powers of 2, a KiB a pixel
        (63, 10, 8, 668),  # with what torch holds and does not use
        (7, 0, 0, 41),
        (0, 0, 0, 1),
    ],
)
def test_on_a_gpu_a_pass_takes_what_fits(monkeypatch: pytest.MonkeyPatch, free: int, reserved: int, allocated: int, images: int) -> None:
    asked = list[torch.device]()
    for name, value in (
        ("mem_get_info", (free * GIB, 80 * GIB)),
        ("memory_reserved", reserved * GIB),
        ("memory_allocated", allocated * GIB),
    ):
        monkeypatch.setattr(torch.cuda, name, lambda device, value=value: asked.append(device) or value)
    assert images_per_pass(CUDA, 224 * 224) == images
    assert images_per_pass(CUDA, 224 * 224, gradients=True) == max(1, images // 8)
    assert images_per_pass(CUDA, 224 * 224, dtype=torch.float64) == max(1, images // 2)
    assert set(asked) == {CUDA}


def test_elsewhere_the_number_is_fixed() -> None:
    mps = torch.device("mps")
    assert (images_per_pass(mps, 224 * 224), images_per_pass(mps, 224 * 224, gradients=True)) == (83, 10)


def test_a_copy_of_an_activation_counts_like_the_image_that_makes_it() -> None:
    """A layer of 64 channels at half the side has as many copies at a time as there are images."""
    assert copies_per_pass(CPU, 64 * 112 * 112) == images_per_pass(CPU, 224 * 224)
    assert copies_per_pass(CPU, 2048 * 7 * 7) == 83
    assert copies_per_pass(CPU, 2**30) == copies_per_pass(CPU, 1) // 2**19 == 1


@each("room", [1, 2, 3, 7, 100])
def test_what_does_not_fit_passes_in_halves(room: int) -> None:
    sizes = list[int]()

    def score(images: Tensor) -> Tensor:
        if len(images) > room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        sizes.append(len(images))
        return images.sum((1, 2, 3))[:, None]

    images = torch.rand(7, 3, 2, 2)
    with torch.no_grad():
        assert torch.equal(in_halves(score, images), images.sum((1, 2, 3))[:, None])
        assert max(sizes) <= room
        assert sum(sizes) == 7
        room = 0
        with pytest.raises(torch.OutOfMemoryError):
            in_halves(score, images)
    with pytest.raises(torch.OutOfMemoryError):
        in_halves(score, images)  # gradients would be kept of every half


def test_no_other_module_decides() -> None:
    """A power of 2 from 2^15 on, or a name with PIXELS or CHUNK, beside `pass_size` is a decision of another kind, named here."""
    found = set[str]()
    for module in PACKAGE.rglob("*.py"):
        text = re.sub(r'"""[\s\S]*?"""|#.*', "", module.read_text(encoding="utf-8"))
        if re.search(r"\b2 ?\*\* ?(1[5-9]|2\d)\b|1 ?<< ?(1[5-9]|2\d)\b|^_?[A-Z_]*(PIXELS|CHUNK|PER_PASS)[A-Z_]* *=", text, re.MULTILINE):
            found.add(module.relative_to(PACKAGE).as_posix())
    assert found == {
        "functional/pass_size.py",
        "core/allocator.py",  # bytes of a block
        "functional/imputation.py",  # the block of a linear solver
        "functional/aggregated_maps.py",  # values of a quantile
        "tables/paired_rows.py",  # values of tables
        "runner/prepare.py",  # images in a part file
        "tables/load_cells.py",  # rows read at a time
        "tables/part_files.py",  # name of a column
        "datasets/grid.py",  # bytes of the class masks of a sample
        "auditing/measured.py",  # images in a part file
        "auditing/explainer_truth.py",  # numbers of resamples that are held
        "reporting/report_curves.py",  # numbers of curves that are held
        "reporting/overlay.py",  # the longest side of a figure
        "metrics/information_curves.py",  # names of protocols
        "metrics/group_accuracy.py",  # more backgrounds than any data set has
        "metrics/common/quantus_bridge.py",  # a unit of map values
    }
