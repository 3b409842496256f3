"""Your own network, pictures, explainer, metric and maps, and Hugging Face folders, through the public doors of camdbench.

    pip install 'camdbench[hf]' quantus
    python benchmarks/own --work FOLDER      # writes everything to FOLDER and prints each command before it runs

Networks are small and have random weights: the values mean nothing, the commands are those of real networks.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image, ImageDraw

import camdbench
from camdbench.cli.main import main as camdbench_command

CLASSES = {"cat": (220, 60, 40), "dog": (50, 190, 70), "fox": (60, 80, 220)}
SIZES = ((96, 64), (64, 96))

NETWORK = '''
"""A network of your own: a function that returns it."""

import torch
from torch import nn

import camdbench


def small(width: int = 16):
    torch.manual_seed(0)
    features = [nn.Conv2d(3, width, 5, 4), nn.ReLU(), nn.Conv2d(width, width, 3, 2), nn.ReLU()]
    network = nn.Sequential(*features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 3))
    names = ("fox", "cat", "dog")  # another order than that of the pictures: labels meet the network by name
    return camdbench.classifier(network, mean=0.5, std=0.25, layer="3", class_names=names, input_size=64)
'''
EXPLAINER = '''
"""An explainer of your own."""

import torch


def my_cam(trace):
    """Gradient of the class score times the image, summed over colours."""
    images = trace.images.detach().requires_grad_()
    scores = trace.classifier(images).gather(1, trace.targets[:, None])
    return (torch.autograd.grad(scores.sum(), images)[0] * images.detach()).abs().sum(1)
'''


def write_files(folder: Path) -> list[str]:
    """Write network, explainer, six pictures in class folders, a table, a COCO file and maps of another tool; return the images' ids."""
    (folder / "nets.py").write_text(NETWORK, encoding="utf-8")
    (folder / "my_cam.py").write_text(EXPLAINER, encoding="utf-8")
    draw, ids, lines = np.random.default_rng(0), list[str](), ["file,class,x0,y0,x1,y1"]
    for index in range(2 * len(CLASSES)):
        name, size = list(CLASSES)[index // 2], SIZES[index % 2]
        picture = Image.fromarray(draw.integers(0, 90, (size[1], size[0], 3), dtype=np.uint8))
        ImageDraw.Draw(picture).rectangle((12, 10, 43, 45), fill=CLASSES[name])
        (folder / "photos" / name).mkdir(parents=True, exist_ok=True)
        ids.append(f"{name}/{index}.png")
        picture.save(folder / "photos" / ids[-1])
        lines.append(f"photos/{ids[-1]},{name},12,10,44,46")
    (folder / "photos.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    np.savez(folder / "theirs.npz", **{name: draw.random((7, 7)) for name in ids})
    return ids


def write_hugging_face(folder: Path) -> None:
    """Write folders of `save_pretrained`: a ViT and a ResNet with their image processors, and a CLIP with a tokenizer of words."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    torch.manual_seed(0)
    names = {"id2label": dict(enumerate(CLASSES)), "label2id": {name: index for index, name in enumerate(CLASSES)}}
    sides: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    image = sides | {"image_size": 64, "patch_size": 8}
    stages = {"embedding_size": 8, "hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
    processor = transformers.ViTImageProcessor(size={"height": 64, "width": 64})
    for name, network in (
        ("my-vit", transformers.ViTForImageClassification(transformers.ViTConfig(initializer_range=0.2, **image, **names))),
        ("my-resnet", transformers.ResNetForImageClassification(transformers.ResNetConfig(**stages, **names))),
    ):
        network.save_pretrained(folder / name)
        processor.save_pretrained(folder / name)
    words = ["<pad>", "<s>", "</s>", "<unk>", "a", "photo", "of", ".", *CLASSES]
    tokens = Tokenizer(models.WordLevel({word: place for place, word in enumerate(words)}, "<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    tokens.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 1), ("</s>", 2)])
    special = {"pad_token": "<pad>", "bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>"}
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokens, model_max_length=16, **special).save_pretrained(folder / "my-clip")
    text = sides | {"vocab_size": len(words), "max_position_embeddings": 16, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
    config = transformers.CLIPConfig(text_config=text, vision_config=image, projection_dim=16)
    transformers.CLIPModel(config).save_pretrained(folder / "my-clip")
    size = {"size": {"shortest_edge": 64}, "crop_size": {"height": 64, "width": 64}}
    transformers.CLIPImageProcessor(**size).save_pretrained(folder / "my-clip")


def command(text: str) -> None:
    """Print and run a command line.

    Raises:
        SystemExit: it fails.
    """
    print(f"\n$ camdbench {text}", flush=True)
    try:
        camdbench_command(shlex.split(text))
    except SystemExit as end:
        if end.code:
            raise


def on_the_command_line() -> None:
    """Network, pictures, explainer and maps of another tool in one table; then saved folders of Hugging Face."""
    own = "--models mine=nets.py:small --explainers gradcam,mine=my_cam.py:my_cam --metrics ad,ag --quiet"
    command(f"run {own} --dataset folder --data-root photos --classes names --maps theirs=theirs.npz --out runs/folder")
    command(f"run {own} --dataset photos.csv --columns image=file,label=class --size 64 --out runs/table")
    command("layers hf/./my-vit")
    saved = "--models hf/./my-resnet,hf/./my-vit -e gradcam -m ad,ag --quiet"
    command(f"run {saved} --dataset folder --data-root photos --preprocess model --out runs/hf")


def in_python(ids: list[str], *, short: bool) -> None:
    """The same with objects: a network of transformers, a torch data set, a function, and objects of Captum and Quantus; CLIP.

    Args:
        ids: names of the pictures.
        short: without Quantus and CLIP.
    """
    import transformers
    from torchvision.datasets import ImageFolder

    def my_function(classifier: Any, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        images = images.detach().requires_grad_()
        return torch.autograd.grad(classifier(images).gather(1, targets[:, None]).sum(), images)[0].abs().sum(1)

    net = camdbench.classifier(transformers.AutoModelForImageClassification.from_pretrained("my-vit"), mean=0.5, std=0.5)
    print(net)
    found = camdbench.explain(net, [f"photos/{ids[0]}", Image.open(f"photos/{ids[-1]}")], ["gradcam", "opticam(iterations=5)", my_function])
    found.save("maps.npz")
    print(found)
    sparseness: Any = "sparseness"
    if not short:
        import quantus

        sparseness = quantus.Sparseness(disable_warnings=True)
    explainers = {"ours": my_function, "gradcam": "gradcam", "captum": camdbench.captum("IntegratedGradients", n_steps=4)}
    photos = ImageFolder("photos")
    rows = camdbench.run(explainers, ["ad", sparseness], models={"mine": net}, dataset=photos, preprocess="fit(size=64)", out="runs/python")
    print(rows.summary()[["model", "explainer", "metric", "mean", "n"]])
    if short:
        return
    clip = camdbench.zero_shot("hf/./my-clip", list(CLASSES))
    print(clip, camdbench.explain(clip, [f"photos/{name}" for name in ids[:2]], "hirescam"), sep="\n")


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """The current folder, from which modules are imported as well."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def main(arguments: list[str] | None = None) -> None:
    """Write the files and run all commands."""
    parser = argparse.ArgumentParser(prog="benchmarks/own", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, metavar="FOLDER", help="folder of all files")
    parser.add_argument("--short", action="store_true", help="without Quantus and CLIP")
    given = parser.parse_args(arguments)
    work: Path = given.work
    work.mkdir(parents=True, exist_ok=True)
    with inside(work):
        ids = write_files(Path())
        write_hugging_face(Path())
        on_the_command_line()
        in_python(ids, short=given.short)


if __name__ == "__main__":
    sys.exit(main())
