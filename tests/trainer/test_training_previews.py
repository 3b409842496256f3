"""Training previews: maps of the benchmark on the same images; they change no weight, and cost nothing if they are off."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from helpers.toys import toy_batch, toy_classifier

from camdbench.trainer import train as train_module
from camdbench.trainer.in_memory_split import InMemorySplit
from camdbench.trainer.recipe import TrainingRecipe, check_recipe
from camdbench.trainer.train import train
from camdbench.trainer.training_previews import Preview, PreviewRecorder, cam_of


def _recipe(**changes: Any) -> TrainingRecipe:
    return check_recipe({"name": "mine", "epochs": 2} | changes, "test")


def _split() -> InMemorySplit:
    batch = toy_batch(4, size=(16, 12))
    masks = torch.zeros(4, 16, 12, dtype=torch.bool)
    masks[:, 2:9, 1:6] = True
    return InMemorySplit((batch.images * 255).round().byte(), torch.tensor([1, 0, 2, 3]), tuple("abcde"), "", batch.ids, masks)


def test_maps_and_captions_are_those_of_a_literal_grad_cam() -> None:
    classifier, split, shown = toy_classifier("gap"), _split(), list[Preview]()
    painter = PreviewRecorder.of(classifier, split, _recipe(), 2, shown.append)
    assert painter is not None
    painter.after(7)
    (picture,) = shown
    assert (picture.run, picture.name, picture.epoch, picture.titles) == ("mine", "epoch-007", 7, ("b", "a"))
    assert torch.equal(picture.images, next(split.batches(2)).images)
    with classifier.frozen(), classifier.captured() as seen:
        logits = classifier(picture.images)
    logits, features, head = logits.detach(), seen.output().detach(), classifier.network.head[-1].weight.detach()
    for index, label in enumerate((1, 0)):
        raw = (head[label][:, None, None] / features[0, 0].numel() * features[index]).sum(0).relu()
        large = F.interpolate(raw[None, None], size=(16, 12), mode="bilinear")[0, 0].detach()
        expected = (large - large.min()) / (large.max() - large.min())
        found = picture.seen["gradcam"]
        torch.testing.assert_close(found.maps[index], expected, rtol=1e-4, atol=1e-5)
        chance, share = float(logits[index].softmax(0)[label]), float(expected[2:9, 1:6].sum() / expected.sum())
        assert found.captions[index] == f"p {chance:.2f}, {100 * share:.0f} % on the object"


def test_the_last_picture_has_the_maps_before_beside_those_after() -> None:
    classifier, shown = toy_classifier("gap"), list[Preview]()
    painter = PreviewRecorder(classifier, _split(), _recipe(), 3, shown.append)
    painter.after(1)
    with torch.no_grad():
        classifier.network.head[-1].weight.neg_()
    painter.end(1)
    first, last = shown
    assert list(last.seen) == ["before", "after epoch 1"]
    assert torch.equal(last.seen["before"].maps, first.seen["gradcam"].maps)
    assert not torch.equal(last.seen["after epoch 1"].maps, first.seen["gradcam"].maps)


@pytest.mark.parametrize(
    ("loss", "cam"),
    [("ce", "gradcam"), ("so(cam='layercam')", "layercam"), ("cgc", "gradcam"), ("energy", "gradcam(relu=false)"), ("cfce", "gradcam")],
)
def test_the_map_is_the_one_that_the_loss_guides(loss: str, cam: str) -> None:
    assert str(cam_of(_recipe(loss=loss))).lower() == cam


def test_an_explainer_without_meaning_gives_a_warning_and_no_pictures() -> None:
    with pytest.warns(UserWarning, match="no previews: "):
        assert PreviewRecorder.of(toy_classifier("dense"), _split(), _recipe(loss="so(cam='cam')"), 2, print) is None


def test_pictures_change_no_weight_and_are_not_thought_of_where_nobody_wants_them(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    data = {"dataset": "shortcuts(size=32, classes=3)", "limit": 16, "evaluation_limit": 4}
    recipe, shown = _recipe(data=data, batch_size=8, loss="so(kernel=3, views=1)"), list[Preview]()
    one = train(recipe, out=tmp_path / "a", device="cpu", preview_images=2, on_preview=shown.append)
    assert [picture.name for picture in shown] == ["epoch-001", "epoch-002", "before-after"]
    assert not torch.equal(shown[0].seen["gradcam"].maps, shown[1].seen["gradcam"].maps)
    monkeypatch.setattr(train_module, "PreviewRecorder", None)
    other = train(recipe, out=tmp_path / "b", device="cpu")
    assert one.read_bytes() == other.read_bytes()
