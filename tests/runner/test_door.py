"""Own explainers, metrics and models in `run`: references and objects give the rows of the same functions, registered."""

from __future__ import annotations

import inspect
import json
from functools import partial
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers.each import each
from helpers.processes import command_elsewhere
from helpers.toys import toy_batch, toy_classifier
from PIL import Image
from torch import nn

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.registries import explainers, metrics
from camdbench.datasets.in_memory import InMemoryDataset
from camdbench.tables.summary_tables import summary_groups

NETS = """
import torch
from torch import nn
from neighbour import SCALE

def small(width: int = 4):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 5))

def first(trace, *, count: int = 1):
    return SCALE * trace.activations[:, :count].sum(1)

def inside(classifier, images, maps, targets):
    return maps.mean((1, 2))

def raises():
    raise ValueError("one\\ntwo")

def pictures():
    return [(torch.rand(3, 8, 8), 0)]

NUMBER = 3
"""


def channels(trace: Any, *, count: int = 1) -> torch.Tensor:
    return trace.activations[:, :count].sum(1)


def pixels(classifier: Any, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    images.requires_grad_()
    return torch.autograd.grad(classifier(images).gather(1, targets[:, None]).sum(), images)[0]


def of_quantus(model: nn.Module, inputs: np.ndarray, targets: np.ndarray, **options: Any) -> np.ndarray:
    return np.abs(inputs).sum(1, keepdims=True)


def mean(classifier: Any, images: torch.Tensor, maps: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return maps.mean((1, 2))


def wrong(a: int, b: int) -> None: ...


class Library:
    """A class, where an object of it is expected."""

    def __call__(self, trace: Any) -> torch.Tensor:
        return trace.activations.sum(1)


def own(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    folder.mkdir(exist_ok=True)
    (folder / "neighbour.py").write_text("SCALE = 1.0\n")
    (folder / "nets.py").write_text(NETS)
    return folder / "nets.py"


def run(out: Path, explainer: Any, metric: Any = "ad", **more: Any) -> Any:
    given = {"models": {"mine": toy_classifier()}, "dataset": InMemoryDataset(toy_batch(4)), "out": out}
    return camdbench.run(explainer, metric, **given | more)


def values(rows: Any, explainer: str, metric: str) -> np.ndarray:
    return rows[(rows["explainer"] == explainer) & (rows["metric"] == metric)]["value"].to_numpy(dtype=float)


def test_functions_give_the_values_of_their_definition(tmp_path: Path):
    given = {"ours": channels, "pixels": pixels, "theirs": of_quantus, "gradcam": "gradcam", "short": "opticam(iterations=2)"}
    rows = run(tmp_path / "run", given, ["ad", mean])
    assert list(rows["explainer"].unique()) == list(given)
    batch, classifier = toy_batch(4), toy_classifier()
    images = batch.images.clone().requires_grad_()
    score = classifier(images).gather(1, batch.labels[:, None]).sum()
    (gradient,) = torch.autograd.grad(score, images)
    normalised = (batch.images - classifier.mean) / classifier.std
    for name, raw in (("pixels", gradient.sum(1)), ("theirs", normalised.abs().sum(1))):
        low, high = raw.amin((1, 2), keepdim=True), raw.amax((1, 2), keepdim=True)
        np.testing.assert_allclose(values(rows, name, "mean"), ((raw - low) / (high - low)).mean((1, 2)), rtol=1e-4)
    plain = run(tmp_path / "plain", "gradcam,opticam(iterations=2)")
    for name, same in (("gradcam", "gradcam"), ("short", "opticam(iterations=2)")):
        np.testing.assert_array_equal(values(rows, name, "ad"), values(plain, same, "ad"))
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["explainers"]["ours"] | {"layers": 0} == {
        "paper": "",
        "control": False,
        "layers": 0,
        "origin": "object of a Python session",
        "channels": "sum",
        "normalisation": "range",
    }
    assert record["explainers"]["short"]["origin"] == "opticam(iterations=2)"
    assert (
        set(record["plugins"]) >= {"explainer ours", "explainer pixels", "explainer theirs", "metric mean"},
        record["metrics"]["mean"]["higher_is_better"],
    ) == (True, None)
    assert "ours" not in explainers
    assert "mean" not in metrics


def test_a_metric_without_direction_has_no_arrow_and_no_place(tmp_path: Path):
    stated = camdbench.metric_of(mean, higher_is_better=True, unit="%")
    rows = run(tmp_path / "run", "gradcam,gradcampp", {"plain": mean, "stated": stated})
    summary = camdbench.summarise(tmp_path / "run").set_index("metric")
    assert summary.loc["plain", "higher_is_better"].isna().all()
    assert list(summary.loc["stated", "higher_is_better"]) == [True, True]
    np.testing.assert_array_equal(values(rows, "gradcam", "plain"), values(rows, "gradcam", "stated"))
    (group,) = summary_groups(camdbench.summarise(tmp_path / "run"))
    places = {column.heading: group.places(column) for column in group.columns}
    assert (places["plain"], bool(places["stated ↑ %"])) == ({}, True)
    assert camdbench.compare(tmp_path / "run").set_index("metric").loc["plain", "better"] == ""


def test_references_are_those_functions_and_resume_from_another_process_and_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    file = own(tmp_path)
    monkeypatch.chdir(tmp_path)
    stated: dict[str, Any] = {"mean": 0.5, "std": 0.25, "layer": "1", "limit": 2, "target": "predicted"}
    given = "own/nets.py:first(count=2),three=own/nets.py:first(count=3)"
    rows = camdbench.run(given, "own/nets.py:inside", models="mine=own/nets.py:small(width=6)", out="run", **stated)
    assert (list(rows["explainer"].unique()), set(rows["model"])) == (["first(count=2)", "three"], {"mine"})
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))
    model = camdbench.classifier(network, mean=0.5, std=0.25, layer="1")
    objects = {"three": partial(channels, count=3)}
    same = camdbench.run(objects, {"inside": mean}, models=model, limit=2, target="predicted", out="same")
    np.testing.assert_array_equal(values(rows, "three", "inside"), values(same, "three", "inside"))
    record = json.loads(Path("run/run.json").read_text())
    assert (record["models"]["mine"]["origin"], record["explainers"]["three"]["origin"]) == (
        "own/nets.py:small(width=6)",
        "own/nets.py:first(count=3)",
    )
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    flags = ["--mean", "0.5", "--std", "0.25", "--layer", "1", "--limit", "2", "--target", "predicted", "--out", str(tmp_path / "run")]
    specs = ["-e", given.replace("own/", f"{file.parent}/"), "-m", f"{file}:inside", "--models", f"mine={file}:small(width=6)"]
    done = command_elsewhere(["run", *specs, *flags], elsewhere)
    assert (done.code, "2 jobs, 2 already done" in done.err) == (0, True), done.err


def test_models_are_networks_functions_classifiers_and_names_beside_each_other(tmp_path: Path):
    def built() -> nn.Module:
        return toy_classifier().network

    named = {"net": toy_classifier().network, "made": built}
    with pytest.raises(UsageError, match="Toy: mean and std are unknown; give mean=, std="):
        run(tmp_path / "run", "gradcam", models=named)
    rows = run(tmp_path / "run", "gradcam", models=named, mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), layer="relu2", target="predicted")
    expected = run(tmp_path / "plain", "gradcam", models=[toy_classifier()], target="predicted")
    assert (list(rows["model"].unique()), set(expected["model"])) == (["net", "made"], {toy_classifier().name})
    for name in ("net", "made"):
        np.testing.assert_array_equal(rows[rows["model"] == name]["value"], expected["value"])
    beside = run(tmp_path / "beside", "gradcam", models={"mine": toy_classifier(), "ready": "shortcuts-ce"}, target="predicted")
    assert list(beside["model"].unique()) == ["mine", "ready"]
    np.testing.assert_array_equal(beside[beside["model"] == "mine"]["value"], expected["value"])


