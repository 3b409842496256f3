"""Zero-shot classifiers: CLIP (Radford et al. 2021) and SigLIP (Zhai et al. 2023) with text embeddings stored as weights."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn

from camdbench.core.errors import UsageError
from camdbench.models.classifier import Classifier
from camdbench.models.huggingface_zoo import load
from camdbench.models.image_processors import Preprocessing, read_processor

_PREFIX_TOKENS = {"clip": 1, "siglip": 0}


def zero_shot(
    model: nn.Module | str,
    classes: Sequence[str],
    *,
    templates: Sequence[str] = ("a photo of a {}.",),
    tokenizer: Callable[..., Any] | None = None,
    name: str | None = None,
    mean: float | Sequence[float] | None = None,
    std: float | Sequence[float] | None = None,
    download: bool = False,
) -> Classifier:
    r"""Classifier of a CLIP or SigLIP network whose classes are texts.

    Logits are :math:`s \cos(v, t_c) + b` with the image embedding v, the text embedding t of class c, the scale s and SigLIP's
    bias b. With several templates, t is the mean of the normalised embeddings. SigLIP was trained with sigmoids; probabilities
    here are the softmax over the classes.

    Args:
        model: `hf/ORG/NAME` or `hf/./FOLDER`, or a CLIPModel or SiglipModel of transformers.
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
    names = _check_texts(classes, templates)
    found, network = None, cast("Any", model)
    if isinstance(model, str):
        network, tokenizer, found = _load(model, download=download)
    kind = str(getattr(getattr(network, "config", None), "model_type", type(network).__name__))
    if kind not in _PREFIX_TOKENS or not hasattr(network, "vision_model"):
        raise UsageError(f"zero_shot: {kind} is neither CLIP nor SigLIP; give a CLIPModel or SiglipModel of transformers")
    if tokenizer is None:
        raise UsageError("zero_shot: a network object needs its tokenizer; add tokenizer=")
    found = found or _usual(kind, int(network.config.vision_config.image_size))
    head = _ZeroShot(network, _embed(network, tokenizer, names, templates, kind))
    return Classifier(
        head,
        f"vision_model.encoder.layers.{len(head.vision_model.encoder.layers) - 1}.layer_norm1",
        mean=found.mean if mean is None else mean,
        std=found.std if std is None else std,
        name=name or (model if isinstance(model, str) else f"{kind}-zero-shot"),
        class_names=names,
        input_size=found.size,
        prefix_tokens=_PREFIX_TOKENS[kind],
        preprocess=found.geometry,
    )


class _ZeroShot(nn.Module):
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
        embedding = self.visual_projection(self.vision_model(pixel_values=images).pooler_output)
        logits = _unit(embedding) @ self.text.T * self.logit_scale.exp()
        return logits if self.logit_bias is None else logits + self.logit_bias


def _check_texts(classes: Sequence[str], templates: Sequence[str]) -> tuple[str, ...]:
    names = () if isinstance(classes, str) else tuple(classes)
    if len(names) < 2:
        raise UsageError(f"zero_shot: classes = {classes!r}: expected a list of at least two names")
    if len(set(names)) < len(names):
        raise UsageError(f"zero_shot: class {next(name for name in names if names.count(name) > 1)!r} is named twice; name each once")
    if not templates or isinstance(templates, str) or any(text.count("{}") != 1 for text in templates):
        raise UsageError(f"zero_shot: templates = {templates!r}: expected a list of sentences with {{}} once, such as 'a photo of a {{}}.'")
    return names


def _load(name: str, *, download: bool) -> tuple[Any, Any, Preprocessing]:
    from transformers import AutoImageProcessor, AutoModel, AutoTokenizer

    from camdbench.models.huggingface_zoo import check_name

    check_name(name)
    processor = read_processor(load(AutoImageProcessor, name, download=download).to_dict(), name)
    network = load(AutoModel, name, download=download, dtype=torch.float32).eval()
    return network, load(AutoTokenizer, name, download=download), processor


def _usual(kind: str, size: int) -> Preprocessing:
    """Preprocessing of the default image processor."""
    import transformers

    own = (
        transformers.CLIPImageProcessor(size={"shortest_edge": size}, crop_size=size)
        if kind == "clip"
        else transformers.SiglipImageProcessor(size={"height": size, "width": size})
    )
    return read_processor(own.to_dict(), kind)


def _embed(network: Any, tokenizer: Callable[..., Any], names: Sequence[str], templates: Sequence[str], kind: str) -> Tensor:
    """Text embeddings (C, D) of unit length, in eval mode."""
    padding = "max_length" if kind == "siglip" else True  # SigLIP was trained with texts of full length
    training, device = network.training, next(network.parameters()).device
    network.eval()
    try:
        with torch.no_grad():
            sentences = [[text.replace("{}", name) for name in names] for text in templates]
            total = torch.stack([_unit(_text(network, tokenizer, texts, padding, device)) for texts in sentences])
    finally:
        network.train(training)
    return _unit(total.mean(0)) if len(templates) > 1 else total[0]


def _text(network: Any, tokenizer: Callable[..., Any], texts: list[str], padding: str | bool, device: torch.device) -> Tensor:
    tokens = tokenizer(texts, padding=padding, truncation=True, return_tensors="pt").to(device)
    found = network.get_text_features(**tokens)
    return getattr(found, "pooler_output", found)


def _unit(embedding: Tensor) -> Tensor:
    return embedding / embedding.norm(dim=-1, keepdim=True)
