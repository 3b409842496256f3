"""Imputation: against a dense system written down row by row, and against grad-cam's system, solved by scipy."""

from __future__ import annotations

import itertools
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from helpers.each import each
from pytorch_grad_cam.metrics.road import NoisyLinearImputer, neighbors_weights
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import spsolve
from torch import Tensor

from camdbench.functional.imputation import impute
from camdbench.functional.multigrid import Multigrid

pytestmark = pytest.mark.usefixtures("float64")

WEIGHTS = {1: 1 / 6, 2: 1 / 12}  # by the squared distance of the neighbour


def literal(image: Tensor, known: Tensor) -> Tensor:
    """One image (3, H, W): an equation for every unknown pixel, solved densely."""
    height, width = known.shape
    unknown = [(y, x) for y, x in itertools.product(range(height), range(width)) if not known[y, x]]
    matrix, right = np.zeros((len(unknown), len(unknown))), np.zeros((len(unknown), 3))
    for row, (y, x) in enumerate(unknown):
        for dy, dx in itertools.product((-1, 0, 1), repeat=2):
            there = (y + dy, x + dx)
            if (dy, dx) == (0, 0) or not (0 <= there[0] < height and 0 <= there[1] < width):
                continue
            weight = WEIGHTS[dy * dy + dx * dx]
            matrix[row, row] += weight
            if known[there]:
                right[row] += weight * image[:, there[0], there[1]].double().numpy()
            else:
                matrix[row, unknown.index(there)] -= weight
    found = image.clone()
    for (y, x), colour in zip(unknown, np.linalg.solve(matrix, right), strict=True):
        found[:, y, x] = torch.from_numpy(colour)
    return found


def case(seed: int, size: tuple[int, int] = (9, 11), share: float = 0.6, count: int = 1) -> tuple[Tensor, Tensor]:
    """Images and which of their pixels are known, scattered."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, 3, *size, generator=generator), torch.rand(count, *size, generator=generator) > share


@pytest.mark.parametrize("share", [0.1, 0.6, 0.95])
def test_it_solves_the_equations_of_the_paper(share: float) -> None:
    images, known = case(0, share=share)
    known[:, 4, 4] = True
    torch.testing.assert_close(impute(images, known, tolerance=1e-12)[0], literal(images[0], known[0]), atol=1e-9, rtol=0)


@pytest.mark.parametrize("hole", ["corner", "middle", "all but a corner"])
def test_it_solves_them_where_a_hole_is_wide(hole: str) -> None:
    images, known = case(1, (20, 17))
    known[:] = hole != "all but a corner"
    if hole == "all but a corner":
        known[:, :4, :4] = True
    else:
        known[:, slice(0, 15) if hole == "corner" else slice(3, 17), slice(0, 14) if hole == "corner" else slice(2, 15)] = False
    torch.testing.assert_close(impute(images, known, tolerance=1e-12)[0], literal(images[0], known[0]), atol=1e-9, rtol=0)


def sparse(image: Tensor, known: Tensor) -> Tensor:
    """One image (3, H, W) by grad-cam's equations and a direct solver, in float64; its own call breaks on numpy 2."""
    system = NoisyLinearImputer.setup_sparse_system(known.double().numpy(), image.double().numpy(), neighbors_weights)
    found = image.to(torch.float64, copy=True)
    if not known.all():
        found[:, ~known] = torch.from_numpy(spsolve(csc_matrix(system[0]), system[1])).reshape(-1, 3).T
    return found


