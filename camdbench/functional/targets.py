"""The explained class: label, prediction, runner-up, least likely class, or a class index."""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.core.errors import UsageError


def pick_targets(rule: str, logits: Tensor, labels: Tensor) -> Tensor:
    """Explained class of each image (B,) from logits (B, C) and labels (B,), -1 for unknown labels.

    Raises:
        UsageError: a class index that the network does not have, or an unknown label.
    """
    classes = logits.shape[1]
    if rule == "label":
        return check_classes(labels, classes, "--target label: an image has label")
    if rule == "predicted":
        return logits.argmax(1)
    if rule == "least_likely":
        return logits.argmin(1)
    if rule == "runner_up":
        return logits.topk(2, dim=1).indices[:, 1]
    if int(rule) >= classes:
        raise UsageError(f"--target {rule}: the model has classes 0 to {classes - 1}")
    return torch.full_like(labels, int(rule))


def check_classes(indices: Tensor, classes: int, what: str) -> Tensor:
    """The class indices (B,), checked against the number of classes; `what` starts the error message.

    Raises:
        UsageError: an index is out of range.
    """
    wrong = indices[(indices < 0) | (indices >= classes)]
    if len(wrong):
        raise UsageError(f"{what} {wrong[0].item()}, but the model has classes 0 to {classes - 1}")
    return indices
