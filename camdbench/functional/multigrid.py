"""Multigrid for the linear system of noisy linear imputation: one cycle is an approximate inverse, made for each mask.

The unknown pixels form a region with fixed surroundings. Grids are halved at every second pixel, the interpolation between
them is bilinear and fades towards known pixels (the mask, smoothed once), and the system of each coarser grid is the
projection of the finer one (Galerkin), which has nine coefficients a pixel again. A mask that cuts the interpolation off
without fading makes wide holes converge three times as slowly. One cycle, a step of Jacobi's method before and after the coarser
grids, divides the error by 3 to 6, and by about 10 within conjugate gradients, for holes of any width.

Every operation is element by element, or a sum within one image, so that no image depends on the others of its batch.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

_DIRECT = 64  # pixels of the coarsest grid, whose system is inverted
_RAISED = 1e-5  # share of the diagonal that is added there
_DAMPING = 0.9  # of Jacobi's steps on coarse grids, whose systems have eigenvalues up to 2 relative to their diagonal


class Grid:
    """One grid: its system A, and a buffer of values with a border of zeros.

    Attributes:
        values: (N, C, H + 2, W + 2); a cycle leaves its solution here.
        inner: (N, C, H, W) view of `values` without the border.
    """

    def __init__(self, fade: Tensor, inverse: Tensor, channels: int) -> None:
        """Buffers for a grid.

        Args:
            fade: (N, 1, H, W) factor of interpolated corrections, 0 at known pixels.
            inverse: (N, 1, H, W) step of Jacobi's method, 0 at known pixels.
            channels: C.
        """
        count, _, height, width = fade.shape
        self.fade, self.inverse = _with_last(fade), inverse
        self.values = fade.new_zeros(count, channels, height + 2, width + 2)
        self.inner = self.values[..., 1:-1, 1:-1]
        self.rest = fade.new_empty(count, channels, height, width)

    def residual(self, right: Tensor) -> Tensor:
        """`right` − A `values` (N, C, H, W), in a buffer that the next call overwrites."""
        raise NotImplementedError

    def coefficients(self, factor: Tensor) -> Tensor:
        """(N, 3, 3, H, W) coefficients by the neighbour's row and column, of A with rows and columns times a factor, 0 where A has none."""
        raise NotImplementedError

    def keep(self, which: Tensor) -> Grid:
        """The grid of the images at the indices alone."""
        raise NotImplementedError


class FineGrid(Grid):
    """The image's grid, with the system D − M K M.

    K sums the eight neighbours, direct ones by 1/6 and diagonal ones by 1/12, M selects the unknown pixels, and D is the sum of the
    weights inside the image.
    """

    def __init__(self, missing: Tensor, channels: int) -> None:
        """For (N, 1, H, W) unknown pixels, as 0 and 1."""
        weights = neighbour_sums(torch.ones_like(missing[:1]))
        super().__init__(missing * neighbour_sums(missing) / weights, missing / weights, channels)
        self.missing, self.weights = missing, weights
        self._factor, self._diagonal = missing / 12, missing * (weights + 1 / 3)
        self._rows = missing.new_empty(*self.values.shape[:3], missing.shape[-1])

    def residual(self, right: Tensor) -> Tensor:
        """The weights are products of 1, 2, 1 along rows and columns over 12, without the centre."""
        values, rows, rest = self.values, self._rows, self.rest
        torch.add(values[..., :-2], values[..., 2:], out=rows).add_(values[..., 1:-1], alpha=2)
        torch.add(rows[..., :-2, :], rows[..., 2:, :], out=rest).add_(rows[..., 1:-1, :], alpha=2)
        return torch.addcmul(right, rest, self._factor, out=rest).addcmul_(self.inner, self._diagonal, value=-1)

    def product(self, values: Tensor) -> Tensor:
        """A times (N, C, H, W), by differences of neighbours.

        A rounding error leaves one pixel and enters the next, whereas in sums of float32 it would act as a source in wide holes. The
        image is continued by its outermost pixels, of which only those beside a border's diagonal neighbours have to be taken off again.
        """
        bends = _bends(values, 3)
        found = _bends(torch.add(bends, values, alpha=4), 2).add_(bends, alpha=4)
        for side in (0, -1):
            found.select(2, side).sub_(bends.select(2, side))
            found.select(3, side).sub_(_bends(values.select(3, side), 2))
        return found.mul_(-self._factor)

    def coefficients(self, factor: Tensor) -> Tensor:
        """Those of D − K, times the factor of both pixels."""
        line = factor.new_tensor([1.0, 2.0, 1.0])
        found = _windows(factor).mul_((line[:, None] * line / -12)[:, :, None, None]).mul_(factor[:, :, None])
        found[:, 1, 1] = (factor.square() * self.weights).squeeze(1)
        return found

    def keep(self, which: Tensor) -> FineGrid:
        """The grid of the images at the indices alone."""
        return FineGrid(self.missing[which], self.values.shape[1])


