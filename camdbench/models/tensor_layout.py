"""Memory layout of a layer's output: channels first, channels last, or tokens; inferred from shapes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, cast

import torch
from torch import Tensor, nn

from camdbench.core.errors import UsageError
from camdbench.models.huggingface_layers import order_problem, stated_prefixes

_MOST_PREFIX_TOKENS = 8
_FEWEST_PLACES = 4


@dataclass(frozen=True)
class TensorLayout:
    """Position of channels and grid in a tensor.

    Attributes:
        kind: `nchw`, `nhwc`, or `tokens` (B, N, C).
        height: rows of the grid.
        width: columns of the grid.
        prefix: tokens before the grid (class, distillation, registers); 0 unless `tokens`.
    """

    kind: Literal["nchw", "nhwc", "tokens"]
    height: int
    width: int
    prefix: int = 0

    def to_grid(self, output: Tensor) -> Tensor:
        """View of the output as (B, C, h, w)."""
        if self.kind == "nchw":
            return output
        if self.kind == "nhwc":
            return output.permute(0, 3, 1, 2)
        places = output[:, self.prefix :].transpose(1, 2)  # (B, C, h*w)
        return places.unflatten(2, (self.height, self.width))

    def from_grid(self, grid: Tensor, output: Tensor) -> Tensor:
        """Outputs (N, …) from grids (N, C, h, w); prefix tokens are copied from `output` (1, …)."""
        if self.kind == "nchw":
            return grid
        if self.kind == "nhwc":
            return grid.permute(0, 2, 3, 1)
        places = grid.flatten(2).transpose(1, 2)  # (N, h*w, C)
        return torch.cat([output[:, : self.prefix].expand(len(grid), -1, -1), places], 1)


def find_layout(
    shape: tuple[int, ...],
    image_size: tuple[int, int],
    module: nn.Module,
    network: nn.Module,
    layer: str,
    prefix_tokens: int | None = None,
) -> TensorLayout:
    """Layout of an output of that shape for images of that size.

    Raises:
        UsageError: no layout fits, or several do.
    """
    if problem := order_problem(network, layer):
        raise UsageError(f"layer {layer!r} cannot be explained: {problem}")
    found = possible_layouts(shape, image_size, module, network, prefix_tokens)
    if len(found) == 1:
        return found[0]
    what = "no grid of places" if not found else readings(found)
    raise UsageError(
        f"layer {layer!r} returns shape {shape}, in which there is {what} for images of {image_size[0]} x {image_size[1]} pixels"
    )


def readings(layouts: Sequence[TensorLayout]) -> str:
    """Readings of an output as a grid, and the statement that chooses one.

    >>> readings([TensorLayout("tokens", 4, 8, 5), TensorLayout("tokens", 4, 9, 1)])
    'more than one reading as a grid: 4 x 8 after 5 prefix tokens or 4 x 9 after 1; state prefix_tokens= in Classifier(…)'
    """
    if layouts[0].kind == "tokens":
        grids = [f"{one.height} x {one.width} after {one.prefix}" for one in layouts]
        grids[0] += " prefix tokens"
        alike = len({one.prefix for one in layouts}) == 1
        fix = "set network.patch_size" if alike else "state prefix_tokens= in Classifier(…)"
        return f"more than one reading as a grid: {' or '.join(grids)}; {fix}"
    grids = [f"{one.kind} {one.height} x {one.width}" for one in layouts]
    return f"more than one reading as a grid: {' or '.join(grids)}; choose another layer or image size"


def possible_layouts(
    shape: tuple[int, ...], image_size: tuple[int, int], module: nn.Module, network: nn.Module, prefix_tokens: int | None = None
) -> list[TensorLayout]:
    """Layouts in which the grid has the aspect ratio of the image.

    If both channels first and channels last fit, the module's type decides, else an exact aspect ratio. A grid of tokens is
    computed from the patch size or the embedding's convolution; in a network with neither, every grid that fits is returned.
    """
    if len(shape) == 3:
        return _token_layouts(shape, image_size, network, prefix_tokens)
    if len(shape) != 4:
        return []
    options = (TensorLayout("nchw", shape[2], shape[3]), TensorLayout("nhwc", shape[1], shape[2]))
    found = [layout for layout in options if _proportional(layout.height, layout.width, image_size)]
    if len(found) < 2:
        return found
    if (kind := _kind_of(module, shape)) is not None:
        return [layout for layout in found if layout.kind == kind]
    exact = [layout for layout in found if layout.height * image_size[1] == layout.width * image_size[0]]
    return exact if len(exact) == 1 else found


def _proportional(height: int, width: int, image_size: tuple[int, int]) -> bool:
    """Whether a grid of h x w equal cells has the aspect ratio of the image, up to rounding by one cell."""
    rows, columns = image_size
    return height <= rows and width <= columns and abs(height * columns - width * rows) <= max(rows, columns) * (rows != columns)


def _kind_of(module: nn.Module, shape: tuple[int, ...]) -> str | None:
    if isinstance(module, nn.LayerNorm):
        return "nhwc" if module.normalized_shape == (shape[3],) else None
    channels = getattr(module, "out_channels", getattr(module, "num_features", None))
    return "nchw" if channels == shape[1] else None


def _token_layouts(
    shape: tuple[int, ...], image_size: tuple[int, int], network: nn.Module, prefix_tokens: int | None
) -> list[TensorLayout]:
    """Grids of an output (B, N, C): those of the patches if known, merged 2 x 2 as often as needed; else all that fit."""
    tokens, channels = shape[1:]
    if channels == 1:  # a pooled vector
        return []
    stated = {prefix_tokens} if prefix_tokens is not None else _stated_prefixes(network)
    prefixes = stated or set(range(_MOST_PREFIX_TOKENS + 1))
    grids = _patch_grids(network, image_size)
    if not grids:
        return [layout for prefix in sorted(prefixes) for layout in _grids_of(tokens - prefix, prefix, image_size)]
    while grids:
        fit = {grid for grid in grids if tokens - grid[0] * grid[1] in prefixes and grid[0] * grid[1] >= _FEWEST_PLACES}
        if fit:
            return [TensorLayout("tokens", *grid, tokens - grid[0] * grid[1]) for grid in sorted(fit)]
        grids = {merged for grid in grids if max(grid) > 1 for merged in _merged(*grid)}
        prefixes = stated or {0, 1}  # networks that merge places have a class token at most, unless they state more
    return []


def _merged(height: int, width: int) -> tuple[tuple[int, int], ...]:
    """Grid after merging 2 x 2 places, with an odd side padded or cut."""
    return (-(-height // 2), -(-width // 2)), (max(1, height // 2), max(1, width // 2))


def _stated_prefixes(network: nn.Module) -> set[int]:
    """Numbers of prefix tokens that a network or a module of it states: `num_prefix_tokens`, or a `class_token`."""
    if prefixes := stated_prefixes(network):
        return prefixes
    stated = {getattr(module, "num_prefix_tokens", None) for module in network.modules()}
    numbers = {number for number in stated if isinstance(number, int)}
    return numbers or ({1} if any(hasattr(module, "class_token") for module in network.modules()) else set())


def _patch_grids(network: nn.Module, image_size: tuple[int, int]) -> set[tuple[int, int]]:
    """Grids of patches: of convolutions of the image whose kernel is their stride, else of a stated `patch_size`."""
    found = set[tuple[int, int]]()
    for module in network.modules():
        if isinstance(module, nn.Conv2d) and module.in_channels == 3 and module.kernel_size == module.stride != (1, 1):
            paddings = module.padding if isinstance(module.padding, tuple) else (0, 0)  # "same" or "valid"
            sides = zip(image_size, paddings, module.stride, strict=True)
            rows, columns = ((side + 2 * padding) // stride for side, padding, stride in sides)
            found.add((rows, columns))
    if not found:
        grids = [_stated_grid(module, image_size) for module in network.modules()]
        found = {grid for grid in grids if grid is not None}
    return found


def _stated_grid(module: nn.Module, image_size: tuple[int, int]) -> tuple[int, int] | None:
    """Grid of a stated `patch_size`; if it is the kernel of a convolution, of that convolution, whose patches may overlap."""
    size = _pair(getattr(module, "patch_size", None))
    if size is None:
        return None
    for child in module.children():
        if isinstance(child, nn.Conv2d) and child.kernel_size == size:
            paddings = child.padding if isinstance(child.padding, tuple) else (0, 0)
            sides = zip(image_size, paddings, size, child.stride, strict=True)
            rows, columns = ((side + 2 * padding - kernel) // stride + 1 for side, padding, kernel, stride in sides)
            return (rows, columns) if child.in_channels == 3 else None
    return image_size[0] // size[0], image_size[1] // size[1]


def _pair(size: object) -> tuple[int, int] | None:
    """A side, or two of them, as two numbers above 0; None if it is something else."""
    sides = size if isinstance(size, tuple | list) else (size, size)
    numbers = [side for side in cast("Sequence[object]", sides) if isinstance(side, int) and side > 0]
    return (numbers[0], numbers[1]) if len(numbers) == len(sides) == 2 else None


def _grids_of(places: int, prefix: int, image_size: tuple[int, int]) -> list[TensorLayout]:
    """All grids of so many places in the proportion of the image."""
    heights = [height for height in range(1, places + 1) if places % height == 0] if places >= _FEWEST_PLACES else []
    fit = [(height, places // height) for height in heights if _proportional(height, places // height, image_size)]
    exact = [grid for grid in fit if grid[0] * image_size[1] == grid[1] * image_size[0]]
    return [TensorLayout("tokens", *grid, prefix) for grid in exact or fit]
