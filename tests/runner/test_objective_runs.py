"""Objectives of runs: rows, record, resume, comparison of settings, pooling, saved maps, and one line for what cannot work."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from PIL import Image
from torch import Tensor

import camdbench
from camdbench.core.errors import UsageError
from camdbench.datasets.in_memory import InMemoryDataset
from camdbench.runner.record import automatic_name
from camdbench.runner.run_directory import RunDirectory
from camdbench.tables.pool import load_pooled
from camdbench.tables.protocol_diff import diff
from camdbench.tables.summary_tables import summary_tables

OWN = """
from gain import GAIN


def contrast(z, *, other: int = 1):
    return GAIN * (z[0] - z[other])


def vector(z):
    return z
"""
SEGMENTER = """
import torch
from torch import nn


def network():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 6, 3, 2), nn.ReLU(), nn.Conv2d(6, 4, 1))
"""


def data() -> InMemoryDataset:
    return InMemoryDataset(toy_batch(3))


def run(out: Path, explainers: Any = "gradcam", **more: Any) -> camdbench.Rows:
    given: dict[str, Any] = {"models": {"toy": toy_classifier()}, "dataset": data()}
    return camdbench.run(explainers, "ad", out=out, **given | more)


def maps_of(out: Path) -> Tensor:
    from safetensors.torch import load_file

    from camdbench.runner.saved_maps import unpack

    (file,) = out.rglob("part-00000.safetensors")
    return torch.stack([own for _, own in sorted(unpack(load_file(file)).items())])


def test_maps_are_those_of_explain_and_metrics_stay_on_the_probability(tmp_path: Path):
    rows = run(tmp_path / "a", objective="margin(second)", save_maps="raw")
    assert set(rows["objective"]) == {"margin(second)"}
    batch = toy_batch(3)
    own = camdbench.explain(toy_classifier(), batch.images, "gradcam", targets=batch.labels.tolist(), objective="margin(second)")
    torch.testing.assert_close(maps_of(tmp_path / "a"), own.raw, rtol=1e-3, atol=1e-4)  # stored in half precision
    scores = camdbench.evaluate(toy_classifier(), batch.images, batch.labels, own.maps, "ad")
    np.testing.assert_allclose(rows["value"].to_numpy(dtype=float), scores["value"].to_numpy(dtype=float), rtol=1e-6)
    run(tmp_path / "f", objective={"mine": _contrast}, save_maps="raw")
    for name, objective in (("a", "margin(second)"), ("f", "mine")):
        scored = camdbench.score(tmp_path / name, "ag", models={"toy": toy_classifier()}, dataset=data(), out=tmp_path / f"scored-{name}")
        assert set(scored["objective"]) == {objective}


def test_tables_name_an_objective_other_than_the_logit(tmp_path: Path):
    for objective, title in (("rest", "toy · memory all · target: label · objective: rest"), ("logit", "toy · memory all · target: label")):
        rows = run(tmp_path / objective, objective=objective)
        assert [table.title for table in summary_tables(rows.summary())] == [title]
    settings = diff(tmp_path / "logit", tmp_path / "rest")
    assert settings[settings["setting"] == "objective"][["a", "b"]].to_numpy().tolist() == [["logit", "rest"]]
    run(tmp_path / "more", "hirescam", objective="rest")
    assert set(load_pooled([tmp_path / "rest", tmp_path / "more"]).cells.keys["explainer"]) == {"gradcam", "hirescam"}
    run(tmp_path / "other", "hirescam")
    with pytest.raises(UsageError, match="cannot be pooled: objective: rest and logit"):
        load_pooled([tmp_path / "rest", tmp_path / "other"])


def _contrast(z: Tensor) -> Tensor:
    return z[0] - z[1]


def test_metrics_read_the_objective_on_request(tmp_path: Path):
    """Those of a class that is explained are those of an objective that reads this class for another one; the map is free of classes."""
    metrics = "morf(patch=4, regions=5),lerf(patch=4, regions=5),infidelity(samples=6)"
    own = ",".join(f"{metric.removesuffix(')')}, scored_output=objective)" for metric in metrics.replace("),", ");").split(";"))
    expected = camdbench.run("edges", metrics, models={"toy": toy_classifier()}, dataset=data(), target=3, out=tmp_path / "a")
    of_class: dict[str, Any] = {"morf": lambda z: z.softmax(0)[3], "infidelity": lambda z: z[3]}
    for name, function in of_class.items():
        given: dict[str, Any] = {"models": {"toy": toy_classifier()}, "dataset": data(), "target": 0, "objective": {"mine": function}}
        rows = camdbench.run("edges", own, out=tmp_path / name, **given)
        for metric in ("morf", "lerf") if name == "morf" else ("infidelity",):
            found, known = (own[own["metric"].str.startswith(metric)]["value"].to_numpy(dtype=float) for own in (rows, expected))
            np.testing.assert_allclose(found, known, rtol=1e-5, err_msg=metric)
    hashes = {tuple(own["protocol_hash"].unique()) for own in (rows, expected)}
    assert len(hashes) == 2


CURVES = (
    "insertion(step=20, scored_output=objective),irof(segments=9, scored_output=objective),"
    "road(fill=average, jitter=0.0, scored_output=objective)"
)


@pytest.mark.filterwarnings("ignore:metric insertion")
def test_scores_of_given_maps_read_the_objective_of_the_run(tmp_path: Path):
    """A run, `evaluate` and `score` of its maps agree, for a name and for a function."""
    batch = toy_batch(3)
    for name, objective in (("log_odds", "log_odds"), ("mine", {"mine": _contrast})):
        rows = camdbench.run(
            "gradcam", CURVES, out=tmp_path / name, objective=objective, save_maps="raw", models={"toy": toy_classifier()}, dataset=data()
        )
        own = camdbench.explain(toy_classifier(), batch.images, "gradcam", targets=batch.labels.tolist(), objective=objective)
        found = camdbench.evaluate(toy_classifier(), batch.images, batch.labels, own.maps, CURVES, objective=objective)
        known = rows.sort_values(["image", "metric"])["value"].to_numpy(dtype=float)
        np.testing.assert_allclose(found.sort_values(["image", "metric"])["value"].to_numpy(dtype=float), known, rtol=1e-5)
        given: dict[str, Any] = {} if name == "log_odds" else {"objective": objective}
        again = camdbench.score(
            tmp_path / name, CURVES, models={"toy": toy_classifier()}, dataset=data(), out=tmp_path / f"again-{name}", **given
        )
        np.testing.assert_allclose(again.sort_values(["image", "metric"])["value"].to_numpy(dtype=float), known, rtol=0.05, atol=1)
        assert set(again["objective"]) == {name}
    np.save(tmp_path / "maps.npy", own.maps.numpy())
    of_file = camdbench.score(
        tmp_path / "maps.npy",
        CURVES,
        objective={"mine": _contrast},
        normalisation="none",
        models={"toy": toy_classifier()},
        dataset=data(),
        out=tmp_path / "file",
    )
    np.testing.assert_allclose(of_file.sort_values(["image", "metric"])["value"].to_numpy(dtype=float), known, rtol=1e-5)


def test_objectives_of_given_maps_that_cannot_work_are_refused(tmp_path: Path):
    batch, maps = toy_batch(3), torch.rand(3, 16, 12)
    for objective, message in (
        ("logits", "no objective 'logits'"),
        ("margin(9)", "class 9; the model has classes 0 to 4"),
        ([lambda z: z[0]] * 3, "3 functions; give one, for all images"),
    ):
        with pytest.raises(UsageError, match=message):
            camdbench.evaluate(toy_classifier(), batch.images, batch.labels, maps, "ad", objective=objective)
    given: dict[str, Any] = {"models": {"toy": toy_classifier()}, "dataset": data()}
    run(tmp_path / "a", objective={"mine": _contrast}, save_maps="raw")
    with pytest.raises(UsageError, match=r"reads the objective of the maps, the function mine; give it as objective="):
        camdbench.score(tmp_path / "a", "road(scored_output=objective)", out=tmp_path / "b", **given)
    with pytest.raises(UsageError, match=r"metric completeness: reads the objective of the maps, the function mine"):
        camdbench.score(tmp_path / "a", "completeness", out=tmp_path / "b", **given)
    for other in ("log_odds", {"mine": lambda z: z[0] - z[2]}):
        with pytest.raises(UsageError, match=r"--objective = .*fixed by the run whose maps are scored"):
            camdbench.score(tmp_path / "a", "ad", objective=other, out=tmp_path / "b", **given)


@pytest.mark.parametrize(
    ("metrics", "reads"), [("insertion(step=9)", False), ("insertion(step=9,scored_output=objective)", True), ("completeness", True)]
)
def test_a_function_scores_altered_images_only_if_a_metric_reads_it(tmp_path: Path, metrics: str, reads: bool):
    calls = [0, 0]

    def counted(place: int) -> Any:
        def mine(z: Tensor) -> Tensor:
            calls[place] += 1
            return z[0] - z[1]

        return {"mine": mine}

    given: dict[str, Any] = {"models": {"toy": toy_classifier()}, "dataset": data(), "limit": 2}
    explainer = "integratedgradients(steps=3)"
    camdbench.run(explainer, "ad", objective=counted(0), out=tmp_path / "a", **given)
    camdbench.run(explainer, metrics, objective=counted(1), out=tmp_path / "b", **given)
    assert (calls[1] > calls[0]) is reads


def older(out: Path) -> None:
    """The run as a version of camdbench without objectives would have left it."""
    file = out / "run.json"
    about = json.loads(file.read_text())
    del about["config"]["objective"]
    file.write_text(json.dumps(about))
    for part in (out / "rows").rglob("*.parquet"):
        table = pq.read_table(part, partitioning=None).drop_columns("objective")
        pq.write_table(table, part, write_page_checksum=True)


def test_an_older_run_explains_the_logit_and_goes_on(tmp_path: Path):
    before = run(tmp_path / "a")
    older(tmp_path / "a")
    assert set(camdbench.load_rows(tmp_path / "a")["objective"]) == {"logit"}
    after = run(tmp_path / "a", "gradcam,hirescam")
    assert set(after["objective"]) == {"logit"}
    assert after[after["explainer"] == "gradcam"]["value"].tolist() == before["value"].tolist()
    with pytest.raises(UsageError, match="holds a run with objective logit, not log_odds"):
        run(tmp_path / "a", objective="log_odds")


def test_the_name_of_a_default_run_does_not_know_objectives(tmp_path: Path):
    run(tmp_path / "a")
    record = RunDirectory(tmp_path / "a").read_record()
    assert record is not None
    before = automatic_name(record)
    older(tmp_path / "a")
    without = RunDirectory(tmp_path / "a").read_record()
    assert without is not None
    assert automatic_name(without) == before
    run(tmp_path / "b", objective="rest")
    other = RunDirectory(tmp_path / "b").read_record()
    assert other is not None
    assert automatic_name(other) != before


def test_a_function_is_identified_by_its_code_and_resumes_from_run_yaml(tmp_path: Path):
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "gain.py").write_text("GAIN = 2.0\n")
    objective = f"{tmp_path}/mine.py:contrast(other=2)"
    rows = run(tmp_path / "a", "gradcam,cam", objective=objective, models="shortcuts-ce", dataset="shortcuts", limit=2)
    assert set(rows["objective"]) == {"contrast"}
    again = camdbench.run(config=tmp_path / "a" / "run.yaml", out=tmp_path / "a")
    assert again["value"].tolist() == rows["value"].tolist()
    copied = camdbench.run(config=tmp_path / "a" / "run.yaml", own="copy", out=tmp_path / "copy")
    assert copied["value"].tolist() == rows["value"].tolist()
    (tmp_path / "gain.py").write_text("GAIN = 3.0\n")
    with pytest.raises(UsageError, match="holds a run with code of objective contrast"):
        camdbench.run(config=tmp_path / "a" / "run.yaml", out=tmp_path / "a")
    function = run(tmp_path / "f", objective={"mine": lambda z: z[0] - z[1]})
    assert set(function["objective"]) == {"mine"}
    with pytest.raises(UsageError, match="objective = mine: an object of a Python session"):
        camdbench.run(config=tmp_path / "f" / "run.yaml", models={"toy": toy_classifier()}, dataset=data(), out=tmp_path / "f")


def test_what_cannot_work_is_refused_in_one_line(tmp_path: Path):
    (tmp_path / "mine.py").write_text(OWN)
    (tmp_path / "gain.py").write_text("GAIN = 2.0\n")
    for explainers, objective, message in (
        ("gradcam", "margin(9)", r"--objective = margin\(9\): class 9; the model has classes 0 to 4"),
        ("gradcam", "logits", "no objective 'logits'; did you mean 'logit'"),
        ("gradcam,cam", "rest", "--objective = rest: cam needs an objective linear in the logits"),
        ("augsmooth(finercam)", "margin(1)", "finercam explains the logit of the class by its definition"),
        ("gradcam", f"{tmp_path}/mine.py:vector", r"objective vector: returns shape \(5,\)"),
        ("gradcam", f"{tmp_path}/mine.py:nothing", "no such name; the file defines contrast, vector"),
        ("gradcam", [lambda z: z[0]] * 3, "3 functions; a run takes one, for all images; use camdbench.explain"),
        ("gradcam", "region(1, nowhere.png)", "no such file nowhere.png"),
    ):
        with pytest.raises(UsageError, match=message) as caught:
            run(tmp_path / "run", explainers, objective=objective)
        assert "\n" not in str(caught.value)
    assert not (tmp_path / "run").exists()


def test_the_group_all_leaves_out_what_does_not_explain_the_objective():
    from camdbench.core.objective_names import explained_by, parse_objective
    from camdbench.core.registries import parse_explainers

    def names(objective: str | None) -> set[str]:
        kinds = explained_by(None if objective is None else parse_objective(objective))
        return {spec.name for spec in parse_explainers("all", ("boxes", "masks"), kinds)}

    fixed, linear = (
        {"finercam", "contrastivecam", "ebp", "cmwp", "lrp", "tibav"},
        {"attnlrp", "cam", "cplrp", "deeplift", "deepliftshap", "dff", "fullgrad"},
    )
    assert names("logit") - names("margin(1)") == fixed
    assert names("margin(1)") - names("rest") == linear
    assert names("rest") == names(None)


def test_a_region_of_a_segmentation_network_is_a_run_like_any_other(tmp_path: Path):
    (tmp_path / "net.py").write_text(SEGMENTER)
    mask = np.zeros((32, 32), dtype=np.uint8)
    mask[4:20, 8:24] = 255
    Image.fromarray(mask).save(tmp_path / "m.png")
    images = [(torch.rand(3, 32, 32, generator=torch.Generator().manual_seed(index)), 0) for index in range(2)]
    given: dict[str, Any] = {"models": f"{tmp_path}/net.py:network", "mean": 0.5, "std": 0.5, "layer": "1", "dataset": images}
    rows = camdbench.run("gradcam,occlusion(window=8)", "ad", objective=f"region(2, {tmp_path}/m.png)", out=tmp_path / "a", **given)
    assert (set(rows["target_rule"]), set(rows["target"]), set(rows["status"])) == ({"2"}, {2}, {"ok"})
    assert set(rows["objective"]) == {f"region(2, {tmp_path}/m.png)"}
    with pytest.raises(UsageError, match=r"--target = 1: --objective region\(2, .*\) states what is explained; omit it"):
        camdbench.run("gradcam", "ad", objective=f"region(2, {tmp_path}/m.png)", target=1, out=tmp_path / "b", **given)
    with pytest.raises(UsageError, match="class 7"):
        camdbench.run("gradcam", "ad", objective=f"region(7, {tmp_path}/m.png)", out=tmp_path / "b", **given)


def test_similarity_is_a_run_of_two_classes(tmp_path: Path):
    picture = torch.rand(96, 96, 3, generator=torch.Generator().manual_seed(0))
    Image.fromarray((255 * picture).byte().numpy()).save(tmp_path / "r.png")
    (tmp_path / "run.yaml").write_text("objective: similarity(r.png)\nexplainers: gradcam\nmetrics: ad\nlimit: 2\n")
    rows = camdbench.run(config=tmp_path / "run.yaml", out=tmp_path / "a")
    assert set(rows["target"]) == {1}
    maps = camdbench.explain("shortcuts-ce", _shortcuts(2), "gradcam", objective=f"similarity({tmp_path}/r.png)")
    named = camdbench.evaluate("shortcuts-ce", _shortcuts(2), [1, 1], maps.maps, "ad", objective=f"similarity({tmp_path}/r.png)")
    with pytest.raises(UsageError, match=r"states what is explained; give labels = \[1\] \* 2"):
        camdbench.evaluate("shortcuts-ce", _shortcuts(2), [0, 1], maps.maps, "ad", objective=f"similarity({tmp_path}/r.png)")
    own = camdbench.evaluate(*_similar(tmp_path / "r.png"), [1, 1], maps.maps, "ad")
    np.testing.assert_array_equal(named["value"].to_numpy(dtype=float), own["value"].to_numpy(dtype=float))
    np.testing.assert_allclose(rows["value"].to_numpy(dtype=float), own["value"].to_numpy(dtype=float), rtol=1e-5, atol=1e-9)


def _shortcuts(count: int) -> Tensor:
    from camdbench.core.spec import Spec
    from camdbench.datasets.open_dataset import open_dataset

    dataset = open_dataset(Spec("shortcuts"), "val", None)
    return torch.stack([dataset[index].image for index in range(count)])


def _similar(file: Path) -> tuple[Any, Tensor]:
    from camdbench.core.objective_names import parse_objective
    from camdbench.explainers.common.scored_objectives import classifier_of
    from camdbench.models.zoo import load_classifier

    return classifier_of(load_classifier("shortcuts-ce"), parse_objective(f"similarity({file})"))[0], _shortcuts(2)