class CoarseGrid(Grid):
    """A grid with nine coefficients at each pixel."""

    def __init__(self, coefficients: Tensor, channels: int) -> None:
        """For (N, 3, 3, H, W) coefficients; pixels of all zeros are no unknowns."""
        diagonal, sums = coefficients[:, 1:2, 1], coefficients.sum((1, 2)).unsqueeze(1)
        scale = torch.maximum(diagonal, coefficients.abs().sum((1, 2)).unsqueeze(1) / 2)
        inverse = torch.where(diagonal > 0, _DAMPING / scale, 0)
        super().__init__((diagonal > 0).to(sums) - inverse * sums, inverse, channels)
        self._coefficients = coefficients
        height, width = diagonal.shape[-2:]
        self._terms = [(coefficients[:, y : y + 1, x], self.values[..., y : y + height, x : x + width]) for y in range(3) for x in range(3)]

    def residual(self, right: Tensor) -> Tensor:
        """A sum of nine shifted products."""
        rest = self.rest.copy_(right)
        for coefficient, shifted in self._terms:
            rest.addcmul_(coefficient, shifted, value=-1)
        return rest

    def coefficients(self, factor: Tensor) -> Tensor:
        """Those given, times the factor of both pixels."""
        return _windows(factor).mul_(self._coefficients).mul_(factor[:, :, None])

    def keep(self, which: Tensor) -> CoarseGrid:
        """The grid of the images at the indices alone."""
        return CoarseGrid(self._coefficients[which], self.values.shape[1])


class Multigrid:
    """Grids from the image's down to one of at most 64 pixels, for one mask per image."""

    def __init__(self, fine: FineGrid, coarse: list[CoarseGrid], inverse: Tensor) -> None:
        """Grids, finest first; `inverse` (N, P, P) of the last one's system."""
        self._fine, self._coarse, self._inverse = fine, coarse, inverse
        self.grids = (fine, *coarse)

    @classmethod
    def of(cls, missing: Tensor, channels: int) -> Multigrid:
        """For (N, 1, H, W) unknown pixels, as 0 and 1."""
        fine, coarse = FineGrid(missing, channels), list[CoarseGrid]()
        last: Grid = fine
        while last.inverse[0].numel() > _DIRECT:
            last = CoarseGrid(_project(_project(last.coefficients(last.fade), 1), 2), channels)
            coarse.append(last)
        return cls(fine, coarse, _inverted(last.coefficients((last.inverse > 0).to(missing))))

    def keep(self, which: Tensor) -> Multigrid:
        """Of the images at the indices alone."""
        return Multigrid(self._fine.keep(which), [grid.keep(which) for grid in self._coarse], self._inverse[which])

    def product(self, values: Tensor) -> Tensor:
        """The image's system A times (N, C, H, W); 0 at known pixels."""
        return self._fine.product(values)

    def cycle(self, right: Tensor) -> Tensor:
        """The inverse of A times `right` (N, C, H, W), approximately, in a buffer that the next call overwrites."""
        return self._cycle(0, right)

    def _cycle(self, level: int, right: Tensor) -> Tensor:
        grid = self.grids[level]
        if level == len(self.grids) - 1:
            return grid.inner.copy_((self._inverse.unsqueeze(1) * right.flatten(2).unsqueeze(2)).sum(3).view_as(right))
        torch.mul(grid.inverse, right, out=grid.inner)
        self._cycle(level + 1, _halve(_halve(grid.residual(right).mul_(grid.fade), 2), 3))
        grid.inner.addcmul_(grid.fade, _double(self.grids[level + 1].values, grid.rest))
        return grid.inner.addcmul_(grid.inverse, grid.residual(right))


def neighbour_sums(values: Tensor) -> Tensor:
    """Weighted sum of the eight neighbours in (N, C, H, W), zero padding."""
    padded = F.pad(values, (1, 1, 1, 1))
    rows = padded[..., :-2] + 2 * padded[..., 1:-1] + padded[..., 2:]
    return (rows[..., :-2, :] + 2 * rows[..., 1:-1, :] + rows[..., 2:, :] - 4 * values) / 12


