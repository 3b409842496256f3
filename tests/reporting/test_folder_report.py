"""A report as a folder, whose pictures and details of images are files; and limits and places of both forms."""

from __future__ import annotations

import errno
import json
import os
import re
from base64 import b64decode
from pathlib import Path
from typing import Any

import pytest

import camdbench
from camdbench.cli.main import run_cli
from camdbench.core.errors import CamdbenchWarning, UsageError
from camdbench.reporting import report_files


def data_of(page: Path) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page.read_text(encoding="utf-8"), re.DOTALL)
    assert found is not None
    return json.loads(found[1])


def details_of(page: Path, number: int) -> list[dict[str, Any]]:
    text = (page.parent / "data" / f"part-{number:03d}.js").read_text(encoding="ascii")
    found = re.fullmatch(r"camdbenchPart\((\d+), (\".*\")\);\n", text)
    assert found is not None
    assert int(found[1]) == number
    return json.loads(json.loads(found[2]))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("report") / "run"
    camdbench.run("gradcam,saliency", "ad,ag", limit=3, save_maps="raw", out=out)
    return out


def test_a_folder_holds_what_one_file_holds(run: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(report_files, "PART_SIZE", 2)
    page, whole = camdbench.report(run, images="all").file, data_of(camdbench.report(run).file)
    assert page == run / "report" / "index.html"
    data = data_of(page)
    assert data["blocks"] == whole["blocks"]
    assert [image.pop("part") for image in data["images"]] == [0, 0, 1]
    details = details_of(page, 0) + details_of(page, 1)
    for own, other, expected in zip(data["images"], details, whole["images"], strict=True):
        for kind in ("input", "mask"):
            assert (page.parent / other[kind]).read_bytes() == b64decode(expected[kind])
        assert own["input"] == other["input"]
        for model, maps in expected["maps"].items():
            for explainer, (text, top) in maps.items():
                file, same = other["maps"][model][explainer]
                assert (page.parent / file).read_bytes() == b64decode(text)
                assert same == top
        pictures = ("input", "mask", "maps")
        merged = {name: value for name, value in (own | other).items() if name not in pictures}
        assert merged == {name: value for name, value in expected.items() if name not in pictures}


def test_a_folder_asks_for_nothing_but_its_own_files(run: Path):
    page = camdbench.report(run, images="all").file
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page.read_text(encoding="utf-8"))
    assert policy is not None
    rules = dict(rule.split(" ", 1) for rule in policy[1].replace("&#39;", "'").split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data: 'self' file:"
    assert re.fullmatch(r"('sha256-[^']+' )+'strict-dynamic'", rules["script-src"])


def test_a_folder_is_replaced_whole_and_other_folders_are_kept(run: Path, tmp_path: Path):
    page = camdbench.report(run, images="all", out=tmp_path / "report").file
    before = {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    (page.parent / "data" / "part-007.js").write_text("old")
    assert camdbench.report(run, images="all", out=tmp_path / "report").file == page
    assert {path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "index.html").write_text("<p>mine")
    with pytest.raises(UsageError, match=r"--out = .*mine: not the folder of a report; give a new folder"):
        camdbench.report(run, images="all", out=tmp_path / "mine")
    assert (tmp_path / "mine" / "index.html").read_text() == "<p>mine"
    assert "index.html" in camdbench.report(run, images="all", out=tmp_path / "report")._repr_html_()
    with pytest.raises(UsageError, match="images = -1: expected a number from 0, or all"):
        camdbench.report(run, images=-1)


def test_an_error_leaves_no_folder(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(self: object, *texts: str) -> None:
        raise UsageError(f"no {len(texts)}")

    monkeypatch.setattr(report_files.InFolder, "write", fail)
    with pytest.raises(UsageError, match="no 2"):
        camdbench.report(run, images="all", out=tmp_path / "report")
    assert not list(tmp_path.iterdir())


def test_a_large_page_names_what_is_large_and_the_option(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = data_of(camdbench.report(run, out=tmp_path / "page.html").file)
    maps = sum(len(text) for image in data["images"] for own in image["maps"].values() for text, _ in own.values())
    inputs = sum(len(image["input"]) + len(image["mask"]) for image in data["images"])
    largest = "maps" if maps > inputs else "inputs"
    monkeypatch.setattr(report_files, "BUDGET", 1000)
    with pytest.warns(CamdbenchWarning, match=f"of which 0 MB are {largest}; --images N shows fewer images, --images all writes a folder"):
        camdbench.report(run, out=tmp_path / "page.html")
    with pytest.warns(CamdbenchWarning, match="index.html: .* are values and names of images; --images N shows fewer images$"):
        camdbench.report(run, images="all", out=tmp_path / "report")


def test_the_command_writes_a_folder_and_refuses_other_words(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    assert run_cli(["report", str(run), "--images", "all", "--out", str(tmp_path / "folder")]) == 0
    assert capsys.readouterr().out.strip() == str(tmp_path / "folder" / "index.html")
    assert run_cli(["report", str(run), "--images", "many"]) == 2
    assert "many" in capsys.readouterr().err


def test_places_that_cannot_be_written(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    for given, code, message in (
        (["--out", str(tmp_path / "folder")], 2, "folder: a folder; give a file, or --images all for a folder"),
        (["--out", str(tmp_path / "file"), "--images", "all"], 2, "file: not the folder of a report; give a new folder"),
        (["--out", str(tmp_path / "file" / "page.html")], 1, "cannot be written (File exists); choose another folder"),
    ):
        assert run_cli(["report", str(run), *given]) == code
        error = capsys.readouterr().err
        assert message in error
        assert "--out = " in error
        assert error.count("\n") == 1


def test_a_run_that_cannot_be_written_says_out(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    class ReadOnly:
        def __init__(self, dir: Path) -> None:  # noqa: A002
            raise PermissionError(errno.EROFS, os.strerror(errno.EROFS), str(dir))

    monkeypatch.setattr(report_files, "TemporaryFile", ReadOnly)
    for images in (1, "all"):
        with pytest.raises(UsageError, match=re.escape(f"{run}: cannot be written (Read-only file system); give --out")):
            camdbench.report(run, images=images)
