"""Linear classifiers and their exact explanations, for which faithfulness metrics have known values."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from camdbench.models.classifier import Classifier
from helpers.toys import SIZE


def linear_classifier(seed: int = 0) -> Classifier:
    """Logits that are linear in the pixels, with another weight for each pixel, channel and class."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Flatten(), nn.Linear(3 * SIZE[0] * SIZE[1], 5)).eval().to(torch.get_default_dtype())
        nn.init.normal_(network[1].weight)
    return Classifier(network, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), name="linear")


def contributions(classifier: Classifier, images: Tensor, targets: Tensor, reference: float | Tensor = 0.0) -> Tensor:
    """What each pixel adds to the logit beside a reference colour, (B, H, W): the exact explanation."""
    weights = classifier.network[1].weight[targets].detach().unflatten(1, images.shape[1:]) / classifier.std
    return ((images - reference) * weights).sum(1)
