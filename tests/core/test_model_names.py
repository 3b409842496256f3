"""Names of models: prefixes, places and folders of transformers, and names in rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from camdbench.core.model_names import folder_of, hf_place, hf_prefix, is_zero_shot, row_name, with_absolute_folders


@pytest.mark.parametrize(
    ("name", "prefix", "place"),
    [
        ("hf/microsoft/resnet-18@main", "hf/", "microsoft/resnet-18@main"),
        ("hf/./net@random", "hf/", "./net"),
        ("hf-zero-shot/openai/clip", "hf-zero-shot/", "openai/clip"),
    ],
)
def test_prefix_and_place(name: str, prefix: str, place: str):
    assert (hf_prefix(name), hf_place(name), is_zero_shot(name)) == (prefix, place, prefix == "hf-zero-shot/")


def test_a_folder_begins_with_a_dot_a_slash_or_a_tilde_and_gives_rows_its_own_name(tmp_path: Path):
    assert folder_of("hf/microsoft/resnet-18") is folder_of("timm/./net") is None
    assert folder_of("hf/../net") == Path("../net")
    assert folder_of("hf/~/net") == Path("~/net").expanduser()
    assert row_name(f"hf/{tmp_path}/net@random") == "hf/net@random"
    assert row_name("hf/microsoft/resnet-18") == "hf/microsoft/resnet-18"


def test_relative_folders_are_made_absolute_and_other_names_stay():
    given = "resnet50,mine=hf/./net@random,hf-zero-shot/../clip,timm/./net"
    assert with_absolute_folders(given, Path("/a/b")) == "resnet50,mine=hf//a/b/net@random,hf-zero-shot//a/clip,timm/./net"
