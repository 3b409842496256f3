"""Masks from boxes: one file for each image, the same call continues, and what cannot be done is said."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from helpers import dataset_layouts as fixtures
from PIL import Image
from torch import Tensor

from camdbench.core.errors import UsageError
from camdbench.datasets.cub200 import cub200
from camdbench.datasets.flowers102 import flowers102
from camdbench.datasets.imagenet import imagenet
from camdbench.datasets.mask_generation import make_masks
from camdbench.datasets.on_disk import filled
from camdbench.datasets.segment_anything import SegmentAnything


def fill(picture: Image.Image, boxes: Tensor) -> Tensor:
    """The boxes themselves: on the fixtures, the objects to the pixel."""
    mask = filled(boxes, (picture.height, picture.width))
    assert mask is not None
    return mask


def test_what_is_made_is_what_the_data_set_reads(tmp_path: Path) -> None:
    fixtures.cub200(tmp_path, segmentations=False)
    assert make_masks(cub200(tmp_path), tmp_path / "made", fill) == (2, 0, ())
    data = cub200(tmp_path, masks=str(tmp_path / "made"), preprocess="keep")
    for index in range(len(data.ids)):
        assert torch.equal(data[index].mask, data[index].image.mean(0) > 0.5)


def test_the_same_call_continues(tmp_path: Path) -> None:
    fixtures.cub200(tmp_path, segmentations=False)
    data = cub200(tmp_path)
    make_masks(data, tmp_path / "made", fill)
    next((tmp_path / "made").rglob("*.png")).unlink()
    assert make_masks(data, tmp_path / "made", fill) == (1, 1, ())


def test_images_that_cannot_be_read_or_have_no_box_are_named(tmp_path: Path) -> None:
    fixtures.imagenet(tmp_path)
    next(tmp_path.rglob("*_00000001.xml")).unlink()
    next(tmp_path.rglob("*_00000002.JPEG")).write_bytes(b"")
    made, _, failed = make_masks(imagenet(tmp_path), tmp_path / "made", fill)
    assert made == 1
    assert failed[0] == ("ILSVRC2012_val_00000001", "it has no box")
    assert "cannot be decoded" in failed[1][1]


def test_a_data_set_without_boxes_is_refused(tmp_path: Path) -> None:
    fixtures.flowers102(tmp_path)
    with pytest.raises(UsageError, match="has no boxes"):
        make_masks(flowers102(tmp_path), tmp_path / "made", fill)


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A Segment Anything network with random weights, as transformers saves one."""
    pytest.importorskip("transformers")
    from transformers import (
        SamConfig,
        SamImageProcessor,
        SamMaskDecoderConfig,
        SamModel,
        SamProcessor,
        SamPromptEncoderConfig,
        SamVisionConfig,
    )

    vision = {"hidden_size": 16, "output_channels": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "mlp_dim": 16, "num_pos_feats": 4}
    vision |= {"image_size": 64, "patch_size": 8, "window_size": 4, "global_attn_indexes": [0]}
    decoder = {"hidden_size": 8, "mlp_dim": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "iou_head_hidden_dim": 8}
    config = SamConfig(
        vision_config=SamVisionConfig(**vision).to_dict(),
        prompt_encoder_config=SamPromptEncoderConfig(hidden_size=8, image_size=64, patch_size=8, mask_input_channels=4).to_dict(),
        mask_decoder_config=SamMaskDecoderConfig(**decoder).to_dict(),
    )
    torch.manual_seed(0)
    SamModel(config).save_pretrained(tmp_path / "sam")
    sizes = {"size": {"longest_edge": 64}, "pad_size": {"height": 64, "width": 64}}
    masks = {"mask_size": {"longest_edge": 16}, "mask_pad_size": {"height": 16, "width": 16}}
    SamProcessor(SamImageProcessor(**sizes, **masks)).save_pretrained(tmp_path / "sam")
    return tmp_path / "sam"


class TestSegmentAnything:
    @pytest.mark.filterwarnings("default")  # the library's own remarks
    def test_masks_have_the_picture_s_size_and_are_the_union_over_boxes(self, tiny: Path) -> None:
        segment = SegmentAnything(tiny, torch.device("cpu"))
        picture = fixtures.scene(0).picture
        first, second = torch.tensor([[1.0, 2, 20, 30]]), torch.tensor([[5.0, 5, 9, 9]])
        both = segment(picture, torch.cat([first, second]))
        assert both.shape == (picture.height, picture.width)
        assert both.dtype == torch.bool
        assert torch.equal(both, segment(picture, first) | segment(picture, second))

    @pytest.mark.filterwarnings("default")
    def test_a_folder_that_holds_something_else_is_refused(self, tiny: Path) -> None:
        (tiny / "config.json").write_text("{}")
        (tiny / "model.safetensors").write_bytes(b"none")
        with pytest.raises(UsageError, match="cannot be read as a Segment Anything network"):
            SegmentAnything(tiny, torch.device("cpu"))
        (tiny / "model.safetensors").unlink()
        with pytest.raises(UsageError, match=r"model\.safetensors does not exist; use a folder like that of facebook/sam-vit-base"):
            SegmentAnything(tiny, torch.device("cpu"))


def test_without_transformers_one_line_says_how_to_get_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(UsageError, match=r"transformers is not installed; run: pip install 'camdbench\[sam\]'"):
        SegmentAnything(tmp_path, torch.device("cpu"))
