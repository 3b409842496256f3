"""Recipes: reading, and the messages of mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest
from helpers.each import each

from camdbench.core.errors import UsageError
from camdbench.trainer.recipe import TrainingRecipe, check_recipe, read_recipe

SHIPPED = Path(__file__).parents[2] / "benchmarks" / "shortcuts" / "ce.yaml"


def test_the_shipped_recipe_is_read() -> None:
    recipe = read_recipe(SHIPPED)
    assert recipe.name == "shortcuts-ce"
    assert recipe.data.dataset == "shortcuts"
    assert set(recipe.data.evaluation) == {"val", "shifted", "conflict"}


def test_rungs_of_the_ladder_differ_in_their_data_alone() -> None:
    rungs = {path.stem: read_recipe(path) for path in sorted((SHIPPED.parent / "ladder").glob("*.yaml"))}
    data = {name: rung.data.dataset for name, rung in rungs.items()}
    assert data == {
        "background": 'shortcuts(label="background", correlation=0.125)',
        "c100": "shortcuts(correlation=1.0)",
        "c090": "shortcuts(correlation=0.9)",
        "c050": "shortcuts(correlation=0.5)",
        "c0125": "shortcuts(correlation=0.125)",
    }
    assert all(rung.name == f"ladder-{name}" for name, rung in rungs.items())
    rest = [rung.model_copy(update={"name": "x", "data": rung.data.model_copy(update={"dataset": "x"})}) for rung in rungs.values()]
    assert rest.count(rest[0]) == len(rest) == 5
    assert rest[0].init == "shortcuts-ce"


def test_a_recipe_survives_being_written_out() -> None:
    recipe = read_recipe(SHIPPED)
    assert check_recipe(recipe.model_dump(mode="json"), "again") == recipe


def test_a_name_is_enough() -> None:
    assert check_recipe({"name": "mine"}, "here") == TrainingRecipe(name="mine")


@each(
    ("text", "words"),
    [
        ("epochs: 3", "name: missing"),
        ("{name: m, epoch: 3}", "epoch: no such field; did you mean 'epochs'? known: name, data"),
        ("{name: m, data: {counts: 3}}", "data.counts: no such field; known: dataset"),
        ("{name: m, data: {shots: 0}}", "data.shots=0"),
        ("{name: m, data: {episode: 3}}", "data.episode=3: has no effect without data.shots; set data.shots"),
        ("{name: m, data: {labels: shuffled}}", "data.labels='shuffled'"),
        ("{name: m, data: {evaluate: [val]}}", "data.evaluate: no such field; did you mean 'evaluation'? known: dataset"),
        ("{name: m, optimiser: {rate: 3}}", "optimiser.rate: no such field; known: name, lr"),
        ("{name: m, epochs: 0}", "epochs=0: input should be greater than 0"),
        ("{name: m, epochs: '3'}", "epochs='3'"),
        ("{name: m, optimiser: {lr: -1}}", "optimiser.lr=-1"),
        ("{name: m, augment: {flip: 2}}", "augment.flip=2"),
        ("{name: M m}", "name='M m'"),
        ("{name: m, network: vgg166}", "no network 'vgg166'; did you mean 'vgg16'"),
        ("{name: m, network: resnet50@IMAGENET1K_V2}", "use network: resnet50 and init: resnet50@IMAGENET1K_V2"),
        ("{name: m, network: timm/vit_tiny_patch16_224.augreg_in21k}", "use network: timm/vit_tiny_patch16_224 and init:"),
        ("{name: m, network: timm/vit_tiny_patch16_225}", "did you mean 'timm/vit_tiny_patch16_224'"),
        ("{name: m, network: vgg16, surgery: {}}", "surgery: not supported for network=vgg16; use shortcuts or a torchvision ResNet"),
        ("{name: m, network: timm/resnet50, surgery: {}}", "surgery: not supported for network=timm/resnet50"),
        ("{name: m, loss: cee}", "no loss 'cee'; did you mean 'ce' or 'bce'? (see: camdbench list losses)"),
        ("{name: m, loss: ce(smooth=0.1)}", "smoothing"),
        ("{name: m, data: {dataset: shortcut}}", "did you mean 'shortcuts'?"),
        ("{name: m, data: {dataset: shortcuts(split='val')}}", "split and count have separate fields"),
        ("{name: m, data: {evaluate: []}}", "data.evaluate"),
        ("{name: m, validation: conflict}", "validation='conflict': this split measures the bias"),
        ("{name: m, validation: balanced}", "validation='balanced': this split measures the bias"),
        ("{name: m, keep: first}", "keep='first'"),
        ("{name: m, precision: fp8}", "precision='fp8'"),
        ("{name: m, data: {in_memory: 3}}", "data.in_memory=3: input should be 'auto', true or false"),
        (
            "{name: m, batch_size: 64, gradient_accumulation: 3}",
            "gradient_accumulation=3: batch_size=64 does not split into",
        ),
        ("{name: m, batch_size: 4, gradient_accumulation: 4}", "at least 2 images"),
        ("- 1", "found list"),
        ("{", "not YAML"),
        ("!!python/object/apply:os.system [ls]", "not YAML"),
    ],
)
def test_a_mistake_is_reported_with_file_and_field(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError) as caught:
        read_recipe(path)
    assert str(path) in str(caught.value)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        read_recipe(tmp_path / "none.yaml")
