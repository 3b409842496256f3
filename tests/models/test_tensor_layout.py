"""Where the channels are: believed from shapes in the image's proportion, never guessed."""

from __future__ import annotations

import pytest
import torch
from helpers.each import each
from torch import nn

from camdbench.core.errors import UsageError
from camdbench.models.tensor_layout import TensorLayout, find_layout


class WithTokens(nn.Module):
    """A network that states how many tokens precede its grid, as timm's do."""

    def __init__(self, prefix: int) -> None:
        super().__init__()
        self.num_prefix_tokens = prefix


class WithClassToken(nn.Module):
    """A network with a class token, as torchvision's."""

    def __init__(self) -> None:
        super().__init__()
        self.class_token = nn.Parameter(torch.zeros(1))


def layout(
    shape: tuple[int, ...], size: tuple[int, int] = (224, 224), module: nn.Module | None = None, network: nn.Module | None = None
) -> TensorLayout:
    return find_layout(shape, size, module or nn.Identity(), network or nn.Identity(), "x")


@each(
    ("shape", "size", "expected"),
    [
        ((1, 512, 7, 7), (224, 224), TensorLayout("nchw", 7, 7)),
        ((1, 512, 7, 10), (224, 320), TensorLayout("nchw", 7, 10)),
        ((1, 64, 13, 18), (100, 140), TensorLayout("nchw", 13, 18)),
        ((1, 7, 7, 768), (224, 224), TensorLayout("nhwc", 7, 7)),
        ((1, 7, 10, 768), (224, 320), TensorLayout("nhwc", 7, 10)),
        ((1, 3, 224, 224), (224, 224), TensorLayout("nchw", 224, 224)),
    ],
)
def test_a_grid_in_the_images_proportion_is_found(shape: tuple[int, ...], size: tuple[int, int], expected: TensorLayout) -> None:
    assert layout(shape, size) == expected


@each(
    ("tokens", "size", "network", "expected"),
    [
        (197, (224, 224), WithClassToken(), TensorLayout("tokens", 14, 14, 1)),
        (198, (224, 224), WithTokens(2), TensorLayout("tokens", 14, 14, 2)),
        (196, (224, 224), WithTokens(0), TensorLayout("tokens", 14, 14, 0)),
        (201, (224, 224), WithTokens(5), TensorLayout("tokens", 14, 14, 5)),
        (1 + 14 * 20, (224, 320), WithTokens(1), TensorLayout("tokens", 14, 20, 1)),
        (197, (224, 224), nn.Identity(), TensorLayout("tokens", 14, 14, 1)),
        (49, (224, 224), nn.Identity(), TensorLayout("tokens", 7, 7, 0)),
    ],
)
def test_tokens_are_a_grid_behind_their_prefix(tokens: int, size: tuple[int, int], network: nn.Module, expected: TensorLayout) -> None:
    assert layout((1, tokens, 384), size, network=network) == expected


def test_a_shape_of_two_readings_is_told_apart_by_the_module() -> None:
    shape = (1, 8, 8, 8)
    assert layout(shape, (64, 64), nn.Conv2d(3, 8, 1)).kind == "nchw"
    assert layout(shape, (64, 64), nn.BatchNorm2d(8)).kind == "nchw"
    assert layout(shape, (64, 64), nn.LayerNorm(8)).kind == "nhwc"
    with pytest.raises(UsageError, match="more than one reading as a grid"):
        layout(shape, (64, 64), nn.Identity())


def test_of_two_readings_the_one_in_the_very_proportion_is_taken() -> None:
    assert layout((1, 8, 12, 20), (24, 40)) == TensorLayout("nchw", 12, 20)  # 8 x 12 would do but for the rounding of a cell
    assert layout((1, 12, 20, 8), (24, 40)) == TensorLayout("nhwc", 12, 20)
    with pytest.raises(UsageError, match="more than one reading as a grid"):
        layout((1, 8, 13, 21), (24, 40))  # neither is


@each("shape", [(1, 512), (1, 3, 384), (1, 512, 7, 9), (1, 2, 3, 4, 5), (1,)])
def test_what_is_no_grid_is_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(UsageError, match=r"layer 'x' returns shape .* in which there is no grid of places for images of 224 x 224"):
        layout(shape)


