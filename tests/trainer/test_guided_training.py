"""Guided training: the map moves onto the object; stages, clipping, restarts and weights to start from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.steps import fit_classifier
from safetensors.torch import load_file
from torch import Tensor, nn

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.models.classifier import Classifier
from camdbench.models.surgery import surgery_of
from camdbench.models.zoo import load_classifier
from camdbench.trainer.in_memory_split import InMemorySplit
from camdbench.trainer.initialisation import build_initial_classifier
from camdbench.trainer.recipe import TrainingRecipe, check_recipe
from camdbench.trainer.run_state import Epoch
from camdbench.trainer.train import train
from camdbench.trainer.validation import validate

CPU = torch.device("cpu")
TINY: dict[str, Any] = {
    "name": "tiny",
    "data": {"dataset": "shortcuts(size=32, classes=3)", "limit": 24, "evaluation_limit": 6},
    "epochs": 2,
    "batch_size": 8,
}


class Small(nn.Module):
    """A convolution and global average pooling."""

    def __init__(self) -> None:
        super().__init__()
        self.see = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU())
        self.fc = nn.Linear(8, 2, bias=False)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.see(images).mean((2, 3)))


def _classifier() -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Classifier(Small(), "see", mean=0.5, std=0.25)


def _two_cues(count: int = 64) -> InMemorySplit:
    """A red or blue square says the class; so does the green or grey strip opposite of it, which is not the object."""
    random = torch.Generator().manual_seed(0)
    labels = torch.arange(count) % 2
    pixels = torch.randint(40, 80, (count, 3, 12, 12), generator=random, dtype=torch.uint8)
    masks = torch.zeros(count, 12, 12, dtype=torch.bool)
    for index in range(count):
        top, left = torch.randint(0, 7, (2,), generator=random).tolist()
        masks[index, top : top + 4, left : left + 4] = True
        pixels[index, 0 if labels[index] else 2, top : top + 4, left : left + 4] = 220
        pixels[index, 1, 11, :] = 250 if labels[index] else 40
        pixels[index, :, 11, :] += 0 if labels[index] else 60
    return InMemorySplit(pixels, labels, ("blue", "red"), "", tuple(map(str, range(count))), masks)


def _recipe(**changes: Any) -> TrainingRecipe:
    return check_recipe({"name": "cues", "epochs": 25, "batch_size": 16, "optimiser": {"lr": 0.02, "weight_decay": 0.0}} | changes, "test")


@pytest.fixture(scope="module")
def unguided_energy() -> float:
    """The share of the map on the object after training with cross-entropy alone."""
    images, plain = _two_cues(), _classifier()
    fit_classifier(plain, images, images, _recipe(), device=CPU)
    return validate(plain, images, device=CPU).energy


@pytest.mark.parametrize("loss", ["so(views=1, kernel=0)", "so(views=8, kernel=3)", "cfce", "rcfce(weight=1.0)", "energy(weight=2.0)"])
def test_guidance_moves_the_map_onto_the_object(loss: str, unguided_energy: float) -> None:
    images = _two_cues()
    guided = _classifier()
    log = fit_classifier(guided, images, images, _recipe(loss=loss), device=CPU).log
    found = validate(guided, images, device=CPU)
    assert found.accuracy > 0.95
    assert found.energy > unguided_energy + 0.1
    assert log[-1].train_loss < log[0].train_loss


def test_the_log_holds_every_part_and_where_the_network_looks(tmp_path: Path) -> None:
    recipe = check_recipe(TINY | {"loss": "so(views=2, kernel=3)", "epochs": 1}, "tiny")
    path = train(recipe, out=tmp_path, device="cpu")
    header, line = path.with_suffix(".csv").read_text().splitlines()
    assert header.endswith("val_accuracy,val_loss,val_iou,val_energy,val_core_share,train_ce,train_so,train_skipped")
    assert all(float(value) >= 0 for value in line.split(","))
    assert 0 < json.loads(path.with_suffix(".json").read_text())["metrics"]["val"]["energy"] < 1


def test_a_network_after_surgery_is_read_back_with_it(tmp_path: Path) -> None:
    recipe = check_recipe(TINY | {"loss": "cfce", "surgery": {"stride": 1}, "epochs": 1}, "tiny")
    path = train(recipe, out=tmp_path, device="cpu")
    found = load_classifier(str(path), device="cpu")
    assert surgery_of(found.network) == {"stride": 1, "relus": "paper"}
    with torch.no_grad(), found.captured() as seen:
        found(torch.rand(1, 3, 32, 32))
    assert seen.output().shape == (1, 64, 8, 8)
    again = check_recipe(TINY | {"name": "again", "init": str(path), "loss": "cfce", "epochs": 1}, "tiny")
    facts = json.loads(train(again, out=tmp_path, device="cpu").with_suffix(".json").read_text())
    assert facts["surgery"] == {"stride": 1, "relus": "paper"}


class TestStages:
    def test_the_head_alone_first_and_then_everything(self) -> None:
        images, classifier = _two_cues(16), _classifier()
        before = {name: value.clone() for name, value in classifier.network.state_dict().items()}
        seen = list[tuple[dict[str, Tensor], float]]()

        def look(line: Epoch) -> None:
            seen.append(({name: value.clone() for name, value in classifier.network.state_dict().items()}, line.lr))

        recipe = _recipe(head_stage={"epochs": 2, "lr": 0.5}, epochs=1, optimiser={"lr": 0.01, "schedule": "constant"})
        log = fit_classifier(classifier, images, images, recipe, device=CPU, progress=look).log
        assert [line.lr for line in log] == [0.5, 0.5, 0.01]
        frozen = [name for name in before if not name.startswith("fc")]
        assert all(torch.equal(seen[1][0][name], before[name]) for name in frozen)  # statistics too
        assert not torch.equal(seen[1][0]["fc.weight"], before["fc.weight"])
        assert not torch.equal(seen[2][0]["see.0.weight"], before["see.0.weight"])
        assert all(parameter.requires_grad for parameter in classifier.network.parameters())

    def test_a_network_without_a_head_of_that_name_is_refused(self) -> None:
        network = nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
        with pytest.raises(UsageError, match="cannot find the classification layer"):
            fit_classifier(
                Classifier(network, "0", mean=0.5, std=0.25), _two_cues(16), _two_cues(16), _recipe(head_stage={"epochs": 1}), device=CPU
            )

    def test_a_run_cut_short_in_any_stage_ends_with_the_same_weights(self, tmp_path: Path) -> None:
        written = TINY | {
            "head_stage": {"epochs": 2},
            "loss": "cgc(smallest=0.5)",
            "optimiser": {"name": "sgd", "lr": 0.01, "schedule": "cosine"},
        }
        recipe = check_recipe(written | {"augment": {"flip": 0.5, "crop_scale": 0.5}}, "tiny")
        whole = load_file(train(recipe, out=tmp_path / "whole", device="cpu"))

        for cut in (1, 2, 3):

            def stop(line: Epoch, cut: int = cut) -> None:
                if line.epoch == cut:
                    raise KeyboardInterrupt

            with pytest.raises(KeyboardInterrupt):
                train(recipe, out=tmp_path / f"{cut}", device="cpu", progress=stop)
            seen = list[int]()
            again = load_file(
                train(recipe, out=tmp_path / f"{cut}", device="cpu", progress=lambda line, seen=seen: seen.append(line.epoch))
            )
            assert seen == list(range(cut + 1, 5))
            assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_dropout_is_drawn_from_the_seed_and_nobody_elses_numbers_move() -> None:
    images = _two_cues(16)

    def weights(stray: int) -> Tensor:
        classifier = _classifier()
        classifier.network.see.append(nn.Dropout(0.5))
        torch.manual_seed(stray)
        before = torch.get_rng_state()
        fit_classifier(classifier, images, images, _recipe(epochs=1), device=CPU)
        assert torch.equal(torch.get_rng_state(), before)
        return classifier.network.fc.weight.detach()

    assert torch.equal(weights(1), weights(2))


def test_clipping_bounds_the_step() -> None:
    images = _two_cues(16)

    def moved(clip: float | None) -> float:
        classifier = _classifier()
        before = classifier.network.fc.weight.detach().clone()
        how = {"name": "sgd", "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0, "schedule": "constant", "max_grad_norm": clip}
        fit_classifier(classifier, images, images, _recipe(epochs=1, batch_size=16, optimiser=how), device=CPU)
        return float((classifier.network.fc.weight.detach() - before).norm())

    assert moved(1e-3) <= 1.001e-3 < moved(None)


def test_extra_passes_move_statistics_only_where_the_recipe_says_so() -> None:
    images = _two_cues(16)

    def steps(statistics: str) -> int:
        classifier = _classifier()
        fit_classifier(classifier, images, images, _recipe(loss="so(kernel=0)", epochs=1, batchnorm_updates=statistics), device=CPU)
        return int(classifier.network.see[1].num_batches_tracked)

    assert (steps("main_pass"), steps("all_passes")) == (1, 2)


class TestStarting:
    def test_from_a_model_by_name_with_its_weights(self) -> None:
        recipe = check_recipe({"name": "mine", "init": "shortcuts-ce"}, "test")
        images = InMemorySplit(torch.zeros(4, 3, 96, 96, dtype=torch.uint8), torch.arange(4), tuple("abcdefgh"), "", tuple("abcd"))
        found, known = build_initial_classifier(recipe, images), load_classifier("shortcuts-ce", device="cpu")
        assert found.weights_hash() == known.weights_hash()
        assert found.class_names == tuple("abcdefgh")
        assert all(parameter.requires_grad for parameter in found.parameters())
        fewer = InMemorySplit(images.pixels, images.labels, tuple("abc"), "", images.ids)
        assert build_initial_classifier(recipe, fewer).network.fc.weight.shape == (3, 64)

    def test_weights_of_another_network_are_refused(self) -> None:
        images = InMemorySplit(torch.zeros(4, 3, 32, 32, dtype=torch.uint8), torch.arange(4), tuple("abcd"), "", tuple("abcd"))
        with pytest.raises(UsageError, match=r"init=shortcuts-ce: not a checkpoint of network=resnet18"):
            build_initial_classifier(check_recipe({"name": "mine", "network": "resnet18", "init": "shortcuts-ce"}, "test"), images)

    def test_torchvisions_resnets_are_trained_and_read_back(self, tmp_path: Path) -> None:
        recipe = check_recipe(TINY | {"network": "resnet18", "init": "resnet18@random", "surgery": {}, "loss": "cfce", "epochs": 1}, "tiny")
        path = train(recipe, out=tmp_path, device="cpu")
        found = load_classifier(str(path), device="cpu")
        assert found.layer == "layer4.1"
        assert found.network.fc.bias is None

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"init": "shortcuts-cee"}, "no model 'shortcuts-cee'"),
            ({"loss": 'so(cam="gradcan")'}, "no explainer 'gradcan'"),
            ({"surgery": {"stride": 2}}, "surgery.stride=2"),
            ({"head_stage": {}}, "head_stage.epochs: missing"),
            ({"optimiser": {"max_grad_norm": 0}}, "optimiser.max_grad_norm=0"),
            ({"data": {"labelled_fraction": 0}}, "data.labelled_fraction=0"),
        ],
    )
    def test_a_mistake_is_told_before_any_work(self, changes: dict[str, Any], words: str) -> None:
        with pytest.raises(UsageError) as caught:
            check_recipe({"name": "mine"} | changes, "here")
        assert words in str(caught.value)


def test_few_labels_and_a_loss_without_any(tmp_path: Path) -> None:
    recipe = check_recipe(TINY | {"loss": "cgc(smallest=0.5)", "data": TINY["data"] | {"labelled_fraction": 0.3}, "epochs": 1}, "tiny")
    assert train(recipe, out=tmp_path, device="cpu").is_file()
    with pytest.raises(CamdbenchError, match="label"):
        train(check_recipe(recipe.model_dump(mode="json") | {"loss": "so(views=1, kernel=3)"}, "t"), out=tmp_path / "so", device="cpu")
