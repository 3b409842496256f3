"""What recipes need: passes as the runs count them, and a listing that costs nothing."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from helpers.each import each
from helpers.toys import toy_batch, toy_classifier

from camdbench.cli.main import run_cli
from camdbench.core.registries import explainers, passes_of
from camdbench.explainers.common.explain import explain
from camdbench.papers.recipe_files import load_table, recipe_files
from camdbench.papers.requirements import requirements
from camdbench.runner.timing import Pace


@each(
    ("spec", "text"),
    [
        ("fakecam", "0"),
        ("gradcam", "2"),
        ("opticam", "202"),
        ("opticam(iterations=50)", "102"),
        ('opticam(objective="iomask")', "402"),
        ('opticam(search_dtype="network")', "201"),
        ("lime(samples=10)", "11"),
        ("gradientshap(samples=5)", "11"),
        ("extremal", "6,402"),
        ("extremal(max_iter=1)", "10"),
        ("scorecam", "at least 2"),
        ("ablationcam", "at least 1"),
        ("inside_box(opticam)", "202"),
        ("augsmooth(gradcam)", "12"),
        ("tibav", "2"),
    ],
)
def test_passes_are_read_from_an_explainers_cost(spec: str, text: str) -> None:
    assert str(passes_of(explainers.parse_one(spec))) == text


@each("spec", ["gradcam", "layercam", "opticam(iterations=3)", "smoothgrad(samples=4)", "lime(samples=6)", "augsmooth(gradcam)"])
def test_passes_are_those_that_the_network_counts(spec: str) -> None:
    classifier, batch = toy_classifier("dense"), toy_batch()
    before = classifier.passes
    explain(classifier, batch.images[:1], spec, targets=batch.labels[:1])
    assert (classifier.passes - before).total() == passes_of(explainers.parse_one(spec)).total


def test_a_recipe_names_its_data_weights_and_networks() -> None:
    wanted = requirements(load_table("cgc-table1"))
    assert wanted.data == ("imagenet",)
    assert wanted.weights == ("resnet18@IMAGENET1K_V1", "resnet50@IMAGENET1K_V1")
    assert (wanted.trained, wanted.cells, wanted.missing) == (4, 18, 0)
    assert set(wanted.work) == {"resnet18", "resnet50"}


def test_work_is_passes_times_images() -> None:
    work = requirements(load_table("opticam-figa5")).work
    assert work["vgg16_bn"].total == 1000 * 4 * sum(2 + 2 * iterations for iterations in (10, 20, 50, 100, 200))


def test_the_listing_has_one_line_for_each_recipe(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["list", "recipes"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(recipe_files())
    assert any("passes/image at least 15,438" in line for line in lines)


def test_the_listing_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["list", "recipes", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert {entry["name"] for entry in entries} == set(recipe_files())
    assert all(entry["cells"] >= entry["printed values"] for entry in entries)


def test_one_recipe_is_described_with_an_estimate(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("camdbench.runner.timing.paces", lambda names: dict.fromkeys(names, Pace(0.001, 0.001)))
    assert run_cli(["list", "recipes", "opticam-figa5"]) == 0
    out = capsys.readouterr().out
    assert "estimated time            51.3 minutes for the explainers" in out  # 3,080 passes x 1,000 images x 1 ms
    assert "- The figure prints no numbers" in out


def test_an_unknown_recipe_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["list", "recipes", "opticam-table0"]) == 2
    assert "did you mean" in capsys.readouterr().err


def test_the_listing_imports_nothing_heavy() -> None:
    code = (
        "import sys\nfrom camdbench.cli.main import run_cli\nassert run_cli(['list', 'recipes']) == 0\n"
        "print(sorted({'torch', 'pandas', 'scipy'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert done.stdout.splitlines()[-1] == "[]"
