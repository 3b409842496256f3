"""What every reader keeps to: its layout, pixels and boxes that agree, errors that say what was expected and found."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from helpers.dataset_cases import CASES, Case
from helpers.each import subcase

from camdbench.core.errors import SampleError, UsageError
from camdbench.core.registries import datasets
from camdbench.datasets.on_disk import OnDisk
from camdbench.datasets.open_dataset import available_annotations, check_dataset, open_dataset
from camdbench.datasets.transforms import box_of


def opened(case: Case, root: Path, **options: object) -> OnDisk:
    spec, split = check_dataset(case.spec, None if case.split == "all" else case.split, root)
    data = open_dataset(type(spec).of(spec.name, spec.arguments | options), split, root)
    assert isinstance(data, OnDisk)
    return data


def test_every_reader_has_a_fixture() -> None:
    on_disk = {entry.name for entry in datasets if entry.facts.on_disk}
    assert {name.partition("-")[0] for name in CASES} == on_disk


@pytest.mark.parametrize("name", CASES)
def test_keeps_every_promise(name: str, tmp_path: Path, subtests: pytest.Subtests) -> None:
    case = CASES[name]
    for promise, check in PROMISES.items():
        with subcase(subtests, promise):
            root = tmp_path / check.__name__  # promises about damage change files
            case.build(root)
            check(case, root)


def _lists_images_labels_and_classes(case: Case, root: Path) -> None:
    data = opened(case, root)
    assert len(data) == len(data.ids) == len(data.labels) == case.images
    assert len(set(data.ids)) == case.images
    assert all(0 <= label < len(data.classes) for label in data.labels)
    assert len(set(data.classes)) >= 2
    assert all(item.file.is_file() for item in data.items)


def _says_beforehand_what_the_samples_have(case: Case, root: Path) -> None:
    spec, split = check_dataset(case.spec, None if case.split == "all" else case.split, root)
    assert available_annotations(spec, split, root) == case.gives
    sample = opened(case, root)[0]
    assert (sample.boxes is not None) == ("boxes" in case.gives)
    assert (sample.mask is not None) == ("masks" in case.gives)
    assert (sample.background is not None) == ("backgrounds" in case.gives)


def _boxes_and_masks_are_where_the_object_is(case: Case, root: Path) -> None:
    """The white rectangle of the fixture: so the first pixel, the last pixel and the order of the edges are right."""
    data = opened(case, root, preprocess="keep")
    for index in range(len(data)):
        sample = data[index]
        seen = sample.image.mean(0) > 0.5
        if sample.boxes is not None:
            assert torch.equal(sample.boxes, box_of(seen)), sample.id
        if sample.mask is not None:
            assert torch.equal(sample.mask, seen), sample.id


def _every_protocol_keeps_them_together(case: Case, root: Path) -> None:
    for how in ("resize224_distort", "short448"):
        sample = opened(case, root, preprocess=how, size=64)[0]
        seen = box_of(sample.image.mean(0) > 0.5)
        if sample.boxes is not None:
            assert (sample.boxes - seen).abs().max() < 2
        if sample.mask is not None:
            assert (box_of(sample.mask) - seen).abs().max() <= 1


def _the_fingerprint_is_the_data(case: Case, root: Path) -> None:
    first = opened(case, root).fingerprint()
    assert opened(case, root).fingerprint() == first
    file = opened(case, root).items[0].file
    file.write_bytes(file.read_bytes() + b"\0")
    assert opened(case, root).fingerprint() != first


def _it_travels_to_another_process(case: Case, root: Path) -> None:
    data = opened(case, root)
    other = pickle.loads(pickle.dumps(data))
    assert torch.equal(other[0].image, data[0].image)
    assert other.fingerprint() == data.fingerprint()


def _a_corrupt_picture_is_an_error_of_that_sample_alone(case: Case, root: Path) -> None:
    data = opened(case, root)
    file = data.items[0].file
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(SampleError, match=rf"{file.name}: cannot be decoded"):
        data[0]
    others = [index for index in range(1, len(data)) if data.items[index].file != file]
    for index in others[:2]:
        assert data[index].image.isfinite().all()


def _a_picture_that_is_gone_is_an_error_of_that_sample_alone(case: Case, root: Path) -> None:
    data = opened(case, root)
    data.items[0].file.unlink()
    with pytest.raises(SampleError, match=data.items[0].file.name):
        data[0]
    assert data.fingerprint()


def _a_listing_that_is_damaged_is_named(case: Case, root: Path) -> None:
    """Each list, MATLAB file, XML file and mask in turn becomes noise: the reader says which, or does not need it."""
    listings = [file for pattern in ("*.txt", "*.mat", "*.csv", "*.xml", "*.png") for file in sorted(root.rglob(pattern))]
    for file in listings:
        kept = file.read_bytes()
        file.write_bytes(b"\xff\xfe\x00\x01 garbage")
        try:
            data = opened(case, root)
            _ = [data[index] for index in range(len(data))]
        except (UsageError, SampleError) as error:
            assert file.name in str(error), error  # noqa: PT017 - not every file is needed by every split
        file.write_bytes(kept)


PROMISES: dict[str, Callable[[Case, Path], None]] = {
    "lists images labels and classes": _lists_images_labels_and_classes,
    "says beforehand what the samples have": _says_beforehand_what_the_samples_have,
    "boxes and masks are where the object is": _boxes_and_masks_are_where_the_object_is,
    "every protocol keeps them together": _every_protocol_keeps_them_together,
    "the fingerprint is the data": _the_fingerprint_is_the_data,
    "it travels to another process": _it_travels_to_another_process,
    "a corrupt picture is an error of that sample alone": _a_corrupt_picture_is_an_error_of_that_sample_alone,
    "a picture that is gone is an error of that sample alone": _a_picture_that_is_gone_is_an_error_of_that_sample_alone,
    "a listing that is damaged is named": _a_listing_that_is_damaged_is_named,
}


class TestTrouble:
    def test_an_empty_folder_is_explained(self, tmp_path: Path, subtests: pytest.Subtests) -> None:
        for name, case in CASES.items():
            with subcase(subtests, name):
                with pytest.raises(UsageError) as caught:
                    opened(case, tmp_path)
                text = str(caught.value)
                assert "expected" in text
                assert "ROOT" in text
                assert f"docs/datasets/{name.partition('-')[0]}.md" in text
                assert "\n" not in text

    def test_a_wrong_layout_is_explained(self, tmp_path: Path, subtests: pytest.Subtests) -> None:
        """One level too high, the commonest mistake: the message shows what is there instead."""
        for name, case in CASES.items():
            with subcase(subtests, name):
                if name == "folder":
                    pytest.skip("class folders may hold folders; what is refused of them stands in test_nonsense.py")
                case.build(tmp_path / name / "inner" / "deeper")
                with pytest.raises(UsageError) as caught:
                    opened(case, tmp_path / name)
                assert "inner/" in str(caught.value)
                assert "\n" not in str(caught.value)

    def test_a_root_that_is_not_there(self, tmp_path: Path, subtests: pytest.Subtests) -> None:
        for name, case in CASES.items():
            with subcase(subtests, name), pytest.raises(UsageError, match="no such folder"):
                opened(case, tmp_path / "none")

    def test_every_reader_has_its_page(self) -> None:
        home = Path(__file__).parents[2] / "docs" / "datasets"
        missing = [entry.name for entry in datasets if entry.facts.on_disk and not (home / f"{entry.name}.md").is_file()]
        assert not missing
