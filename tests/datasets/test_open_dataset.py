"""What is known of a data set before it is read, its default split, and that nothing is fetched unasked."""

from __future__ import annotations

from pathlib import Path

import pytest
import torchvision.datasets
from helpers import dataset_layouts as fixtures
from helpers.each import each

from camdbench.core.errors import CamdbenchError, UnwritableFile, UsageError
from camdbench.core.registries import datasets
from camdbench.datasets.download import fetch
from camdbench.datasets.open_dataset import available_annotations, check_dataset, open_dataset


@each(("name", "split"), [("pets", "test"), ("cub200", "test"), ("imagenet", "val"), ("sbd", "val"), ("folder", "all")])
def test_the_default_split_is_the_reader_s(tmp_path: Path, name: str, split: str) -> None:
    assert check_dataset(name, None, tmp_path)[1] == split


def test_every_default_split_is_one_of_the_splits() -> None:
    for entry in datasets:
        defaults = [option.default for option in entry.options if option.name == "split"]
        assert defaults == [] if not entry.facts.splits else defaults[0] in entry.facts.splits


class TestAnnotations:
    def test_those_that_may_be_there_are_looked_for(self, tmp_path: Path) -> None:
        fixtures.cub200(tmp_path, segmentations=False)
        spec, split = check_dataset("cub200", None, tmp_path)
        assert available_annotations(spec, split, tmp_path) == ("boxes",)
        (tmp_path / "CUB_200_2011" / "segmentations").mkdir()
        assert available_annotations(spec, split, tmp_path) == ("boxes", "masks")

    def test_they_belong_to_the_split(self, tmp_path: Path) -> None:
        fixtures.imagenet(tmp_path)
        spec, _ = check_dataset("imagenet", None, tmp_path)
        assert available_annotations(spec, "val", tmp_path) == ("boxes",)
        assert available_annotations(spec, "train", tmp_path) == ()

    @pytest.mark.parametrize(("spec", "expected"), [('cub200(masks="bbox")', ("boxes", "masks")), ('aerial(masks="made")', ("masks",))])
    def test_masks_that_are_made_count(self, tmp_path: Path, spec: str, expected: tuple[str, ...]) -> None:
        checked, split = check_dataset(spec, None, tmp_path)
        assert available_annotations(checked, split, tmp_path) == expected

    def test_the_embedded_data_set_has_all_of_its_scenes(self) -> None:
        spec, split = check_dataset("shortcuts", None, None)
        assert available_annotations(spec, split, None) == ("backgrounds", "boxes", "masks", "scenes")


class TestDownload:
    def test_nothing_is_fetched_unasked(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(torchvision.datasets, "OxfordIIITPet", None)
        fixtures.pets(tmp_path)
        spec, split = check_dataset("pets", None, tmp_path)
        assert open_dataset(spec, split, tmp_path).ids

    @each(
        ("spec", "called", "arguments"),
        [
            ("pets", "OxfordIIITPet", {"split": "test"}),
            ("voc2012", "VOCSegmentation", {"year": "2012", "image_set": "val"}),
            ("sbd", "SBDataset", {"image_set": "val", "mode": "segmentation"}),
            ("aircraft", "FGVCAircraft", {"split": "test"}),
            ("flowers102", "Flowers102", {"split": "test"}),
        ],
    )
    def test_torchvision_is_asked_for_the_split(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str, called: str, arguments: dict[str, object]
    ) -> None:
        asked = []

        def constructor(root: str, **given: object) -> None:
            asked.append((root, given))
            getattr(fixtures, spec)(Path(root))

        monkeypatch.setattr(torchvision.datasets, called, constructor)
        checked, split = check_dataset(spec, None, tmp_path / "new")
        if spec == "flowers102":  # its reader takes the names from the class
            monkeypatch.setattr(constructor, "classes", ["a"] * 102, raising=False)
        assert open_dataset(checked, split, tmp_path / "new", download=True).ids
        assert asked == [(str(tmp_path / "new"), {"download": True, **arguments})]

    @each("name", ["pets", "voc2012", "sbd", "aircraft", "flowers102"])
    def test_what_is_there_is_not_fetched_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
        """torchvision would unpack VOC once more, and refuse to move SBD's folders to where they are."""
        getattr(fixtures, name)(tmp_path)
        monkeypatch.setattr("camdbench.datasets.download._CLASSES", {name: ("Nothing", {})})
        spec, split = check_dataset(name, None, tmp_path)
        assert open_dataset(spec, split, tmp_path, download=True).ids

    def test_what_torchvision_cannot_fetch_says_where_it_is(self, tmp_path: Path) -> None:
        with pytest.raises(UsageError, match=r"cub200 cannot be downloaded; get it from https://www\.vision\.caltech\.edu"):
            fetch("cub200", "test", tmp_path)

    def test_a_failed_download_is_a_failure_in_one_line(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        reason = OSError("no route to host")

        def constructor(root: str, **given: object) -> None:
            raise reason

        monkeypatch.setattr(torchvision.datasets, "OxfordIIITPet", constructor)
        with pytest.raises(CamdbenchError, match=r"pets: download to .* failed: no route to host; get it from https://www\.robots"):
            fetch("pets", "test", tmp_path)
        reason = OSError(28, "No space left on device")
        with pytest.raises(UnwritableFile, match=r"cannot be written \(No space left on device\); free space on the disk"):
            fetch("pets", "test", tmp_path)

    def test_the_facts_say_what_can_be_fetched(self) -> None:
        from camdbench.datasets.download import _CLASSES

        assert {entry.name for entry in datasets if entry.facts.download} == set(_CLASSES)


def test_every_data_set_on_disk_states_its_licence_and_source() -> None:
    for entry in datasets:
        if entry.facts.on_disk:
            assert entry.facts.licence
            assert entry.facts.source or entry.name == "folder"
