"""Tiny image classifiers of every family of transformers, with random weights."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

_VIT = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64, "image_size": 32, "patch_size": 8}
_VISION = {"vision_config": dict(_VIT)}
_SWIN = {"image_size": 64, "patch_size": 4, "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4}
_STAGES = {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
_CONVNEXT = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}

# model_type -> options of its configuration and the side of the images in pixels
TINY: dict[str, tuple[dict[str, Any], int]] = {
    "beit": (_VIT, 32),
    "bit": ({"embedding_size": 8, "hidden_sizes": [8, 16, 32, 32], "depths": [1, 1, 1, 1], "num_groups": 4}, 64),
    "clip": (_VISION, 32),
    "convnext": (_CONVNEXT, 96),
    "convnextv2": (_CONVNEXT, 96),
    "cvt": ({"embed_dim": [8, 16, 32], "num_heads": [1, 2, 2], "depth": [1, 2, 3], "cls_token": [False, False, True]}, 64),
    "data2vec-vision": (_VIT, 32),
    "deit": (_VIT, 32),
    "dinov2": (_VIT, 32),
    "dinov2_with_registers": (_VIT | {"num_register_tokens": 3}, 32),
    "donut-swin": (_SWIN, 64),
    "efficientnet": ({"width_coefficient": 0.25, "depth_coefficient": 0.25, "image_size": 96, "hidden_dim": 320}, 96),
    "focalnet": (
        {"image_size": 64, "patch_size": 4, "embed_dim": 16, "depths": [1, 2], "focal_levels": [1, 1], "focal_windows": [3, 3]},
        64,
    ),
    "hgnet_v2": (
        {
            "hidden_sizes": [16, 16, 32, 32],
            "stem_channels": [3, 8, 8],
            "stage_in_channels": [8, 16, 16, 32],
            "stage_mid_channels": [4, 4, 8, 8],
            "stage_out_channels": [16, 16, 32, 32],
            "stage_num_blocks": [1, 1, 1, 1],
            "stage_numb_of_layers": [2, 2, 2, 2],
        },
        96,
    ),
    "hiera": (
        {
            "image_size": [96, 96],
            "embed_dim": 16,
            "depths": [1, 1, 2],
            "num_heads": [1, 2, 4],
            "query_stride": [2, 2],
            "num_query_pool": 2,
            "masked_unit_size": [4, 4],
        },
        96,
    ),
    "ijepa": (_VIT, 32),
    "levit": (
        {"image_size": 128, "hidden_sizes": [16, 24, 32], "num_attention_heads": [2, 2, 2], "depths": [1, 1, 1], "key_dim": [8, 8, 8]},
        128,
    ),
    "metaclip_2": (_VISION, 32),
    "mobilenet_v1": ({"depth_multiplier": 0.25}, 96),
    "mobilenet_v2": ({"depth_multiplier": 0.25}, 96),
    "mobilevit": ({"image_size": 96, "hidden_sizes": [16, 24, 32], "neck_hidden_sizes": [8, 8, 16, 16, 24, 24, 32]}, 96),
    "mobilevitv2": ({"image_size": 96, "width_multiplier": 0.25}, 96),
    "poolformer": ({"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}, 96),
    "pp_lcnet": ({"scale": 0.25}, 96),
    "pvt": ({"image_size": 96, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 2], "num_attention_heads": [1, 1, 2, 2]}, 96),
    "pvt_v2": ({"image_size": 96, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 2], "num_attention_heads": [1, 1, 2, 2]}, 96),
    "regnet": (_STAGES | {"groups_width": 8}, 96),
    "resnet": (_STAGES | {"layer_type": "basic"}, 96),
    "segformer": (
        {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 2], "num_attention_heads": [1, 1, 2, 2], "decoder_hidden_size": 16},
        96,
    ),
    "siglip": (_VISION, 32),
    "siglip2": ({"vision_config": _VIT | {"num_patches": 16}}, 32),
    "swiftformer": ({"image_size": 96, "embed_dims": [8, 16, 24, 32], "depths": [1, 1, 1, 2]}, 96),
    "swin": (_SWIN, 64),
    "swinv2": (_SWIN, 64),
    "textnet": (
        {"stem_out_channels": 8, "hidden_sizes": [8, 8, 16, 24, 32]}
        | {f"conv_layer_{name}": value for name, value in {"kernel_sizes": [[[3, 3]]] * 4, "strides": [[2]] * 4}.items()},
        96,
    ),
    "timm_wrapper": ({"architecture": "resnet10t"}, 96),
    "vit": (_VIT, 32),
    "vit_msn": (_VIT, 32),
}
ARCHITECTURES = {"deit": "DeiTForImageClassification", "levit": "LevitForImageClassification"}  # of families with two classes


def build(family: str, classes: int = 5, **options: Any) -> nn.Module:
    """Random network of a family in eval mode; biases and scales are random too, so that no branch is zero."""
    from transformers import AutoConfig, AutoModelForImageClassification

    torch.manual_seed(0)
    options |= {"architectures": [ARCHITECTURES[family]]} if family in ARCHITECTURES else {}
    config = AutoConfig.for_model(family, num_labels=classes, **(TINY[family][0] | options))
    network = AutoModelForImageClassification.from_config(config).eval()
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            spread = 0.5 / max(parameter[0].numel(), 1) ** 0.5 if parameter.ndim > 1 else 0.1
            parameter += spread * torch.randn(parameter.shape, generator=generator)
    return network
