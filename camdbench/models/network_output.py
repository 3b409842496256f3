"""Output of a network: the tensor in it, and logits from probabilities, log-probabilities or sigmoids."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import torch
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.core.network_options import Output, check_choice

ReadOutput = Callable[[Any], Tensor]


def split_output(given: Output | ReadOutput | None) -> tuple[Output | None, ReadOutput | None]:
    """What a network returns, and the function that makes logits of it, of which a user gives one or neither.

    Raises:
        UsageError: it is an unknown word.
    """
    if callable(given):
        return None, given
    return None if given is None else check_choice("output", given, Output), None


def tensor_of(output: object, read: ReadOutput | None = None) -> Tensor:
    """Class scores (B, C): what `read` makes of the output; else the output itself, the first of a tuple, or `logits` as attribute or key.

    Raises:
        UsageError: there is no such tensor, or it has fewer than two classes.
    """
    output = output if read is None else read(output)
    found = first_output(output)
    if not isinstance(found, Tensor) or found.ndim != 2 or found.shape[1] < 2:
        raise UsageError(f"the network must return logits (B, C) of at least two classes; it returned {_describe(output, found)}")
    return found


def first_output(output: object) -> object:
    """The output itself, the first of a tuple or list, or `logits` as attribute or key."""
    found = getattr(output, "logits", output)
    if isinstance(found, Mapping):
        values = cast("Mapping[str, object]", found)
        found = values.get("logits", values.get("last_hidden_state", found))  # PP-LCNet of transformers
    if isinstance(found, list | tuple) and found:
        found = cast("Sequence[object]", found)[0]
    return found


def _describe(output: object, found: object) -> str:
    if isinstance(found, Tensor):
        single = found.ndim == 2 and found.shape[1] == 1
        fix = "; for one logit z of two classes return torch.cat([torch.zeros_like(z), z], 1)" if single else ""
        fix = "; of a segmentation network explain --objective region(CLASS, MASK)" if found.ndim == 4 else fix
        return f"{tuple(found.shape)}{fix}"
    if isinstance(found, Mapping):
        return f"{type(output).__name__} with the keys {', '.join(map(repr, cast('Mapping[str, object]', found)))}, not 'logits'"
    return type(output).__name__


def to_logits(values: Tensor, output: Output | None) -> Tensor:
    r"""Logits (B, C) from a network's output (B, C).

    Probabilities p become :math:`\log p`, which has the softmax p; sigmoids become :math:`\log p - \log(1 - p)`; logits and
    log-probabilities stay. Values are limited to the least normal number and to the number below 1.

    >>> to_logits(torch.tensor([[0.5, 0.5]]), "probabilities").softmax(1).tolist()
    [[0.5, 0.5]]
    """
    if output not in ("probabilities", "sigmoid"):
        return values
    limits = torch.finfo(values.dtype)
    logs = values.clamp_min(limits.tiny).log()
    return logs if output == "probabilities" else logs - torch.log1p(-values.clamp_max(1 - limits.eps / 2))
