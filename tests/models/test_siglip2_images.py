"""SigLIP 2 on images: the logits of transformers with its own processor, padded patches and mask."""

from __future__ import annotations

import pytest
import torch
from helpers.hf_families import build
from PIL import Image

from camdbench.core.errors import UsageError
from camdbench.datasets.preprocess import prepare
from camdbench.models.classifier import Classifier
from camdbench.models.image_processors import read_processor
from camdbench.models.weights_file import hash_weights

transformers = pytest.importorskip("transformers")


def test_logits_are_those_of_the_processor_with_padding_and_mask() -> None:
    network, generator = build("siglip2"), torch.Generator().manual_seed(0)
    processor = transformers.Siglip2ImageProcessor(patch_size=8, max_num_patches=20, do_resize=False)
    for height, width in ((32, 32), (24, 48)):
        pixels = torch.randint(0, 256, (height, width, 3), generator=generator, dtype=torch.uint8)
        theirs = processor(Image.fromarray(pixels.numpy()), return_tensors="pt")
        assert theirs["pixel_attention_mask"].sum() == height * width // 64 < 20
        classifier = Classifier(network, mean=0.5, std=0.5)
        ours = classifier(pixels.permute(2, 0, 1)[None] / 255)
        torch.testing.assert_close(ours, network(**theirs).logits, rtol=1e-4, atol=1e-6)
    assert classifier.weights_hash() == hash_weights(network)
    assert Classifier(classifier.network, mean=0, std=1).network is classifier.network
    assert type(network) is transformers.Siglip2ForImageClassification
    with pytest.raises(UsageError, match="images of 30 x 32 pixels: not multiples of the patch size 8"):
        classifier(torch.rand(1, 3, 30, 32))


def test_our_input_for_a_square_picture_is_that_of_the_processor() -> None:
    from camdbench.models.siglip2_images import patches_of

    processor = transformers.Siglip2ImageProcessor(patch_size=8, max_num_patches=20)
    found = read_processor(processor.to_dict(), "hf/./net")
    assert (found.geometry, found.size) == ("fit(short=32, crop=32, resample=bilinear)", 32)
    picture = Image.radial_gradient("L").resize((51, 51)).convert("RGB")
    theirs = processor(picture, return_tensors="pt")
    ours = patches_of((prepare(picture, found.geometry, 224)[None] - 0.5) / 0.5, 8)
    assert torch.equal(ours["spatial_shapes"], theirs["spatial_shapes"])
    assert (ours["pixel_values"] - theirs["pixel_values"][:, :16]).abs().mean() / 2 < 2 / 255