@each(
    ("explainer", "metric", "more", "message"),
    [
        (wrong, "ad", {}, r"explainer wrong\(a, b\): expected \(trace\), \(classifier, images, targets\) or \(model, inputs, targets\)"),
        ("gradcam", wrong, {}, r"metric wrong\(a, b\): expected \(inputs\) or \(classifier, images, maps, targets\)"),
        (object(), "ad", {}, "explainer object, of type object: expected"),
        ({"gradcam": channels}, "ad", {}, "explainer gradcam: a name of camdbench; choose another"),
        ("gradcam", {"ad": mean}, {}, "metric ad: a name of camdbench"),
        ("gradcam", "mine=ad", {}, "a metric of camdbench keeps its name"),
        ([channels, channels], "ad", {}, "explainers: two are named 'channels': give names"),
        ({"a b": channels}, "ad", {}, "explainers: name 'a b': expected 1 to 80 letters"),
        ("none.py:f", "ad", {}, "explainers none.py: no such file"),
        ("no_such_module:f", "ad", {}, "no module no_such_module|No module named"),
        (channels, "ad", {"executor": "ray"}, "--executor ray: explainer channels is an object of this session.*give FILE.py:NAME"),
        ("gradcam", "ad", {"models": 3}, "model int: int; expected an nn.Module"),
        (Library, "ad", {}, "explainer Library: Library is a class; give an object of it"),
        ("gradcam", Library, {}, "metric Library: Library is a class; give an object of it"),
        ({"grad-cam": channels}, "ad", {}, "explainer grad-cam: a name of camdbench; choose another: grad-cam-mine=FILE.py:FUNCTION"),
        ({"": channels}, "ad", {}, "explainers: name '': expected 1 to 80 letters"),
        ({"a,b": channels}, "ad", {}, "explainers: name 'a,b': expected 1 to 80 letters"),
        ("C:\\dir\\x.py:f(k=1)", "ad", {}, r"explainers C:\\dir\\x.py: no such file"),
        ("power(FILE:first)", "ad", {}, "a reference inside brackets; name it first, as in mine=FILE.py:NAME,power"),
        ("a=FILE:first,a=FILE:first(count=2)", "ad", {}, "explainers: two are named 'a'"),
        ("FILE:none", "ad", {}, "no such name; the file defines first, inside, pictures, raises, small"),
        ("FILE:first(count='a')", "ad", {}, r"first\(count='a'\): input should be a valid integer"),
        ("FILE:first(cuont=1)", "ad", {}, "first: no option 'cuont'; did you mean 'count'"),
        ("gradcam", "ad", {"models": "FILE:small(width='a')"}, r"model small\(width='a'\): input should be a valid integer \(width: int\)"),
        ("gradcam", "ad", {"models": "FILE:small(wdth=1)"}, "model small: no option 'wdth'; did you mean 'width'"),
        ("gradcam", "ad", {"models": "FILE:raises"}, "model raises: ValueError: one$"),
        ("gradcam", "ad", {"models": "FILE:NUMBER"}, "model NUMBER: int; expected an nn.Module"),
        ("gradcam", "ad", {"models": "resnet18=FILE:small"}, "models: resnet18: a name of camdbench; choose another"),
        ("gradcam", "ad", {"models": "FILE:small,FILE:small(width=5)"}, "models: two are named 'small'"),
        ("gradcam", "ad", {"dataset": "FILE:small(size=3)"}, "dataset small: no option 'size'"),
        ("gradcam", "ad", {"dataset": "shortcuts=FILE:pictures"}, "name = shortcuts: a data set of camdbench"),
    ],
)
def test_a_refusal_is_one_line_and_makes_no_folder(tmp_path: Path, explainer: Any, metric: Any, more: dict[str, Any], message: str):
    file = str(own(tmp_path))
    explainer = explainer.replace("FILE", file) if isinstance(explainer, str) and "FILE:" in explainer else explainer
    stated = {"mean": 0, "std": 1} if isinstance(more.get("models"), str) else {}
    more = {name: value.replace("FILE", file) if isinstance(value, str) else value for name, value in more.items()} | stated
    with pytest.raises(CamdbenchError, match=message) as refused:
        run(tmp_path / "run", explainer, metric, **more)
    assert "\n" not in str(refused.value)
    assert not (tmp_path / "run").exists()


