"""Truth by intervention: exact on a network whose scores are known, counted passes, errors, and a recorded network."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from helpers.each import each
from torch import Tensor, nn

from camdbench.auditing.coalition_logits import coalition_images, logits_of_images, measure_all_logits, measure_logits
from camdbench.auditing.reference_draws import draw_references, pool_of
from camdbench.auditing.truth import OBJECTIVES, Truth, measure_truth, truth_of
from camdbench.core.errors import UsageError
from camdbench.datasets.permuted_labels import PermutedLabels
from camdbench.datasets.shortcuts.dataset import Shortcuts, shortcuts
from camdbench.datasets.shortcuts.drawing import compose
from camdbench.models.classifier import Classifier
from camdbench.models.zoo import load_classifier

LABELS = (0, 1, 2, 3, 4, 5, 6, 7)

# shortcuts-ce, the first 8 images of val with 96 pixels, 16 draws: share, and Shapley values of object and background in centred logits
SHARES = [0.4831, 0.3112, 0.6535, 0.9651, 0.3993, 0.5549, 0.4710, 0.3305]
PHI = [
    [1.738, 1.860], [0.865, 1.913], [3.807, 2.019], [2.684, -0.097], [0.816, 1.228], [2.251, 1.805], [1.678, 1.885], [1.560, 3.160]
]  # fmt: skip


def data_of(**options: object) -> Shortcuts:
    found = shortcuts(**{"size": 32, **options})  # pyright: ignore[reportArgumentType]
    assert isinstance(found, Shortcuts)
    return found


class LookUp(nn.Module):
    """Logits a onehot(shape) + b onehot(texture), by the bytes of the image."""

    def __init__(self, known: dict[bytes, tuple[int, int]], a: float, b: float) -> None:
        super().__init__()
        self.known, self.a, self.b = known, a, b
        self.head = nn.Linear(1, 8)  # so that the classifier finds a layer of 8 classes

    def forward(self, images: Tensor) -> Tensor:
        pixels = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()
        found = torch.zeros(len(images), 8, dtype=torch.float64)
        for row, image in zip(found, pixels, strict=True):
            shape, texture = self.known[image.tobytes()]
            row[shape] += self.a
            row[texture] += self.b
        return found


def look_up(data: Shortcuts, index: int, draws: int, a: float, b: float) -> Classifier:
    """The network for the images of one game, composed here from the draws."""
    pool, own = pool_of(data), data.scene(index)
    label, known = (data.shapes[index], data.background(index)), dict[bytes, tuple[int, int]]()
    for one in draw_references(data, data.ids[index], draws):
        first, second = pool.scene(one.objects), pool.scene(one.backgrounds)
        for thing, shape in ((own, label[0]), (first, pool.shapes[one.objects])):
            for behind, texture in ((own, label[1]), (second, pool.background(one.backgrounds))):
                image = compose(thing.outline, thing.material, behind.background, own.light).image
                known[image.tobytes()] = (shape, texture)
    return Classifier(LookUp(known, a, b), "head", mean=0.0, std=1.0)


@each(("a", "b"), [(3.0, 1.0), (2.0, 0.0), (0.0, 2.0)])
@each("draws", [8, 24])
def test_a_look_up_network_has_its_exact_truth(a: float, b: float, draws: int) -> None:
    data = data_of(split="balanced", count=16)
    congruent = {data.background(index) == data.labels[index]: index for index in range(16)}
    for own, index in congruent.items():
        truth = measure_truth(look_up(data, index, draws, a, b), data, [index], [data.labels[index]], draws=draws)
        assert truth.phi[0] == pytest.approx([a * (1 - 1 / 8), b * (7 / 8 if own else -1 / 8)], abs=1e-12)
        assert truth.interaction[0] == pytest.approx(0, abs=1e-12)
        if draws >= 24:  # as many degrees of freedom as classes beside those of the strata
            assert truth.se[0] == pytest.approx([0, 0], abs=1e-12)
            assert truth.se_share[0] == pytest.approx(0, abs=1e-12)
        if own:
            assert truth.share[0] == pytest.approx(a / (a + b), abs=1e-12)
            assert truth.share_positive[0] == pytest.approx(a / (a + b), abs=1e-12)
        elif a:
            assert truth.share_positive[0] == pytest.approx(1, abs=1e-12)
        else:
            assert math.isnan(truth.share_positive[0])  # nothing speaks for the class


def test_the_score_of_each_coalition_is_that_of_its_image() -> None:
    """Against scores of images that are composed here, in the order of the bits; (2^p - 1) K + 1 passes."""
    data, classifier = data_of(), load_classifier("shortcuts-ce")
    before = classifier.passes.forward
    logits = measure_logits(classifier, data, [5], draws=8)
    assert classifier.passes.forward - before == 3 * 8 + 1
    pool, own = pool_of(data), data.scene(5)
    for k, one in enumerate(draw_references(data, data.ids[5], 8)):
        first, second = pool.scene(one.objects), pool.scene(one.backgrounds)
        for coalition in range(4):
            thing, behind = own if coalition & 1 else first, own if coalition & 2 else second
            image = compose(thing.outline, thing.material, behind.background, own.light).image
            assert logits[0, k, coalition] == pytest.approx(logits_of_images(classifier, image[None])[0], abs=1e-4)
    assert logits[0, 0, 3] == pytest.approx(classifier(data[5].image[None]).detach().numpy()[0], abs=1e-4)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_values_sum_to_the_score_and_objectives_share_their_passes(objective: str) -> None:
    data, classifier = data_of(), load_classifier("shortcuts-ce")
    logits = measure_logits(classifier, data, [0, 1], draws=8)
    truth = truth_of(logits, [0, 3], objective, ids=data.ids[:2])  # pyright: ignore[reportArgumentType]
    assert truth.phi.sum(1) == pytest.approx(truth.values[:, 0, 3] - truth.values[:, :, 0].mean(1), abs=1e-10)
    own = {
        "logit": logits[1, 2, 1, 3],
        "centred_logit": logits[1, 2, 1, 3] - logits[1, 2, 1].mean(),
        "probability": np.exp(logits[1, 2, 1, 3]) / np.exp(logits[1, 2, 1]).sum(),
        "log_odds": logits[1, 2, 1, 3] - np.log(np.exp(np.delete(logits[1, 2, 1], 3)).sum()),
    }[objective]
    assert truth.values[1, 2, 1] == pytest.approx(own, abs=1e-10)


def test_order_of_images_and_company_change_nothing() -> None:
    data, networks = data_of(), [load_classifier(name) for name in ("shortcuts-ce", "shortcuts-so")]
    alone = [measure_logits(networks[1], data, [index], draws=8)[0] for index in (0, 1, 2)]
    together = measure_all_logits(networks, data, [2, 0, 1], draws=8)[1]
    assert np.array_equal(together, np.stack(alone)[[2, 0, 1]])


def test_smaller_passes_move_values_by_rounding_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    data, classifier = data_of(), load_classifier("shortcuts-ce")
    usual = measure_truth(classifier, data, [0, 1], data.labels[:2], draws=8)
    monkeypatch.setattr("camdbench.auditing.coalition_logits.images_per_pass", lambda *_: 3)
    small = measure_truth(classifier, data, [0, 1], data.labels[:2], draws=8)
    assert small.values == pytest.approx(usual.values, abs=1e-4)
    assert small.share == pytest.approx(usual.share, abs=1e-5)


def test_three_players_divide_the_same_whole() -> None:
    """The game of three has the image's place as its context; its passes are 7 K + 1."""
    data, classifier = data_of(), load_classifier("shortcuts-ce")
    players, before = ("background", "shape", "material"), classifier.passes.forward
    truth = measure_truth(classifier, data, [5], [data.labels[5]], draws=8, players=players)
    assert classifier.passes.forward - before == 7 * 8 + 1
    assert truth.values.shape == (1, 8, 8)
    assert truth.phi.sum(1) == pytest.approx(truth.values[:, 0, 7] - truth.values[:, :, 0].mean(1), abs=1e-10)
    size = np.abs(truth.phi[0])
    assert truth.share[0] == pytest.approx(size[1:].sum() / size.sum())
    two = coalition_images(data, 5, draws=8)
    three = coalition_images(data, 5, draws=8, players=players)
    assert np.array_equal(three[6], two[1])  # background alone is replaced
    assert np.array_equal(three[-1], two[-1])
    assert len({image.tobytes() for image in three[:7]}) == 7


