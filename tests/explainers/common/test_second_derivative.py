"""The Hessian times the activations, against torch's own product and where it is known."""

from __future__ import annotations

import torch
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor

from camdbench.explainers.common.second_derivative import second_derivative
from camdbench.models.pass_counts import PassCounts


def test_it_is_torch_s_product_of_the_hessian_with_the_activations() -> None:
    classifier, leaf = toy_classifier(), torch.rand(2, 3, 4, 4, generator=torch.Generator().manual_seed(0))

    def cubic(activations: Tensor) -> Tensor:
        return (activations**3).sum() + activations.prod(1).sum()

    held = leaf.clone().requires_grad_()
    found = second_derivative(classifier, cubic(held), held)
    torch.testing.assert_close(found, torch.autograd.functional.hvp(cubic, leaf, leaf)[1])
    assert classifier.passes == PassCounts(tail_backward=2)


def test_it_is_zero_without_a_further_pass_where_the_logit_is_linear() -> None:
    classifier, leaf = toy_classifier(), toy_batch(2).images.requires_grad_()
    assert not second_derivative(classifier, (3 * leaf).sum(), leaf).any()
    assert classifier.passes == PassCounts()
