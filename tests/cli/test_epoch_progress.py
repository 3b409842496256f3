"""Progress of training: a live bar within the epoch on a terminal, lines per epoch everywhere; quiet prints nothing."""

from __future__ import annotations

import io
import math
import sys

import pytest

from camdbench.cli.epoch_progress import EpochBar
from camdbench.trainer.loop import StepProgress
from camdbench.trainer.run_state import Epoch

LINE = Epoch(1, 0.1, 2.0, 0.5, {"accuracy": 0.25, "loss": 1.0, "iou": math.nan, "energy": 0.75, "core_share": math.nan}, {"so": 0.125})


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def _shown(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch, *, quiet: bool = False) -> str:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.setattr(sys, "stderr", stream)
    with EpochBar(quiet=quiet) as bar:
        for step in (1, 2, 3):
            bar.tick(StepProgress(1, 12, step, 3, 0.5))
        bar.line(LINE)
    return stream.getvalue()


def test_a_terminal_gets_a_bar_and_every_part_of_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = _shown(_Terminal(), monkeypatch)
    assert "epoch 1/12  loss 0.5" in shown
    assert "3/3" in shown
    assert "epoch 1  lr 0.1  train_loss 2  train_accuracy 0.5  val_accuracy 0.25  val_loss 1  val_iou nan  val_energy 0.75" in shown
    assert "train_so 0.125" in shown


def test_elsewhere_there_is_a_plain_line_per_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = _shown(io.StringIO(), monkeypatch)
    assert shown.count("\n") == 1
    assert shown.startswith("epoch 1  lr 0.1  ")
    assert shown.endswith("train_so 0.125\n")
    assert "\x1b" not in shown


@pytest.mark.parametrize("stream", [_Terminal(), io.StringIO()])
def test_quiet_is_quiet(stream: io.StringIO, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not _shown(stream, monkeypatch, quiet=True).strip()
