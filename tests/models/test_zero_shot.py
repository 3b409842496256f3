"""Zero-shot classifiers: logits of transformers itself, and what is refused."""

from __future__ import annotations

import pytest
import torch

import camdbench
from camdbench.core.errors import UsageError

transformers = pytest.importorskip("transformers")

CLASSES = ["cat", "dog", "a bird"]
SIDES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = SIDES | {"vocab_size": 130, "max_position_embeddings": 24, "bos_token_id": 1, "eos_token_id": 129, "pad_token_id": 0}
IMAGE = SIDES | {"image_size": 32, "patch_size": 8}


def tokenize(texts: list[str], *, padding: str | bool, **options: object) -> transformers.BatchEncoding:
    """Characters as tokens, between a first and a last one; SigLIP's texts have full length."""
    longest = 24 if padding == "max_length" else max(map(len, texts)) + 2
    rows = [[1, *(3 + ord(letter) % 120 for letter in text), 129] for text in texts]
    masks = [[1] * len(row) + [0] * (longest - len(row)) for row in rows]
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    return transformers.BatchEncoding({"input_ids": ids} | ({} if padding == "max_length" else {"attention_mask": torch.tensor(masks)}))


def network_of(kind: str) -> torch.nn.Module:
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(text_config=TEXT, vision_config=IMAGE, projection_dim=12)
    return getattr(transformers, f"{kind}Model")(config).eval()


@pytest.mark.parametrize("kind", ["CLIP", "Siglip"])
def test_logits_are_those_of_transformers(kind: str) -> None:
    network, images = network_of(kind), torch.rand(2, 3, 32, 32)
    classifier = camdbench.zero_shot(network, CLASSES, tokenizer=tokenize, templates=["photo of {}."])
    texts = tokenize([f"photo of {name}." for name in CLASSES], padding="max_length" if kind == "Siglip" else True)
    with torch.no_grad():
        theirs = network(pixel_values=classifier.normalised(images), **texts).logits_per_image
        assert (classifier(images) - theirs).abs().max() <= 4e-7 * theirs.abs().max()
    assert classifier.class_names == tuple(CLASSES)
    assert classifier.input_size == 32
    found = camdbench.explain(classifier, images, "hirescam")
    assert found.raw.shape[1:] == (4, 4)
    assert set(found.status) == {"ok"}
    other = camdbench.zero_shot(network, ["cat", "dog", "fish"], tokenizer=tokenize, templates=["photo of {}."])
    assert other.weights_hash() != classifier.weights_hash()


def test_templates_are_averaged_as_unit_vectors() -> None:
    network = network_of("CLIP")
    templates = ["a {}"], ["{}!"], ["a {}", "{}!"]
    one, two, both = (camdbench.zero_shot(network, CLASSES, tokenizer=tokenize, templates=texts).network.text for texts in templates)
    assert torch.allclose(both, torch.nn.functional.normalize(one + two, dim=1), atol=1e-6)


@pytest.mark.parametrize(
    ("classes", "options", "message"),
    [
        (["cat"], {}, "expected a list of at least two names"),
        ("cat,dog", {}, "expected a list of at least two names"),
        (["cat", "cat"], {}, "class 'cat' is named twice"),
        (CLASSES, {"templates": ["photo"]}, r"expected a list of sentences with \{\} once"),
        (CLASSES, {"tokenizer": None}, "a network object needs its tokenizer"),
    ],
)
def test_refusals(classes: object, options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        camdbench.zero_shot(network_of("CLIP"), classes, **({"tokenizer": tokenize} | options))


def test_another_network_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^zero_shot: Linear is neither CLIP nor SigLIP"):
        camdbench.zero_shot(torch.nn.Linear(2, 2), CLASSES, tokenizer=tokenize)
