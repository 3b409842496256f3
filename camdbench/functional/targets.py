"""The explained class: label, prediction, runner-up, least likely class, or a class index; class indices from users."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from camdbench.core.errors import UsageError, unknown


def pick_targets(rule: str | Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Explained class of each image (B,) from logits (B, C) and labels (B,), -1 for unknown labels; or the given classes (B,), checked.

    Raises:
        UsageError: a class index that the network does not have, or an unknown label.
    """
    classes = logits.shape[1]
    if isinstance(rule, Tensor):
        return check_classes(rule, classes, "targets: an image is given class")
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


def class_indices(given: Any, count: int, what: str, names: Sequence[str] = ()) -> Tensor:
    """Class indices (N,) int64 from a list, array or tensor of integers, or of class names.

    >>> class_indices(["dog", 0], 2, "targets", ("cat", "dog")).tolist()
    [1, 0]

    Args:
        given: one class per image.
        count: number of images N.
        what: starts the error message: `targets` or `labels`.
        names: names of the classes, if known.

    Raises:
        UsageError: floats, bools, an unknown name, another number of classes than of images, or one-hot rows.
    """
    items = [given] if isinstance(given, str) else given
    if isinstance(items, Sequence) and not isinstance(items, range):
        places = {name.casefold(): index for index, name in reversed([*enumerate(names)])}
        items = [_index(item, what, names, places) for item in cast("Sequence[object]", items)]
    try:
        found = np.asarray(items.detach().cpu() if isinstance(items, Tensor) else items)
    except (TypeError, ValueError, RuntimeError):
        found = np.asarray(None)
    if found.ndim > 1:
        raise UsageError(f"{what} have shape {found.shape}: expected one class index per image; of one-hot rows give argmax(1)")
    if found.size and found.dtype.kind not in "iu":
        kind = found.dtype if found.dtype != object else type(given).__name__
        raise UsageError(f"{what} are {kind}; expected class indices (integers)")
    if found.shape != (count,):
        raise UsageError(f"{found.size} {what} for {count} images; give one for each")
    with torch.inference_mode(mode=False):  # tensors created in inference mode have no gradients
        return torch.from_numpy(found.astype(np.int64))


def _index(item: object, what: str, names: Sequence[str], places: Mapping[str, int]) -> object:
    """A class name as its index; a tensor or array of one element as its number; other items as they are.

    Raises:
        UsageError: an unknown name, or a truth value.
    """
    if isinstance(item, str):
        if not names:
            raise UsageError(f"{what}: {item!r} is a class name, but the model has no class_names; give class indices")
        if (place := places.get(item.strip().casefold())) is None:
            raise unknown("class", item, names, of=what)
        return place
    single = isinstance(item, np.generic) or (isinstance(item, Tensor | np.ndarray) and item.ndim == 0)
    value = cast("Any", item).item() if single else item
    if isinstance(value, bool):
        raise UsageError(f"{what} are bool; expected class indices (integers)")
    return value
