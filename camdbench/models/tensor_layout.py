"""Memory layout of a layer's output: channels first, channels last, or tokens; inferred from shapes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from camdbench.core.errors import UsageError

_MOST_PREFIX_TOKENS = 8


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


def find_layout(shape: tuple[int, ...], image_size: tuple[int, int], module: nn.Module, network: nn.Module, layer: str) -> TensorLayout:
    """Layout of an output of that shape for images of that size.

    Raises:
        UsageError: no layout fits, or several do.
    """
    found = possible_layouts(shape, image_size, module, network)
    if len(found) == 1:
        return found[0]
    what = "no grid of places" if not found else "more than one reading as a grid"
    raise UsageError(
        f"layer {layer!r} returns shape {shape}, in which there is {what} for images of {image_size[0]} x {image_size[1]} pixels"
    )


def possible_layouts(shape: tuple[int, ...], image_size: tuple[int, int], module: nn.Module, network: nn.Module) -> list[TensorLayout]:
    """Layouts in which the grid has the aspect ratio of the image.

    If both channels first and channels last fit, the module's type decides, else an exact aspect ratio.
    """
    if len(shape) == 3:
        return _token_layouts(shape[1], image_size, network)
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


def _token_layouts(tokens: int, image_size: tuple[int, int], network: nn.Module) -> list[TensorLayout]:
    stated = getattr(network, "num_prefix_tokens", 1 if hasattr(network, "class_token") else None)
    prefixes = range(_MOST_PREFIX_TOKENS + 1) if stated is None else (int(stated),)
    found = [layout for prefix in prefixes if (layout := _grid_of(tokens - prefix, prefix, image_size)) is not None]
    return found[:1]  # fewest prefix tokens; a second square within eight tokens exists only for tiny grids


def _grid_of(places: int, prefix: int, image_size: tuple[int, int]) -> TensorLayout | None:
    if places < 4:
        return None
    height = round(math.sqrt(places * image_size[0] / image_size[1]))
    if height and places % height == 0 and _proportional(height, places // height, image_size):
        return TensorLayout("tokens", height, places // height, prefix)
    return None