def test_the_truth_of_a_trained_network_is_the_recorded_one() -> None:
    data = data_of(size=96)
    truth = measure_truth(load_classifier("shortcuts-ce"), data, range(8), data.labels[:8], draws=16)
    assert truth.share == pytest.approx(SHARES, abs=0.002)
    assert truth.phi == pytest.approx(np.array(PHI), abs=0.01)


def of_values(values: np.ndarray) -> Truth:
    return Truth(tuple(f"image-{index}" for index in range(len(values))), ("object", "background"), values)


def test_the_game_of_two_that_need_each_other() -> None:
    truth = of_values(np.tile([0.0, 0.0, 0.0, 1.0], (3, 4, 1)))
    assert truth.phi.tolist() == [[0.5, 0.5]] * 3
    assert truth.interaction.tolist() == [1] * 3
    assert truth.share.tolist() == truth.share_positive.tolist() == [0.5] * 3
    assert truth.se.tolist() == [[0, 0]] * 3
    assert truth.se_share.tolist() == [0] * 3


def test_the_standard_error_falls_with_the_root_of_the_draws_and_is_the_spread_of_means() -> None:
    random = np.random.default_rng(0)
    games = np.concatenate([random.standard_normal((400, 64, 3)) + np.array([0, 3, 1]), np.full((400, 64, 1), 5.0)], 2)
    truth, few = of_values(games), of_values(games[:, :16])
    assert (few.se / truth.se).mean() == pytest.approx(2, rel=0.05)
    assert truth.se.mean(0) == pytest.approx(truth.phi.std(0), rel=0.1)
    assert truth.se_share.mean() == pytest.approx(truth.share.std(), rel=0.1)
    assert (few.se_share / truth.se_share).mean() == pytest.approx(2, rel=0.1)
    assert np.array_equal(of_values(games).se_share, truth.se_share)
    assert np.array_equal(of_values(games[5:]).share, truth.share[5:])


