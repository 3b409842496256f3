"""Layer-CAM, of one layer or of several."""

from __future__ import annotations

from typing import Literal

import torch
from pydantic import PositiveFloat
from torch import Tensor

from camdbench.core.cost import Cost, Repeat
from camdbench.core.difference import Difference
from camdbench.core.errors import UsageError
from camdbench.core.registries import explainer
from camdbench.explainers.common.trace import Trace
from camdbench.functional.normalise import normalise, upsample


@explainer(
    "layercam",
    paper="Jiang et al. 2021, IEEE TIP 30, eq. 7-9",
    cost=Cost(repeats=(Repeat("layer", forward=1, tail_backward=1),)),
    needs=("layer", "gradients"),
    differs=(
        Difference("paper", "scales the maps of shallow layers alone", "none with one layer"),
        Difference("pytorch-grad-cam", "averages the layers' maps (compat=pgc)", "none with one layer"),
        Difference("torchcam", "fuses tanh(gamma M) without the division by max M (compat=torchcam)", "none with one layer"),
    ),
)
def layercam(
    trace: Trace,
    *,
    layer: str | tuple[str, ...] | None = None,
    gamma: PositiveFloat = 2.0,
    compat: Literal["paper", "pgc", "torchcam"] = "paper",
) -> Tensor:
    r"""Layer-CAM: activations weighted by their positive gradients per grid cell, of one or more layers.

    .. math:: \mathrm{ReLU}(\sum_k \mathrm{ReLU}(G_k) \odot A_k)

    With several layers, `layer=("layer3", "layer4")`, the grid is the finest of theirs, and
    the map is the maximum over layers of tanh(gamma M / max M) (eq. 9). The paper scales only the maps of shallow layers,
    whose values are small; here all are scaled alike.

    `compat="torchcam"` omits the division by max M. `pgc` averages the layers' maps, each normalised to its range and then
    up-sampled to the image.

    Returns:
        (B, h, w), non-negative; (B, H, W) for several layers with `compat="pgc"`.
    """
    if isinstance(layer, tuple) and len(layer) != 1:
        return _fuse([_map_of(trace.at(name)) for name in layer], trace.size, gamma, compat)
    return _map_of(trace.at(layer[0] if isinstance(layer, tuple) else layer))


def _map_of(seen: Trace) -> Tensor:
    return (seen.gradients.relu() * seen.activations).sum(1).relu()


def _fuse(maps: list[Tensor], image: tuple[int, int], gamma: float, compat: str) -> Tensor:
    if not maps:
        raise UsageError("layercam(layer=()): name at least one layer")
    if compat == "pgc":
        return torch.stack([upsample(normalise(map_, "range"), image) for map_ in maps]).mean(0)
    finest = (max(map_.shape[1] for map_ in maps), max(map_.shape[2] for map_ in maps))
    scaled = [torch.tanh(gamma * (map_ if compat == "torchcam" else normalise(map_, "max"))) for map_ in maps]
    return torch.stack([upsample(map_, finest) for map_ in scaled]).amax(0)
