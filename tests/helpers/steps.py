"""Steps for tests of losses: a step around given logits, and steps of the toys in double precision."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from camdbench.datasets.samples import Batch
from camdbench.models.classifier import Classifier
from camdbench.trainer.accelerator import open_accelerator
from camdbench.trainer.loop import TrainingResult, fit
from camdbench.trainer.recipe import TrainingRecipe
from camdbench.trainer.split_data import Split
from camdbench.trainer.step import TrainingStep
from camdbench.trainer.tasks.classification import ClassificationTask
from helpers.toys import toy_batch, toy_classifier


class Given(nn.Module):
    """A network that says what it was given, whatever the images."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits = nn.Parameter(logits.clone())

    def forward(self, images: Tensor) -> Tensor:
        return self.logits + 0 * images.sum()


def step_of(logits: list[list[float]], labels: list[int], present: list[list[int]] | None = None) -> TrainingStep:
    """A step whose network returns these logits."""
    classifier = Classifier(Given(torch.tensor(logits)), mean=0.5, std=0.25)
    names = tuple(map(str, range(len(logits))))
    batch = Batch(names, torch.zeros(len(logits), 3, 4, 4), torch.tensor(labels))
    batch = replace(batch, present=None if present is None else torch.tensor(present).bool())
    return TrainingStep(classifier, batch, torch.Generator().manual_seed(0))


def toy_step(head: str = "gap", size: tuple[int, int] = (16, 12), seed: int = 0, *, train: bool = False) -> TrainingStep:
    """A step of a toy network in double precision; the masks differ from image to image, and the last one is empty."""
    classifier = toy_classifier(head).double()
    classifier.mean, classifier.std = classifier.mean.double(), classifier.std.double()
    batch = toy_batch(4, size=size)
    masks = torch.zeros(4, *size, dtype=torch.bool)
    for index in range(3):
        masks[index, 2 + index : 9 + index, 1 : 6 + index] = True
    classifier.train(train)
    network = classifier.network
    if train:
        network.drop.eval()  # two passes are compared
    return TrainingStep(classifier, replace(batch, images=batch.images.double(), masks=masks), torch.Generator().manual_seed(seed))


def fit_classifier(
    classifier: Classifier,
    train: Split,
    validation: Split,
    recipe: TrainingRecipe,
    *,
    device: torch.device,
    accelerator: Accelerator | None = None,
    **options: Any,
) -> TrainingResult:
    """Train a classifier in place, by an accelerator of this process alone unless one is given."""
    with open_accelerator(recipe, device) if accelerator is None else nullcontext(accelerator) as used:
        return fit(ClassificationTask(classifier, train, validation, recipe, device, used), recipe, used, **options)


def first_of(step: TrainingStep) -> TrainingStep:
    """The same step of its first image alone."""
    return replace(step, batch=step.batch.part(0, 1))


def slope(classifier: Classifier, value: Callable[[], Tensor], step: float = 1e-8) -> tuple[float, float]:
    """The derivative of a value along a random direction of all weights: by autograd, and by two values beside each other."""
    weights = [parameter for parameter in classifier.parameters() if parameter.requires_grad]
    random = torch.Generator().manual_seed(3)
    ways = [torch.randn(weight.shape, generator=random, dtype=weight.dtype) for weight in weights]
    found = torch.autograd.grad(value(), weights, allow_unused=True)
    by_autograd = sum(float((slope * way).sum()) for slope, way in zip(found, ways, strict=True) if slope is not None)
    beside = list[float]()
    for sign in (1, -2):
        with torch.no_grad():
            for weight, way in zip(weights, ways, strict=True):
                weight.add_(way, alpha=sign * step)
        beside.append(float(value().detach()))
    return by_autograd, (beside[0] - beside[1]) / (2 * step)
