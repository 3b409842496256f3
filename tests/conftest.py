"""What all tests share: fresh toys, and one thread, so that numbers do not move with the machine."""

from __future__ import annotations

import pytest
import torch
from toys import toy_batch, toy_classifier

from camdbench.datasets.samples import Batch
from camdbench.models.classifier import Classifier

torch.set_num_threads(1)


@pytest.fixture(params=["gap", "dense"])
def classifier(request: pytest.FixtureRequest) -> Classifier:
    """A fresh toy, once with a GAP + linear head and once with a head that tells places apart."""
    return toy_classifier(request.param)


@pytest.fixture
def batch() -> Batch:
    """Four fresh images with all annotations."""
    return toy_batch()
