"""Tiny networks of text and image of transformers, with random weights, and their tokenizer."""

from __future__ import annotations

import torch
import transformers

LETTERS = "abcdefghijklmnopqrstuvwxyz .!"
SIDES = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
TEXT = SIDES | {"vocab_size": 36, "max_position_embeddings": 24, "bos_token_id": 1, "eos_token_id": 35, "pad_token_id": 0}
IMAGE = SIDES | {"image_size": 32, "patch_size": 8, "num_patches": 16}


def tokenizer_of(kind: str) -> transformers.PreTrainedTokenizerFast:
    """Letters as tokens, between a first and a last one; SigLIP's have no attention mask, as in its checkpoints."""
    from tokenizers import Regex, Tokenizer, models, pre_tokenizers, processors

    vocabulary = {"<pad>": 0, "<s>": 1, "<unk>": 2, "</s>": 35} | {letter: index for index, letter in enumerate(LETTERS, 3)}
    letters = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    letters.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    letters.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 35)])
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    inputs = {"model_input_names": ["input_ids"]} if kind.startswith("Siglip") else {}
    return transformers.PreTrainedTokenizerFast(tokenizer_object=letters, **special, **inputs)


def network_of(kind: str) -> torch.nn.Module:
    """Network of a kind (CLIP, MetaClip2, Siglip, Siglip2); no parameter is zero."""
    torch.manual_seed(0)
    config = getattr(transformers, f"{kind}Config")(text_config=TEXT, vision_config=IMAGE, projection_dim=12)
    network = getattr(transformers, f"{kind}Model")(config).eval()
    for parameter in network.parameters():
        parameter.data += 0.05 * torch.randn(parameter.shape)
    return network
