"""Layers of one network of each family of torchvision and timm: `python docs/_layer_survey.py` writes docs/layer_survey.csv."""

from __future__ import annotations

import csv
from pathlib import Path

from camdbench.models.layer_table import layers_of

FILE = Path(__file__).with_name("layer_survey.csv")
COLUMNS = ("library", "family", "network", "size", "layer", "channels", "rows", "columns", "prefix", "layers", "explainable")
EXAMPLES = {
    "torchvision": {
        "AlexNet": "alexnet",
        "ConvNeXt": "convnext_tiny",
        "DenseNet": "densenet121",
        "EfficientNet": "efficientnet_b0",
        "GoogLeNet": "googlenet",
        "Inception3": "inception_v3",
        "MaxVit": "maxvit_t",
        "MNASNet": "mnasnet0_5",
        "MobileNetV2": "mobilenet_v2",
        "MobileNetV3": "mobilenet_v3_small",
        "RegNet": "regnet_y_400mf",
        "ResNet": "resnet18",
        "ShuffleNetV2": "shufflenet_v2_x0_5",
        "SqueezeNet": "squeezenet1_1",
        "SwinTransformer": "swin_t",
        "VGG": "vgg11",
        "VisionTransformer": "vit_b_32",
    },
    "timm": {
        "Beit": "timm/beit_base_patch16_224",
        "ByobNet": "timm/repvgg_a0",
        "ConvNeXt": "timm/convnext_atto",
        "DenseNet": "timm/densenet121",
        "EfficientNet": "timm/efficientnet_b0",
        "Eva": "timm/eva02_tiny_patch14_336",
        "InceptionV3": "timm/inception_v3",
        "MaxxVit": "timm/maxvit_nano_rw_256",
        "MlpMixer": "timm/mixer_s32_224",
        "MobileNetV3": "timm/mobilenetv3_small_050",
        "RegNet": "timm/regnetx_002",
        "ResNet": "timm/resnet10t",
        "ResNetV2": "timm/resnetv2_50",
        "SwinTransformer": "timm/swin_tiny_patch4_window7_224",
        "SwinTransformerV2": "timm/swinv2_tiny_window8_256",
        "VGG": "timm/vgg11",
        "VisionTransformer": "timm/vit_tiny_patch16_224",
    },
}


def survey(library: str, family: str) -> dict[str, str]:
    """Line of one family: default layer, its shape, and the numbers of layers and of those that can be explained."""
    network = EXAMPLES[library][family]
    classifier, layers = layers_of(f"{network}@random", None)
    default = next(layer for layer in layers if layer.name == classifier.layer)
    shape = (default.channels, default.height, default.width, default.prefix)
    counts = (len(layers), sum(not layer.problem for layer in layers))
    values = (library, family, network, classifier.input_size, default.name, *shape, *counts)
    return dict(zip(COLUMNS, map(str, values), strict=True))


if __name__ == "__main__":
    with FILE.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, COLUMNS, lineterminator="\n")
        writer.writeheader()
        for known, families in EXAMPLES.items():
            writer.writerows(survey(known, family) for family in families)
