"""Segmenters that `camdbench probe` made, read again."""

from __future__ import annotations

import json
from pathlib import Path

from camdbench.core.errors import UsageError
from camdbench.models.weights_file import read_state
from camdbench.models.zoo import load_classifier
from camdbench.trainer.segmentation.segmenter import Segmenter


def load_segmenter(path: str | Path, *, device: str = "auto") -> Segmenter:
    """The segmenter of a probe, in eval mode: scores (B, classes, H, W) of images in [0, 1], the background first.

    Args:
        path: NAME.safetensors with its NAME.json beside it; the classifier is found as the probe's recipe names it.
        device: `auto`, `cpu`, `cuda`, `cuda:1`, `mps`.

    Raises:
        UsageError: a file is missing or damaged, or the classifier's weights are no longer those that the head was trained on.
    """
    file = Path(path)
    try:
        facts = json.loads(file.with_suffix(".json").read_text(encoding="utf-8"))
        recipe, layer, weights, count = facts["recipe"], facts["layer"], facts["weights"], len(facts["classes"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(f"probe {file}: {file.with_suffix('.json').name} beside it is missing or damaged ({error!r})") from None
    classifier = load_classifier(recipe["model"], device=device)
    if classifier.weights_hash() != weights:
        raise UsageError(f"probe {file}: the weights of {recipe['model']} are no longer those that it was trained on; train it again")
    state = read_state(file)
    channels = state["head.0.weight"].shape[1]
    segmenter = Segmenter(classifier, channels, count, layer=layer, backbone=recipe["backbone"])
    segmenter.learn(state)
    return segmenter.to(classifier.device).eval()
