"""What a few outputs of a network show: whether they are what they are taken for, and depend on the image alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from camdbench.core.network_options import Output

TOLERANCE = 1e-3  # of sums of probabilities, and of differences relative to the spread of an image's outputs
_ROUNDING = 1e-6


@dataclass(frozen=True)
class ProbeOutputs:
    """Outputs of a network for a few images, before any conversion.

    Attributes:
        alone: (N, C), of each image alone.
        together: (N, C), of all images in one batch; None if the network runs them one by one.
        again: (N, C), of the same batch a second time; None if not needed.
        problem: what the network reported for a batch of several images; empty if it accepts them.
        unnormalised: first normalisation layer without running statistics, in words; empty if there is none.
        extreme: (N, C), of colours far outside [0, 1], where logits leave [0, 1] and sigmoids do not; None if not needed.
        affine: whether they are those of a linear layer or a convolution, with nothing after it.
    """

    alone: Tensor
    together: Tensor | None = None
    again: Tensor | None = None
    problem: str = ""
    unnormalised: str = ""
    extreme: Tensor | None = None
    affine: bool = False

    @property
    def kind(self) -> Output:
        """What the outputs look like."""
        found = kind_of(self.alone)
        bounded = self.extreme is None or kind_of(self.extreme) != "logits" or not bool(self.extreme.isfinite().all())
        return found if found != "sigmoid" or (bounded and not self.affine) else "logits"


class Finding(NamedTuple):
    """A contradiction between a network's outputs and what they are taken for."""

    message: str
    refused: bool = True


def findings(seen: ProbeOutputs, *, output: Output | None = None, class_names: Sequence[str] = ()) -> list[Finding]:
    """Contradictions in the outputs of a network, the gravest first.

    Args:
        seen: outputs of a few images.
        output: what the outputs are said to be; None: nothing is said, and logits are expected.
        class_names: names of the classes; empty if unknown.
    """
    rows = seen.alone
    if class_names and len(class_names) != rows.shape[1]:
        return [Finding(f"class_names: {len(class_names)} names for {rows.shape[1]} classes; name each class once")]
    if rows.dtype not in (torch.float32, torch.float64):
        return [Finding(f"output: {rows.dtype} values; return float32, for instance by network.float()")]
    if bool((rows.isnan() | rows.isposinf()).any()):
        return [Finding("output: not finite; check the weights and the normalisation (mean, std)")]
    if bool((rows == rows[:, :1]).all()):
        equal = Finding("output: all classes have equal values, so every class is as likely as any other", refused=False)
        return [*_batch_findings(seen), equal]
    return [*_batch_findings(seen), *_kind_findings(seen.kind, output)]


def kind_of(rows: Tensor) -> Output:
    """What outputs (N, C) look like: logits, unless all of them have the range and the sum of something else.

    >>> rows = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.3, -2.0]])
    >>> kind_of(rows), kind_of(rows.softmax(1)), kind_of(rows.log_softmax(1)), kind_of(rows.sigmoid())
    ('logits', 'probabilities', 'log-probabilities', 'sigmoid')
    """
    rows = rows.double()
    low, high = float(rows.min()), float(rows.max())
    if low >= -_ROUNDING and bool(((rows.sum(1) - 1).abs() <= TOLERANCE).all()):
        return "probabilities"
    if high <= _ROUNDING and bool((rows.logsumexp(1).abs() <= TOLERANCE).all()):
        return "log-probabilities"
    return "sigmoid" if low >= 0 and high <= 1 and high > low else "logits"


def _kind_findings(kind: Output, output: Output | None) -> list[Finding]:
    if output == "logits" or kind == (output or "logits") or (output == "sigmoid" and kind == "probabilities"):
        return []
    looks = {
        "probabilities": "probabilities (no value is negative, and those of an image sum to 1)",
        "log-probabilities": "log-probabilities (their exponentials sum to 1)",
        "sigmoid": "values of a sigmoid (all lie in [0, 1])",
        "logits": "logits",
    }
    if output is not None:
        return [Finding(f"output = {output}: the network returns {looks[kind]}; state output='{kind}'")]
    fix = f"state output='{kind}' (--output {kind}), return the values before it, or insist with output='logits'"
    return [Finding(f"output: the network returns {looks[kind]}, not logits; {fix}")]


def _batch_findings(seen: ProbeOutputs) -> list[Finding]:
    if seen.problem:
        return [Finding(f"batch_mates: several images at once fail ({seen.problem}); {_ALONE}")]
    if (noise := _repeat_difference(seen)) > TOLERANCE:
        return [Finding(f"output: random ({noise:.2g} of its spread between two equal passes); remove noise and dropout")]
    if (difference := batch_difference(seen)) > TOLERANCE:
        cause = f": {seen.unnormalised}" if seen.unnormalised else ""
        what = f"outputs of an image depend on the other images of its batch ({difference:.2g} of their spread){cause}"
        return [Finding(f"batch_mates: {what}; {_ALONE}")]
    return []


_ALONE = "state batch_mates='alone' (--batch-mates alone) to run one image at a time"


def batch_difference(seen: ProbeOutputs) -> float:
    """Largest difference of an image alone and in a batch, relative to the spread of its outputs; 0 without a batch."""
    return 0.0 if seen.together is None else _difference(seen.together, seen.alone)


def _repeat_difference(seen: ProbeOutputs) -> float:
    return 0.0 if seen.together is None or seen.again is None else _difference(seen.together, seen.again)


def _difference(first: Tensor, second: Tensor) -> float:
    """Largest difference relative to the largest spread over classes or images; -inf excludes a class."""
    finite = first.isfinite() & second.isfinite()
    first, second = (torch.where(finite, rows.double(), 0) for rows in (first, second))
    spread = max(float((rows.amax(axis) - rows.amin(axis)).max()) for axis in (0, 1) for rows in (first, second))
    return float((first - second).abs().max()) / spread if spread else 0.0