def stratified(images: int, blocks: int) -> np.ndarray:
    """(N, 8 blocks, 2) shapes and textures, each once in a block, in random pairs."""
    random = np.random.default_rng(1)
    return np.stack([[np.concatenate([random.permutation(8) for _ in range(blocks)]) for _ in range(2)] for _ in range(images)]).swapaxes(
        1, 2
    )


def test_what_strata_explain_is_no_error() -> None:
    """Scores that add effects of shape and texture, and noise: the standard error is the spread of means over images."""
    random, strata = np.random.default_rng(0), stratified(400, 4)
    effects = 3 * random.standard_normal((2, 8))
    things, behind = effects[0][strata[..., 0]], effects[1][strata[..., 1]]
    noise = random.standard_normal((3, *things.shape))
    games = np.stack([things + behind + noise[0], 1 + behind + noise[1], 4 + things + noise[2], np.full_like(things, 9.0)], -1)
    blind = of_values(games)
    truth = Truth(blind.ids, blind.players, games, strata)
    assert np.array_equal(truth.phi, blind.phi)
    assert np.sqrt((truth.se**2).mean(0)) == pytest.approx(truth.phi.std(0), rel=0.08)
    assert truth.se_share.mean() == pytest.approx(truth.share.std(), rel=0.1)
    assert (np.sqrt((blind.se**2).mean(0)) > 2 * truth.phi.std(0)).all()
    few = Truth(blind.ids, blind.players, games[:, :16], strata[:, :16])  # too few degrees of freedom are left: the larger error
    assert np.array_equal(few.se, of_values(games[:, :16]).se)
    assert np.array_equal(truth.half(1).strata, strata[:, 1::2])  # pyright: ignore[reportArgumentType]


def test_halves_are_the_draws_at_even_and_odd_places() -> None:
    games = np.random.default_rng(0).standard_normal((2, 6, 4))
    truth = of_values(games)
    assert np.array_equal(truth.half(0).values, games[:, ::2])
    assert np.array_equal(truth.half(1).values, games[:, 1::2])
    assert (truth.half(0).phi + truth.half(1).phi) / 2 == pytest.approx(truth.phi, abs=1e-12)
    one = of_values(games[:, :1])
    assert np.isnan(one.se).all()
    assert np.isnan(one.se_share).all()
    with pytest.raises(UsageError, match="draws = 1"):
        one.half(0)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"draws": 12}, "draws = 12"),
        ({"players": ("object",)}, "players = object: no such game"),
        ({"players": ("object", "object", "background")}, "no such game"),
        ({"objective": "logits"}, "did you mean 'logit'"),
        ({"targets": [8]}, "class 8, but the model has classes 0 to 7"),
        ({"targets": [-1]}, "class -1"),
        ({"targets": [0, 1]}, "targets"),
        ({"targets": [0.5]}, "targets"),
        ({"indices": []}, "indices: no image"),
        ({"indices": [1000]}, "1000 is out of range; val has images 0 to 999"),
        ({"indices": [-1]}, "-1 is out of range"),
        ({"data": PermutedLabels(data_of(), LABELS)}, "use the data set shortcuts"),
    ],
    ids=str,
)
def test_wrong_use_is_refused(options: dict[str, object], words: str) -> None:
    given = {"data": data_of(), "indices": [0], "targets": [0], "draws": 8} | options
    with pytest.raises(UsageError, match=words):
        measure_truth(load_classifier("shortcuts-ce"), **given)  # pyright: ignore[reportArgumentType]


def test_logits_of_another_game_are_refused() -> None:
    logits = np.zeros((2, 8, 4, 8))
    for ids, players in ((("a",), ("object", "background")), (("a", "b"), ("shape", "material", "background"))):
        with pytest.raises(UsageError, match="logits: of 2 images and 4 coalitions"):
            truth_of(logits, [0, 0], ids=ids, players=players)


def test_the_classifier_is_left_as_it_was() -> None:
    classifier = load_classifier("shortcuts-ce").train()
    flags = [weight.requires_grad for weight in classifier.parameters()]
    measure_logits(classifier, data_of(), [0], draws=8)
    assert classifier.training
    assert [weight.requires_grad for weight in classifier.parameters()] == flags
