"""Saliency maps of a trained network for whole splits, stored once, and the mean colour of the training images."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from camdbench.core.errors import CamdbenchError
from camdbench.core.spec import Spec
from camdbench.core.written_files import write_whole
from camdbench.datasets.loading import UnreadableImage, prefetch
from camdbench.datasets.samples import Batch, Dataset, Sample
from camdbench.explainers.common.saliency import saliency
from camdbench.explainers.common.trace import Trace
from camdbench.models.classifier import Classifier

_BATCH = 16


class StoredMaps(NamedTuple):
    """Maps of one explainer for one split.

    Attributes:
        file: (N, H, W) float32 in [0, 1], as numpy stores them.
        digest: hash of the contents.
    """

    file: Path
    digest: str


def store_maps(
    classifier: Classifier, splits: Mapping[str, Dataset], explainer: Spec, folder: Path, *, target: str, seed: int, workers: int
) -> dict[str, StoredMaps]:
    """Write the maps of an explainer for each split to `folder/SPLIT.npy`; files that exist are read instead.

    Args:
        classifier: the network that is explained.
        splits: data sets by name.
        explainer: the explainer.
        folder: folder of the files, which belongs to this network, these data and this explainer.
        target: rule of the explained class.
        seed: seed of explainers that draw random numbers.
        workers: processes that read images.

    Raises:
        CamdbenchError: an image cannot be read, or a map is not finite.
        NotApplicable: the explainer has no meaning for the network.
    """
    found = dict[str, StoredMaps]()
    for split, dataset in splits.items():
        file = folder / f"{split}.npy"
        if not file.is_file():
            made = [_maps_of(classifier, batch, explainer, target, seed) for batch in _batches(dataset, workers)]
            content = io.BytesIO()
            np.save(content, torch.cat(made).numpy(), allow_pickle=False)
            write_whole(file, content.getbuffer(), resumes=True)
        with file.open("rb") as stream:  # of maps of ImageNet, 200 GB
            found[split] = StoredMaps(file, hashlib.file_digest(stream, "sha256").hexdigest()[:16])
    return found


def mean_colour(dataset: Dataset, workers: int) -> tuple[float, ...]:
    """Mean of all pixels of a data set by channel, three numbers in [0, 1]."""
    sums, count = torch.zeros(3, dtype=torch.float64), 0
    for batch in _batches(dataset, workers):
        sums += batch.images.double().sum((0, 2, 3))
        count += len(batch) * batch.images[0, 0].numel()
    return tuple((sums / count).tolist())


def _maps_of(classifier: Classifier, batch: Batch, explainer: Spec, target: str, seed: int) -> Tensor:
    with torch.inference_mode(mode=False), classifier.frozen():
        made = saliency(Trace(classifier, batch.to(classifier.device), target=target, seed=seed), explainer)
    for name, status, reason in zip(batch.ids, made.status, made.reasons, strict=True):
        if status == "error":
            raise CamdbenchError(f"explainer {explainer}: image {name}: {reason}")
    return made.maps.float().cpu()


def _batches(dataset: Dataset, workers: int) -> Iterator[Batch]:
    with closing(prefetch(dataset, range(len(dataset.ids)), workers=workers)) as stream:
        held = list[Sample]()
        for item in stream:
            if isinstance(item, UnreadableImage):
                raise CamdbenchError(f"image {item.id} cannot be read: {item.reason}; repair or remove it")
            held.append(item)
            if len(held) == _BATCH:
                yield Batch.of(held)
                held = []
        if held:
            yield Batch.of(held)
