"""`camdbench data verify`: what it prints, and its exit codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from helpers import dataset_layouts as fixtures
from PIL import Image

import camdbench
from camdbench.cli.main import run_cli

Said = pytest.CaptureFixture[str]


def test_a_sound_data_set_exits_with_0_and_says_that_it_is_not_complete(tmp_path: Path, capsys: Said) -> None:
    fixtures.pets(tmp_path)
    assert run_cli(["data", "verify", "pets", "--data-root", str(tmp_path)]) == 0
    out, err = capsys.readouterr()
    assert "2 of 3,669 published: not complete" in out
    assert "boxes, masks" in out
    assert "CC BY-SA 4.0" in out
    assert "none missing" in out
    assert err == ""


def test_what_cannot_be_used_exits_with_1_and_says_which_and_where_to_get_it(tmp_path: Path, capsys: Said) -> None:
    fixtures.pets(tmp_path)
    next(tmp_path.rglob("Abyssinian_3.jpg")).unlink()
    assert run_cli(["data", "verify", "pets", "--data-root", str(tmp_path), "--split", "test"]) == 1
    err = capsys.readouterr().err
    assert "missing: Abyssinian_3" in err
    assert "unreadable: Abyssinian_3: Abyssinian_3.jpg: cannot be decoded" in err
    assert "download the missing files from https://www.robots.ox.ac.uk/~vgg/data/pets (see docs/datasets/pets.md)" in err


def test_a_wrong_layout_exits_with_2_in_one_line(tmp_path: Path, capsys: Said) -> None:
    (tmp_path / "images").mkdir()
    assert run_cli(["data", "verify", "pets", "--data-root", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "does not hold pets: oxford-iiit-pet/images does not exist; expected ROOT/oxford-iiit-pet/images/*.jpg" in err
    assert "found in ROOT: images/" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize(("arguments", "message"), [(["pats"], "did you mean 'pets'"), (["pets"], "set --data-root DIR")])
def test_a_wrong_request_exits_with_2(capsys: Said, arguments: list[str], message: str) -> None:
    assert run_cli(["data", "verify", *arguments]) == 2
    assert message in capsys.readouterr().err


def test_as_json(tmp_path: Path, capsys: Said) -> None:
    fixtures.cars(tmp_path)
    next(tmp_path.rglob("cars_test/00001.jpg")).write_bytes(b"")
    assert run_cli(["data", "verify", "cars", "--data-root", str(tmp_path), "--json", "--all"]) == 1
    found = json.loads(capsys.readouterr().out)[0]
    assert found["unreadable"][0]["image"] == "00001"
    assert (found["complete"], found["sound"], found["images"], found["expected"]) == (False, False, 2, 8041)


def test_data_without_a_download_are_refused(tmp_path: Path, capsys: Said) -> None:
    assert run_cli(["data", "verify", "kvasir", "--data-root", str(tmp_path), "--download"]) == 2
    assert "kvasir cannot be downloaded; get it from https://datasets.simula.no/kvasir" in capsys.readouterr().err


def test_masks_are_made_from_boxes_alone(tmp_path: Path, capsys: Said) -> None:
    fixtures.flowers102(tmp_path)
    asked = ["--data-root", str(tmp_path), "--weights", str(tmp_path / "sam"), "--out", str(tmp_path / "made")]
    assert run_cli(["data", "make-masks", "flowers102", *asked]) == 2
    assert "data set flowers102: no boxes, which masks are made from" in capsys.readouterr().err


def test_masks_are_made_and_what_got_none_is_named(tmp_path: Path, capsys: Said, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is stood in for by the boxes themselves."""
    from camdbench.datasets import segment_anything
    from camdbench.datasets.on_disk import filled

    monkeypatch.setattr(
        segment_anything, "SegmentAnything", lambda weights, device: lambda picture, boxes: filled(boxes, picture.size[::-1])
    )
    fixtures.imagenet(tmp_path)
    next(tmp_path.rglob("*_00000002.JPEG")).write_bytes(b"")
    asked = ["--data-root", str(tmp_path), "--weights", "any", "--out", str(tmp_path / "made"), "--device", "cpu"]
    assert run_cli(["data", "make-masks", "imagenet", *asked]) == 1
    out, err = capsys.readouterr()
    assert "2 masks made, 0 existed, 1 images without a mask" in out
    assert "no mask: ILSVRC2012_val_00000002: ILSVRC2012_val_00000002.JPEG: cannot be decoded" in err
    assert sorted(file.name for file in (tmp_path / "made").iterdir()) == ["ILSVRC2012_val_00000001.png", "ILSVRC2012_val_00000003.png"]


def test_a_table_and_a_reference_are_verified(tmp_path: Path, capsys: Said) -> None:
    for index in range(3):
        Image.new("RGB", (8, 8), (index, 0, 0)).save(tmp_path / f"{index}.png")
    rows = [f"{index}.png,{name},0,0,4,4" for index, name in enumerate("aba")]
    table = tmp_path / "photos.csv"
    table.write_text("\n".join(["image,label,x0,y0,x1,y1", *rows]))
    (tmp_path / "own.py").write_text(
        "import camdbench, numpy\ndef photos(n: int):\n    return camdbench.data((numpy.zeros((n, 8, 8, 3), numpy.uint8), [0] * n), size=8)"
    )
    assert run_cli(["data", "verify", f"{table}(size=8)", "--json"]) == 0
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["images"], found["classes"], found["annotations"], found["checked"]) == (3, 2, ["boxes"], 3)
    assert found["fingerprint"] == camdbench.data(table, size=8).fingerprint()
    assert run_cli(["data", "verify", f"{tmp_path}/own.py:photos(n=2)"]) == 0
    assert "images       2" in capsys.readouterr().out
    (tmp_path / "1.png").write_bytes(b"")
    assert run_cli(["data", "verify", f"{table}(size=8)"]) == 1
    assert "unreadable: 1.png" in capsys.readouterr().err
    for words, message in (
        ([str(table), "--split", "val"], "--split: "),
        ([f"{tmp_path}/gone.csv"], "gone.csv: no such file"),
        ([f"{table}(preprocess='model')"], "this command has no model"),
    ):
        assert run_cli(["data", "verify", *words]) == 2
        err = capsys.readouterr().err
        assert message in err
        assert err.count("\n") == 1
    options = ["--weights", "none", "--out", str(tmp_path / "masks")]
    assert run_cli(["data", "make-masks", f"{tmp_path}/own.py:photos(n=2)", *options]) == 2
    assert "no boxes, which masks are made from" in capsys.readouterr().err
    table.write_text(f"image,label,x0,y0,x1,y1\n{tmp_path}/0.png,a,0,0,4,4")
    assert run_cli(["data", "make-masks", str(table), *options]) == 2
    assert "its mask would be outside" in capsys.readouterr().err
