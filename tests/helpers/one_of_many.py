"""A training, and a loss across processes, in one of several processes that work together."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import nn

from camdbench.models.classifier import Classifier
from camdbench.trainer.accelerator import open_accelerator
from camdbench.trainer.distributed import ProcessGroup
from camdbench.trainer.in_memory_split import InMemorySplit
from camdbench.trainer.loop import fit
from camdbench.trainer.losses.cgc import consistency
from camdbench.trainer.recipe import check_recipe
from camdbench.trainer.tasks.classification import ClassificationTask


def train(out: Path, accumulate: int, environment: Mapping[str, str]) -> None:
    """Train with three losses, gather maps for a fourth, and let the first process write weights, logs and gradients."""
    os.environ.update(environment)
    torch.set_num_threads(1)
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 255, (24, 3, 12, 12), generator=random, dtype=torch.uint8)
    masks = torch.rand(24, 12, 12, generator=random) < 0.4
    images = InMemorySplit(pixels, torch.arange(24) % 3, tuple("abc"), "", tuple(map(str, range(24))), masks)
    weights, device = dict[str, torch.Tensor](), torch.device("cpu")
    common = {"name": "two", "epochs": 2, "batch_size": 8, "gradient_accumulation": accumulate}
    with open_accelerator(check_recipe(common, "t"), device) as accelerator:
        processes = ProcessGroup(accelerator.process_index, accelerator.num_processes)
        for loss in ("ce", "cfce", "so(views=2, kernel=3)"):
            torch.manual_seed(0)
            network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 3))
            how = {"name": "sgd", "lr": 0.1, "max_grad_norm": 1.0}
            recipe = check_recipe(common | {"loss": loss, "optimiser": how, "augment": {"flip": 0.5, "crop_scale": 0.6}}, "t")
            classifier = Classifier(network, "1", mean=0.5, std=0.25)
            task = ClassificationTask(classifier, images, images, recipe, device, accelerator)
            fitted = fit(task, recipe, accelerator)
            weights |= {f"{loss}/{name}": value for name, value in fitted.state.items()}
            weights[f"{loss}/log"] = torch.tensor([[line.train_loss, line.train_accuracy, line.validation["loss"]] for line in fitted.log])
        maps = torch.rand(2, 8, 20, generator=random).requires_grad_()
        each = 8 // processes.size
        own = slice(processes.rank * each, (processes.rank + 1) * each)
        for compat in ("paper", "author"):
            found = consistency(maps[0, own], processes.gather(maps[1, own]), 0.5, compat=compat, negatives=True, first=own.start)
            (slope,) = torch.autograd.grad(found.mean(), maps)
            holder = nn.Parameter(torch.zeros_like(maps))
            holder.grad = slope
            processes.average_gradients([holder])
            weights[f"cgc/{compat}"] = holder.grad
            weights[f"cgc/{compat}/loss"] = torch.tensor(processes.sum([float(found.detach().sum())], device))
        if processes.is_main:
            torch.save(weights, out)