def test_explain_takes_the_same_and_refuses_maps_of_another_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    batch, classifier = toy_batch(2), toy_classifier()
    maps = camdbench.explain(classifier, batch.images, {"ours": channels, "theirs": f"{own(tmp_path)}:first(count=1)"})
    torch.testing.assert_close(maps["ours"].raw, maps["theirs"].raw)
    torch.testing.assert_close(camdbench.explain(classifier, batch.images, channels).raw, maps["ours"].raw)

    def one(trace: Any) -> torch.Tensor:
        return trace.activations[:1].sum(1)

    with pytest.raises(CamdbenchError, match=r"explainer one returned shape \(1, \d+, \d+\); expected a tensor \(2, h, w\)"):
        camdbench.explain(classifier, batch.images, one)
    rows = run(tmp_path / "run", one)
    assert set(rows["status"]) == {"error"}
    scores = camdbench.evaluate(classifier, batch.images, batch.labels, maps["ours"].maps, [mean, "ad"])
    own_values = scores[scores["metric"] == "mean"]["value"].to_numpy(dtype=float)
    np.testing.assert_allclose(own_values, maps["ours"].maps.mean((1, 2)).numpy(), rtol=1e-6)


def test_a_second_function_of_a_name_takes_the_place_of_the_first():
    batch, classifier = toy_batch(2), toy_classifier()
    found = list[torch.Tensor]()
    for factor in (1.0, 2.0):

        def mine(trace: Any, factor: float = factor) -> torch.Tensor:
            return factor * trace.activations.sum(1)

        mine.__signature__ = inspect.Signature([inspect.Parameter("trace", inspect.Parameter.POSITIONAL_ONLY)])
        found.append(camdbench.explain(classifier, batch.images, mine).raw)
    torch.testing.assert_close(found[1], 2 * found[0])


