"""Steps of gradient descent by torch.optim's functions; the constructors of its classes would import torch._dynamo."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.optim.adam import adam
from torch.optim.sgd import sgd


class Adam:
    """Adam as in `torch.optim.Adam`, with its defaults (Kingma and Ba 2015, arXiv:1412.6980).

    Args:
        values: parameters of any shape, changed in place.
        lr: step size.
    """

    def __init__(self, values: Tensor, lr: float) -> None:
        self.values, self.lr = values, lr
        self._mean, self._square = torch.zeros_like(values), torch.zeros_like(values)
        self._steps = torch.tensor(0.0)

    def step(self, gradient: Tensor) -> None:
        """Take one step against the gradient, of the parameters' shape."""
        mean, square, steps = [self._mean], [self._square], [self._steps]
        with torch.no_grad():
            adam(
                *([self.values], [gradient], mean, square, [], steps),
                amsgrad=False,
                beta1=0.9,
                beta2=0.999,
                lr=self.lr,
                weight_decay=0,
                eps=1e-8,
                maximize=False,
            )

    def keep(self, chosen: Tensor) -> None:
        """Go on with the chosen rows alone, (N,) bool: `values` are then new, as a leaf."""
        self.values = self.values.detach()[chosen].requires_grad_(self.values.requires_grad)
        self._mean, self._square = self._mean[chosen], self._square[chosen]


class Sgd:
    """Gradient descent with momentum as in `torch.optim.SGD`.

    Args:
        values: parameters of any shape, changed in place.
        lr: step size.
        momentum: share of the last step's direction that is kept.
        dampening: share of the gradient that is left out after the first step.
    """

    def __init__(self, values: Tensor, lr: float, *, momentum: float, dampening: float) -> None:
        self.values, self.lr, self.momentum, self.dampening = values, lr, momentum, dampening
        self._direction: list[Tensor | None] = [None]

    def step(self, gradient: Tensor) -> None:
        """Take one step against the gradient, of the parameters' shape."""
        with torch.no_grad():
            sgd(
                *([self.values], [gradient], self._direction),
                weight_decay=0,
                momentum=self.momentum,
                lr=self.lr,
                dampening=self.dampening,
                nesterov=False,
                maximize=False,
            )
