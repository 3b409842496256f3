"""Verification says what is there, what is missing and what cannot be used."""

from __future__ import annotations

from pathlib import Path

from helpers import dataset_layouts as fixtures
from helpers.dataset_cases import CASES, Case
from helpers.each import each

from camdbench.datasets.open_dataset import check_dataset
from camdbench.datasets.verify import Verification, verify


def verified(case: Case | str, root: Path, check: int | None = None) -> Verification:
    text, split = (case, None) if isinstance(case, str) else (case.spec, None if case.split == "all" else case.split)
    return verify(*check_dataset(text, split, root), root, check=check)


@each("name", CASES)
def test_a_fixture_is_sound_and_rarely_complete(tmp_path: Path, name: str) -> None:
    case = CASES[name]
    case.build(tmp_path)
    found = verified(case, tmp_path)
    assert found.sound
    assert found.images == found.checked == case.images
    assert found.annotations == case.gives
    assert found.complete == (found.expected is None)
    assert 1 <= found.shown <= found.classes
    assert found.boxless == found.unlabelled == found.empty_masks == 0


@each(
    ("spec", "split", "images"),
    [
        ("imagenet", "val", 50_000),
        ("pets", "trainval", 3680),
        ("pets", "test", 3669),
        ("voc2012", "train", 931),
        ("voc2012", "val", 925),
        ('voc2012(labels="multi")', "train", 1464),
        ("sbd", "train", 8498),
        ("sbd", "val", 2857),
        ("aircraft", "test", 3333),
        ("cars", "train", 8144),
        ("flowers102", "test", 6149),
        ("cub200", "train", 5994),
        ("cub200", "test", 5794),
        ("hard_imagenet", "val", 750),
        ("kvasir", "train", 6000),
        ("chest_xray", "test", 624),
        ("aerial", "train", 96_000),
        ("imagenet_s(subset=50)", "val", 752),
        ("waterbirds", "train", 4795),
        ("waterbirds", "test", 5794),
        ("voc2007", "test", 4952),
        ("funnybirds", "test", 500),
    ],
)
def test_the_counts_of_the_publications(tmp_path: Path, spec: str, split: str, images: int) -> None:
    name = spec.partition("(")[0]
    getattr(fixtures, name)(tmp_path)
    assert verify(*check_dataset(spec, split, tmp_path), tmp_path, check=0).expected == images


def test_a_complete_split_is_complete(tmp_path: Path) -> None:
    """The fixture of the chest X-rays filled up to the sixteen images of val."""
    fixtures.chest_xray(tmp_path)
    for number in range(14):
        fixtures.put(fixtures.scene(number).picture, tmp_path / "val" / "NORMAL" / f"more-{number}.jpeg")
    found = verify(*check_dataset("chest_xray", "val", tmp_path), tmp_path, check=3)
    assert found.complete
    assert found.expected == found.images == 16
    assert found.checked == 3


def test_what_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    fixtures.aircraft(tmp_path)
    files = sorted(tmp_path.rglob("*.jpg"))
    files[0].unlink()
    files[2].write_bytes(b"<html>")
    found = verified("aircraft", tmp_path)
    assert not found.sound
    assert found.missing == ("1025794",)
    assert [item.id for item in found.unreadable] == ["1025794", "1025796"]
    assert "cannot be decoded" in found.unreadable[1].reason


def test_lost_boxes_and_empty_masks_are_counted(tmp_path: Path) -> None:
    fixtures.folder(tmp_path)
    width, height = 400, 60
    fixtures.put(fixtures.scene(0).picture.resize((width, height)), tmp_path / "images" / "cat" / "a.jpg")
    fixtures.put(fixtures.grey(fixtures.scene(0).mask & False).resize((width, height)), tmp_path / "masks" / "cat" / "a.png")
    fixtures.write(tmp_path / "boxes.csv", "image,x0,y0,x1,y1\ncat/a.jpg,0,0,9,9\ncat/b.png,1,1,39,39\n")
    found = verified("folder", tmp_path)
    assert found.boxes_dropped == 1
    assert found.boxless == 2
    assert found.empty_masks == 1
    assert found.sound


def test_images_to_decode_are_spread_from_the_first_to_the_last(tmp_path: Path) -> None:
    fixtures.kvasir(tmp_path)
    first = tmp_path / "dyed-lifted-polyps"
    for file in [*first.iterdir(), *(tmp_path / "ulcerative-colitis").iterdir()]:
        file.write_bytes(b"")
    found = verified("kvasir", tmp_path, check=2)
    assert len(found.unreadable) == found.checked == 2
    assert verified("kvasir", tmp_path, check=0).unreadable == ()


def test_the_embedded_data_set_can_be_verified_too() -> None:
    found = verify(*check_dataset("shortcuts(size=32)", None, None), None, check=2)
    assert found.sound
    assert found.images == 1000