def test_layers_of_own_models_are_those_of_the_network(tmp_path: Path):
    table = camdbench.layers(f"{own(tmp_path)}:small(width=6)", size=16)
    assert list(table.columns) == ["name", "kind", "channels", "rows", "columns", "prefix", "default", "problem"]
    assert table[["name", "channels", "rows", "columns"]].to_numpy().tolist()[:2] == [["0", 6, 14, 14], ["1", 6, 14, 14]]
    assert len(camdbench.layers(toy_classifier(), all=True)) > len(camdbench.layers(toy_classifier()))


@each(
    ("change", "reason"),
    [
        (lambda maps: maps[:1], r"returned shape \(1, 8, 6\); expected a tensor \(2, h, w\)"),
        (lambda maps: maps[0], r"returned shape \(8, 6\)"),
        (lambda maps: maps[:, None].repeat(1, 5, 1, 1), r"returned shape \(2, 5, 8, 6\)"),
        (list, "returned list"),
        (lambda maps: None, "returned NoneType"),
        (lambda maps: maps.to("meta"), "returned torch.float32, torch.strided, on meta"),
        (lambda maps: maps.to(torch.complex64), "returned torch.complex64"),
        (lambda maps: maps * torch.nan, "the map is not finite"),
        (lambda maps: maps.detach().numpy()[:, ::-1], ""),
        (lambda maps: maps.detach().double().requires_grad_(), ""),
    ],
)
def test_what_an_own_explainer_returns_has_one_clear_outcome(tmp_path: Path, change: Any, reason: str):
    rows = run(tmp_path / "run", {"mine": lambda trace: change(trace.activations.sum(1))}, dataset=InMemoryDataset(toy_batch(2)))
    assert set(rows["status"]) == ({"error"} if reason else {"ok"})
    assert rows["reason"].str.contains(reason).all()


