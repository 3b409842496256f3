"""Predicted classes: each image once, in the order of the run, equal to those of the network."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import camdbench
from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.datasets.open_dataset import check_dataset, open_dataset
from camdbench.runner.run_directory import RunDirectory, unit_file
from camdbench.tables.predictions import PREDICTION_COLUMNS, load_predictions


class Relative(torch.nn.Module):
    """Logits relative to the brightness of the image: not finite for a black one."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = torch.nn.Conv2d(3, 4, 3), torch.nn.Linear(4, 3)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return self.fc(self.conv(images).mean((2, 3))) / images.sum((1, 2, 3))[:, None]


def test_predictions_are_those_of_the_network(tmp_path: Path):
    for explainers in ("uniform,fakecam", "gradcam"):  # a run may grow
        camdbench.run(explainers, "ad", dataset="shortcuts(size=32)", limit=5, batch_size=2, out=tmp_path / "run")
    found = load_predictions(tmp_path / "run")
    dataset = open_dataset(*check_dataset("shortcuts(size=32)", "val", None), None)
    images = torch.stack([dataset[index].image for index in range(5)])
    classifier = camdbench.load_classifier("shortcuts-ce")
    with torch.no_grad():
        expected = classifier.network((images - classifier.mean) / classifier.std).softmax(1)
    assert list(found.columns) == list(PREDICTION_COLUMNS)
    assert found["image"].tolist() == list(dataset.ids[:5])
    assert found["predicted"].tolist() == expected.argmax(1).tolist()
    np.testing.assert_allclose(found["probability"], expected.amax(1), rtol=1e-5)
    read = pd.read_parquet(tmp_path / "run" / "predictions")  # by other tools, a file of each unit
    assert (len(read), read["image"].nunique()) == (10, 5)


def test_each_image_counts_once_and_images_without_logits_not_at_all(tmp_path: Path):
    images = torch.rand(4, 3, 16, 16)
    images[2] = 0
    models = {"net": camdbench.classifier(Relative(), layer="conv", mean=0.0, std=1.0)}
    camdbench.run("gradcam", "ad", models=models, dataset=[(image, 0) for image in images], out=tmp_path)
    found = load_predictions(tmp_path)
    assert len(found) == 3
    directory, ids = RunDirectory(tmp_path), found["image"].tolist()
    directory.write_predictions("net", 0, ["other"], {ids[1]: (9, 0.5), ids[0]: (9, 0.5)})  # of another session: as many values as before
    assert len(load_predictions(tmp_path)) == 3
    directory.write_predictions("a/net", 0, ["other"], {ids[1]: (2, 0.5), ids[0]: (1, 0.25)})
    directory.write_predictions("net", 1, ["other"], {})
    other = load_predictions(tmp_path).query("model == 'a/net'")
    assert other[["image", "predicted", "probability"]].to_numpy().tolist() == [[ids[0], 1, 0.25], [ids[1], 2, 0.5]]


def test_what_is_no_run_or_damaged_is_one_line(tmp_path: Path):
    with pytest.raises(UsageError, match="no such folder"):
        load_predictions(tmp_path / "none")
    camdbench.run("uniform", "ad", dataset="shortcuts(size=32)", limit=1, out=tmp_path)
    (file,) = (tmp_path / "predictions").rglob("*.parquet")
    assert file == unit_file(tmp_path, "predictions", "shortcuts-ce", 0, ["uniform"])
    whole = file.read_bytes()
    table = pq.read_table(file, partitioning=None)
    fix = "delete it; the predicted classes of its images are then unknown, their values are not affected"
    for damage in ("cut", "text"):
        if damage == "cut":
            file.write_bytes(whole[:200])
        else:
            pq.write_table(table.set_column(1, "predicted", pa.array(["a"])), file)
        with pytest.raises(CamdbenchError, match=re.escape(file.name) + r": damaged \(.*\); " + fix):
            load_predictions(tmp_path)
    file.unlink()
    assert load_predictions(tmp_path).to_dict("list") == {name: [] for name in PREDICTION_COLUMNS}
