"""What all tests share: fresh toys, and one thread unless OMP_NUM_THREADS says more, so that numbers do not move with the machine."""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator

import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from hypothesis import settings

from camdbench.core import registries, registry
from camdbench.datasets.samples import Batch
from camdbench.models.classifier import Classifier

torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
# The same code gets the same verdict; `pytest --hypothesis-profile=search` looks for new cases.
settings.register_profile("fixed", derandomize=True, deadline=None)
settings.register_profile("search", deadline=None)
settings.load_profile("fixed")


def pytest_collection_finish() -> None:
    """Leave what imports made out of later collections of garbage: every training asks for one, over a million objects otherwise."""
    gc.collect()
    gc.freeze()


@pytest.fixture(params=["gap", "dense"])
def classifier(request: pytest.FixtureRequest) -> Classifier:
    """A fresh toy, once with a GAP + linear head and once with a head that tells places apart."""
    return toy_classifier(request.param)


@pytest.fixture
def batch() -> Batch:
    """Four fresh images with all annotations."""
    return toy_batch()


@pytest.fixture
def float64() -> Iterator[None]:
    """Networks, images and draws in float64: a comparison with other code then does not depend on the order of a processor's sums.

    A module asks for it with `pytestmark = pytest.mark.usefixtures("float64")`.
    """
    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(usual)


@pytest.fixture(autouse=True)
def _plug_ins_are_forgotten() -> Iterator[None]:
    """What a test registers is gone after it, so that the contract suites count the package's own functions only."""
    loaded = list(registry.PLUGINS)
    yield
    for kind in (registries.explainers, registries.metrics, registries.datasets, registries.models, registries.losses):
        foreign = [name for name, entry in kind._live.items() if not entry.module.startswith(f"{kind.package}.")]
        for name in foreign:
            del kind._live[name], kind._functions[name]
    registry.PLUGINS[:] = loaded
