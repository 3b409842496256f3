"""Non-negative factors against scikit-learn, which takes the same steps, and on matrices whose factors are known."""

from __future__ import annotations

import pytest
import torch
from sklearn.decomposition import NMF

from camdbench.functional.nonnegative_factors import Factors, factorise


@pytest.mark.filterwarnings("ignore:Maximum number of iterations")
@pytest.mark.parametrize(("shape", "count", "iterations"), [((8, 48), 5, 50), ((12, 9), 3, 200), ((5, 5), 5, 1)], ids=str)
def test_are_those_of_scikit_learn(shape: tuple[int, int], count: int, iterations: int) -> None:
    matrix = torch.rand(shape, generator=torch.Generator().manual_seed(3)).double().square()
    reference = NMF(count, init="nndsvda", max_iter=iterations, tol=0, random_state=0)
    left = torch.from_numpy(reference.fit_transform(matrix.numpy()))
    found = factorise(torch.stack([matrix, 2 * matrix.flip(0)]), count, iterations)
    torch.testing.assert_close(found.left[0], left, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(found.right[0], torch.from_numpy(reference.components_), rtol=1e-9, atol=1e-9)
    alone = factorise(2 * matrix.flip(0)[None], count, iterations)
    torch.testing.assert_close(found.left[1:], alone.left, rtol=1e-9, atol=1e-9)


def test_a_matrix_of_rank_one_is_recovered() -> None:
    generator = torch.Generator().manual_seed(0)
    first, second = torch.rand(6, generator=generator).double(), torch.rand(9, generator=generator).double()
    second[3] = 0
    matrix = torch.outer(first, second)
    found = factorise(matrix[None], 1, 50)
    assert (found.left @ found.right - matrix).abs().max() < 1e-15
    found = Factors(*(part[0] for part in found))
    torch.testing.assert_close(found.right[0] / found.right[0].max(), second / second.max(), rtol=0, atol=1e-15)


def test_there_are_no_more_factors_than_rows_and_none_of_zeros() -> None:
    found = factorise(torch.zeros(2, 3, 7).double(), 5, 4)
    assert (found.left.shape, found.right.shape) == ((2, 3, 3), (2, 3, 7))
    assert not found.left.any()
    assert not found.right.any()
