"""A classifier in float64: a copy that leaves the network as it is, or a refusal that names the option to give."""

from __future__ import annotations

import threading

import pytest
import torch
from helpers.toys import maps_of, toy_classifier
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable
from camdbench.datasets.samples import Batch
from camdbench.models.classifier import Classifier
from camdbench.models.float64_copy import float64_copy
from camdbench.models.pass_counts import PassCounts


def test_the_copy_computes_the_same_in_float64_and_counts_its_own_passes(classifier: Classifier, batch: Batch) -> None:
    copy = float64_copy(classifier)
    torch.testing.assert_close(copy(batch.images), classifier(batch.images).double(), rtol=1e-4, atol=1e-4)
    assert (copy.dtype, classifier.dtype) == (torch.float64, torch.float32)
    assert copy(batch.images).dtype == torch.float64
    assert copy.passes == PassCounts(forward=8)
    assert classifier.passes == PassCounts(forward=4)
    assert not any(parameter.requires_grad for parameter in copy.parameters())
    assert all(parameter.requires_grad for parameter in classifier.parameters())


def test_the_network_is_left_as_it_is_by_a_search_on_its_copy(classifier: Classifier, batch: Batch) -> None:
    before = {name: value.clone() for name, value in classifier.state_dict().items()}
    addresses = [parameter.data_ptr() for parameter in classifier.parameters()]
    maps_of(classifier, batch, "opticam(iterations=2)")
    assert [parameter.data_ptr() for parameter in classifier.parameters()] == addresses
    assert all(torch.equal(value, before[name]) and value.dtype == before[name].dtype for name, value in classifier.state_dict().items())


class Casting(nn.Module):
    """A network that computes in float32 whatever its weights are."""

    def __init__(self, network: nn.Module, *, back: bool) -> None:
        super().__init__()
        self.network, self.back = network, back

    def forward(self, images: Tensor) -> Tensor:
        return self.network(images).float() if self.back else self.network(images.float())


@pytest.mark.parametrize("kind", ["casts its input", "casts its logits", "cannot be copied"])
def test_a_network_that_cannot_compute_in_float64_is_refused_with_the_option_to_give(batch: Batch, kind: str) -> None:
    network = toy_classifier("gap").network
    if kind == "cannot be copied":
        network.lock = threading.Lock()
    else:
        network = Casting(network, back=kind == "casts its logits")
    layer = "relu2" if kind == "cannot be copied" else "network.relu2"
    classifier = Classifier(network.eval(), layer, mean=0.5, std=0.25)
    with pytest.raises(NotApplicable, match=r"in float64 \(.+\); give the option search_dtype='network'$"):
        maps_of(classifier, batch, "opticam(iterations=2)")
    assert maps_of(classifier, batch, "opticam(iterations=2, search_dtype='network')").raw.isfinite().all()
