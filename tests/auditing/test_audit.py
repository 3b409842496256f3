"""The audit as a command and a function: end to end on a tiny run, resumed, refused, and counted."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.audited_runs import MODELS
from safetensors.torch import load_file, save_file
from scipy.stats import spearmanr

import camdbench
from camdbench.auditing import measured
from camdbench.auditing.audit_tables import audit_tables
from camdbench.auditing.cell_truth import measure_cell_truth
from camdbench.auditing.truth import measure_truth
from camdbench.auditing.truth_files import AuditFolder, Game
from camdbench.cli.main import run_cli
from camdbench.datasets.samples import Dataset
from camdbench.datasets.shortcuts.dataset import shortcuts
from camdbench.functional.normalise import upsample
from camdbench.models.classifier import Classifier
from camdbench.runner.run_directory import PartKey, part_file
from camdbench.runner.saved_maps import pack, unpack
from camdbench.tables.render import to_markdown

QUICK = ("--draws", "4", "--resamples", "20", "--device", "cpu", "-q")


def _files(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()}


@pytest.fixture(scope="module")
def tables(run: Path, tmp_path_factory: pytest.TempPathFactory):
    return camdbench.audit(run, draws=4, resamples=20, out=tmp_path_factory.mktemp("out") / "audit", device="cpu", progress=False)


def test_truth_of_the_tables_is_that_of_each_network(tables) -> None:
    data = shortcuts(size=32, classes=2, split="val")
    for model in MODELS:
        own = tables.truth[tables.truth["model"] == model]
        expected = measure_truth(camdbench.load_classifier(model), data, range(4), own["target"].tolist(), draws=4)
        np.testing.assert_allclose(own["phi_object"], expected.phi[:, 0], rtol=0, atol=1e-5)
        np.testing.assert_allclose(own["share_positive"], expected.share_positive, rtol=0, atol=1e-5)
        np.testing.assert_allclose(own["v_both"], np.asarray(expected.values)[:, 0, 3], rtol=0, atol=1e-5)
        np.testing.assert_allclose(own["phi_object"] + own["phi_background"], own["v_both"] - own["v_none"], rtol=0, atol=1e-9)
        network = tables.networks.set_index("model").loc[model]
        assert network["share"] == pytest.approx(expected.share.mean(), abs=1e-5)
        logits = camdbench.load_classifier(model)(torch.stack([data[index].image for index in range(4)]))
        assert network["accuracy"] == 100 * np.mean(logits.argmax(1).numpy() == np.array(data.labels[:4]))


def test_files_and_tables(tables) -> None:
    assert {file.name for file in tables.directory.iterdir()} == {
        "audit.json", "audit.md", "audit.png", "explainers.csv", "logits", "metrics.csv", "networks.csv", "truth.parquet",
    }  # fmt: skip
    whole = tables.explainers[tables.explainers["model"] == "*"].set_index("explainer")
    assert whole.loc["hirescam", "same_as"] == "gradcam"
    assert whole.loc[["fakecam", "centre", "edges", "random", "gtmask"], "tracking"].tolist() == [0] * 5  # blind to the network
    assert (whole["set"] == ["real"] * 5 + ["control"] * 4 + ["oracle"]).all()
    truth = pd.read_parquet(tables.directory / "truth.parquet")
    pd.testing.assert_frame_equal(truth, tables.truth, check_dtype=False)
    metrics = pd.read_csv(tables.directory / "metrics.csv")
    assert {"tracking", "error"} == set(metrics["truth"])
    assert set(metrics["conclusion"].str.partition(",")[0]) <= {"follows", "against", "open"}
    assert metrics.set_index("metric").loc["insertion(step=16)", "consistency_with"].unique() == ["deletion(step=16)"]
    text = (tables.directory / "audit.md").read_text()
    assert text == to_markdown(audit_tables(tables))
    assert "Score centred_logit, 4 draws, seed 0" in text
    assert "hirescam = gradcam" in text


def test_a_stopped_audit_resumes_to_the_same_bytes(run: Path, tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out, write, seen = tmp_path / "audit", AuditFolder.write_logits, list[int]()

    def stops(folder: AuditFolder, game: Game, model: str, chunk: int, logits: np.ndarray) -> None:
        if len(seen) == 2:
            raise KeyboardInterrupt
        seen.append(chunk)
        write(folder, game, model, chunk, logits)

    monkeypatch.setattr(measured, "CHUNK", 2)  # two parts of each network
    monkeypatch.setattr(AuditFolder, "write_logits", stops)
    words = ["audit", str(run), *QUICK, "--out", str(out)]
    assert run_cli(words) == 130
    assert sorted(file.name for file in out.iterdir()) == ["audit.json", "logits"]
    monkeypatch.setattr(AuditFolder, "write_logits", write)
    opened, measure = list[Sequence[int]](), measured.measure_all_logits

    def counts(networks: Sequence[Classifier], data: Dataset, indices: Sequence[int], **options: Any) -> tuple[np.ndarray, ...]:
        opened.append(indices)
        return measure(networks, data, indices, **options)

    monkeypatch.setattr(measured, "measure_all_logits", counts)
    assert run_cli(words) == 0
    assert len(opened) == 1  # the second half of the images alone
    first = _files(out)
    assert run_cli(words) == 0  # nothing is measured again
    assert len(opened) == 1
    assert _files(out) == first
    whole = {name: content for name, content in _files(tables.directory).items() if not name.startswith("logits")}
    assert {name: content for name, content in first.items() if not name.startswith("logits")} == whole


def test_other_options_need_another_folder(run: Path, tables, capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["audit", str(run), *QUICK, "--objective", "logit", "--out", str(tables.directory)]) == 2
    assert "holds another audit (options:" in capsys.readouterr().err


def test_wrong_use_is_one_line(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = ("--out", str(tmp_path / "out"))
    for words, line in (
        (["--draws", "3"], "draws = 3"),
        (["--draws", "4", "--players", "object,sky"], "players = object,sky: no such game"),
        (["--draws", "4", "--minor", str(run)], "--minor: meta-consistency needs both kinds"),
        (["--draws", "4", "--cells", "-1"], "--cells"),
    ):
        assert run_cli(["audit", str(run), "-q", "--device", "cpu", *words, *out]) == 2
        error = capsys.readouterr().err
        assert line in error
        assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
    assert run_cli(["audit", str(tmp_path), "-q"]) == 2
    assert "not a run directory" in capsys.readouterr().err
    assert run_cli(["audit"]) == 2


def test_reliability_alone_needs_rows_of_any_data(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bare = tmp_path / "bare"
    shutil.copytree(run, bare)
    shutil.rmtree(bare / "maps")
    about = json.loads((bare / "run.json").read_text())
    about["config"]["dataset"] = "cub200"  # truth cannot be measured
    (bare / "run.json").write_text(json.dumps(about))
    assert run_cli(["audit", str(bare), *QUICK]) == 0
    shown = capsys.readouterr().out
    assert "Reliability alone, as truth needs the data set shortcuts" in " ".join(shown.split())
    assert sorted(file.name for file in (bare / "audit").iterdir()) == ["audit.json", "audit.md", "metrics.csv"]
    assert run_cli(["audit", str(run), *QUICK, "--truth", "none", "--retest", str(bare), "--json", "--out", str(tmp_path / "none")]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {line["table"] for line in listed} == {"metrics", "agreement"}
    assert {line["order"] for line in listed if line["table"] == "agreement"} == {1.0}  # the same values


def test_cells_and_three_players(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--players", "shape,material,background", "--cells", "2", "--json", "--out", str(tmp_path / "audit")]
    assert run_cli(["audit", str(run), *QUICK, *words]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert {line["table"] for line in listed} == {"networks", "explainers", "metrics"}
    assert {line["truth"] for line in listed if line["table"] == "metrics"} == {"tracking", "error", "cells"}
    assert all(0 <= line["cell_share"] <= 1 for line in listed if line["table"] == "networks")
    truth = pd.read_parquet(tmp_path / "audit" / "truth.parquet")
    phi = truth[["phi_shape", "phi_material", "phi_background"]].sum(axis=1)
    np.testing.assert_allclose(phi, truth["v_all"] - truth["v_none"], rtol=0, atol=1e-9)
    data, explainers = shortcuts(size=32, classes=2, split="val"), pd.read_csv(tmp_path / "audit" / "explainers.csv")
    own = truth[truth["model"] == MODELS[0]]
    cells = measure_cell_truth(camdbench.load_classifier(MODELS[0]), data, range(4), own["target"].tolist(), cells=2)
    raw = unpack(load_file(part_file(run, "maps", PartKey(MODELS[0], "gradcampp", 0))))
    expected = []
    for image in range(4):
        whole = upsample(raw[image][None], (32, 32))[0]
        means = whole.reshape(2, 16, 2, 16).mean((1, 3)).flatten().numpy()
        expected.append(spearmanr(means, cells.phi[image].ravel()).statistic)
    found = explainers.set_index(["model", "explainer"]).loc[(MODELS[0], "gradcampp"), "cell_spearman"]
    assert found == pytest.approx(np.mean(expected), abs=1e-6)


def test_missing_values_are_counted_with_exit_code_3(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(run, broken)
    file = part_file(broken, "rows", PartKey(MODELS[0], "gradcam", 0))
    rows = pd.read_parquet(file)
    chosen = (rows["metric"] == "ad") & (rows["image"] == "val-00001")
    rows.loc[chosen, ["value", "status", "reason"]] = [np.nan, "error", "broken"]
    rows.to_parquet(file, index=False)
    maps = part_file(broken, "maps", PartKey(MODELS[0], "saliency", 0))
    ids = [f"val-{index:05d}" for index in range(4)]
    kept = {ids[place]: own for place, own in unpack(load_file(maps)).items() if place != 2}
    save_file(pack(kept, ids), maps)
    assert run_cli(["audit", str(broken), "--draws", "4", "--resamples", "20", "--device", "cpu"]) == 3
    error = capsys.readouterr().err
    assert f"missing: ad of gradcam on {MODELS[0]} (1 image)" in error
    assert "missing: saved maps (1 image)" in error
    explainers = pd.read_csv(broken / "audit" / "explainers.csv").set_index(["model", "explainer"])
    defined = ~np.isnan(pd.read_parquet(broken / "audit" / "truth.parquet").set_index(["model", "image"])["share_positive"][MODELS[0]])
    assert explainers.loc[(MODELS[0], "saliency"), "n"] == defined.sum() - defined.iloc[2]
    assert explainers.loc[(MODELS[0], "gradcampp"), "n"] == defined.sum()
