"""benchmarks/own: a network, pictures, an explainer and maps of a user, and folders of transformers, through the public doors."""

from __future__ import annotations

import runpy
from pathlib import Path

import numpy as np
import pytest

import camdbench

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "own" / "__main__.py"
IN_NETWORK = {"fox": 0, "cat": 1, "dog": 2}


def test_the_script_runs_and_labels_meet_the_network_by_name(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("transformers")
    runpy.run_path(str(SCRIPT))["main"](["--work", str(tmp_path), "--short"])
    assert "vit.layers.1.layernorm_before" in capsys.readouterr().out
    expected = {
        "folder": ({"gradcam", "mine", "theirs"}, {"ad", "ag"}),
        "table": ({"gradcam", "mine"}, {"ad", "ag"}),
        "hf": ({"gradcam"}, {"ad", "ag"}),
        "python": ({"ours", "gradcam", "captum"}, None),
    }
    for name, (explainers, metrics) in expected.items():
        rows = camdbench.load_rows(tmp_path / "runs" / name)
        assert set(rows["explainer"]) == explainers
        assert metrics is None or set(rows["metric"]) == metrics
        assert set(rows["status"]) <= {"ok", "constant_map", "undefined"}  # sparseness of a constant map
        assert rows["image"].nunique() == 6
        if name in ("folder", "table"):
            classes = [IN_NETWORK[Path(image).parent.name] for image in rows["image"]]
            assert rows["label"].tolist() == rows["target"].tolist() == classes
    with np.load(tmp_path / "maps.npz") as maps:
        assert maps["images"].shape == (2, 3, 64, 64)
        assert {"gradcam", "my_function", "gradcam/raw"} <= set(maps)
