"""A request is check_config before any work, and before torch is imported."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from helpers.each import each
from PIL import Image

import camdbench
from camdbench.core.errors import UsageError
from camdbench.core.settings import make_config
from camdbench.core.spec import Spec
from camdbench.runner.config import Request, RunConfig, check_config
from camdbench.runner.run import read_config

PLAIN: dict[str, Any] = {"explainers": "opticam(iterations=50),gradcam", "metrics": "ad,ag"}


def check(options: dict[str, Any]) -> Request:
    return check_config(make_config(RunConfig, options))


def test_a_plain_request_gets_its_defaults():
    request = check(PLAIN)
    assert [str(spec) for spec in request.explainers] == ["opticam(iterations=50)", "gradcam"]
    assert (request.split, request.config.limit, request.target_rule) == ("val", 64, "label")


def test_a_default_that_is_spelled_out_is_the_same_request():
    assert check(PLAIN | {"explainers": "gradcam(relu=True)"}) == check(PLAIN | {"explainers": "gradcam"})


def test_all_are_all_that_the_data_set_can_serve_methods_first(tmp_path: Path):
    everything = [spec.name for spec in check(PLAIN | {"explainers": "all"}).explainers]
    assert {"opticam", "gradcam", "gtbox", "gtmask", "fakecam"} <= set(everything)
    assert not {"inside_box", "power"} & set(everything)
    assert everything.index("opticam") < everything.index("fakecam")
    without_boxes = check(PLAIN | {"explainers": "all", "dataset": "folder", "data_root": tmp_path}).explainers
    assert {spec.name for spec in without_boxes} == set(everything) - {"gtbox", "gtbox_complement", "gtmask"}


def test_one_is_left_out_of_all_and_may_be_replaced():
    everything, controls = (check(PLAIN | {"explainers": group}).explainers for group in ("all", "controls"))
    assert check(PLAIN | {"explainers": "all, -Grad-CAM"}).explainers == tuple(spec for spec in everything if spec != Spec("gradcam"))
    assert check(PLAIN | {"explainers": ["-random", "controls"]}).explainers == tuple(spec for spec in controls if spec != Spec("random"))
    found = check(PLAIN | {"explainers": "all,-extremal,extremal(max_iter=20)"}).explainers
    assert [str(spec) for spec in found if spec.name == "extremal"] == ["extremal(max_iter=20)"]
    assert len(found) == len(everything)
    metrics = check(PLAIN | {"metrics": "all"}).metrics
    assert check(PLAIN | {"metrics": "all,-cgc_loss,-ad"}).metrics == tuple(spec for spec in metrics if spec.name not in ("cgc_loss", "ad"))


def test_one_that_the_images_do_not_serve_may_be_left_out_too(tmp_path: Path):
    asked = PLAIN | {"dataset": "folder", "data_root": tmp_path}
    assert check(asked | {"explainers": "all,-gtbox"}).explainers == check(asked | {"explainers": "all"}).explainers


def test_a_data_set_on_disk_is_run_whole(tmp_path: Path):
    request = check(PLAIN | {"dataset": "folder", "data_root": tmp_path})
    assert (request.split, request.config.limit) == ("all", None)


@each(
    ("change", "message"),
    [
        ({"explainers": "gradcan"}, "no explainer 'gradcan'; did you mean 'gradcam'"),
        ({"metrics": "ad,ah"}, "no metric 'ah'"),
        ({"metrics": "ad,ad"}, "metric ad is named twice"),
        ({"explainers": "all,-extrema"}, "no explainer 'extrema'; did you mean 'extremal'"),
        ({"explainers": "gradcam,-rise"}, "explainer -rise: only all and controls can leave one out; write all,-rise"),
        ({"metrics": "-ad"}, "metric -ad: only all can leave one out; write all,-ad"),
        ({"explainers": "all,-rise(masks=4)"}, r"explainer -rise\(masks=4\): leave it out by its name alone, -rise"),
        ({"explainers": "all,rise,-rise"}, "explainer rise is named and left out; omit one of the two"),
        ({"explainers": "all,-rise,-rise"}, "explainer rise is named twice"),
        ({"explainers": "all,-"}, "cannot read ''"),
        ({"explainers": "opticam(iteration=5)"}, "opticam: no option 'iteration'; did you mean 'iterations'"),
        ({"explainers": "opticam(iterations=-5)"}, r"opticam\(iterations=-5\): input should be greater than or equal to 0"),
        ({"explainers": "opticam(iterations='many')"}, r"opticam\(iterations='many'\): input should be a valid integer"),
        ({"explainers": "opticam(objective='difference')"}, r"opticam\(objective='difference'\): input should be 'mask'"),
        ({"models": "resnet51"}, "no model 'resnet51'; did you mean 'resnet50'"),
        ({"models": "resnet18,resnet18"}, "a model is named twice"),
        ({"models": "somewhere/checkpoint.safetensors"}, "no such checkpoint"),
        ({"models": "resnet18", "weights": "missing.pth"}, "--weights missing.pth: no such file"),
        ({"models": "resnet18,resnet34", "weights": __file__}, "fits one model, but --models names 2"),
        ({"dataset": "shortcut"}, "no dataset 'shortcut'; did you mean 'shortcuts'"),
        ({"split": "test"}, "shortcuts: no split 'test'"),
        ({"dataset": "shortcuts(split='val')", "split": "train"}, "differs from --dataset"),
        ({"dataset": "folder"}, "set --data-root DIR"),
        ({"data_root": "."}, "rendered, not read; remove --data-root"),
        ({"dataset": "folder", "data_root": ".", "split": "val"}, "has no splits"),
        (
            {"dataset": "folder", "data_root": ".", "explainers": "gtbox"},
            "explainer gtbox: needs boxes, which data set folder does not have",
        ),
        ({"target": "best"}, "--target best: expected label, predicted, runner_up, least_likely or a class index"),
        ({"limit": 0}, "--limit 0: expected at least 1"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(change: dict[str, Any], message: str):
    with pytest.raises(UsageError, match=message) as caught:
        check(PLAIN | change)
    assert "\n" not in str(caught.value)


def test_boxes_that_were_fetched_apart_serve_the_metricsthat_need_them(tmp_path: Path):
    asked = PLAIN | {"dataset": "imagenet", "data_root": tmp_path, "metrics": "le", "models": "resnet50"}
    with pytest.raises(
        UsageError, match=r"metric le: needs boxes, .* imagenet does not have without Annotations/CLS-LOC/.* under --data-root"
    ):
        check(asked)
    (tmp_path / "LOC_val_solution.csv").touch()
    assert [str(spec) for spec in check(asked).metrics] == ["le"]


def test_a_wrong_request_costs_no_import_of_torch():
    code = (
        "import sys, camdbench\n"
        "try: camdbench.run('gradcan')\n"
        "except camdbench.UsageError: pass\n"
        "assert not {'torch', 'torchvision', 'matplotlib'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_plug_ins_of_a_file_are_relative_to_it_and_modules_stay(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    file, absolute = tmp_path / "run.yaml", tmp_path / "elsewhere" / "b.py"
    file.write_text(f"plugins: [a.py, sub/a.py, folder, package.module, module, {absolute}]\n")
    paths = [str(tmp_path / name) for name in ("a.py", "sub/a.py", "folder")]
    assert read_config(file)["plugins"] == [*paths, "package.module", "module", str(absolute)]


def test_tables_and_lists_of_a_file_are_relative_to_it(tmp_path: Path) -> None:
    file, home = tmp_path / "run.yaml", tmp_path
    for given, expected in (
        ("photos.csv", f"{home}/photos.csv"),
        ("mine=sub/photos.CSV(size=64)", f"mine={home}/sub/photos.CSV(size=64)"),
        ("photos.parquet(images='b', classes='names')", f'{home}/photos.parquet(classes="names", images="{home}/b")'),
        ("coco(labels.json, size=64)", f"{home}/labels.json(size=64)"),
        ("/elsewhere/photos.csv(classes='c.txt')", f'/elsewhere/photos.csv(classes="{home}/c.txt")'),
        ("folder(size=64)", "folder(size=64)"),
        ("own.py:pictures(size=8)", f"{home}/own.py:pictures(size=8)"),
    ):
        file.write_text(json.dumps({"dataset": given, "images": "b", "classes": "c.txt"}))
        read = read_config(file)
        assert (read["dataset"], read["images"], read["classes"]) == (expected, f"{home}/b", f"{home}/c.txt")
    file.write_text("classes: names\n")
    assert read_config(file)["classes"] == "names"


def test_a_table_of_a_file_is_read_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home, pictures = tmp_path / "home", tmp_path / "home" / "pictures"
    pictures.mkdir(parents=True)
    for index in range(2):
        Image.new("RGB", (96, 96), (90 * index, 40, 0)).save(pictures / f"{index}.png")
    (home / "photos.csv").write_text("image,label\n0.png,b\n1.png,a\n")
    (home / "order.txt").write_text("\n".join(["a", "b", *map(str, range(6))]) + "\n")
    given = {"dataset": "photos.csv", "images": "pictures", "classes": "order.txt", "preprocess": "keep"}
    (home / "run.yaml").write_text(json.dumps(given | {"explainers": "gradcam", "metrics": "ad"}))
    monkeypatch.chdir(tmp_path)
    rows = camdbench.run(config="home/run.yaml", out=tmp_path / "first")
    assert (list(rows["label"]), set(rows["status"])) == ([1, 0], {"ok"})
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = camdbench.run(config=tmp_path / "first" / "run.yaml", out=tmp_path / "second")  # the written file holds absolute paths
    assert again.drop(columns="run").equals(rows.drop(columns="run"))
    monkeypatch.chdir(home)
    beside = camdbench.run("gradcam", "ad", out=tmp_path / "third", **given)
    monkeypatch.chdir(tmp_path / "elsewhere")
    again = camdbench.run(config=tmp_path / "third" / "run.yaml", out=tmp_path / "fourth")
    assert again.drop(columns="run").equals(beside.drop(columns="run"))
