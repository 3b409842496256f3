"""The difference of logits against a literal reading, also where logits are infinite."""

from __future__ import annotations

import torch
from helpers.each import each
from torch import Tensor, nn

from camdbench.models.classifier import Classifier
from camdbench.models.logit_effect import LogitEffect, logit_effect
from camdbench.models.pass_counts import PassCounts


class Fixed(nn.Module):
    """Returns given logits."""

    def __init__(self, rows: list[list[float]]) -> None:
        super().__init__()
        self.rows = nn.Parameter(torch.tensor(rows))

    def forward(self, images: Tensor) -> Tensor:
        return self.rows[: len(images)] + 0 * images.mean()


INF, NAN = float("inf"), float("nan")


@each(
    ("first", "second", "expected"),
    [
        ([[1.0, 2.0, 4.0], [0.0, 5.0, -1.0]], [[1.5, 2.0, 4.0], [0.0, 5.0, -3.0]], LogitEffect(2, 2.0, 6.0, 2)),
        ([[1.0, 2.0], [0.0, 5.0]], [[2.0, 1.0], [0.0, 5.0]], LogitEffect(2, 1.0, 5.0, 1)),
        ([[-INF, 2.0, 1.0]], [[-INF, 2.0, 1.5]], LogitEffect(1, 0.5, 2.0, 1)),
        ([[-INF, 2.0]], [[INF, 2.0]], LogitEffect(1, 1.0, 2.0, 0)),
        ([[NAN, 2.0]], [[NAN, 2.0]], LogitEffect(1, 0.0, 2.0, 1)),
        ([[1.0, 1.0]], [[1.0, 1.0]], LogitEffect(1, 0.0, 0.0, 1)),
    ],
)
def test_it_is_the_largest_difference(first: list[list[float]], second: list[list[float]], expected: LogitEffect) -> None:
    one, two = (Classifier(Fixed(rows), mean=0, std=1) for rows in (first, second))
    assert logit_effect(one, two, torch.rand(len(first), 3, 4, 4)) == expected
    assert one.passes == two.passes == PassCounts()


def test_what_counts_as_rounding_and_how_it_is_stated() -> None:
    small, large = LogitEffect(16, 1.234e-6, 6.8204, 16), LogitEffect(4, 0.5, 6.0, 3)
    assert (small.is_rounding, large.is_rounding, LogitEffect(1, 0.0, 0.0, 1).is_rounding) == (True, False, True)
    assert str(small) == "logits of 16 images differ by at most 1.2e-06 (they range over 6.82); 16 of 16 predicted classes are equal"
    assert large.record() == {"images": 4, "logit_difference": 0.5, "logit_range": 6.0, "same_class": 3}
