"""Every command that writes: a full, damaged or read-only disk is one line with the file and the fix, and leaves no half file."""

from __future__ import annotations

import errno
import os
import shutil
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import kills
from helpers.dataset_layouts import cub200
from helpers.faults import failing, full_disk, largest_file, read_only
from PIL import Image

from camdbench.cli.main import run_cli
from camdbench.core.errors import UnwritableFile
from camdbench.datasets.cub200 import cub200 as read_cub200
from camdbench.datasets.mask_generation import make_masks
from camdbench.runner import partial_results
from camdbench.tables.load import load_rows

Said = pytest.CaptureFixture[str]

PLUGIN = """from camdbench import explainer
@explainer("bright", paper="x")
def bright(trace):
    "Bright."
    return trace.images.mean(1)
"""
DEVICE = ("--device", "cpu")
DATA = ("--dataset", "shortcuts(size=32)", "--limit", "2")
RUN = ("run", "-q", "--plugin", "mine.py", "-e", "bright", "-m", "ad,insertion(step=512)", "--save-maps", "raw", *DATA, *DEVICE)
COMMANDS: dict[str, tuple[str, ...]] = {
    "run": (*RUN, "--out", "out"),
    "score": ("score", "made", "-q", "-m", "ai", *DEVICE, "--out", "out"),
    "train": ("train", "-q", "--recipe", "tiny.yaml", *DEVICE, "--preview-images", "1", "--tensorboard", "board", "--out", "out"),
    "roar": ("roar", "-q", "--recipe", "roar.yaml", "--explainers", "edges", "--shares", "50", "--seeds", "1", *DEVICE, "--out", "out"),
    "probe": ("probe", "-q", "--recipe", "probe.yaml", *DEVICE, "--out", "out"),
    "reproduce": ("reproduce", "mine.yaml", "--train", "-q", "--limit", "2", *DEVICE, "--out", "out"),
    "explain": ("explain", "cat.png", "-e", "gradcam", "-m", "ad", *DEVICE, "--out", "out"),
    "figures": ("figures", "made", "--out", "out"),
    "check": ("check", "made", "--against", "out/golden.csv", "--update"),
    "summarise": ("summarise", "made"),
    "audit": ("audit", "made", "--draws", "8", "--resamples", "2", "-q", *DEVICE, "--out", "out"),
}
KINDS = {  # what each command writes
    "run": "run.json mine.py SHA256SUMS run.yaml sessions .pt .safetensors curves usage rows summary.csv summary.md summary.tex",
    "score": "run.json sessions .pt usage rows summary.csv summary.md summary.tex",
    "train": "tiny.resume epoch-001.png tiny.csv tiny.json tiny.safetensors before-after.png",
    "roar": "tiny-roar.resume tiny-roar.csv tiny-roar.json tiny-roar.safetensors scores.json train.npy roar.csv",
    "probe": "tiny-probe.resume tiny-probe.csv tiny-probe-val-confusion.csv tiny-probe.json tiny-probe.safetensors",
    "reproduce": "training .resume run.json rows reproduction.csv",
    "figures": ".png",
    "explain": "cat-gradcam.png cat.npz gallery.png report.html",
    "check": "golden.csv",
    "summarise": "summary.csv summary.md summary.tex",
    "audit": "audit.json draws-00000.safetensors truth.parquet metrics.csv audit.png audit.md",
}
ROAR = """name: tiny-roar
data: {dataset: shortcuts(size=32), train: train, limit: 4, evaluation: [val], evaluation_limit: 2}
epochs: 1
batch_size: 2
"""
PROBE = """name: tiny-probe
model: shortcuts-ce
backbone: frozen
data: {dataset: shortcuts(size=32), train: train, limit: 4, evaluation: [val], evaluation_limit: 2}
epochs: 1
batch_size: 2
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the commands read: a plug-in, recipes, a picture and a run."""
    folder = tmp_path_factory.mktemp("inputs") / "inputs"
    folder.mkdir()
    (folder / "mine.py").write_text(PLUGIN)
    kills.write_recipes(folder)
    short = (folder / "tiny.yaml").read_text().replace("epochs: 5", "epochs: 1").replace("limit: 48", "limit: 8")
    (folder / "tiny.yaml").write_text(short)
    (folder / "mine.yaml").write_text(
        (folder / "mine.yaml").read_text().replace("epochs: 3", "epochs: 1").replace("[0, 1]", "[0]").replace("limit: 32", "limit: 8")
    )
    (folder / "probe.yaml").write_text(PROBE)
    (folder / "roar.yaml").write_text(ROAR)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(folder / "cat.png")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert run_cli(["run", "-q", "-e", "gradcam,fakecam", "-m", "ad", "--save-maps", "raw", *DATA, *DEVICE, "--out", "made"]) == 0
    return folder