def _bends(values: Tensor, dim: int) -> Tensor:
    """Second differences along a dimension, whose first and last entries are continued."""
    border = (0, 0) * (values.ndim - 1 - dim) + (1, 1)
    return F.pad(values.diff(dim=dim), border).diff(dim=dim)


def _windows(values: Tensor) -> Tensor:
    """(N, 3, 3, H, W), the neighbours in (N, 1, H, W) by row and column, zero padding."""
    height, width = values.shape[-2:]
    padded = F.pad(values, (1, 1, 1, 1))
    shifted = [padded[..., y : y + height, x : x + width] for y in range(3) for x in range(3)]
    return torch.cat(shifted, 1).unflatten(1, (3, 3))


def _with_last(fade: Tensor) -> Tensor:
    """The fade, doubled in a last row and column of odd index, whose interpolation has one neighbour instead of two."""
    for dim in (2, 3):
        if fade.shape[dim] % 2 == 0:
            fade.narrow(dim, -1, 1).mul_(2)
    return fade


def _project(coefficients: Tensor, axis: int) -> Tensor:
    """Coefficients (N, 3, 3, H, W) on every second row (axis 1) or column (axis 2), for linear interpolation along it."""
    dim = axis + 2
    if coefficients.shape[dim] == 1:
        return coefficients
    even, odd = (coefficients[(..., slice(start, None, 2)) + (slice(None),) * (4 - dim)].contiguous() for start in (0, 1))
    count = even.shape[dim]
    after = odd if odd.shape[dim] == count else torch.cat([odd, torch.zeros_like(odd.narrow(dim, 0, 1))], dim)  # beside i: 2 i + 1
    before = torch.cat([torch.zeros_like(odd.narrow(dim, 0, 1)), odd.narrow(dim, 0, count - 1)], dim)  # 2 i − 1
    here, left, right = even.unbind(axis), before.unbind(axis), after.unbind(axis)
    middle = here[1] + (here[0] + here[2] + left[2] + right[0]) / 2 + (left[1] + right[1]) / 4
    down = (here[0] + left[0]) / 2 + left[1] / 4
    up = (here[2] + right[2]) / 2 + right[1] / 4
    return torch.stack([down, middle, up], axis)


def _inverted(coefficients: Tensor) -> Tensor:
    """Inverses (N, P, P) of systems with coefficients (N, 3, 3, H, W).

    The diagonal is raised a little, since unknowns that act on the same pixels make a system singular. All matrices are brought to one
    size, since LAPACK's rounding depends on where in memory a matrix of a batch begins.
    """
    height, width = coefficients.shape[-2:]
    units = F.pad(torch.eye(height * width).to(coefficients).unflatten(1, (height, width)), (1, 1, 1, 1))
    products = [coefficients[:, None, y, x] * units[:, y : y + height, x : x + width] for y in range(3) for x in range(3)]
    pixels = height * width
    system = F.pad(torch.stack(products).sum(0).flatten(2), (0, _DIRECT - pixels, 0, _DIRECT - pixels))
    diagonal = system.diagonal(dim1=1, dim2=2)
    diagonal.copy_(torch.where(diagonal > 0, (1 + _RAISED) * diagonal, 1))
    return torch.linalg.inv_ex(system).inverse[:, :pixels, :pixels].contiguous()


def _halve(values: Tensor, dim: int) -> Tensor:
    """Every second entry plus half of its neighbours along a dimension."""
    if values.shape[dim] == 1:
        return values
    along = values.transpose(dim, 0)
    even, odd = along[0::2], along[1::2]
    found = even.clone()
    found[: len(odd)].add_(odd, alpha=0.5)
    found[1:].add_(odd[: len(even) - 1], alpha=0.5)
    return found.transpose(dim, 0)


def _double(values: Tensor, into: Tensor) -> Tensor:
    """Bilinear interpolation of (N, C, H + 2, W + 2), with its border of zeros, between every second pixel of `into`."""
    height, width = into.shape[-2:]
    columns = into.new_empty(*values.shape[:-1], width)
    columns[..., 0::2] = values[..., 1:-1]
    columns[..., 1::2] = (values[..., 1 : width // 2 + 1] + values[..., 2 : width // 2 + 2]) / 2
    into[..., 0::2, :] = columns[..., 1:-1, :]
    torch.add(columns[..., 1 : height // 2 + 1, :], columns[..., 2 : height // 2 + 2, :], out=into[..., 1::2, :]).div_(2)
    return into
