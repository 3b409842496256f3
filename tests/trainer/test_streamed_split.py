"""What is read from the disk in every epoch is what would have been held in memory: images, masks, order, and weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.dataset_layouts import grey, pets, put, scene
from helpers.steps import fit_classifier
from helpers.toys import toy_classifier
from safetensors.torch import load_file

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.datasets.folder import folder
from camdbench.datasets.samples import Batch, Dataset, Sample
from camdbench.trainer import streamed_split
from camdbench.trainer.distributed import ProcessGroup
from camdbench.trainer.in_memory_split import InMemorySplit
from camdbench.trainer.recipe import check_recipe
from camdbench.trainer.split_data import Split, SplitShape
from camdbench.trainer.streamed_split import StreamedSplit, load_split
from camdbench.trainer.train import train
from camdbench.trainer.validation import validate

CPU = torch.device("cpu")


@pytest.fixture
def on_disk(tmp_path: Path) -> Dataset:
    """Twelve pictures of three classes, JPEG and PNG, one with nothing on its mask."""
    for index in range(12):
        kind, name = "abc"[index % 3], f"{index:02}"
        put(scene(index).picture, tmp_path / "images" / kind / f"{name}.{'jpg' if index % 2 else 'png'}")
        put(grey(scene(index).mask & (index != 7)), tmp_path / "masks" / kind / f"{name}.png")
    return folder(tmp_path, preprocess="resize224_distort", size=12)


@pytest.fixture(params=[0, 2])
def pair(request: pytest.FixtureRequest, on_disk: Dataset) -> tuple[Split, Split]:
    """In memory, and streamed by that many processes."""
    return load_split(on_disk), load_split(on_disk, memory=False, workers=request.param)


def _same(one: Batch, other: Batch) -> bool:
    assert (one.masks is None) == (other.masks is None)
    equal = [torch.equal(one.images, other.images), torch.equal(one.labels, other.labels), one.ids == other.ids]
    return all(equal) and (one.masks is None or torch.equal(one.masks, other.masks))


def test_batches_are_the_same_in_any_order_and_for_any_process(pair: tuple[Split, Split]) -> None:
    inside, outside = pair
    assert (type(inside), type(outside)) == (InMemorySplit, StreamedSplit)
    ways: list[Callable[[Split], Any]] = [
        lambda split: split.batches(5),
        lambda split: split.batches(5, 1, 2),
        lambda split: split.shuffled(4, torch.Generator().manual_seed(3)),
        lambda split: split.shuffled(4, torch.Generator().manual_seed(3), ProcessGroup(1, 2).share(4).places),
    ]
    for way, count in zip(ways, (3, 1, 3, 3), strict=True):
        batches = list(zip(way(inside), way(outside), strict=True))
        assert len(batches) == count
        assert all(_same(*both) for both in batches)


def test_pixels_are_those_of_the_files(on_disk: Dataset) -> None:
    batch = next(load_split(on_disk, memory=False).batches(12))
    for index in range(12):
        assert torch.equal(batch.images[index], on_disk[index].image)
    assert batch.masks.flatten(1).any(1).tolist() == [name != "b/07.jpg" for name in batch.ids]


def test_a_run_from_the_disk_is_a_run_from_memory_to_the_last_bit(pair: tuple[Split, Split]) -> None:
    written = {
        "name": "t",
        "loss": "so(kernel=3, views=2)",
        "epochs": 2,
        "batch_size": 4,
        "augment": {"flip": 0.5, "crop_scale": 0.5, "grayscale": 0.2},
    }
    found = list[Any]()
    for split in pair:
        classifier = toy_classifier("gap").requires_grad_()
        fitted = fit_classifier(classifier, split, split, check_recipe(written, "t"), device=CPU)
        found.append((fitted.state, [line.flat() for line in fitted.log]))
    (one, lines), (other, others) = found
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert lines == others
    assert not torch.equal(one["head.2.weight"], toy_classifier("gap").network.state_dict()["head.2.weight"])


def test_labels_are_taken_away_alike(pair: tuple[Split, Split]) -> None:
    one, other = (split.partly_labelled(0.5, seed=1).labels for split in pair)
    assert torch.equal(one, other)
    assert 0 < int((one < 0).sum()) < 12


def test_up_to_two_gibibytes_of_pixels_and_masks_are_held(on_disk: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    assert streamed_split._ROOM == 2**31
    monkeypatch.setattr(streamed_split, "_ROOM", 12 * 12 * 12 * (3 + 1))
    assert isinstance(load_split(on_disk), InMemorySplit)
    monkeypatch.setattr(streamed_split, "_ROOM", 12 * 12 * 12 * (3 + 1) - 1)
    assert isinstance(load_split(on_disk), StreamedSplit)
    assert isinstance(load_split(on_disk, memory=True), InMemorySplit)


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("memory", [True, False])
def test_a_damaged_image_stops_with_its_name_in_one_line(on_disk: Dataset, tmp_path: Path, memory: bool, workers: int) -> None:
    (tmp_path / "images" / "b" / "04.png").write_bytes(b"no picture")
    with pytest.raises(CamdbenchError, match=r"image b/04.png cannot be read: 04.png: cannot be decoded") as caught:
        list(load_split(on_disk, memory=memory, workers=workers).batches(4))
    assert "\n" not in str(caught.value)


def test_an_image_of_another_size_is_named_when_it_comes() -> None:
    class _Odd:
        ids, labels, classes = ("a", "b"), (0, 1), ("x", "y")

        def __getitem__(self, index: int) -> Sample:
            return Sample(self.ids[index], torch.zeros(3, 4 + index, 4), index)

        def fingerprint(self) -> str:
            return "odd"

    with pytest.raises(CamdbenchError, match=r"image b has shape \(3, 5, 4\), the first one \(3, 4, 4\)"):
        list(load_split(_Odd(), memory=False).batches(2))


def test_class_masks_are_kept_where_they_are_wanted_and_a_missing_mask_is_empty() -> None:
    class _Several:
        ids, labels, classes = ("a", "b"), (0, 1), ("x", "y")

        def __getitem__(self, index: int) -> Sample:
            masks = torch.zeros(2, 4, 4, dtype=torch.bool)
            masks[index, :, index] = True
            mask = None if index else masks.any(0)
            return Sample(self.ids[index], torch.zeros(3, 4, 4), index, mask=mask, present=masks.any(2).any(1), class_masks=masks)

        def fingerprint(self) -> str:
            return "several"

    one, other = (next(load_split(_Several(), memory=memory, per_class=True).batches(2)) for memory in (True, False))
    assert torch.equal(one.class_masks, other.class_masks)
    assert torch.equal(one.present, other.present)
    assert other.present.tolist() == [[True, False], [False, True]]
    assert one.masks.flatten(1).any(1).tolist() == other.masks.flatten(1).any(1).tolist() == [True, False]
    assert SplitShape.of(_Several(), "masks", per_class=True).bytes == 16 * 3 + 16 + 2 + 2 * 16
    assert next(load_split(_Several(), memory=False).batches(2)).class_masks is None


def test_a_score_shared_out_among_processes_adds_up(on_disk: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sums that the second process has are put where the network would bring them."""
    split, classifier = load_split(on_disk), toy_classifier("gap")
    monkeypatch.setattr(Split, "batches", lambda self, size, rank=0, ranks=1: self.take(torch.arange(12).split(5)[rank::ranks]))
    sent = list[list[float]]()
    monkeypatch.setattr(ProcessGroup, "sum", lambda self, values, device: sent.append(list(values)) or list(values))
    validate(classifier, split, device=CPU, processes=ProcessGroup(1, 2))
    monkeypatch.setattr(ProcessGroup, "sum", lambda self, values, device: [a + b for a, b in zip(values, sent.pop(0), strict=True)])
    both = validate(classifier, split, device=CPU, processes=ProcessGroup(0, 2))
    monkeypatch.undo()
    assert both == pytest.approx(validate(classifier, split, device=CPU), rel=1e-12)


def test_a_recipe_says_whether_to_stream(tmp_path: Path) -> None:
    pets(tmp_path / "data")
    weights = list[dict[str, torch.Tensor]]()
    for memory in (True, False):
        data = {"dataset": "pets(size=32)", "train": "trainval", "evaluation": ["test"], "in_memory": memory}
        fields = {"name": "tiny", "data": data, "loss": "so(kernel=3, views=1)", "validation": "test", "epochs": 1, "batch_size": 2}
        path = train(check_recipe(fields, "t"), out=tmp_path / str(memory), device="cpu", data_root=tmp_path / "data", workers=1)
        weights.append(load_file(path))
    assert all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    with pytest.raises(UsageError, match="--workers -1"):
        train(check_recipe(fields, "t"), out=tmp_path, device="cpu", data_root=tmp_path / "data", workers=-1)
