"""What all tests share: fresh toys, and one thread unless OMP_NUM_THREADS says more, so that numbers do not move with the machine.

With `-n`, a process that only hands out tests reads this file too; it imports neither torch nor hypothesis.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from camdbench.datasets.samples import Batch
    from camdbench.models.classifier import Classifier


def pytest_configure(config: pytest.Config) -> None:
    """Make the same cases in every run; `pytest --hypothesis-profile=search` looks for new ones."""
    if config.getoption("dist", "no") != "no" and config.getoption("tx", None):
        return
    from hypothesis import settings

    settings.register_profile("fixed", derandomize=True, deadline=None)
    settings.register_profile("search", deadline=None)
    settings.load_profile("fixed")


def pytest_collection_finish() -> None:
    """Limit threads, and leave what imports made out of later collections of garbage: every training asks for one."""
    import torch

    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS") or 1))
    gc.collect()
    gc.freeze()


@pytest.fixture(params=["gap", "dense"])
def classifier(request: pytest.FixtureRequest) -> Classifier:
    """A fresh toy, once with a GAP + linear head and once with a head that sees places."""
    from helpers.toys import toy_classifier

    return toy_classifier(request.param)


@pytest.fixture
def batch() -> Batch:
    """Four fresh images with all annotations."""
    from helpers.toys import toy_batch

    return toy_batch()


@pytest.fixture
def float64() -> Iterator[None]:
    """Networks, images and draws in float64: a comparison with other code then does not depend on the order of a processor's sums.

    A module asks for it with `pytestmark = pytest.mark.usefixtures("float64")`.
    """
    import torch

    usual = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(usual)


@pytest.fixture(autouse=True, scope="session")
def _hashes_of_files_are_kept_apart(tmp_path_factory: pytest.TempPathFactory) -> None:
    os.environ["CAMDBENCH_HOME"] = str(tmp_path_factory.mktemp("home"))


@pytest.fixture(autouse=True, scope="session")
def _files_are_not_forced_to_the_disk() -> Iterator[None]:
    """No power is cut in a test, and a run forces some twenty files."""
    with pytest.MonkeyPatch.context() as patches:
        patches.setattr(os, "fsync", lambda _: None)
        yield


@pytest.fixture(autouse=True)
def _plug_ins_are_forgotten() -> Iterator[None]:
    """What a test registers is gone after it, so that the contract suites count the package's own functions only."""
    from camdbench.core import registries, registry

    loaded = list(registry.PLUGINS)
    yield
    for kind in (registries.explainers, registries.metrics, registries.datasets, registries.models, registries.losses):
        foreign = [name for name, entry in kind._live.items() if not entry.module.startswith(f"{kind.package}.")]
        for name in foreign:
            del kind._live[name], kind._functions[name]
    registry.PLUGINS[:] = loaded
