"""Performance information curves (PIC): recovered performance over recovered information, as the image is uncovered."""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.functional.crossings import at_places

PLACES = 1001


def information_curve(information: Tensor, performance: Tensor) -> Tensor:
    """Curve (1001,) float64 at equal steps of x from 0 to 1, from points (T,) in [0, 1] in the order in which the image is uncovered.

    y is the largest performance so far. (0, 0) and (1, 1) are added, points are sorted by x, of points with equal x the largest y counts,
    and the curve is linear between them.

    >>> for x, y in (([0.2, 0.6], [1.0, 1.0]), ([0.5], [0.5])):
    ...     print(round(float(torch.trapezoid(information_curve(torch.tensor(x), torch.tensor(y)), dx=1 / 1000)), 4))
    0.9
    0.5
    """
    x = torch.cat([torch.tensor([0.0, 1.0], dtype=torch.float64), information.double()])
    y = torch.cat([torch.tensor([0.0, 1.0], dtype=torch.float64), performance.double().cummax(0).values])
    places, group = x.unique(return_inverse=True)
    highest = torch.zeros_like(places).scatter_reduce_(0, group, y, "amax")
    return at_places(places, highest, torch.linspace(0, 1, PLACES, dtype=torch.float64))
