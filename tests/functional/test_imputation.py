"""Imputation: against a dense system written down row by row, and against grad-cam's sparse solver."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from pytorch_grad_cam.metrics.road import NoisyLinearImputer, neighbors_weights
from scipy.sparse import csc_matrix
from scipy.sparse.linalg import spsolve
from torch import Tensor

from camdbench.functional.imputation import impute

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


def test_it_agrees_with_grad_cams_sparse_solver_on_a_larger_image() -> None:
    images, known = case(2, (48, 40), 0.85)
    system = NoisyLinearImputer.setup_sparse_system(known[0].float().numpy(), images[0].numpy(), neighbors_weights)
    expected = torch.from_numpy(spsolve(csc_matrix(system[0]), system[1]))  # the call itself breaks on numpy 2
    found = impute(images, known, tolerance=1e-12)[0][:, ~known[0]].T
    torch.testing.assert_close(found, expected, atol=1e-9, rtol=0)


def test_no_image_depends_on_its_batch_mates() -> None:
    images, known = case(3, count=4)
    known[2] = True
    known[2, 1:8, 1:9] = False  # harder than the others
    alone = torch.cat([impute(images[index : index + 1], known[index : index + 1]) for index in range(4)])
    assert torch.equal(impute(images, known), alone)


def test_known_pixels_stay_to_the_bit_and_a_plane_colour_is_restored() -> None:
    images, known = case(4)
    assert torch.equal(impute(images, known).mul(known[:, None]), images * known[:, None])
    plain = torch.full((1, 3, 9, 11), 0.3)
    torch.testing.assert_close(impute(plain * known[:, None], known), plain, atol=1e-5, rtol=0)


def test_an_image_without_gaps_and_one_of_a_single_pixel_come_back() -> None:
    images, known = torch.rand(2, 3, 5, 5), torch.ones(2, 5, 5, dtype=torch.bool)
    assert torch.equal(impute(images, known), images)
    assert torch.equal(impute(images[:, :, :1, :1], known[:, :1, :1]), images[:, :, :1, :1])
