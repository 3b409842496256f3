"""The report of a run: its numbers are those of the summary, its pictures those of the run, and foreign text stays text."""

from __future__ import annotations

import base64
import hashlib
import html
import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from helpers.report_pages import data_of
from PIL import Image

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.errors import UsageError
from camdbench.reporting.report_provenance import image_command

EVIL = "<img src=x onerror=alert(1)>"


class Reader(HTMLParser):
    """Collects tags, and the values of tables by row."""

    def __init__(self) -> None:
        super().__init__()
        self.tags = list[tuple[str, dict[str, str | None]]]()
        self.rows = list[list[float]]()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag == "th" and dict(attrs).get("scope") == "row":
            self.rows.append([])
        if tag == "td" and "data-value" in dict(attrs):
            self.rows[-1].append(float(dict(attrs)["data-value"] or "nan"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "run"
    camdbench.run("gradcam,saliency,uniform", "ad,ag,insertion", limit=4, out=out)
    return out


def test_values_are_those_of_the_run_and_the_summary(run: Path, tmp_path: Path):
    page = camdbench.report(run, out=tmp_path / "page.html").file
    [block] = data_of(page)["blocks"]
    rows = camdbench.load_rows(run)
    for m, metric in enumerate(block["metrics"]):
        for e, explainer in enumerate(block["explainers"]):
            own = rows[(rows["metric"] == metric["name"]) & (rows["explainer"] == explainer)].sort_values("image")["value"]
            found = np.array([np.nan if value is None else value for value in block["values"][m][e]])
            np.testing.assert_allclose(found, own, rtol=5e-4)
    reader = Reader()
    reader.feed(page.read_text(encoding="utf-8"))
    summary = camdbench.summarise(run)
    means = summary.pivot_table(index="explainer", columns="metric", values="mean", sort=False, dropna=False)
    for line, row in zip(reader.rows[: len(means)], means.to_numpy(), strict=True):  # those of charts follow
        np.testing.assert_array_equal(line[: len(row)], row)


def test_pictures_are_those_of_the_run(run: Path, tmp_path: Path):
    image = data_of(camdbench.report(run, out=tmp_path / "page.html").file)["images"][1]
    sample = camdbench.Resources  # the data set is deterministic, so that the run's own images can be drawn again
    del sample
    from camdbench.core.spec import parse_spec
    from camdbench.datasets.open_dataset import open_dataset

    dataset = open_dataset(parse_spec("shortcuts"), "val", None)
    own = dataset[list(dataset.ids).index(image["id"])]
    shown = np.asarray(Image.open(io.BytesIO(base64.b64decode(image["input"]))).convert("RGB")) / 255
    assert np.abs(shown - own.image.permute(1, 2, 0).numpy()).mean() < 0.03
    assert own.boxes is not None
    np.testing.assert_allclose(image["boxes"], own.boxes.numpy(), atol=0.05)
    classifier = camdbench.load_classifier("shortcuts-ce")
    maps = camdbench.explain(classifier, own.image[None], "gradcam,saliency", targets=own.label)
    for name in ("gradcam", "saliency"):
        found = np.asarray(Image.open(io.BytesIO(base64.b64decode(image["maps"]["shortcuts-ce"][name][0]))).convert("L")) / 255
        assert np.abs(found - maps[name].maps[0].numpy()).mean() < 0.02, name
    probabilities = classifier.network((own.image[None] - classifier.mean) / classifier.std).softmax(1)[0].detach().numpy()
    index, name, probability = image["predictions"]["shortcuts-ce"]
    assert (index, name) == (probabilities.argmax(), dataset.classes[index])
    assert probability == pytest.approx(probabilities.max(), abs=1e-4)
    others = [np.asarray(Image.open(io.BytesIO(base64.b64decode(own[0])))).mean() for own in image["maps"]["shortcuts-ce"].values()]
    assert len(set(others)) == 3


def test_maps_are_those_of_any_kind_of_storage_and_given_ones_are_named(tmp_path: Path):
    maps = {"theirs": np.random.default_rng(0).random((2, 8, 8))}
    found = dict[str, dict[str, np.ndarray]]()
    for kind in ("view", "raw"):
        camdbench.run("gradcam,saliency", "ad", maps=maps, limit=2, device="cpu", save_maps=kind, out=tmp_path / kind)
        page = camdbench.report(tmp_path / kind).file
        own = data_of(page)["images"][1]["maps"]["shortcuts-ce"]
        found[kind] = {name: np.asarray(Image.open(io.BytesIO(base64.b64decode(own[name][0]))).convert("L")) / 255 for name in own}
        note = "Maps of theirs are not shown, as they were given; --save-maps raw stores copies of them."
        assert (note in page.read_text(encoding="utf-8")) == (kind == "view")
    assert (list(found["view"]), list(found["raw"])) == (["gradcam", "saliency"], ["gradcam", "saliency", "theirs"])
    assert np.array_equal(found["view"]["gradcam"], found["raw"]["gradcam"])
    assert np.abs(found["view"]["saliency"] - found["raw"]["saliency"]).mean() < 0.02
    camdbench.score(tmp_path / "raw", "ai", device="cpu", out=tmp_path / "scores")
    text = camdbench.report(tmp_path / "scores").file.read_text(encoding="utf-8")
    assert "Maps are not shown, as scores store none; the report of the run that was scored shows them." in text


def test_the_page_asks_for_nothing_and_runs_its_own_scripts_alone(run: Path, tmp_path: Path):
    text = camdbench.report(run, out=tmp_path / "page.html").file.read_text(encoding="utf-8")
    reader = Reader()
    reader.feed(text)
    assert not [tag for tag, facts in reader.tags if {"src", "srcset"} & set(facts)]
    assert not [
        facts["href"] for tag, facts in reader.tags if tag in ("a", "link") and not (facts["href"] or "").startswith(("#", "data:"))
    ]
    assert not [facts for _, facts in reader.tags if any(name.startswith("on") for name in facts)]
    policy = next(facts["content"] or "" for tag, facts in reader.tags if tag == "meta" and "http-equiv" in facts)
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy
    scripts = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    stated = {f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" for script in scripts}
    assert stated == set(re.findall(r"'sha256-[^']+'", policy))


def test_equal_runs_give_equal_pages(run: Path, tmp_path: Path):
    first = camdbench.report(run, out=tmp_path / "one.html").file.read_bytes()
    assert camdbench.report(run, out=tmp_path / "two.html").file.read_bytes() == first


def test_foreign_text_is_text(tmp_path: Path):
    folder = tmp_path / "pictures" / "<b>class"
    folder.mkdir(parents=True)
    for number, name in enumerate((f"{EVIL}.png", "</script><script>alert(2)</script>".replace("/", "∕") + ".png")):
        Image.fromarray(np.full((32, 32, 3), 90 * number, dtype=np.uint8)).save(folder / name)
    camdbench.run(
        "gradcam",
        "ad",
        dataset="folder(size=32)",
        data_root=tmp_path / "pictures",
        classes="positions",
        target="predicted",
        out=tmp_path / "run",
    )
    page = camdbench.report(tmp_path / "run").file
    assert EVIL in [image["id"].rpartition("/")[2].removesuffix(".png") for image in data_of(page)["images"]]
    text = page.read_text(encoding="utf-8")
    assert EVIL not in text
    assert "<b>class" not in text
    assert html.escape("<b>class") in text or "\\u003cb\\u003eclass" in text
    reader = Reader()
    reader.feed(text)
    assert not [tag for tag, _ in reader.tags if tag == "img"]


def test_a_run_without_maps_or_data_shows_the_rest_and_says_how_to_get_them(tmp_path: Path):
    folder = tmp_path / "pictures" / "a"
    folder.mkdir(parents=True)
    Image.fromarray(np.zeros((32, 32, 3), dtype=np.uint8)).save(folder / "0.png")
    camdbench.run(
        "gradcam",
        "ad",
        dataset="folder(size=32)",
        data_root=tmp_path / "pictures",
        classes="positions",
        target="predicted",
        save_maps="none",
        out=tmp_path / "run",
    )
    (tmp_path / "pictures").rename(tmp_path / "moved")
    page = camdbench.report(tmp_path / "run").file
    text = html.unescape(page.read_text(encoding="utf-8"))
    assert "Maps are not shown, as the run stored none; repeat it with --save-maps view." in text
    assert "Inputs are not shown" in text
    assert "--data-root" in text
    assert data_of(page)["images"][0]["input"] == ""
    page = camdbench.report(tmp_path / "run", data_root=tmp_path / "moved").file
    assert data_of(page)["images"][0]["input"]


def test_the_command_prints_the_page_and_refuses_what_is_no_run(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run_cli(["report", str(run), "--out", str(tmp_path / "page.html"), "--images", "2", "--no-images"]) == 0
    out, err = capsys.readouterr()
    assert out.strip() == str(tmp_path / "page.html")
    assert (tmp_path / "page.html").as_uri() in err
    shown = data_of(tmp_path / "page.html")["images"]
    assert len(shown) == 2
    assert all("input" not in image for image in shown)
    assert run_cli(["report", str(tmp_path / "none")]) == 2
    (tmp_path / "ids").write_text("nothing\n", encoding="utf-8")
    assert run_cli(["report", str(run), "--image-ids", str(tmp_path / "ids")]) == 2
    assert "nothing: no image of the run" in capsys.readouterr().err
    with pytest.raises(UsageError, match="no run"):
        camdbench.report()


def test_a_notebook_shows_the_page_in_a_frame(run: Path, tmp_path: Path):
    page = camdbench.report(run, out=tmp_path / "page.html")
    reader = Reader()
    reader.feed(page._repr_html_())
    [(tag, facts)] = reader.tags
    assert (tag, facts["sandbox"]) == ("iframe", "allow-scripts")
    assert facts["srcdoc"] == page.file.read_text(encoding="utf-8")


def test_a_run_ends_with_the_address_of_its_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run_cli(["run", "-q", "-e", "gradcam", "-m", "ad", "--limit", "2", "--out", str(tmp_path / "run"), "--report"]) == 0
    assert capsys.readouterr().err.splitlines()[-1] == f"open {(tmp_path / 'run' / 'report.html').as_uri()}"
    assert len(data_of(tmp_path / "run" / "report.html")["images"]) == 2


def test_the_command_of_an_image_states_what_is_no_default():
    about = {
        "config": {
            "explainers": ["gradcam", "smoothgrad(samples=4)"],
            "metrics": ["ad"],
            "models": ["shortcuts-ce"],
            "dataset": "shortcuts",
            "seed": 3,
            "mean": [0.5, 0.4, 0.3],
            "limit": 9,
            "image_ids": "ids",
            "save_maps": "raw",
            "maps": {"a b": "f.npy"},
            "target": "label",
        },
        "models": {"shortcuts-ce": {}},
        "explainers": {"gradcam": {}},
        "metrics": {"ad": {}},
    }
    expected = "camdbench run --explainers 'gradcam,smoothgrad(samples=4)' --metrics ad --maps 'a b=f.npy' --mean 0.5,0.4,0.3 --seed 3"
    assert image_command(about) == expected
    own = {"origin": "object of a Python session"}
    for further in (
        {"models": {"net": own}},
        {"metrics": {"m": own}},
        {"plugins": {"p": "1"}},
        {"config": about["config"] | {"dataset": "mine"}},
    ):
        assert image_command(about | further) == ""


def test_vendored_scripts_are_those_of_their_packages():
    assets = Path(camdbench.__file__).parent / "reporting" / "assets"
    licences = (assets / "LICENSES.txt").read_text(encoding="utf-8")
    for item in json.loads((assets / "versions.json").read_text(encoding="utf-8")):
        assert hashlib.sha256((assets / item["file"]).read_bytes()).hexdigest() == item["sha256"], item["file"]
        assert f"{item['name']} {item['version']}" in licences