@each(
    ("change", "reason"),
    [
        (lambda values: values[:1], r"returned torch.float32 of shape \(1,\); expected real numbers of shape \(2,\)"),
        (lambda values: values.mean(), r"of shape \(\)"),
        (lambda values: values[:, None], r"of shape \(2, 1\)"),
        (lambda values: {"a": 1}, "returned dict"),
        (lambda values: values * torch.nan, "the metric has no value: it returned NaN"),
        (lambda values: 1 / 0, "ZeroDivisionError"),
        (lambda values: values.tolist(), ""),
    ],
)
def test_what_an_own_metric_returns_has_one_clear_outcome(tmp_path: Path, change: Any, reason: str):
    rows = run(
        tmp_path / "run", "gradcam", {"mine": lambda inputs: change(inputs.saliency.mean((1, 2)))}, dataset=InMemoryDataset(toy_batch(2))
    )
    assert set(rows["status"]) == ({"error"} if reason else {"ok"})
    assert rows["reason"].str.contains(reason).all()


def test_objects_of_other_libraries_and_own_data_go_into_one_run(tmp_path: Path):
    attr, cams, quantus = (pytest.importorskip(name) for name in ("captum.attr", "pytorch_grad_cam", "quantus"))
    model, batch = toy_classifier(), toy_batch(3)
    pictures = list(zip(batch.images, batch.labels.tolist(), strict=True))
    named = {
        "ours": channels,
        "theirs": attr.LayerGradCam(model, model.network.relu2),
        "third": cams.GradCAM(model=model.network, target_layers=[model.network.relu2]),
        "gradcam": "gradcam",
    }
    scores = ["ad", quantus.Sparseness(), "sparseness", mean]
    rows = run(tmp_path / "run", named, scores, models={"mine": model}, dataset=camdbench.data(pictures, name="photos"))
    assert (set(rows["status"]), len(rows), set(rows["dataset"])) == ({"ok"}, 4 * 4 * 3, {"photos"})
    assert list(rows["metric"].unique()) == ["ad", "quantus-Sparseness", "sparseness", "mean"]
    plain = run(tmp_path / "plain", "gradcam", "ad", models={"mine": model}, dataset=InMemoryDataset(batch))
    for name in ("third", "gradcam"):  # Captum's keeps negative values
        np.testing.assert_allclose(values(rows, name, "ad"), values(plain, "gradcam", "ad"), rtol=1e-4)
    unnamed = run(tmp_path / "unnamed", list(named.values()), "ad", models=[model], dataset=pictures)
    assert list(unnamed["explainer"].unique()) == ["channels", "layergradcam", "pgc-gradcam", "gradcam"]


def test_the_limit_of_a_run_is_that_of_a_stream(tmp_path: Path):
    model, batch, file = toy_classifier(), toy_batch(3), tmp_path / "endless.py"
    file.write_text(
        "from itertools import cycle\n"
        "from helpers.toys import toy_batch\n"
        "def photos():\n    batch = toy_batch(3)\n    yield from cycle(zip(batch.images, batch.labels.tolist()))\n"
    )
    pairs = list(zip(batch.images, batch.labels.tolist(), strict=True))
    expected = run(tmp_path / "list", "gradcam", "ad", models={"mine": model}, dataset=pairs, limit=2)
    assert len(expected) == 2
    for name, given in (("file", f"{file}:photos"), ("generator", cycle(pairs))):
        found = run(tmp_path / name, "gradcam", "ad", models={"mine": model}, dataset=given, limit=2)
        np.testing.assert_array_equal(values(found, "gradcam", "ad"), values(expected, "gradcam", "ad"))
    with pytest.raises(UsageError, match=r"generator: a stream has no length; give --limit N, or camdbench\.data"):
        run(tmp_path / "endless", "gradcam", "ad", models={"mine": model}, dataset=f"{file}:photos")
    assert not (tmp_path / "endless").exists()


