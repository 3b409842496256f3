"""Executors: workers elsewhere give the rows that this process gives."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import camdbench
from camdbench.core.errors import UsageError

REQUEST: dict[str, Any] = {"explainers": "gradcam,random", "metrics": "ad,ag", "limit": 70, "device": "cpu"}


@pytest.mark.timeout(240)
@pytest.mark.filterwarnings("ignore")  # Ray's own, at its start and end
def test_a_ray_cluster_gives_the_rows_of_one_process(tmp_path: Path):
    alone = camdbench.run(out=tmp_path / "alone", **REQUEST)
    together = camdbench.run(out=tmp_path / "together", executor="ray", **REQUEST)
    pd.testing.assert_frame_equal(alone.drop(columns="run"), together.drop(columns="run"))


def test_without_ray_the_message_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    found = builtins.__import__

    def without_ray(name: str, *rest: Any, **more: Any) -> Any:
        if name == "ray":
            raise ImportError(name)
        return found(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    with pytest.raises(UsageError, match=r'pip install "camdbench\[ray\]"'):
        camdbench.run(out=tmp_path, executor="ray", **REQUEST)


def test_an_unknown_executor_is_refused(tmp_path: Path):
    with pytest.raises(UsageError, match="no executor 'rey'; did you mean 'ray'"):
        camdbench.run(out=tmp_path, executor="rey", **REQUEST)
