"""TensorBoard gets every finite column of the log; without the package the error names the fix."""

from __future__ import annotations

import io
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from helpers.faults import largest_file
from PIL import Image

from camdbench.core.errors import UnwritableFile, UsageError
from camdbench.trainer.run_state import Epoch
from camdbench.trainer.tensorboard_log import TensorBoardLog

LINE = Epoch(3, 0.1, 2.0, 0.5, {"accuracy": 0.25, "loss": 1.0, "iou": math.nan, "energy": 0.75, "core_share": math.nan}, {"so": 0.125})


def test_every_finite_column_is_a_curve_and_a_picture_is_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    board = TensorBoardLog(tmp_path)
    board.line(LINE)
    board.image("epoch", 3, pixels)
    found = EventAccumulator(str(tmp_path)).Reload()
    assert set(found.Tags()["scalars"]) == {"lr", "train_loss", "train_accuracy", "val_accuracy", "val_loss", "val_energy", "train_so"}
    (point,) = found.Scalars("train_so")
    assert (point.step, point.value) == (3, 0.125)
    (picture,) = found.Images("epoch")
    assert picture.step == 3
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(picture.encoded_image_string))), pixels)


def test_a_full_disk_is_one_line(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("tensorboard")
    board = TensorBoardLog(tmp_path)
    with largest_file(100), pytest.raises(UnwritableFile, match=r"events.*: cannot be written \(File too large\); raise the limit"):
        for _ in range(2):
            board.line(LINE)
    assert capfd.readouterr().err == ""
    with pytest.raises(UsageError, match=r"--tensorboard = .*: cannot be written"):
        TensorBoardLog(next(tmp_path.iterdir()) / "below")


def test_without_the_package_the_error_names_the_fix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    with pytest.raises(UsageError, match="pip install tensorboard"):
        TensorBoardLog(tmp_path)
