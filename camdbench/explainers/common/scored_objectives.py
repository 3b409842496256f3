"""Objectives that are no function of the logits, `similarity` and `region`: a class of another classifier of the same network."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from camdbench.core.errors import SampleError, UsageError
from camdbench.core.objective_names import ObjectiveName
from camdbench.datasets.mask_values import read_mask
from camdbench.explainers.common.given_pictures import read_pictures
from camdbench.models.classifier import Classifier
from camdbench.models.scored_outputs import REFERENCE, with_region, with_similarity


def classifier_of(classifier: Classifier, objective: ObjectiveName, preprocess: str | None = None) -> tuple[Classifier, int]:
    """A classifier of the same network, and its class whose logit is the objective.

    Args:
        classifier: the model.
        objective: `similarity(FILE)` or `region(CLASS, FILE)`.
        preprocess: preprocessing of the reference image; default: the model's own.

    Raises:
        UsageError: the file is missing or unreadable, or the network has no such output.
    """
    what = f"--objective = {objective}"
    if not Path(objective.file).is_file():
        raise UsageError(f"{what}: no such file {objective.file}; give an image{'' if objective.classes else ' of the reference'}")
    try:
        if objective.kind == "similarity":
            pixels, _ = read_pictures(objective.file, classifier, preprocess, None)
            return with_similarity(classifier, pixels[0]), REFERENCE
        return with_region(classifier, _mask(Path(objective.file))), objective.classes[0]
    except SampleError as error:
        raise UsageError(f"{what}: {error}") from None


def _mask(file: Path) -> Tensor:
    """Mask (H, W) of a picture, whose pixels that are not zero count, or weights of a `.npy` file."""
    if file.suffix != ".npy":
        return read_mask(file).double()
    try:
        values = np.load(file, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise UsageError(f"--objective: mask {file}: {error}; give an array (H, W)") from None
    if not isinstance(values, np.ndarray):
        raise UsageError(f"--objective: mask {file}: holds no array; give an array (H, W)")
    if values.dtype.kind not in "biuf":
        raise UsageError(f"--objective: mask {file} has {values.dtype} values; give numbers or bools (H, W)")
    return torch.from_numpy(values.astype(np.float64))
