"""Each verb end to end, on the embedded data."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from camdbench.cli.main import run_cli

Said = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")


def test_run_prints_a_table_on_stdout_and_progress_on_stderr(capsys: Said):
    assert (
        run_cli(
            ["run", "--explainers", "gradcam,hirescam,fakecam", "--metrics", "ad,ag", "--limit", "20", "--device", "cpu", "--out", "mine"]
        )
        == 0
    )
    out, err = capsys.readouterr()
    assert all(word in out for word in ("gradcam", "hirescam", "fakecam", "ad", "ag"))
    assert "3 jobs, 0 already done" in err
    assert "3/3 jobs" in err
    assert sorted(path.name for path in Path("mine").iterdir()) == [
        "maps",
        "predictions",
        "rows",
        "run.json",
        "run.yaml",
        "sessions",
        "summary.csv",
        "summary.md",
        "summary.tex",
        "usage",
    ]
    summary = pd.read_csv("mine/summary.csv")
    assert set(summary["explainer"]) == {"gradcam", "hirescam", "fakecam"}
    assert (summary["n"] == 20).all()


def test_quiet_says_nothing_but_the_results(capsys: Said, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delattr("camdbench.runner.run.load_rows")  # a command builds no frame of all rows
    assert run_cli(["run", "-q", "--explainers", "fakecam", "--limit", "4", "--device", "cpu", "--json"]) == 0
    out, err = capsys.readouterr()
    assert {item["metric"] for item in json.loads(out)} == {"ad", "ag", "ai"}
    assert err == ""


def test_a_run_with_a_damaged_picture_exits_with_3_and_says_which(capsys: Said):
    folder = Path("data/a")
    folder.mkdir(parents=True)
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)).save(folder / "good.png")
    (folder / "bad.png").write_bytes((folder / "good.png").read_bytes()[:500])
    assert run_cli(["run", "--explainers", "fakecam", "--dataset", "folder(size=96)", "--data-root", "data", "--device", "cpu"]) == 3
    assert "error: shortcuts-ce, fakecam: bad.png: cannot be decoded" in capsys.readouterr().err


def test_an_explainer_of_ones_own_is_one_file(capsys: Said):
    Path("mine.py").write_text(
        "from camdbench import explainer\n\n\n"
        "@explainer('brightness', paper='mine', control=True)\n"
        "def brightness(trace, *, power: float = 1.0):\n"
        "    '''Where the picture is bright.'''\n"
        "    return trace.images.mean(1) ** power\n"
    )
    assert run_cli(["list", "explainers", "brightness", "--plugin", "mine.py"]) == 0
    assert "power=1.0  (float)" in capsys.readouterr().out
    assert (
        run_cli(["run", "--plugin", "mine.py", "--explainers", "brightness(power=2.0)", "--limit", "4", "--device", "cpu", "--json", "-q"])
        == 0
    )
    assert json.loads(capsys.readouterr().out)[0]["explainer"] == "brightness(power=2.0)"


def test_list_as_json_is_a_list_of_named_objects(capsys: Said):
    for kind in ("explainers", "metrics", "models", "datasets", "losses"):
        assert run_cli(["list", kind, "--json"]) == 0
        items = json.loads(capsys.readouterr().out)
        assert items
        assert all(item["name"] and item["summary"] for item in items)


def test_list_names_what_a_method_takes(capsys: Said):
    assert run_cli(["list", "explainers", "opticam"]) == 0
    out = capsys.readouterr().out
    assert "objective='mask'  (Literal['mask', 'diff', 'iomask', 'iodiff'])" in out
    assert "arXiv:2301.07002" in out


def test_list_shows_formula_range_and_differences_of_a_metric(capsys: Said):
    assert run_cli(["list", "metrics", "road"]) == 0
    out = capsys.readouterr().out
    assert "values            [-50, 50]" in out
    assert r"formula           \frac{50}{|K|}" in out
    assert "differs           pytorch-grad-cam: takes a percentile" in out
    assert "aliases           remove_and_debias" in out


@pytest.mark.parametrize(("alias", "name"), [("gradcam++", "gradcampp"), ("ig", "integratedgradients"), ("mwp", "ebp")])
def test_list_knows_methods_under_the_names_of_other_libraries(capsys: Said, alias: str, name: str):
    assert run_cli(["list", "explainers", alias]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{name}\n")
    assert alias in out


def test_layers_marks_the_default_and_gives_reasons(capsys: Said):
    assert run_cli(["layers", "shortcuts-ce"]) == 0
    out = capsys.readouterr().out
    (line,) = [line for line in out.splitlines() if line.endswith("default")]
    assert line.split()[0] == "layer3.1"
    assert "12 x 12" in line
    assert run_cli(["layers", "shortcuts-ce", "--all", "--json"]) == 0
    problems = {item["name"]: item["problem"] for item in json.loads(capsys.readouterr().out)}
    assert problems["fc"] == "no grid of places in its output"
    assert problems["layer3.1"] == ""


def test_explain_writes_overlays_a_gallery_and_the_maps(capsys: Said):
    assert (
        run_cli(
            ["explain", "chelsea", "rocket", "--explainers", "gradcam,opticam(iterations=2)", "--out", "maps", "--json", "--device", "cpu"]
        )
        == 0
    )
    out, err = capsys.readouterr()
    items = json.loads(out)
    assert err.splitlines()[0].startswith("shortcuts-ce knows 8 drawn shapes alone: disc, triangle, ")
    assert err.splitlines()[-1] == f"open {Path('maps/report.html').resolve().as_uri()}"
    assert [(item["image"], item["explainer"]) for item in items] == [
        ("chelsea", "gradcam"),
        ("chelsea", "opticam(iterations=2)"),
        ("rocket", "gradcam"),
        ("rocket", "opticam(iterations=2)"),
    ]
    for item in items:
        with Image.open(item["overlay"]) as overlay:
            assert overlay.size == {"chelsea": (451, 300), "rocket": (640, 427)}[item["image"]]
    assert Path("maps/gallery.png").is_file()
    assert Path("maps/report.html").is_file()
    with np.load("maps/chelsea.npz") as saved:
        assert saved["gradcam"].shape == (96, 96)
        assert saved["gradcam"].max() == pytest.approx(1)
        assert saved["gradcam/raw"].shape == (12, 12)


def test_drawings_of_the_data_set_are_explained_without_a_word_about_photographs_in_the_colours_asked_for(capsys: Said):
    pixels = np.random.default_rng(0).integers(0, 256, (96, 96, 3), dtype=np.uint8)
    Image.fromarray(pixels).save("drawn.png")
    own = ["explain", "drawn.png", "--explainers", "fakecam", "--preprocess", "resize224_distort", "--device", "cpu", "-m", "ad"]
    assert run_cli([*own, "--colours", "gray"]) == 0
    assert "drawn shapes" not in capsys.readouterr().err
    with Image.open("explanations/drawn-fakecam.png") as overlay, np.load("explanations/drawn.npz") as saved:
        opacity = 0.7 * saved["fakecam"][..., None]
        np.testing.assert_allclose(np.asarray(overlay), (1 - opacity) * pixels + opacity * 255 * saved["fakecam"][..., None], atol=2)
    assert run_cli([*own, "--colours", "turbot"]) == 2
    assert "no colour map 'turbot'; did you mean 'turbo'" in capsys.readouterr().err
    Path("file").write_text("x")
    assert run_cli([*own, "--out", "file/maps"]) == 2
    assert "--out = file" in capsys.readouterr().err


def test_explain_takes_a_class_by_name_and_goes_on_after_a_damaged_picture(capsys: Said):
    Path("bad.png").write_bytes(b"no picture")
    assert run_cli(["explain", "chelsea", "bad.png", "--target", "Star", "--explainers", "gradcam", "--json", "--device", "cpu"]) == 3
    out, err = capsys.readouterr()
    assert [item["class_name"] for item in json.loads(out)] == ["star"]
    assert "error: bad.png: bad.png: cannot be decoded" in err


def test_summarise_prints_every_format(capsys: Said):
    assert run_cli(["run", "-q", "--explainers", "gradcam,fakecam", "--limit", "8", "--device", "cpu", "--out", "mine"]) == 0
    capsys.readouterr()
    for form, mark in {
        "table": "gradcam",
        "csv": "dataset,split,model",
        "markdown": "| explainer |",
        "latex": r"\toprule",
        "json": '"explainer"',
    }.items():
        assert run_cli(["summarise", "mine", "--format", form]) == 0
        assert mark in capsys.readouterr().out


def test_check_passes_on_its_own_values_and_exits_with_4_when_one_moved(capsys: Said):
    run = ["run", "-q", "--explainers", "gradcam,fakecam", "--limit", "8", "--device", "cpu", "--out", "mine"]
    assert run_cli(run) == 0
    assert run_cli(["check", "mine", "--against", "golden.csv", "--update"]) == 0
    assert run_cli(["check", "mine", "--against", "golden.csv"]) == 0
    golden = pd.read_csv("golden.csv")
    golden.loc[(golden["explainer"] == "gradcam") & (golden["metric"] == "ad"), "mean"] += 5
    golden.to_csv("golden.csv", index=False)
    capsys.readouterr()
    assert run_cli(["check", "mine", "--against", "golden.csv"]) == 4
    out = capsys.readouterr().out
    assert "gradcam" in out
    assert "fakecam" not in out
    assert run_cli(["check", "mine/summary.csv", "--against", "golden.csv", "--json"]) == 4
    cells = json.loads(capsys.readouterr().out)
    assert [cell["status"] for cell in cells] == ["moved", *["ok"] * 5]
    assert cells[0]["difference"] == pytest.approx(-5)
    assert (cells[0]["golden_n"], cells[0]["run_n"], cells[0]["tolerance"]) == (8, 8, 0.1)
    golden.drop(index=0).to_csv("golden.csv", index=False)
    assert run_cli(["check", "mine", "--against", "golden.csv", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[-1]["golden_n"] is None


def test_train_makes_a_checkpoint_that_run_takes(capsys: Said):
    Path("tiny.yaml").write_text(
        "name: tiny\nnetwork: shortcuts\n"
        "data: {dataset: shortcuts(size=32), train: train, limit: 64, evaluation: [val], evaluation_limit: 16}\n"
        "loss: ce\nepochs: 1\nbatch_size: 16\nseed: 0\n"
    )
    assert run_cli(["train", "--recipe", "tiny.yaml", "--out", "made", "--device", "cpu", "-q"]) == 0
    path = capsys.readouterr().out.strip()
    assert Path(path).name == "tiny.safetensors"
    words = [
        "run",
        "-q",
        "--models",
        path,
        "--dataset",
        "shortcuts(size=32)",
        "--explainers",
        "gradcam",
        "--limit",
        "4",
        "--device",
        "cpu",
        "--json",
    ]
    assert run_cli(words) == 0
    assert json.loads(capsys.readouterr().out)[0]["model"] == "tiny"
