"""Executors: workers elsewhere give the rows that this process gives."""

from __future__ import annotations

import builtins
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import camdbench
from camdbench.core.errors import UsageError
from camdbench.runner.config import RunConfig, check_config
from camdbench.runner.resources import Resources

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


def test_a_worker_in_another_folder_finds_all_that_was_named_from_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    random = np.random.default_rng(0)
    for name in ("data/images/a", "masks", "elsewhere"):
        (tmp_path / name).mkdir(parents=True)
    for number in range(3):
        picture = Image.fromarray(random.integers(0, 255, (96, 96, 3), dtype=np.uint8))
        picture.save(tmp_path / "data" / "images" / "a" / f"{number}.png")
        (tmp_path / "masks" / "a").mkdir(exist_ok=True)
        Image.fromarray(np.uint8(255 * np.tri(96))).save(tmp_path / "masks" / "a" / f"{number}.png")
    monkeypatch.chdir(tmp_path)
    request = check_config(RunConfig("gradcam", "ad", dataset="folder(masks='masks', size=96)", data_root="data"))
    state = pickle.dumps(Resources().bind(request).with_absolute_paths())
    monkeypatch.chdir(tmp_path / "elsewhere")
    there: Resources = pickle.loads(state)
    masks = [there.images[index].mask for index in range(3)]
    assert all(mask is not None and mask.float().mean() == pytest.approx(0.5, abs=0.02) for mask in masks)
    assert str(there.checked_request.dataset) == str(request.dataset)  # what stands in rows is what was asked for
