"""Zero-shot classifiers: CLIP (Radford et al. 2021) and SigLIP (Zhai et al. 2023) with text embeddings stored as weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn

from camdbench.core.errors import UsageError
from camdbench.core.model_names import HF, ZERO_SHOT, row_name
from camdbench.models.classifier import Classifier
from camdbench.models.huggingface_zoo import build_random, check_name, load, load_config, load_processor, quiet, revision_of
from camdbench.models.image_processors import Preprocessing, read_processor
from camdbench.models.prompts import TEMPLATES, Prompts, check_prompts, read_prompts

_PREFIX_TOKENS = {"clip": 1, "metaclip_2": 1, "siglip": 0, "siglip2": 0}


def zero_shot(
    model: nn.Module | str,
    classes: Sequence[str],
    *,
    templates: Sequence[str] = TEMPLATES,
    tokenizer: Callable[..., Any] | None = None,
    name: str | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    download: bool = False,
) -> Classifier:
    r"""Classifier of a CLIP or SigLIP network whose classes are texts.

    Logits are :math:`s \cos(v, t_c) + b` with the image embedding v, the text embedding t of class c, the scale s and SigLIP's
    bias b. With several templates, t is the mean of the normalised embeddings. SigLIP was trained with sigmoids; probabilities
    here are the softmax over the classes. On the command line: `hf-zero-shot/ORG/NAME` with `--prompts`.

    Args:
        model: `hf/ORG/NAME` or `hf/./FOLDER`, or a network of transformers: CLIPModel, MetaClip2Model, SiglipModel, Siglip2Model.
        classes: names of at least two classes.
        templates: sentences with `{}` for the name.
        tokenizer: tokenizer of the network; needed with a network object.
        name: name of the model in rows; default: its name or folder.
        mean: mean of the normalisation; default: that of the image processor, for a network object CLIP's or SigLIP's own.
        std: standard deviation; default: as for the mean.
        download: whether transformers may download missing files.

    Raises:
        UsageError: another network, missing files, fewer than two classes, a repeated class, or a template without `{}`.
    """
    prompts = check_prompts(classes, templates)
    if not isinstance(model, str):
        kind = _check_kind(model)
        if tokenizer is None:
            raise UsageError("zero_shot: a network object needs its tokenizer; add tokenizer=")
        found = _usual(kind, cast("Any", model).config.vision_config)
        return _classifier(model, _embed(model, tokenizer, prompts, kind), found, prompts.classes, name or f"{kind}-zero-shot", mean, std)
    place = ZERO_SHOT + model.removeprefix(HF) if model.startswith(HF) else model
    return _of_name(place, prompts, name or row_name(model), mean, std, download=download)


def build(name: str, prompts: str | Path, *, download: bool, **overrides: Any) -> Classifier:
    """Zero-shot classifier of a name and a file of prompts.

    Args:
        name: `hf-zero-shot/ORG/NAME`, `hf-zero-shot/ORG/NAME@REVISION` or `hf-zero-shot/./FOLDER`.
        prompts: one class name per line; lines with `{}` are templates.
        download: whether transformers may download missing files.
        overrides: `layer`, `mean`, `std`, if given.

    Raises:
        UsageError: the file or the network does not fit, or files are missing.
    """
    found = _of_name(name, read_prompts(prompts), row_name(name), overrides.get("mean"), overrides.get("std"), download=download)
    if (layer := overrides.get("layer")) is not None:
        found.module(layer)
        found.layer = found.layer_name(layer)
    return found


def build_untrained(name: str) -> Classifier:
    """Zero-shot classifier of two classes with random weights and texts, for purposes independent of them.

    Raises:
        UsageError: another network, or missing files.
    """
    check_name(name)
    from transformers import AutoModel

    with quiet():
        config = load_config(name, download=False)
        network = build_random(AutoModel, config)
        _check_kind(network)
        found = load_processor(name, config, download=False)
    sides: Any = network.config
    text = torch.eye(2, sides.projection_dim if hasattr(network, "visual_projection") else sides.vision_config.hidden_size)
    return _classifier(network, text, found, (), row_name(name), None, None)


def _of_name(
    name: str, prompts: Prompts, label: str, mean: float | Sequence[float] | None, std: float | Sequence[float] | None, *, download: bool
) -> Classifier:
    check_name(name)
    from transformers import AutoModel, AutoTokenizer

    with quiet():
        config = load_config(name, download=download)
        if name.endswith("@random"):
            network = build_random(AutoModel, config)
        else:
            network = load(AutoModel, name, download=download, dtype=torch.float32)
        kind = _check_kind(network)
        found = load_processor(name, config, download=download)
        text = _embed(network, load(AutoTokenizer, name, download=download), prompts, kind)
    classifier = _classifier(network.eval(), text, found, prompts.classes, label, mean, std)
    classifier.revision = revision_of(name)
    return classifier


def _check_kind(network: nn.Module) -> str:
    """The `model_type` of a network with an image and a text side.

    Raises:
        UsageError: another network.
    """
    kind = str(getattr(getattr(network, "config", None), "model_type", type(network).__name__))
    if kind not in _PREFIX_TOKENS or not hasattr(network, "vision_model") or not hasattr(network, "text_model"):
        raise UsageError(f"zero_shot: {kind} is neither CLIP nor SigLIP; give a CLIPModel or SiglipModel of transformers")
    return kind


def _classifier(
    network: Any,
    text: Tensor,
    found: Preprocessing,
    names: Sequence[str],
    label: str,
    mean: float | Sequence[float] | None,
    std: float | Sequence[float] | None,
) -> Classifier:
    """The classifier; the input of the last attention is its layer, as the image embedding is read from one token or by attention."""
    head = ZeroShotNetwork(network, text)
    return Classifier(
        head,
        f"vision_model.encoder.layers.{len(head.vision_model.encoder.layers) - 1}.layer_norm1",
        mean=found.mean if mean is None else mean,
        std=found.std if std is None else std,
        name=label,
        class_names=names,
        input_size=found.size,
        prefix_tokens=_PREFIX_TOKENS[network.config.model_type],
        preprocess=found.geometry,
    )


class ZeroShotNetwork(nn.Module):
    """Image side of the network, and the text embeddings (C, D) of unit length as a buffer."""

    text: Tensor

    def __init__(self, network: Any, text: Tensor) -> None:
        super().__init__()
        self.vision_model = network.vision_model
        self.visual_projection: nn.Module = getattr(network, "visual_projection", nn.Identity())
        self.logit_scale: Tensor = network.logit_scale
        self.logit_bias: Tensor | None = getattr(network, "logit_bias", None)
        self.register_buffer("text", text)

    def forward(self, images: Tensor) -> Tensor:
        """Logits (B, C) of normalised images (B, 3, H, W)."""
        embedding = self.visual_projection(self.vision_model(**self._arguments(images)).pooler_output)
        logits = _unit(embedding) @ self.text.T * self.logit_scale.exp()
        return logits if self.logit_bias is None else logits + self.logit_bias

    def _arguments(self, images: Tensor) -> dict[str, Any]:
        """Arguments of the image side."""
        if self.vision_model.config.model_type != "siglip2_vision_model":
            return {"pixel_values": images}
        from camdbench.models.siglip2_images import patches_of

        return patches_of(images, self.vision_model.config.patch_size)


def _usual(kind: str, config: Any) -> Preprocessing:
    """Preprocessing of the default image processor, for the configuration of the image side."""
    import transformers

    if kind == "siglip2":
        own = transformers.Siglip2ImageProcessor(patch_size=config.patch_size, max_num_patches=config.num_patches)
    elif kind == "siglip":
        own = transformers.SiglipImageProcessor(size={"height": config.image_size, "width": config.image_size})
    else:
        own = transformers.CLIPImageProcessor(size={"shortest_edge": config.image_size}, crop_size=config.image_size)
    return read_processor(own.to_dict(), kind)


def _embed(network: Any, tokenizer: Callable[..., Any], prompts: Prompts, kind: str) -> Tensor:
    """Text embeddings (C, D) of unit length, in eval mode; SigLIP was trained with texts of full length."""
    padding = "max_length" if kind.startswith("siglip") else True
    training, device = network.training, next(network.parameters()).device
    network.eval()
    try:
        with torch.no_grad():
            sentences = [[text.replace("{}", name) for name in prompts.classes] for text in prompts.templates]
            total = torch.stack([_unit(_text(network, tokenizer, texts, padding, device)) for texts in sentences])
    finally:
        network.train(training)
    return _unit(total.mean(0)) if len(total) > 1 else total[0]


def _text(network: Any, tokenizer: Callable[..., Any], texts: list[str], padding: str | bool, device: torch.device) -> Tensor:
    longest = network.config.text_config.max_position_embeddings
    tokens = tokenizer(texts, padding=padding, truncation=True, max_length=longest, return_tensors="pt").to(device)
    found = network.get_text_features(**tokens)
    return getattr(found, "pooler_output", found)


def _unit(embedding: Tensor) -> Tensor:
    return embedding / embedding.norm(dim=-1, keepdim=True)