def masks(height: int, width: int) -> Iterator[tuple[str, Tensor]]:
    """Known pixels of many kinds: scattered, regular, nested, with wide holes, and hardly any."""
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    field = torch.rand(height, width, generator=torch.Generator().manual_seed(height))
    for share in (0.01, 0.5, 0.9, 0.99):  # nested
        yield f"{share:.0%} scattered", (field > share) | ((y == height // 2) & (x == width // 2))
    centre = ((x - width / 2) / width) ** 2 + ((y - height / 2) / height) ** 2 + field / 100
    for share in (0.1, 0.5, 0.9):  # nested
        yield f"{share:.0%}, a blob", centre >= centre.flatten().quantile(share)
        yield f"{share:.0%}, around a blob", centre <= centre.flatten().quantile(1 - share)
    yield "checkerboard", (y + x) % 2 == 0
    yield "checkerboard of blocks", (y // 2 + x // 2) % 2 == 0
    yield "stripes", y % 3 == 0
    yield "grid of points", (y % 5 == 0) & (x % 5 == 0)
    yield "rings", ((x - width / 2) ** 2 + (y - height / 2) ** 2).sqrt() % 6 < 3
    yield "a corner pixel", (y == 0) & (x == 0)
    yield "two corner pixels", (y == x) & ((y == 0) | (y == min(height, width) - 1))
    yield "two sides", (x == 0) | (x == width - 1)
    yield "a wall with a door", (x == width // 2) & ((y != height // 2) | (height == 1))


@each("size", [(33, 47), (40, 64), (9, 120), (1, 50), (7, 3)])
@each("dtype", [torch.float32, torch.float64])
def test_it_agrees_with_the_sparse_solver_for_masks_of_all_kinds(size: tuple[int, int], dtype: torch.dtype) -> None:
    names, known = zip(*masks(*size))
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(5)) * torch.tensor([1.0, 0.5, 0.0])[:, None, None]
    image[2] = torch.linspace(0, 1, size[1])  # noise, pale noise, a ramp
    found = impute(image.to(dtype).expand(len(known), -1, -1, -1), torch.stack(known))
    for name, mask, values in zip(names, known, found, strict=True):
        assert (values - sparse(image.to(dtype), mask)).abs().max() < 3e-5, name


def test_it_agrees_with_the_sparse_solver_at_224_pixels() -> None:
    image, offsets = torch.rand(3, 224, 224, generator=torch.Generator().manual_seed(0)).float(), torch.arange(224) - 111.5
    known = offsets[:, None] ** 2 + offsets**2 > 0.9 * 224**2 / torch.pi  # one hole of 224 pixels
    assert (impute(image[None], known[None])[0] - sparse(image, known)).abs().max() < 3e-5


def test_an_image_that_is_done_leaves_the_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    cycled = list[int]()
    cycle = Multigrid.cycle
    monkeypatch.setattr(Multigrid, "cycle", lambda self, right: cycled.append(len(right)) or cycle(self, right))
    images, known = case(6, (40, 40), 0.5, count=5)
    known[1] = True  # nothing to do
    known[3, 2:38, 2:38] = False  # the hardest
    impute(images, known)
    together = sum(cycled)
    cycled.clear()
    alone = [sum(cycled) for index in range(5) if impute(images[index : index + 1], known[index : index + 1]) is not None]
    assert alone[1] - alone[0] == 1 < alone[3] - alone[2]
    assert together == alone[-1]


@pytest.mark.parametrize("size", [(9, 11), (75, 100)])  # the coarsest grids have an odd number of pixels
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_no_image_depends_on_its_batch_mates(size: tuple[int, int], dtype: torch.dtype) -> None:
    images, known = case(3, size, count=4)
    known[2] = True
    known[2, 1:8, 1:9] = False  # harder than the others
    images = images.to(dtype)
    alone = torch.cat([impute(images[index : index + 1], known[index : index + 1]) for index in range(4)])
    assert torch.equal(impute(images, known), alone)


def test_known_pixels_stay_to_the_bit_and_a_plane_colour_is_restored() -> None:
    images, known = case(4)
    assert torch.equal(impute(images, known).mul(known[:, None]), images * known[:, None])
    plain = torch.full((1, 3, 9, 11), 0.3)
    torch.testing.assert_close(impute(plain * known[:, None], known), plain, atol=1e-5, rtol=0)


def test_an_image_without_known_pixels_has_no_value_and_leaves_the_others_alone() -> None:
    images, known = case(7, count=2)
    known[0] = False
    found = impute(images, known)
    assert found[0].isnan().all()
    assert torch.equal(found[1], impute(images[1:], known[1:])[0])


def test_an_image_without_gaps_and_one_of_a_single_pixel_come_back() -> None:
    images, known = torch.rand(2, 3, 5, 5), torch.ones(2, 5, 5, dtype=torch.bool)
    assert torch.equal(impute(images, known), images)
    assert torch.equal(impute(images[:, :, :1, :1], known[:, :1, :1]), images[:, :, :1, :1])
