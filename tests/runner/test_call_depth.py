"""The way from the command line to an explainer is short."""

from __future__ import annotations

import sys
from pathlib import Path

import torch

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.registries import explainers
from camdbench.explainers.common.trace import Trace

PACKAGE = str(Path(camdbench.__file__).parent)


def test_an_explainer_is_nine_calls_below_the_command(tmp_path: Path):
    seen = list[str]()

    @explainers.register("deep", paper="a test")
    def deep(trace: Trace) -> torch.Tensor:
        """The functions of the package on the stack."""
        frame = sys._getframe(1)
        while frame is not None:
            if frame.f_code.co_filename.startswith(PACKAGE):
                seen.append(frame.f_code.co_name)
            frame = frame.f_back
        return trace.images.mean(1)

    assert run_cli(["run", "-q", "-e", "deep", "-m", "ad", "--limit", "2", "--device", "cpu", "--out", str(tmp_path / "run")]) == 0
    assert seen[::-1] == ["run_cli", "command", "complete", "local", "run", "_compute", "score_batch", "saliency"]  # and the explainer