def test_specs_of_one_function_differ_by_their_options(tmp_path: Path):
    file = own(tmp_path)
    rows = run(tmp_path / "run", f"{file}:first,{file}:first(count=2),{file}:first(count=3)")
    assert list(rows["explainer"].unique()) == ["first", "first(count=2)", "first(count=3)"]
    same = run(tmp_path / "same", {"two": partial(channels, count=2)})
    np.testing.assert_array_equal(values(rows, "first(count=2)", "ad"), values(same, "two", "ad"))


def test_a_network_of_timm_takes_mean_std_and_size_from_its_configuration():
    timm = pytest.importorskip("timm")
    stated = {"mean": (0.1, 0.2, 0.3), "std": (0.4, 0.5, 0.6), "input_size": (3, 96, 96)}
    network = timm.create_model("resnet10t", pretrained=False, num_classes=5, pretrained_cfg_overlay=stated)
    found = camdbench.classifier(network)
    assert (found.mean.flatten().tolist(), found.std.flatten().tolist()) == (pytest.approx(stated["mean"]), pytest.approx(stated["std"]))
    assert (found.input_size, found.layer, found.class_names) == (96, "layer4.0", ())
    given = camdbench.classifier(network, mean=0.5, input_size=64)
    assert (given.mean.flatten().tolist(), given.std.flatten().tolist(), given.input_size) == ([0.5] * 3, pytest.approx(stated["std"]), 64)
    images = torch.rand(1, 3, 96, 96)
    mean, std = (torch.tensor(stated[name])[:, None, None] for name in ("mean", "std"))
    with torch.no_grad():
        torch.testing.assert_close(found.eval()(images), network.eval()((images - mean) / std))


def test_explain_and_evaluate_take_references_of_models_and_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    file, images = own(tmp_path), toy_batch(2).images
    flags = ["--mean", "0.5", "--std", "0.25", "--layer", "1", "--size", "16", "--out", str(tmp_path / "out"), "--json"]
    monkeypatch.chdir(tmp_path)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (16, 16, 3), dtype=np.uint8)).save("a.png")
    specs = ["--model", "mine=own/nets.py:small(width=6)", "-e", "x=own/nets.py:first(count=2)", "-m", "ad,y=own/nets.py:inside"]
    assert run_cli(["explain", "a.png", *specs, *flags]) == 0
    (shown,) = json.loads(capsys.readouterr().out)
    saved = np.load(tmp_path / "out" / "a.npz")
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 6, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(6, 5))
    model = camdbench.classifier(network, mean=0.5, std=0.25, layer="1")
    picture = torch.from_numpy(saved["image"])[None]
    np.testing.assert_allclose(saved["x"], camdbench.explain(model, picture, partial(channels, count=2)).maps[0], atol=1e-6)
    assert shown["scores"]["y"] == pytest.approx(float(saved["x"].mean()), rel=1e-5)
    loaded = camdbench.load_classifier(f"mine={file}:small(width=6)", mean=0.5, std=0.25, layer="1", device="cpu")
    assert loaded.name == "mine"
    torch.testing.assert_close(loaded(images), model(images))
    assert run_cli(["explain", "a.png", *specs[:-1], "own/nets.py:none", *flags[:-2], str(tmp_path / "other")]) == 2
    assert not (tmp_path / "other").exists()
    capsys.readouterr()
    for kind, text in (("explainers", "x=own/nets.py:first(count=2)"), ("metrics", "own/nets.py:inside")):
        assert run_cli(["list", kind, text]) == 0
    assert "count=2  (int)" in capsys.readouterr().out
    assert run_cli(["list", "models", "own/nets.py:small"]) == 2
    assert "camdbench layers own/nets.py:small" in capsys.readouterr().err
