"""README.md and docs/own.md work as written: their files, commands and Python, in a folder with pictures, maps and a network."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image, ImageShow
from torch import nn

from camdbench.cli.main import run_cli

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "README.md").read_text(encoding="utf-8")
OWN = (ROOT / "docs" / "own.md").read_text(encoding="utf-8")
PICTURES = ("cat/a.png", "cat/b.png", "dog/c.png")


def blocks(text: str, language: str) -> list[tuple[str, str]]:
    """File name, empty without one, and content of the code blocks of a page."""
    return re.findall(rf"^```{language}(?: file=(\S+))?\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def section(title: str) -> str:
    """Text of a section of README.md."""
    (text,) = re.findall(rf"^## {title}\n(.*?)^## ", PAGE, re.MULTILINE | re.DOTALL)
    return text


def commands(text: str) -> list[list[str]]:
    """Words of the commands of a page, whose lines a backslash joins."""
    return [shlex.split(line) for _, block in blocks(text, "console") for line in block.replace("\\\n", " ").splitlines()]


def write_files(text: str) -> None:
    """Write the files of a page."""
    for language in ("python", "yaml"):
        for name, block in blocks(text, language):
            if name:
                Path(name).write_text(block, encoding="utf-8")


class Network(nn.Module):
    """The user's network of the page: its last stage is named layer4, its third block layer4.2."""

    def __init__(self) -> None:
        super().__init__()
        self.layer4 = nn.Sequential(nn.Conv2d(3, 4, 5, 4), nn.ReLU(), nn.Conv2d(4, 4, 3))
        self.fc = nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.layer4(images).mean((2, 3)))


def save_vision_transformer(folder: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="needs transformers")
    names = {0: "cat", 1: "dog"}
    sizes = {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 16,
        "image_size": 32,
        "patch_size": 8,
    }
    config = transformers.ViTConfig(**sizes, id2label=names, label2id={name: index for index, name in names.items()})
    transformers.ViTForImageClassification(config).save_pretrained(folder)
    transformers.ViTImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An otherwise empty folder with the pictures and the maps of a page; its module is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    torch.manual_seed(0)
    draw = np.random.default_rng(0)
    for name in (*(f"photos/images/{name}" for name in PICTURES), "cat.jpg", "dog.jpg"):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(draw.integers(0, 256, (40, 60, 3), dtype=np.uint8)).save(name)
    np.savez("theirs.npz", **{name: draw.random((7, 7)) for name in PICTURES})  # pyright: ignore[reportArgumentType]
    yield tmp_path
    sys.modules.pop("mine", None)


def run(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    program, *options = words
    assert program == "camdbench"
    code = run_cli(options)
    shown = capsys.readouterr()
    assert code == 0, shown.err
    return shown.out


def test_own_things_share_a_table_that_run_yaml_repeats(folder: Path, capsys: pytest.CaptureFixture[str]):
    write_files(section("Your own things"))
    first, again, hugging_face = commands(section("Your own things"))
    table = run(first, capsys)
    assert all(name in table for name in ("network", "gradcam", "sharp", "theirs", "spread"))
    run(again, capsys)
    mine, repeated = (pd.read_parquet(folder / name / "rows").drop(columns="run") for name in ("runs/mine", "runs/again"))
    assert len(mine) == 3 * 3 * 3
    pd.testing.assert_frame_equal(mine, repeated)
    save_vision_transformer(folder / "my-vit")
    assert "hf/my-vit" in run(hugging_face, capsys)


def test_objects_do_the_same(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(ImageShow, "_viewers", [])  # no viewer of pictures opens
    write_files(section("Your own things"))
    (_, code), names = blocks(section("Your own things"), "python")[1], dict[str, Any]()
    exec(compile(code, "README.md", "exec"), names)
    rows, summary = names["rows"], names["rows"].summary()
    assert list(summary["explainer"].unique()) == ["gradcam", "gradients", "theirs"]
    assert rows["status"].eq("ok").all()
    assert (summary["model"].unique() == ["mine"]).all()
    assert list(summary["metric"].unique()) == ["ad", "quantus-Sparseness", "spread"]
    assert tuple(sorted(rows["image"].unique())) == PICTURES


def test_the_code_of_the_section_on_python_runs(folder: Path):
    draw = torch.Generator().manual_seed(0)
    names: dict[str, Any] = {
        "my_network": Network(),
        "images": torch.rand(2, 3, 32, 32, generator=draw),
        "labels": torch.tensor([0, 2]),
        "saliency": torch.rand(2, 8, 8, generator=draw),
    }
    exec("import camdbench", names)
    for _, code in blocks(section("From Python"), "python"):
        exec(compile(code, "README.md", "exec"), names)
    assert names["explanation"].maps.shape == (2, 32, 32)
    assert (folder / "maps.npz").is_file()
    assert set(names["scores"]["metric"]) == {"ad", "ag", "ai"}


def test_the_page_on_own_things_runs(folder: Path, capsys: pytest.CaptureFixture[str]):
    write_files(OWN)
    first, plan = commands(OWN)
    assert "theirs" in run(first, capsys)
    assert f"sharp={folder / 'mine.py'}:of_trace(power=2)" in run(plan, capsys)
    names: dict[str, Any] = {}
    exec("import camdbench, torch", names)
    for name, code in blocks(OWN, "python"):
        if not name:
            exec(compile(code, "docs/own.md", "exec"), names)
    assert capsys.readouterr().out == "layer4.1\n"
    assert list(names["found"]) == ["ig", "pgc-hirescam"]


def test_every_link_leads_to_a_file():
    links = [link for link in re.findall(r"\]\(([^)]+)\)", PAGE) if "://" not in link]
    assert len(links) > 4
    assert [link for link in links if not (ROOT / link.partition("#")[0]).is_file()] == []