def test_to_grid_puts_channels_first_and_keeps_places() -> None:
    values = torch.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)  # (B, C, h, w)
    assert torch.equal(TensorLayout("nchw", 4, 5).to_grid(values), values)
    assert torch.equal(TensorLayout("nhwc", 4, 5).to_grid(values.permute(0, 2, 3, 1)), values)
    tokens = torch.cat([torch.full((2, 2, 3), -1), values.flatten(2).transpose(1, 2)], dim=1)
    assert torch.equal(TensorLayout("tokens", 4, 5, prefix=2).to_grid(tokens), values)


class Patches(nn.Module):
    """A network that states nothing but cuts its images into patches of 14 x 14 pixels by a convolution."""

    def __init__(self, channels: int = 3) -> None:
        super().__init__()
        self.embed = nn.Conv2d(channels, 8, 14, 14)


class WithPatchSize(nn.Module):
    patch_size = (14, 14)


@each("network", [Patches(), WithPatchSize()])
@each("prefix", range(6))
@each("size", [(56, 112), (112, 56), (56, 56), (42, 28), (30, 119), (224, 224)])
def test_the_grid_follows_from_the_patch_size(network: nn.Module, prefix: int, size: tuple[int, int]) -> None:
    """56 x 112 pixels and five prefix tokens: 4 x 8, not the 4 x 9 behind one token."""
    rows, columns = size[0] // 14, size[1] // 14
    assert layout((1, rows * columns + prefix, 8), size, network=network) == TensorLayout("tokens", rows, columns, prefix)


def test_patches_that_were_merged_are_a_grid_too() -> None:
    network = nn.Conv2d(3, 8, 4, 4)
    assert layout((1, 49, 8), (224, 224), network=network) == TensorLayout("tokens", 7, 7)
    assert layout((1, 7 * 10, 8), (224, 300), network=network) == TensorLayout("tokens", 7, 10)  # 75 columns, cut or padded


def test_patches_that_overlap_are_counted_by_their_convolution() -> None:
    """CvT: patches of 7 pixels, 4 apart, are merged twice; a class token in the last stage."""
    embedding, later = nn.Module(), nn.Module()
    embedding.patch_size, embedding.projection = 7, nn.Conv2d(3, 8, 7, 4, 2)
    later.patch_size, later.projection = 3, nn.Conv2d(8, 16, 3, 2, 1)
    network = nn.Sequential(embedding, later)
    assert layout((1, 197, 32), network=network) == TensorLayout("tokens", 14, 14, 1)
    assert layout((1, 28 * 28, 16), network=network) == TensorLayout("tokens", 28, 28, 0)
    assert layout((1, 56 * 84, 8), (224, 336), network=network) == TensorLayout("tokens", 56, 84, 0)


def test_a_pooled_vector_is_no_grid() -> None:
    with pytest.raises(UsageError, match="no grid of places"):
        layout((1, 1024, 1))
    with pytest.raises(UsageError, match="no grid of places"):
        layout((1, 1024, 2), network=Patches())


def test_two_readings_are_refused_and_a_statement_chooses() -> None:
    given = (1, 37, 8), (56, 112), nn.Identity(), nn.Identity(), "x"
    with pytest.raises(UsageError, match=r"4 x 9 after 1 prefix tokens or 4 x 8 after 5; state prefix_tokens= in Classifier"):
        find_layout(*given)
    assert find_layout(*given, 5) == TensorLayout("tokens", 4, 8, 5)
    assert find_layout(*given, 1) == TensorLayout("tokens", 4, 9, 1)
    with pytest.raises(UsageError, match="no grid of places"):
        find_layout((1, 37, 8), (56, 112), nn.Identity(), Patches(), "x", 1)  # the convolution says otherwise
    with pytest.raises(UsageError, match=r"1 x 4 after 0 prefix tokens or 2 x 2 after 0; set network.patch_size"):
        find_layout((1, 4, 8), (10, 20), nn.Identity(), nn.Identity(), "x", 0)


def test_a_stated_number_of_tokens_is_found_inside_a_wrapper() -> None:
    assert layout((1, 21, 8), (56, 56), network=nn.Sequential(WithTokens(5))) == TensorLayout("tokens", 4, 4, 5)