@pytest.fixture
def place(inputs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the inputs, as the current folder; partial results are written at once."""
    found = Path(shutil.copytree(inputs, tmp_path / "place"))
    monkeypatch.chdir(found)
    monkeypatch.setattr(partial_results, "SAVE_EVERY", 0.0)
    return found


def ends(words: tuple[str, ...], fault: AbstractContextManager[Any], said: Said) -> tuple[int, str]:
    """Exit code and last line on stderr of a command under a fault; nothing that is half written is left."""
    said.readouterr()
    with fault:
        code = run_cli(words)
    lines = said.readouterr().err.splitlines()
    assert not [line for line in lines if "Traceback" in line or "unexpected" in line]
    assert not list(Path().glob("**/.*.tmp"))
    return code, lines[-1] if lines else ""


@pytest.mark.parametrize("name", COMMANDS)
def test_a_disk_that_is_full_at_a_file_is_one_line(name: str, place: Path, capsys: Said) -> None:
    with full_disk() as seen:
        assert run_cli(COMMANDS[name]) == 0
    for kind in KINDS[name].split():
        shutil.rmtree("out", ignore_errors=True)
        first = next(number for number, file in enumerate(seen) if kind in str(file))
        code, line = ends(COMMANDS[name], full_disk(first), capsys)
        assert code == 1, line
        assert line.startswith("Error: ")
        assert kind in line
        assert ": cannot be written (No space left on device); free space on the disk, " in line


def test_what_was_written_before_the_disk_was_full_is_kept(place: Path, capsys: Said) -> None:
    words = ("run", "-q", "-e", "gradcam,fakecam", "-m", "ad", *DATA, "--batch-size", "1", *DEVICE, "--out")
    assert run_cli([*words, "whole"]) == 0
    with full_disk() as seen:
        assert run_cli([*words, "counted"]) == 0
    first_rows = next(index for index, file in enumerate(seen) if "rows" in file.parts)
    assert ends((*words, "out"), full_disk(first_rows + 1), capsys)[0] == 1
    assert len(list(Path("out").rglob("rows/**/*.parquet"))) == 1
    with full_disk() as seen:
        assert run_cli([*words, "out"]) == 0
    assert len([file for file in seen if "rows" in file.parts]) == 1
    assert load_rows("out").drop(columns="run").equals(load_rows("whole").drop(columns="run"))


@pytest.mark.parametrize(
    ("call", "number", "fix"),
    [
        ("fsync", errno.EIO, "check the disk"),
        ("replace", errno.EDQUOT, "free space within the quota"),
        ("mkdir", errno.ENOSPC, "free space on"),
    ],
)
def test_a_disk_that_fails_in_the_midst_of_a_run_is_one_line(call: str, number: int, fix: str, place: Path, capsys: Said) -> None:
    code, line = ends(COMMANDS["run"], failing(call, number, 3, place), capsys)
    assert code == 1
    assert f": cannot be written ({os.strerror(number)}); {fix}" in line
    assert line.endswith("finished work is kept, run the same command again")
    assert run_cli(COMMANDS["run"]) == 0


@pytest.mark.parametrize("name", ["run", "train", "explain", "figures", "summarise"])
def test_a_limit_of_the_system_on_files_is_one_line(name: str, place: Path, capsys: Said) -> None:
    code, line = ends(COMMANDS[name], largest_file(100), capsys)
    assert (code, "(File too large); raise the limit of a file's size (ulimit -f), " in line) == (1, True)


def test_read_only_folders_are_read_and_refused_for_results(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Said
) -> None:
    monkeypatch.setenv("CAMDBENCH_HOME", str(place / "home"))
    for picture in ("a/1.png", "b/2.png"):
        (place / "data" / picture).parent.mkdir(parents=True)
        shutil.copy("cat.png", place / "data" / picture)
    pictures = ("run", "-q", "-e", "fakecam", "-m", "ad", "--dataset", "folder", "--data-root", "data", "--size", "32", *DEVICE)
    commands = COMMANDS | {"pictures": (*pictures, "--target", "predicted", "--out", "out")}
    for name, words in commands.items():
        code, line = ends(words, read_only(place), capsys)
        if name == "summarise":
            assert (code, line) == (0, "warning: made/summary.tex: not written (Permission denied)")
        else:
            assert code == 2, line
            assert ": cannot be written (Permission denied); choose another folder" in line
        assert not (place / "out").exists()
        if name != "summarise":
            (tmp_path / "elsewhere").mkdir()
            other = tuple(word.replace("out", "../elsewhere/out") if word.startswith("out") else word for word in words)
            other = tuple("../elsewhere/board" if word == "board" else word for word in other)
            assert ends(other, read_only(place), capsys)[0] == 0
            shutil.rmtree(tmp_path / "elsewhere")


def test_masks_that_are_made_before_the_disk_is_full_are_kept(tmp_path: Path) -> None:
    cub200(tmp_path, segmentations=False)
    data = read_cub200(tmp_path)

    def segment(picture: Image.Image, boxes: torch.Tensor) -> torch.Tensor:
        return torch.ones(picture.height, picture.width, dtype=torch.bool)

    with pytest.raises(UnwritableFile, match=r"png: cannot be written .*free space on the disk, finished work is kept"), full_disk(1):
        make_masks(data, tmp_path / "made", segment)
    assert make_masks(data, tmp_path / "made", segment) == (1, 1, ())
