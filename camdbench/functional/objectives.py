"""Objectives: the scalar of a network's output that is explained, as a pure function of logits and classes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from camdbench.core.errors import UsageError, first_line
from camdbench.core.objective_names import DEFAULT, ObjectiveName

Function = Callable[[Tensor], Any]


@dataclass(frozen=True)
class Objective:
    r"""What is explained of an image: a scalar of its logits z (C,), with the explained class y.

    - `logit`: :math:`z_y`
    - `probability`: :math:`p_y`
    - `log_odds`: :math:`z_y - \log \sum_{k \neq y} e^{z_k}`
    - `margin`: :math:`z_y - z_k`, k a class or, as chosen on the unaltered image, the class of the largest other logit
    - `sum`: :math:`\sum_k z_k` over all classes or the given ones
    - `rest`: :math:`z_y + \log p_y`
    - `similarity`, `region`: :math:`z_y` of a classifier that is made for it (`models.scored_outputs`)

    Attributes:
        name: text in rows.
        named: its name and classes; None for a function.
        functions: functions of the logits (C,) of one image: one for all images, or one per image.
    """

    name: str = DEFAULT
    named: ObjectiveName | None = ObjectiveName(DEFAULT)  # noqa: RUF009 - immutable
    functions: tuple[Function, ...] = ()

    @property
    def is_logit(self) -> bool:
        """Whether it is the default: the logit of the explained class."""
        return self.named is not None and self.named.kind == DEFAULT

    @property
    def follows_rival(self) -> bool:
        """Whether it depends on the class of the largest other logit."""
        return self.named == ObjectiveName("margin")

    def of_images(self, rows: slice) -> Objective:
        """The objective of some images of a batch."""
        return self if len(self.functions) < 2 else Objective(self.name, self.named, self.functions[rows])

    def values(self, logits: Tensor, targets: Tensor, rivals: Tensor | None = None, rows: Tensor | None = None) -> Tensor:
        """The objective (N,) of logits (N, C).

        Args:
            logits: of N images.
            targets: (N,) explained classes.
            rivals: (N,) classes of the largest other logits, if it follows them.
            rows: (N,) the place in the batch of each image, if there is a function per image; default: 0 to N - 1.

        Raises:
            UsageError: a class that the model does not have, or a function returns no finite scalar.
        """
        if self.named is None:
            return self._of_functions(logits, rows)
        kind, classes = self.named.kind, self.named.classes
        _check_indices(self.name, classes, logits.shape[1])
        if kind == "sum":
            return (logits[:, list(classes)] if classes else logits).sum(1)
        own = logits.gather(1, targets[:, None]).squeeze(1)
        if kind in ("logit", "similarity", "region"):
            return own
        if kind == "margin":
            other = rivals if rivals is not None else torch.full_like(targets, classes[0])
            return own - logits.gather(1, other[:, None]).squeeze(1)
        if kind == "rest":
            return own + logits.log_softmax(1).gather(1, targets[:, None]).squeeze(1)
        odds = own - logits.scatter(1, targets[:, None], -torch.inf).logsumexp(1)
        return odds if kind == "log_odds" else odds.sigmoid()

    def weights(self, logits: Tensor, targets: Tensor, rivals: Tensor | None = None) -> Tensor | None:
        """Weights w (B, C) with objective = w'z + a constant; None if it is not affine in the logits.

        A function counts as affine if its gradient is the same at three fixed points that are far apart.
        """
        if self.named is not None:
            points = [torch.zeros_like(logits)] if self.named.is_linear else []
        else:
            generator = torch.Generator().manual_seed(0)
            point = torch.randn(logits.shape[1], generator=generator, dtype=torch.float64).to(logits).expand_as(logits)
            points = [point, -point, 10 * point.flip(1) + 1]
        found = [self._gradient(point, targets, rivals) for point in points]
        same = bool(found) and all(torch.equal(found[0], other) for other in found[1:]) and bool(found[0].isfinite().all())
        return found[0] if same else None

    def _gradient(self, logits: Tensor, targets: Tensor, rivals: Tensor | None) -> Tensor:
        with torch.enable_grad():
            leaf = logits.detach().clone().requires_grad_()
            total = self.values(leaf, targets, rivals).sum()
            found = torch.autograd.grad(total, leaf, allow_unused=True)[0] if total.requires_grad else None
        return torch.full_like(leaf, torch.nan) if found is None else found

    def _of_functions(self, logits: Tensor, rows: Tensor | None) -> Tensor:
        if len(self.functions) == 1:
            functions = self.functions * len(logits)
        else:
            places = range(len(logits)) if rows is None else rows.tolist()
            functions = [self.functions[place] for place in places]
        return torch.stack([self._scalar(function, row) for function, row in zip(functions, logits, strict=True)])

    def _scalar(self, function: Function, logits: Tensor) -> Tensor:
        """The scalar () that a function returns for the logits (C,) of one image."""
        try:
            found = function(logits)
        except Exception as error:
            raise UsageError(f"objective {self.name}: raises {type(error).__name__}: {first_line(error)}") from error
        if not isinstance(found, Tensor) or found.numel() != 1 or not found.is_floating_point():
            what = f"shape {tuple(found.shape)}, {found.dtype}" if isinstance(found, Tensor) else type(found).__name__
            raise UsageError(f"objective {self.name}: returns {what}; return one number, a tensor made from the logits (C,) of an image")
        return found.reshape(())


LOGIT = Objective()


def rivals_of(logits: Tensor, targets: Tensor) -> Tensor:
    """Class (B,) of the largest logit beside that of the explained class (B,), from logits (B, C)."""
    return logits.detach().scatter(1, targets[:, None], -torch.inf).argmax(1)


def check_function(objective: Objective, logits: Tensor) -> None:
    """Check the functions of an objective on logits (B, C): finite, repeatable, and independent of order.

    Raises:
        UsageError: a function returns another value for the same image, a value that is not finite, or no single number.
    """
    if objective.named is not None:
        return
    order = torch.arange(len(logits), device=logits.device)
    with torch.no_grad():
        found = objective.values(logits.clone(), order)
        again = objective.values(logits.flip(0), order, rows=order.flip(0)).flip(0)
    if not bool(found.isfinite().all()):
        raise UsageError(f"objective {objective.name}: returns {found[~found.isfinite()][0].item()}; return a finite number")
    if not torch.equal(found, again):
        raise UsageError(f"objective {objective.name}: returns another value for the same image when called again; use its input alone")


def _check_indices(name: str, classes: Sequence[int], count: int) -> None:
    for index in classes:
        if index >= count:
            raise UsageError(f"--objective = {name}: class {index}; the model has classes 0 to {count - 1}")
