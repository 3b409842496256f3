"""Open the images of a finished run again, without its models."""

from __future__ import annotations

import re
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from camdbench.datasets.samples import Dataset
from camdbench.runner.data_options import DATA_OPTIONS
from camdbench.runner.resources import Resources
from camdbench.runner.run import opened_request, read_config

_OF_DATA = ("dataset", "split", "data_root", "classes", *DATA_OPTIONS)
_MODEL = re.compile(r"preprocess\s*=\s*['\"]?model\b")
_OF_MODELS = ("models", "weights", "prompts", "mean", "std", "layer", "output", "batch_mates")


@contextmanager
def open_images(run: str | Path, about: Mapping[str, Any], data_root: str | Path | None = None) -> Generator[Dataset]:
    """The whole data set of a run, open inside the context. Its models are opened only if they prepare the images.

    Args:
        run: the run directory.
        about: its record.
        data_root: directory of the data set, if it has moved.

    Raises:
        UsageError: the data set is not there, or was an object of a Python session.
        CamdbenchError: a function of the user's raises.
    """
    with _opened_resources(run, about, data_root, {}) as resources:
        yield resources.all_images


@contextmanager
def open_models(run: str | Path, about: Mapping[str, Any], *, device: str = "auto") -> Generator[Resources]:
    """The models and the data set of a run, opened inside the context when they are asked for; arguments and errors as of `open_images`."""
    with _opened_resources(run, about, None, {"device": device}, models=True) as resources:
        yield resources


@contextmanager
def _opened_resources(
    run: str | Path, about: Mapping[str, Any], data_root: str | Path | None, execution: Mapping[str, Any], *, models: bool = False
) -> Generator[Resources]:
    file = Path(run, "run.yaml")
    stated = {**about["config"], **(read_config(file) if file.is_file() else {})}
    options = {name: stated[name] for name in _OF_DATA if stated.get(name) is not None}
    options |= {} if data_root is None else {"data_root": str(data_root)}
    if models or _is_prepared_by_models(options):
        options |= {name: stated[name] for name in _OF_MODELS if stated.get(name) is not None}
    with opened_request({"plugins": stated.get("plugins", ()), **options}, execution, None) as (request, found):
        yield (found or Resources()).bind(request)


def _is_prepared_by_models(options: Mapping[str, Any]) -> bool:
    return options.get("preprocess") == "model" or _MODEL.search(str(options["dataset"])) is not None
