"""Isolation of Quantus: seeded and restored global generators, removed NumPy names, no rejection of whole batches."""

from __future__ import annotations

import importlib
import random
import warnings
from collections.abc import Callable, Generator
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from camdbench.core.errors import UsageError

Array = NDArray[Any]
_SERIES = "0.6."


def library() -> Any:
    """Quantus, imported on first use without the warnings of its source.

    Raises:
        UsageError: the installed series is not the supported one.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        quantus = importlib.import_module("quantus")
    if not quantus.__version__.startswith(_SERIES):
        raise UsageError(f"quantus {quantus.__version__} is installed, and its values are not known; run: pip install 'quantus>=0.6,<0.7'")
    return quantus


@contextmanager
def isolated(seed: int, device: torch.device) -> Generator[None]:
    """Seed the global generators, add removed NumPy names and drop batch assertions; restore everything on exit."""
    helpers = library().helpers
    asserts, caching = helpers.asserts, helpers.model.pytorch_model.PyTorchModel
    numbers, words, checks = np.random.get_state(), random.getstate(), asserts.assert_attributions  # noqa: NPY002
    missing = {name: value for name, value in {"trapz": np.trapezoid, "NaN": np.nan}.items() if not hasattr(np, name)}
    try:
        for name, value in missing.items():
            setattr(np, name, value)
        asserts.assert_attributions = _assert_shapes
        with warnings.catch_warnings(), np.errstate(all="ignore"), torch.random.fork_rng([device] if device.type == "cuda" else []):
            warnings.simplefilter("ignore")
            np.random.seed(seed)  # noqa: NPY002
            random.seed(seed)
            torch.default_generator.manual_seed(seed)
            yield
    finally:
        np.random.set_state(numbers)  # noqa: NPY002
        random.setstate(words)
        asserts.assert_attributions = checks
        for name in missing:
            delattr(np, name)
        for cached in ("_get_last_softmax_layer_index", "_get_model_with_linear_top"):
            getattr(caching, cached).cache_clear()  # they would keep every model alive


def by_row(name: str, seeds: list[int]) -> Callable[..., Array]:
    """A perturbation of Quantus for (B, n), called per row with the state of that row's own generator."""
    perturb: Callable[..., Array] = getattr(library().functions.perturb_func, name)
    states = [np.random.RandomState(seed).get_state() for seed in seeds]

    def each(arr: Array, indices: Array, **kwargs: Any) -> Array:
        rows = list[Array]()
        for row, state in enumerate(states):
            np.random.set_state(state)  # noqa: NPY002 - the generator that Quantus draws from
            rows.append(perturb(arr=arr[row : row + 1], indices=indices[row : row + 1], **kwargs))
            states[row] = np.random.get_state()  # noqa: NPY002
        return np.concatenate(rows)

    return each


def _assert_shapes(x_batch: Array, a_batch: Array) -> None:
    """Check shapes alone: Quantus' assertion builds a list of every pixel and rejects the batch for one constant map."""
    if len(x_batch) != len(a_batch) or x_batch.shape[2:] != a_batch.shape[2:]:
        raise ValueError(f"maps of shape {a_batch.shape} for images of shape {x_batch.shape}")
