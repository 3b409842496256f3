"""Tiles over objects: the release step by step with lists and loops, the corrected version by growing tiles line by line."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers.each import each
from scipy import ndimage
from torch import Tensor

from camdbench.functional import tiling
from camdbench.functional.tiling import tile_objects


def scene(seed: int, size: tuple[int, int] = (14, 14)) -> tuple[Tensor, Tensor]:
    """An image of which every pixel is different, and a mask of some rectangles and specks."""
    rng = np.random.default_rng(seed)
    image = torch.from_numpy(rng.permutation(3 * size[0] * size[1]).reshape(3, *size) / 1000.0)
    mask = np.zeros(size, dtype=bool)
    for _ in range(rng.integers(1, 4)):
        row, column = (int(rng.integers(0, side - 1)) for side in size)
        mask[row : row + rng.integers(1, 7), column : column + rng.integers(1, 7)] = True
    mask &= rng.random(size) < rng.choice([0.9, 1.0])
    return image, torch.from_numpy(mask)


# ------------------------------------------------------------------------------------------------- as released


def released(image: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Hard-ImageNet's code, in pixels, lists and sums: x is a row wherever a box is drawn, but a column of a tile."""
    out, (height, width) = image.copy(), mask.shape
    labels, count = ndimage.label(mask)
    for number in range(1, count + 1):
        where = [(r, c) for r in range(height) for c in range(width) if labels[r, c] == number]
        rows, columns = [r for r, _ in where], [c for _, c in where]
        drawn = [(r, c) for r in range(min(rows), max(rows)) for c in range(min(columns), max(columns))]  # without the last ones
        if not drawn:
            continue
        x0, x1 = min(r for r, _ in drawn), max(r for r, _ in drawn)
        y0, y1 = min(c for _, c in drawn), max(c for _, c in drawn)
        found = [
            trimmed(mask, "right", x1, min(2 * x1 - x0, width), y0, y1),
            trimmed(mask, "left", max(2 * x0 - x1, 0), x0, y0, y1),
            trimmed(mask, "up", x0, x1, y1, min(2 * y1 - y0, height)),
            trimmed(mask, "down", x0, x1, max(2 * y0 - y1, 0), y1),
        ]
        sizes = [size for size, _, _ in found]
        which = sizes.index(max(sizes))
        _, xs, ys = found[which]
        block = np.zeros((3, y1 - y0, x1 - x0))
        if xs and ys:
            for i in range(x1 - x0):
                for j in range(y1 - y0):
                    a = xs[i % len(xs)] if which == 0 else xs[-1 - (x1 - x0 - 1 - i) % len(xs)] if which == 1 else xs[i]
                    b = ys[j % len(ys)] if which == 2 else ys[-1 - (y1 - y0 - 1 - j) % len(ys)] if which == 3 else ys[j]
                    block[:, j, i] = out[:, b, a]
        for i in range(x1 - x0):
            for j in range(y1 - y0):
                out[:, x0 + i, y0 + j] = block[:, j, i]
    return out


def trimmed(mask: np.ndarray, direction: str, x0: int, x1: int, y0: int, y1: int) -> tuple[int, list[int], list[int]]:
    """The size that a tile is compared by, its columns and its rows."""
    xs, ys = list(range(x0, x1)), list(range(y0, y1))
    window = mask[y0:y1, x0:x1].astype(int)
    if window.sum() == 0:
        return len(xs) * len(ys), xs, ys
    sums = window.sum(1 if direction in ("left", "down") else 0).tolist()
    if direction in ("left", "down"):
        along = xs if direction == "left" else ys
        trials = [sum(sums[place:]) for place in range(len(along))]
        cut = trials.index(0) if 0 in trials else 0
        return (cut * len(ys), xs[cut:], ys) if direction == "left" else (cut * len(xs), xs, ys[cut:])
    along = xs if direction == "right" else ys
    trials = [sum(sums[:place]) for place in range(len(along), 0, -1)]
    cut = trials.index(0) if 0 in trials else 0
    return (cut * len(ys), xs[:cut], ys) if direction == "right" else (cut * len(xs), xs, ys[:cut])


@each("seed", range(60))
def test_the_release_is_met_error_by_error(seed: int) -> None:
    image, mask = scene(seed)
    found = tile_objects(image[None], mask[None], official=True)
    np.testing.assert_array_equal(found.images[0].numpy(), released(image.numpy(), mask.numpy()))
    assert found.covered.all()


def test_each_of_the_four_tiles_is_cut_as_released() -> None:
    """Also those that are never the largest."""
    reached, rng = set[tuple[str, bool, bool]](), np.random.default_rng(3)
    for _ in range(600):
        mask = rng.random((9, 9)) < rng.choice([0.0, 0.03, 0.2])
        (x0, x1), (y0, y1) = (sorted(rng.choice(8, 2, replace=False).tolist()) for _ in range(2))
        spans = {"right": (x1, min(2 * x1 - x0, 9), y0, y1), "left": (max(2 * x0 - x1, 0), x0, y0, y1)}
        spans |= {"up": (x0, x1, y1, min(2 * y1 - y0, 9)), "down": (x0, x1, max(2 * y0 - y1, 0), y1)}
        for (name, span), (axis, before) in zip(spans.items(), ((0, False), (0, True), (1, False), (1, True)), strict=True):
            size, xs, ys = trimmed(mask, name, *span)
            found = tiling._adjacent_official(mask.T, ((x0, x1), (y0, y1)), axis, before)
            assert (found.size, list(range(*found.span))) == (size, ys if axis else xs)
            reached.add((name, bool(mask[span[2] : span[3], span[0] : span[1]].any()), size > 0))
    assert reached >= {(name, True, some) for name in ("right", "left", "up", "down") for some in (True, False)}


