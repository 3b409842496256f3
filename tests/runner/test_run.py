"""The main job from Python: rows, costs, record, resume, and everything that goes wrong on the way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
import torchvision
from helpers.each import each
from PIL import Image
from safetensors.torch import save_file

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.registries import explainers, metrics
from camdbench.core.registry import load_plugin
from camdbench.core.row import Row
from camdbench.explainers.common.trace import Trace
from camdbench.metrics.common.inputs import MetricInputs
from camdbench.metrics.common.result import Curve, MetricResult
from camdbench.models.classifier import Classifier
from camdbench.tables.load import load_curves, load_run
from camdbench.tables.render import to_markdown
from camdbench.tables.summary_tables import summary_tables


def run(out: Path, chosen: str = "gradcam,fakecam", **request: Any) -> pd.DataFrame:
    return camdbench.run(chosen, **{"metrics": "ad,ag,ai", "limit": 40, "device": "cpu", "out": out} | request)


def values(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.drop(columns="run")


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Six pictures in three class folders, as `folder` reads them."""
    root, draw = tmp_path / "data", np.random.default_rng(0)
    for number, name in enumerate(("n01", "n02", "n03")):
        folder = root / "images" / name
        folder.mkdir(parents=True)
        for index in range(2):
            pixels = draw.integers(0, 255, (40 + 10 * number, 50, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}_{index}.png")
    (root / "classes.txt").write_text("n03 cat\nn01 dog\nn02 fox\nn04 owl\n")
    return root


def test_rows_are_tidy_one_for_each_image_explainer_and_metric(tmp_path: Path):
    rows = run(tmp_path / "a-run")
    assert tuple(rows.columns) == Row._fields
    assert len(rows) == 40 * 2 * 3
    assert not rows.duplicated(["model", "explainer", "image", "metric"]).any()
    assert rows["value"].between(0, 100).all()
    assert (rows["target"] == rows["label"]).all()
    assert set(rows["run"]) == {"a-run"}
    assert rows.attrs["run"] == str(tmp_path / "a-run")


def test_values_are_those_of_explain_and_evaluate(tmp_path: Path):
    rows = run(tmp_path / "run", "gradcam", limit=3)
    from camdbench.datasets.open_dataset import check_dataset, open_dataset

    dataset = open_dataset(*check_dataset("shortcuts", "val", None), None)
    samples = [dataset[index] for index in range(3)]
    images, labels = torch.stack([sample.image for sample in samples]), [sample.label for sample in samples]
    model = camdbench.load_classifier("shortcuts-ce", device="cpu")
    maps = camdbench.explain(model, images, "gradcam", targets=labels)
    scores = camdbench.evaluate(model, images, labels, maps.maps, "ad,ag,ai")
    np.testing.assert_allclose(rows["value"], scores.sort_values(["image"], kind="stable")["value"], rtol=1e-4, atol=1e-4)


def test_batch_size_changes_no_value(tmp_path: Path):
    chosen = "gradcam,opticam(iterations=3),random"
    one, many = (run(tmp_path / str(size), chosen, batch_size=size, limit=10) for size in (3, 16))
    pd.testing.assert_frame_equal(values(one), values(many), rtol=1e-3, atol=1e-3)


def test_all_trace_methods_cost_one_forward_and_one_tail_backward_and_metrics_one_masked_pass(tmp_path: Path):
    run(tmp_path, "gradcam,hirescam,fakecam")
    record = load_run(tmp_path)
    passes = record["sessions"][0]["passes"]
    assert passes == {"forward": 40 + 3 * 40, "backward": 0, "tail_forward": 0, "tail_backward": 40}
    costs = pd.read_parquet(tmp_path / "usage").astype({"explainer": str})
    alone = costs[costs["stage"] != "metrics"].groupby("explainer")[["forward", "backward", "tail_backward"]].sum()
    assert alone.loc["hirescam"].tolist() == [40, 0, 40]  # what it would cost by itself
    assert alone.loc["fakecam"].tolist() == [0, 0, 0]
    assert (costs["seconds"] >= 0).all()
    assert (costs["peak_memory_mb"] > 0).all()


def test_opticam_costs_one_forward_and_backward_for_each_iteration_and_one_forward_of_its_copy(tmp_path: Path):
    run(tmp_path, "opticam(iterations=4)", metrics="ad", limit=8)
    passes = load_run(tmp_path)["sessions"][0]["passes"]
    assert passes == {"forward": 8 * (1 + 1 + 4 + 1), "backward": 8 * 4, "tail_forward": 0, "tail_backward": 0}


def test_a_finished_run_is_not_done_again(tmp_path: Path):
    first = run(tmp_path)
    stamps = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    second = run(tmp_path)
    assert stamps == {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    pd.testing.assert_frame_equal(first, second)


def test_explainers_can_be_added_later_and_only_they_are_computed(tmp_path: Path):
    run(tmp_path, "gradcam")
    both = run(tmp_path, "fakecam,gradcam")
    record = load_run(tmp_path)
    assert set(both["explainer"]) == {"gradcam", "fakecam"}
    assert record["sessions"][1]["passes"]["tail_backward"] == 0
    assert list(record["explainers"]) == ["gradcam", "fakecam"]
    assert set(run(tmp_path, "fakecam")["explainer"]) == {"fakecam"}


def test_a_plug_in_that_changes_makes_another_run_and_one_that_is_not_used_does_not(tmp_path: Path):
    file = tmp_path / "mine.py"
    code = (
        "from camdbench import explainer\n"
        "@explainer({name!r}, paper='mine')\n"
        "def mine(trace):\n    'Bright.'\n    return trace.images.mean(1) ** {power}\n"
    )
    run(tmp_path / "other", "fakecam", limit=4)
    file.write_text(code.format(name="bright", power=1))
    load_plugin(file)
    run(tmp_path / "other", "fakecam", limit=4)
    run(tmp_path / "run", "bright", limit=4)
    run(tmp_path / "run", "bright", limit=4)
    run(tmp_path / "other", "bright,fakecam", limit=4)  # one more explainer may join
    del explainers._live["bright"]
    file.write_text(code.format(name="bright", power=2))
    load_plugin(file)
    with pytest.raises(UsageError, match="holds a run with code of explainer bright"):
        run(tmp_path / "run", "bright", limit=4)


def test_a_folder_that_holds_another_run_is_refused(tmp_path: Path, subtests: pytest.Subtests):
    run(tmp_path, limit=4)
    changes: list[tuple[dict[str, Any], str]] = [
        ({"seed": 1}, "seed 0, not 1"),
        ({"metrics": "ad"}, "metrics"),
        ({"limit": 8}, "limit 4, not 8"),
        ({"target": "predicted"}, "target label, not predicted"),
        ({"precision": "bf16"}, "precision fp32, not bf16"),
        ({"optimize": "layout"}, "optimize none, not layout"),
    ]
    for change, what in changes:
        with subtests.test(what), pytest.raises(UsageError, match=f"holds a run with {what}"):
            run(tmp_path, **{"limit": 4} | change)


def test_the_folder_named_by_default_is_the_same_for_the_same_request(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    roots = [run(None, seed=seed, limit=4).attrs["run"] for seed in (0, 0, 1)]  # type: ignore[arg-type]
    assert roots[0] == roots[1] != roots[2]
    assert Path(roots[0]).parts[0] == "runs"


def test_the_record_names_everything_that_values_depend_on(tmp_path: Path):
    run(tmp_path)
    record = load_run(tmp_path)
    assert record["config"]["seed"] == 0
    assert len(record["ids"]) == 40
    assert len(record["models"]["shortcuts-ce"]["weights_hash"]) == len(record["code"]) == len(record["dataset"]["fingerprint"]) == 16
    about = record["metrics"]["ag"]
    assert (about["protocol"], about["higher_is_better"], about["unit"], about["scope"]) == ("opticam", True, "%", "map")
    assert about["switches"]["masking"] == "pixels"
    assert about["options"] == {"keep": 1.0}
    assert len(about["protocol_hash"]) == 8
    assert record["explainers"]["fakecam"]["control"] is True
    assert record["explainers"]["gradcam"]["layers"] == {"shortcuts-ce": record["models"]["shortcuts-ce"]["layer"]}
    (session,) = record["sessions"]
    assert session["machine"]["device"] == "cpu"
    assert session["versions"]["torch"] == torch.__version__.partition("+")[0]
    assert session["start"] <= session["end"]


def test_several_models_stand_side_by_side(tmp_path: Path, pictures: Path):
    rows = run(
        tmp_path / "run",
        "gradcam",
        models="squeezenet1_1@random,mobilenet_v3_small@random",
        dataset="folder(size=64)",
        data_root=pictures,
        limit=4,
    )
    assert list(rows["model"].unique()) == ["squeezenet1_1@random", "mobilenet_v3_small@random"]
    assert len(rows) == 2 * 4 * 3


def test_labels_follow_the_order_of_the_classes_file(tmp_path: Path, pictures: Path):
    rows = run(tmp_path / "run", "fakecam", models="squeezenet1_1@random", dataset="folder(size=64)", data_root=pictures, limit=None)
    assert dict(zip(rows["image"], rows["label"], strict=True))["n01/n01_0.png"] == 1
    assert dict(zip(rows["image"], rows["label"], strict=True))["n03/n03_1.png"] == 0


def test_labels_of_fewer_classes_than_the_network_s_are_doubted_in_a_line(
    tmp_path: Path, pictures: Path, capsys: pytest.CaptureFixture[str]
):
    file = tmp_path / "weights.safetensors"
    save_file(torchvision.models.squeezenet1_1().state_dict(), file)
    words = ["run", "-q", "-e", "centre", "--models", "squeezenet1_1", "--weights", str(file)]
    data = ["--dataset", "folder(size=64)", "--data-root", str(pictures)]
    line = "warning: data set folder(size=64) has 4 classes and model "
    assert run_cli([*words, *data, "--out", str(tmp_path / "doubted")]) == 0
    assert [text.startswith(line) for text in capsys.readouterr().err.splitlines()] == [True]
    assert run_cli([*words, *data, "--out", str(tmp_path / "predicted"), "--target", "predicted"]) == 0
    alike = ["--dataset", "shortcuts(classes=4)", "--limit", "4", "--out", str(tmp_path / "alike")]
    assert run_cli(["run", "-q", "-e", "centre", *alike]) == 0
    assert capsys.readouterr().err == ""


def test_a_damaged_picture_becomes_rows_with_a_reason_and_the_others_go_on(tmp_path: Path, pictures: Path):
    bad = pictures / "images" / "n02" / "n02_0.png"
    bad.write_bytes(bad.read_bytes()[:300])
    rows = run(tmp_path / "run", "gradcam,fakecam", models="squeezenet1_1@random", dataset="folder(size=64)", data_root=pictures)
    failed = rows[rows["status"] == "error"]
    assert set(failed["image"]) == {"n02/n02_0.png"}
    assert len(failed) == 2 * 3
    assert failed["value"].isna().all()
    assert failed["reason"].str.contains("n02_0.png: cannot be decoded").all()
    assert (failed["target"] == -1).all()
    assert (rows[rows["status"] != "error"]["value"]).notna().all()
    assert list(rows["image"].unique()) == sorted(rows["image"].unique())


def test_a_network_that_gives_nan_gets_error_rows_not_perfect_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    forward = Classifier.forward
    monkeypatch.setattr(Classifier, "forward", lambda self, images: forward(self, images) * torch.nan)
    rows = run(tmp_path, "gradcam,fakecam,opticam(iterations=2)", limit=4)
    assert set(rows["status"]) == {"error"}
    assert set(rows["reason"]) == {"the network's logits are not finite"}
    assert rows["value"].isna().all()


def test_an_explainer_that_breaks_costs_only_its_own_rows(tmp_path: Path):
    @explainers.register("broken", paper="a test")
    def broken(trace: Trace) -> torch.Tensor:
        """Fail on every image."""
        raise ZeroDivisionError("no luck\nwith this")

    @explainers.register("refusing", paper="a test")
    def refusing(trace: Trace) -> torch.Tensor:
        """Not for this network."""
        raise camdbench.NotApplicable("needs attention")

    rows = run(tmp_path, "broken,refusing,gradcam", limit=4)
    by_name = rows.groupby("explainer")[["status", "reason"]].agg(set)
    assert by_name.loc["broken"].tolist() == [{"error"}, {"ZeroDivisionError: no luck"}]
    assert by_name.loc["refusing"].tolist() == [{"not_applicable"}, {"needs attention"}]
    assert by_name.loc["gradcam", "status"] == {"ok"}


def test_a_part_of_the_trace_that_cannot_be_had_costs_only_those_who_read_it(tmp_path: Path):
    rows = run(tmp_path, "rawattention,gradcam,fakecam", limit=4)
    assert rows.groupby("explainer")["status"].agg(set).to_dict() == {
        "rawattention": {"not_applicable"},
        "gradcam": {"ok"},
        "fakecam": {"ok"},
    }


def test_a_metric_that_breaks_costs_only_its_own_rows(tmp_path: Path):
    @metrics.register("broken", paper="a test", higher_is_better=True, unit="", tolerance=0.0)
    def broken(inputs: MetricInputs) -> torch.Tensor:
        """Fail on every image."""
        raise IndexError("out of range")

    rows = run(tmp_path, "gradcam", metrics="broken,ad", limit=4)
    assert rows[rows["metric"] == "ad"]["value"].notna().all()
    assert set(rows[rows["metric"] == "broken"]["reason"]) == {"IndexError: out of range"}


def documented(function: Any) -> Any:
    """A lambda with the docstring that registries require."""
    function.__doc__ = "Made for a test."
    return function


WRONG_MAPS: dict[str, Any] = {
    "rowless": lambda trace: torch.rand(len(trace.images), 7),
    "single": lambda trace: torch.rand(1, 7, 7),
    "coloured": lambda trace: torch.rand(len(trace.images), 3, 7, 7),
    "empty": lambda trace: torch.rand(len(trace.images), 0, 7),
    "number": lambda trace: torch.tensor(1.0),
    "complexes": lambda trace: torch.rand(len(trace.images), 7, 7, dtype=torch.complex64),
    "sparse": lambda trace: torch.rand(len(trace.images), 7, 7).to_sparse(),
    "meta": lambda trace: torch.rand(len(trace.images), 7, 7, device="meta"),
    "array": lambda trace: np.ones((len(trace.images), 7, 7)),
    "nothing": lambda trace: None,
}


def test_an_explainer_that_returns_no_map_of_each_image_costs_only_its_own_rows(tmp_path: Path):
    for name, returned in WRONG_MAPS.items():
        explainers.register(name, paper="a test")(documented(returned))
    explainers.register("mask", paper="a test")(documented(lambda trace: trace.images[:, 0] > 0.5))
    rows = run(tmp_path / "all", ",".join(["gradcam", "mask", *WRONG_MAPS, "power(single)"]), limit=4)
    for name in (*WRONG_MAPS, "power(single)"):
        own = rows[rows["explainer"].str.startswith(name)]
        assert set(own["status"]) == {"error"}, name
        assert own["value"].isna().all()
        inner = "single" if "power" in name else name
        (reason,) = set(own["reason"])
        assert reason.startswith(f"explainer {inner} returned ")
        assert reason.endswith("; expected a tensor (4, h, w) of real numbers")
    assert set(rows[rows["explainer"] == "mask"]["status"]) == {"ok"}
    alone = run(tmp_path / "alone", "gradcam", limit=4)
    assert rows[rows["explainer"] == "gradcam"]["value"].tolist() == alone["value"].tolist()


WRONG_VALUES: dict[str, tuple[Any, str]] = {
    "listed": (lambda inputs: [1.0] * len(inputs), "metric listed: returned list; expected a tensor (4,) of real numbers"),
    "mean_of_all": (lambda inputs: torch.tensor(1.0), "metric mean_of_all: returned torch.float32 of shape (); expected real numbers"),
    "per_class": (lambda inputs: torch.ones(len(inputs), 2), "of shape (4, 2); expected real numbers of shape (4,)"),
    "imaginary": (lambda inputs: torch.ones(len(inputs), dtype=torch.complex64), "metric imaginary: returned torch.complex64"),
    "infinite": (lambda inputs: torch.full((len(inputs),), torch.inf), "the metric's value is infinite"),
    "absent": (lambda inputs: MetricResult(torch.ones(len(inputs)), torch.ones(len(inputs))), "undefined: returned torch.float32"),
    "short_curve": (
        lambda inputs: MetricResult(torch.ones(len(inputs)), curves={"c": Curve(torch.ones(3), torch.ones(len(inputs), 2))}),
        "metric short_curve: y of curve c: returned torch.float32 of shape (4, 2); expected real numbers of shape (4, 3)",
    ),
}


def test_a_metric_that_returns_no_value_of_each_image_costs_only_its_own_rows(tmp_path: Path):
    for name, (returned, _) in WRONG_VALUES.items():
        metrics.register(name, paper="a test", higher_is_better=True, unit="")(documented(returned))
    metrics.register("truth", paper="a test", higher_is_better=True, unit="")(documented(lambda inputs: inputs.saliency.amax((1, 2)) > 2))
    rows = run(tmp_path, "gradcam", metrics=",".join([*WRONG_VALUES, "truth", "ad"]), limit=4)
    for name, (_, reason) in WRONG_VALUES.items():
        own = rows[rows["metric"] == name]
        assert set(own["status"]) == {"error"}, name
        assert own["value"].isna().all()
        assert reason in own["reason"].iloc[0]
    assert rows[rows["metric"] == "truth"]["value"].tolist() == [0.0] * 4
    assert set(rows[rows["metric"] == "ad"]["status"]) == {"ok"}


def test_a_map_that_says_nothing_is_flagged(tmp_path: Path):
    @explainers.register("flat", paper="a test")
    def flat(trace: Trace) -> torch.Tensor:
        """Three everywhere."""
        return torch.full((len(trace.images), 5, 5), 3.0)

    @explainers.register("nanmap", paper="a test")
    def nanmap(trace: Trace) -> torch.Tensor:
        """Not a number."""
        return torch.full((len(trace.images), 5, 5), torch.nan)

    rows = run(tmp_path, "flat,nanmap", limit=4)
    assert set(rows[rows["explainer"] == "flat"]["status"]) == {"constant_map"}
    assert rows[rows["explainer"] == "flat"]["value"].notna().all()
    assert set(rows[rows["explainer"] == "nanmap"]["reason"]) == {"the map is not finite"}


def test_out_of_memory_halves_the_batch_and_changes_no_value(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    expected = run(tmp_path / "roomy", limit=20)
    forward, seen = Classifier.forward, list[int]()

    def cramped(self: Classifier, images: torch.Tensor) -> torch.Tensor:
        seen.append(len(images))
        if len(images) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return forward(self, images)

    monkeypatch.setattr(Classifier, "forward", cramped)
    rows = run(tmp_path / "cramped", limit=20)
    pd.testing.assert_frame_equal(values(rows), values(expected), rtol=1e-3, atol=1e-3)
    assert [size for size in seen if size > 5] == [16, 8]  # learned once, not tried again
    assert load_run(tmp_path / "cramped")["sessions"][0]["batch_size"] == 4


def test_an_image_that_never_fits_becomes_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    forward = Classifier.forward

    def full(self: Classifier, images: torch.Tensor) -> torch.Tensor:
        if self._backward_kind == "tail_backward":
            raise RuntimeError("[enforce fail at alloc_cpu.cpp:117] . DefaultCPUAllocator: can't allocate memory")
        return forward(self, images)

    monkeypatch.setattr(Classifier, "forward", full)
    rows = run(tmp_path, "gradcam", limit=3)
    assert set(rows["reason"]) == {"out of memory with a batch of one image"}


def test_saved_maps_are_the_raw_maps_to_half_precision(tmp_path: Path):
    from safetensors.torch import load_file

    from camdbench.runner.saved_maps import unpack

    rows = run(tmp_path, "gradcam", limit=4, save_maps="raw")
    (file,) = (tmp_path / "maps").rglob("*.safetensors")
    saved = unpack(load_file(file))
    from camdbench.datasets.open_dataset import check_dataset, open_dataset

    dataset = open_dataset(*check_dataset("shortcuts", "val", None), None)
    images = torch.stack([dataset[index].image for index in range(4)])
    raw = camdbench.explain("shortcuts-ce", images, "gradcam", targets=list(rows.drop_duplicates("image")["label"])).raw
    torch.testing.assert_close(torch.stack([saved[place] for place in range(4)]), raw, rtol=2e-3, atol=1e-6)
    assert len(saved) == 4


def test_a_layer_without_gradient_or_of_another_network_is_refused_before_any_work(tmp_path: Path):
    with pytest.raises(UsageError, match=r"layer 'fc' of shortcuts-ce cannot be explained.*use layer='layer3.1'"):
        run(tmp_path / "run", "gradcam(layer='fc')")
    with pytest.raises(UsageError, match="shortcuts-ce: no layer 'layer9'"):
        run(tmp_path / "run", layer="layer9")
    assert not (tmp_path / "run").exists()


@each(
    ("change", "message"),
    [
        ({"target": 8}, "--target = 8: model shortcuts-ce has classes 0 to 7"),
        ({"device": "gpu"}, "--device gpu: expected auto, cpu, cuda"),
        ({"device": "cuda:9"}, "this machine has .* cuda device"),
        ({"batch_size": 0}, "--batch-size 0"),
        ({"mean": 0.5}, "knows its own mean and std"),
    ],
)
def test_what_only_the_model_knows_is_refused_too(tmp_path: Path, change: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message):
        run(tmp_path / "run", **change)


def test_a_size_that_the_network_does_not_take_is_refused_with_the_size_it_was_made_for(tmp_path: Path):
    for chosen in ("gradcam", "fakecam"):
        with pytest.raises(UsageError, match=r"vit_b_16@random does not take images of 96 x 96 pixels .*made for 224 x 224"):
            run(tmp_path / "run", chosen, models="vit_b_16@random")
    assert not (tmp_path / "run").exists()


def test_labels_that_the_model_does_not_have_are_refused(tmp_path: Path):
    for number in range(9):
        folder = tmp_path / "data" / f"class{number}"
        folder.mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(folder / "a.png")
    with pytest.raises(UsageError, match="labels up to 8, but model shortcuts-ce has 8 classes"):
        run(tmp_path / "run", dataset="folder(size=96)", data_root=tmp_path / "data")


def test_a_folder_of_nothing_but_damaged_pictures_is_a_failure(tmp_path: Path):
    (tmp_path / "data" / "a").mkdir(parents=True)
    (tmp_path / "data" / "a" / "x.png").write_bytes(b"no picture")
    with pytest.raises(CamdbenchError, match="none of the 1 images can be read"):
        run(tmp_path / "run", dataset="folder", data_root=tmp_path / "data")


def test_a_picture_of_one_pixel_is_explained(tmp_path: Path):
    (tmp_path / "data" / "a").mkdir(parents=True)
    Image.new("RGB", (1, 1), (200, 30, 30)).save(tmp_path / "data" / "a" / "x.png")
    data = {"dataset": "folder(size=96)", "data_root": tmp_path / "data", "target": "predicted"}
    rows = run(tmp_path / "run", "gradcam,opticam(iterations=2),fakecam", **data)
    assert set(rows["status"]) <= {"ok", "constant_map"}
    assert rows["value"].notna().all()


class TestMetricsOfTheModelAlone:
    @pytest.fixture(autouse=True)
    def seen(self) -> list[int]:
        """A metric of the model, which counts the images that it was asked about."""
        asked = list[int]()

        @metrics.register("right", paper="a test", higher_is_better=True, unit="%", tolerance=0.0, scope="model")
        def right(inputs: MetricInputs) -> torch.Tensor:
            """Whether the prediction is the label."""
            asked.append(len(inputs))
            return 100.0 * (inputs.predictions == inputs.labels)

        return asked

    def test_they_are_measured_once_whatever_explains(self, tmp_path: Path, seen: list[int]):
        rows = run(tmp_path, "gradcam,fakecam", metrics="ad,right", limit=5)
        assert sum(seen) == 5
        assert set(rows[rows["metric"] == "right"]["explainer"]) == {"none"}
        assert len(rows) == 5 * 3

    def test_explainers_do_not_run_where_nothing_looks_at_their_maps(self, tmp_path: Path):
        rows = run(tmp_path, "gradcam,fakecam", metrics="right", limit=5)
        assert set(rows["explainer"]) == {"none"}
        passes = load_run(tmp_path)["sessions"][0]["passes"]
        assert passes == {"forward": 5, "backward": 0, "tail_forward": 0, "tail_backward": 0}

    def test_none_is_enough_for_them_and_for_nothing_else(self, tmp_path: Path):
        assert len(run(tmp_path / "a", "none", metrics="right", limit=3)) == 3
        with pytest.raises(UsageError, match="--explainers none: metric ad scores saliency maps"):
            run(tmp_path / "b", "none", metrics="ad,right", limit=3)

    def test_they_stand_in_a_table_of_their_own(self, tmp_path: Path):
        run(tmp_path, "gradcam", metrics="ad,right", limit=4)
        explained, alone = to_markdown(summary_tables(camdbench.summarise(tmp_path))).split("### ")[1:]
        assert "| explainer | ad" in explained
        assert alone.startswith("models · shortcuts val")
        assert "| model | right" in alone
        assert "`shortcuts-ce`" in alone


class TestCurves:
    @pytest.fixture(autouse=True)
    def _ramp(self) -> None:
        """A metric with a curve behind its value, undefined for the second image of a batch."""

        @metrics.register("ramp", paper="a test", higher_is_better=True, unit="", tolerance=0.0, undefined="it is the second")
        def ramp(inputs: MetricInputs) -> MetricResult:
            """A straight line."""
            own = torch.tensor([float(name[-1]) for name in inputs.ids])
            undefined = own == 1
            y = own[:, None] * torch.tensor([0.0, 0.5, 1.0])
            return MetricResult(torch.where(undefined, torch.nan, own), undefined, {"line": Curve(torch.tensor([0.0, 0.5, 1.0]), y)})

    def test_they_are_tidy_rows_of_the_images_that_have_a_value(self, tmp_path: Path):
        rows = run(tmp_path, "gradcam", metrics="ramp,ad", limit=4)
        ramp = rows[rows["metric"] == "ramp"]
        assert ramp["status"].tolist() == ["ok", "undefined", "ok", "ok"]
        assert ramp["reason"].tolist() == ["", "it is the second", "", ""]
        points = load_curves(tmp_path)
        assert set(points["metric"]) == {"ramp"}
        assert len(points) == 3 * 3
        last = points[points["x"] == 1.0].set_index("image")["value"]
        assert last.to_dict() == ramp[ramp["status"] == "ok"].set_index("image")["value"].to_dict()

    def test_undefined_images_are_counted_and_no_failure(self, tmp_path: Path):
        run(tmp_path, "gradcam", metrics="ramp", limit=4)
        (cell,) = camdbench.summarise(tmp_path).to_dict("records")
        assert (cell["n"], cell["n_undefined"], cell["n_failed"]) == (3, 1, 0)
        assert cell["mean"] == pytest.approx((0 + 2 + 3) / 3)


class TestWhichImages:
    def test_a_sample_is_drawn_by_the_seed_and_is_part_of_a_larger_one(self, tmp_path: Path):
        def drawn(folder: str, **request: Any) -> list[str]:
            return run(tmp_path / folder, "fakecam", metrics="ad", limit=None, **request)["image"].tolist()

        few, more, other = drawn("a", sample=4), drawn("b", sample=8), drawn("c", sample=4, seed=1)
        assert len(few) == 4
        assert set(few) < set(more)
        assert set(few) != set(other)

    def test_a_file_names_the_images_in_its_order(self, tmp_path: Path):
        names = run(tmp_path / "all", "fakecam", metrics="ad", limit=6)["image"].tolist()
        file = tmp_path / "ids.txt"
        file.write_text(f"{names[4]}\n\n# a remark\n{names[1]}\n")
        rows = run(tmp_path / "some", "fakecam", metrics="ad", limit=None, image_ids=file)
        assert rows["image"].tolist() == [names[4], names[1]]
        file.write_text(names[2])
        with pytest.raises(UsageError, match="holds a run with images"):
            run(tmp_path / "some", "fakecam", metrics="ad", limit=None, image_ids=file)

    def test_a_list_that_is_not_there_is_refused_before_any_work(self, tmp_path: Path):
        with pytest.raises(UsageError, match=r"--image-ids .*none\.txt: no such file"):
            run(tmp_path / "run", image_ids=tmp_path / "none.txt")
        assert not (tmp_path / "run").exists()

    @pytest.mark.parametrize("workers", [1, 2])
    def test_reading_in_other_processes_changes_no_row(self, tmp_path: Path, pictures: Path, workers: int):
        (pictures / "images" / "n02" / "broken.png").write_bytes(b"not a picture")
        request = {"dataset": "folder(size=64)", "data_root": pictures, "models": "resnet18@random", "target": "predicted", "limit": None}
        here, there = (run(tmp_path / f"run{number}", workers=number, **request) for number in (0, workers))
        pd.testing.assert_frame_equal(values(here), values(there))
        assert (here["status"] == "error").sum() == 6

    def test_boxes_that_a_crop_loses_are_counted_in_the_record(self, tmp_path: Path, pictures: Path):
        (pictures / "boxes.csv").write_text("image,x0,y0,x1,y1\nn01/n01_0.png,0,0,1,1\nn01/n01_0.png,8,8,30,30\n")
        request = {"dataset": "folder(size=64)", "data_root": pictures, "models": "resnet18@random", "target": "predicted", "limit": None}
        run(tmp_path / "run", "fakecam", **request)
        (session,) = load_run(tmp_path / "run")["sessions"]
        assert session["boxes_dropped"] == 1


def test_a_configuration_may_be_a_mapping_or_a_yaml_file(tmp_path: Path) -> None:
    options = {"explainers": ["gradcam", "centre"], "metrics": "ad", "limit": 2, "device": "cpu"}
    (tmp_path / "run.yaml").write_text("explainers: [gradcam, centre]\nmetrics: ad\nlimit: 5\ndevice: cpu\nout: made\n")
    rows = camdbench.run(config=options, out=tmp_path / "mapping")
    file = camdbench.run(config=tmp_path / "run.yaml", limit=2)  # options beside it take precedence
    assert Path(file.attrs["run"]) == tmp_path / "made"
    pd.testing.assert_frame_equal(values(rows), values(file))


@pytest.mark.parametrize(
    ("text", "message"),
    [("explainer: gradcam", "did you mean 'explainers'"), ("- gradcam", "expected fields such as"), (None, "cannot be read")],
)
def test_a_wrong_file_of_options_is_refused(tmp_path: Path, text: str | None, message: str) -> None:
    if text is not None:
        (tmp_path / "run.yaml").write_text(text)
    with pytest.raises(UsageError, match=message):
        camdbench.run(config=tmp_path / "run.yaml")


def test_progress_goes_to_the_logger_and_nothing_is_printed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
):
    with caplog.at_level("INFO", logger="camdbench"):
        run(tmp_path / "run", "fakecam,centre", metrics="ad", limit=2)
    assert {(record.name, record.levelname) for record in caplog.records} == {("camdbench", "INFO")}
    first, *rest = [record.getMessage() for record in caplog.records]
    assert first == f"{tmp_path / 'run'}: 2 jobs, 0 already done"
    assert rest == ["2 jobs done: shortcuts-ce, images 0-1"]
    assert capsys.readouterr() == ("", "")