def test_golden_an_object_at_rows_2_to_4_and_columns_9_to_12_is_covered_from_across_the_diagonal() -> None:
    image, mask = scene(0, (16, 16))
    mask[:] = False
    mask[2:5, 9:13] = True
    found = tile_objects(image[None], mask[None], official=True).images[0]
    changed = (found != image).any(0).nonzero().tolist()
    assert changed == [[2, 9], [2, 10]]
    assert torch.equal(found[:, 2, 9:11], image[:, 9:11, 2])


def test_where_the_release_divides_by_zero_the_box_is_black() -> None:
    image, mask = scene(0)[0], torch.ones(14, 14, dtype=torch.bool)
    found = tile_objects(image[None], mask[None], official=True).images[0]
    assert not found[:, :12, :12].any()
    assert torch.equal(found[:, 12:], image[:, 12:])


def test_the_release_needs_square_images() -> None:
    with pytest.raises(ValueError, match="square"):
        tile_objects(torch.rand(1, 3, 6, 5), torch.ones(1, 6, 5, dtype=torch.bool), official=True)


# ------------------------------------------------------------------------------------------------------ corrected


def corrected(image: np.ndarray, mask: np.ndarray) -> tuple[np.ndarray, bool]:
    """Each tile grown line by line from the box until it is as large as the box, meets an object or leaves the image."""
    out, (height, width), covered = image.copy(), mask.shape, True
    labels, count = ndimage.label(mask)
    for number in range(1, count + 1):
        where = np.argwhere(labels == number)
        (r0, c0), (r1, c1) = where.min(0), where.max(0)
        best, lines = 0, (1, [])
        for axis, step in ((1, 1), (1, -1), (0, 1), (0, -1)):
            line, found = (c1 if axis else r1) + 1 if step > 0 else (c0 if axis else r0) - 1, list[int]()
            while 0 <= line < (width if axis else height) and len(found) < (c1 - c0 if axis else r1 - r0) + 1:
                crossed = mask[r0 : r1 + 1, line] if axis else mask[line, c0 : c1 + 1]
                if crossed.any():
                    break
                found.append(int(line))
                line += step
            size = len(found) * int(r1 - r0 + 1 if axis else c1 - c0 + 1)
            if size > best:
                best, lines = size, (axis, sorted(found) if step > 0 else sorted(found, reverse=True))
        axis, found = lines
        covered &= bool(found)
        if not found:
            continue
        before = out.copy()
        for r in range(r0, r1 + 1):
            for c in range(c0, c1 + 1):
                away = (
                    (c - c0 if axis else r - r0)
                    if found == sorted(found) and found[0] > (c1 if axis else r1)
                    else (c1 - c if axis else r1 - r)
                )
                line = found[away % len(found)]
                out[:, r, c] = before[:, r, line] if axis else before[:, line, c]
    return out, covered


@each("seed", range(60))
def test_the_mended_version_takes_the_largest_tile_beside_the_box(seed: int) -> None:
    image, mask = scene(seed, (15, 11))
    found = tile_objects(image[None], mask[None], official=False)
    expected, covered = corrected(image.numpy(), mask.numpy())
    np.testing.assert_array_equal(found.images[0].numpy(), expected)
    assert found.covered.tolist() == [covered]


def test_nothing_of_a_single_object_is_left_nor_anything_else_touched() -> None:
    image, mask = scene(0, (12, 16))
    mask[:] = False
    mask[3:7, 5:9] = True
    found = tile_objects(image[None], mask[None], official=False).images[0]
    assert torch.equal(found[:, ~mask], image[:, ~mask])
    assert torch.equal(found[:, 3:7, 5:9], image[:, 3:7, 9:13])


def test_an_object_that_fills_the_image_has_nothing_beside_it() -> None:
    found = tile_objects(torch.rand(2, 3, 4, 5), torch.tensor([True, False])[:, None, None].expand(2, 4, 5), official=False)
    assert found.covered.tolist() == [False, True]


@pytest.mark.parametrize("official", [True, False])
def test_images_keep_to_themselves_and_the_given_ones_are_left_alone(official: bool) -> None:
    scenes = [scene(seed) for seed in range(4)]
    images, masks = (torch.stack(list(held)) for held in zip(*scenes, strict=True))
    before = images.clone()
    together = tile_objects(images, masks, official=official)
    alone = [tile_objects(images[[index]], masks[[index]], official=official).images for index in range(4)]
    assert torch.equal(together.images, torch.cat(alone))
    assert torch.equal(images, before)
