"""Opti-CAM against a slow, literal reading of the paper, one image at a time, and what it costs.

Equations, layers and the optimiser are those of Zhang et al. 2024, sections 3.2 and 5.5 and appendix A; only autograd is shared.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from helpers.toys import SIZE, maps_of, reordered, toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable
from camdbench.core.registries import explainers
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.opticam import combine, opticam
from camdbench.functional.seeding import generator_for
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts

OBJECTIVES = ("mask", "diff", "iomask", "iodiff")
NORMALISATIONS = ("range", "max", "sigmoid")
ITERATIONS = 25


def fresh(classifier: Classifier) -> Classifier:
    """The same toy, for a literal reading in float64."""
    return toy_classifier(classifier.name.removeprefix("toy-"))


# ------------------------------------------------------------------------------- the paper, read literally


class Literal:
    """Opti-CAM of one image x (3, H, W) and one class c, in float64."""

    def __init__(self, classifier: Classifier, x: Tensor, c: int, objective: str, normalisation: str) -> None:
        self.classifier, self.x, self.c, self.kind, self.n = classifier.double(), x.double(), c, objective, normalisation
        network = classifier.network
        with torch.no_grad():
            seen = (self.x[None] - classifier.mean) / classifier.std
            self.A = network.relu2(network.conv2(network.relu1(network.norm1(network.conv1(seen)))))[0]  # (K, h, w)
            self.y_x = self.y(self.x)

    def y(self, image: Tensor) -> Tensor:
        """y_c: the logit of class c (the default selector g_c of eq. 10)."""
        return self.classifier.network((image[None] - self.classifier.mean) / self.classifier.std)[0, self.c]

    def S(self, u: Tensor) -> Tensor:
        """Eq. 8, h the identity."""
        weights = torch.exp(u) / torch.exp(u).sum()
        return sum(weights[k] * self.A[k] for k in range(len(u)))

    def mask(self, u: Tensor) -> Tensor:
        """n(up(S(x; u))), n of eq. 16, 17 or 18."""
        up = nn.functional.interpolate(self.S(u)[None, None], size=self.x.shape[1:], mode="bilinear")[0, 0]
        if self.n == "range":
            return (up - up.min()) / (up.max() - up.min()) if up.max() > up.min() else torch.zeros_like(up)
        if self.n == "max":
            return up / up.max() if up.max() > 0 else torch.zeros_like(up)
        return 1 / (1 + torch.exp(-up))

    def F(self, u: Tensor) -> Tensor:
        """The objective as a function of u."""
        return self.F_of_mask(self.mask(u))

    def F_of_mask(self, s: Tensor) -> Tensor:
        """Eq. 10, eq. 19, and their combinations with the complement of the mask."""
        inside = self.y(self.x * s)
        if self.kind == "mask":
            return inside
        if self.kind == "diff":
            return -(self.y_x - inside).abs()
        outside = self.y(self.x * (1 - s))
        if self.kind == "iomask":
            return inside - outside
        return -(self.y_x - inside).abs() + (self.y_x - outside).abs()

    def optimise(self, u: Tensor, iterations: int, lr: float, *, best: bool = False, stop: str = "paper") -> tuple[Tensor, int]:
        """Eq. 9 by Adam (Kingma & Ba 2015, algorithm 1), written out; returns u* and the number of evaluations."""
        u = u.double()
        m, v, previous, seen = torch.zeros_like(u), torch.zeros_like(u), None, []
        for t in range(1, iterations + 1):
            u = u.detach().requires_grad_()
            loss = -self.F(u)
            (g,) = torch.autograd.grad(loss, u)
            seen.append((loss.item(), u.detach()))
            if stop == "paper" or (t - 1) % (iterations // 10) == 0:
                ended = previous is not None and (abs(loss.item() - previous) < 1e-10 if stop == "paper" else loss.item() > previous)
                if ended:  # appendix A, or the released code's rule
                    break
                previous = loss.item()
            m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
            u = u.detach() - lr * (m / (1 - 0.9**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
        else:
            if best:
                seen.append((-self.F(u).item(), u))
        return (min(seen, key=lambda pair: pair[0])[1] if best else u.detach()), len(seen)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("objective", OBJECTIVES)
def test_it_is_the_paper_read_literally(classifier: Classifier, batch: Batch, objective: str, normalisation: str) -> None:
    spec = f'opticam(iterations={ITERATIONS}, objective="{objective}", normalisation="{normalisation}")'
    found = maps_of(classifier, batch, spec)
    for index, image in enumerate(batch.images):
        with fresh(classifier).frozen() as exact:
            literal = Literal(exact, image, int(batch.labels[index]), objective, normalisation)
            u, _ = literal.optimise(torch.full((8,), 0.5), ITERATIONS, 0.1)  # any constant is the same start
            torch.testing.assert_close(found.raw[index], literal.S(u), rtol=0, atol=1e-10)
            torch.testing.assert_close(found.maps[index], literal.mask(u).float(), rtol=0, atol=1e-5)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_best_has_the_highest_objective_of_all_iterates(classifier: Classifier, batch: Batch, objective: str) -> None:
    options = f'iterations=12, lr=0.5, objective="{objective}"'  # far enough to overshoot, too short for rounding to grow
    found, last = maps_of(classifier, batch, f"opticam({options}, best=True)"), maps_of(classifier, batch, f"opticam({options})")
    surpassed = 0
    with fresh(classifier).frozen() as exact:
        for index, image in enumerate(batch.images):
            literal = Literal(exact, image, int(batch.labels[index]), objective, "range")
            u, _ = literal.optimise(torch.zeros(8), 12, 0.5, best=True)
            best, reached, final = (literal.F_of_mask(mask).item() for mask in (literal.mask(u), found.maps[index], last.maps[index]))
            assert reached == pytest.approx(best, abs=1e-3)
            surpassed += reached > final + 1e-3
    if objective == "diff":
        assert surpassed, "no last iterate was worse than the best, so this test says nothing"


def test_optimising_raises_the_objective(classifier: Classifier, batch: Batch) -> None:
    first, last = (maps_of(classifier, batch, f"opticam(iterations={count})").maps for count in (0, 60))
    with torch.no_grad():
        before, after = (classifier(batch.images * maps[:, None]).gather(1, batch.labels[:, None]) for maps in (first, last))
    assert (after > before).all()


# ------------------------------------------------------------------------------- where it starts


def test_without_iterations_it_is_the_mean_of_the_channels(classifier: Classifier, batch: Batch) -> None:
    with classifier.frozen():
        trace = Trace(classifier, batch)
        for options in ({}, {"best": True}, {"search_dtype": "network"}):
            torch.testing.assert_close(opticam(trace, iterations=0, **options), trace.activations.mean(1), check_dtype=False)


def test_the_random_start_is_a_normal_draw_from_seed_and_image_id(classifier: Classifier, batch: Batch) -> None:
    with classifier.frozen():
        trace = Trace(classifier, batch, seed=11)
        u = torch.stack([torch.randn(8, generator=generator_for(11, name, "opticam")) for name in batch.ids])
        torch.testing.assert_close(opticam(trace, iterations=0, start="random"), combine(u, trace.activations), check_dtype=False)


def test_the_gradcam_start_weighs_channels_as_gradcam_does_up_to_a_floor(classifier: Classifier, batch: Batch) -> None:
    with classifier.frozen():
        trace = Trace(classifier, batch)
        positive = trace.gradients.mean((2, 3)).relu()
        shares = (positive / positive.sum(1, keepdim=True) + 0.01 / 8) / 1.01
        expected = (shares[:, :, None, None] * trace.activations).sum(1)
        torch.testing.assert_close(opticam(trace, iterations=0, start="gradcam"), expected, rtol=1e-5, atol=1e-6, check_dtype=False)


# ------------------------------------------------------------------------------- when it stops


def test_an_image_whose_loss_stands_still_leaves_the_batch_and_the_others_go_on(classifier: Classifier) -> None:
    batch = toy_batch(3)
    batch.images[1] = 0  # black: no mask changes what the network sees of it
    alone = [maps_of(classifier, batch.part(index, index + 1), "opticam(iterations=20)").raw for index in range(3)]
    classifier.passes = PassCounts()
    together = maps_of(classifier, batch, "opticam(iterations=20)").raw
    assert classifier.passes == PassCounts(forward=2 * 3 + 20 + 2 + 20, backward=20 + 2 + 20)
    torch.testing.assert_close(together, torch.cat(alone), rtol=0, atol=1e-9)


def test_a_step_that_changes_nothing_stops_every_image_after_two_evaluations(classifier: Classifier, batch: Batch) -> None:
    classifier.passes = PassCounts()
    found = maps_of(classifier, batch, "opticam(iterations=50, lr=1e-30)")
    assert classifier.passes == PassCounts(forward=2 * 4 + 2 * 4, backward=2 * 4)
    torch.testing.assert_close(found.raw, maps_of(classifier, batch, "opticam(iterations=0)").raw)


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_the_rule_of_the_released_code_compares_every_tenth_of_the_iterations(classifier: Classifier, batch: Batch, objective: str) -> None:
    options = f'iterations=40, lr=0.5, objective="{objective}", stop="release"'  # overshoots, so that the rule applies
    classifier.passes, copies = PassCounts(), 1 if objective in ("mask", "diff") else 2
    found, evaluations = maps_of(classifier, batch, f"opticam({options})").raw, 0
    with fresh(classifier).frozen() as exact:
        for index, image in enumerate(batch.images):
            literal = Literal(exact, image, int(batch.labels[index]), objective, "range")
            u, count = literal.optimise(torch.full((8,), 0.5), 40, 0.5, stop="release")
            torch.testing.assert_close(found[index], literal.S(u), rtol=0, atol=1e-9)
            evaluations += count
    assert classifier.passes.backward == copies * evaluations
    assert objective != "diff" or evaluations < 4 * 40, "no image stopped, so this test says nothing"


# ------------------------------------------------------------------------------- in which precision it searches


def test_a_search_in_float64_at_the_defaults_depends_on_nothing_but_the_image(classifier: Classifier, batch: Batch) -> None:
    whole = maps_of(classifier, batch, "opticam").raw
    mates = Batch(batch.ids, torch.cat([batch.images[:1], toy_batch(3, seed=9).images]), batch.labels, batch.boxes, batch.masks)
    alone = torch.cat([maps_of(classifier, batch.part(index, index + 1), "opticam").raw for index in range(4)])
    assert whole.dtype == torch.float64
    for other, expected in (
        (alone, whole),
        (maps_of(classifier, mates, "opticam").raw[:1], whole[:1]),
        (maps_of(classifier, reordered(batch, [3, 2, 1, 0]), "opticam").raw.flip(0), whole),
    ):
        torch.testing.assert_close(other, expected, rtol=0, atol=1e-9)


def test_a_search_in_the_network_s_dtype_is_the_same_up_to_float32(classifier: Classifier, batch: Batch) -> None:
    exact, single = (maps_of(classifier, batch, f'opticam(iterations=10, search_dtype="{dtype}")') for dtype in ("float64", "network"))
    assert single.raw.dtype == torch.float32
    torch.testing.assert_close(single.maps, exact.maps, rtol=0, atol=1e-4)
    double = toy_classifier(classifier.name.removeprefix("toy-")).double()
    same = maps_of(double, batch, 'opticam(iterations=10, search_dtype="network")').raw  # a network in float64 needs no copy
    torch.testing.assert_close(same, exact.raw, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_network_of_sixteen_bits_is_searched_in_float64_only(batch: Batch, dtype: torch.dtype) -> None:
    half = toy_classifier().to(dtype)
    with pytest.raises(NotApplicable, match=r"the network is in b?float16, too coarse for Adam; use search_dtype='float64'$"):
        maps_of(half, batch, 'opticam(iterations=2, search_dtype="network")')
    found = maps_of(half, batch, "opticam(iterations=2)")
    assert found.raw.dtype == torch.float64
    torch.testing.assert_close(found.raw, maps_of(half.float(), batch, "opticam(iterations=2)").raw, rtol=0, atol=1e-9)  # the same weights


# ------------------------------------------------------------------------------- what it costs


@pytest.mark.parametrize("iterations", [0, 1, 7])
@pytest.mark.parametrize(("objective", "copies"), [("mask", 1), ("diff", 1), ("iomask", 2), ("iodiff", 2)])
def test_it_costs_one_forward_pass_and_one_round_trip_per_iteration(batch: Batch, iterations: int, objective: str, copies: int) -> None:
    classifier = toy_classifier("dense")
    maps_of(classifier, batch, f'opticam(iterations={iterations}, objective="{objective}")')
    rounds = 4 * copies * iterations
    assert classifier.passes == PassCounts(forward=2 * 4 + rounds, backward=rounds)  # of the image in both dtypes


def test_the_best_iterate_costs_one_more_forward_pass(batch: Batch) -> None:
    classifier = toy_classifier("dense")
    maps_of(classifier, batch, "opticam(iterations=5, best=True)")
    assert classifier.passes == PassCounts(forward=2 * 4 + 4 * 5 + 4, backward=4 * 5)


def test_only_the_channel_weights_are_differentiated(classifier: Classifier, batch: Batch) -> None:
    classifier.requires_grad_()
    maps_of(classifier, batch, "opticam(iterations=3)")
    assert all(parameter.grad is None for parameter in classifier.parameters())


def test_the_default_is_the_papers() -> None:
    defaults = {option.name: option.default for option in explainers.get("opticam").options}
    expected = {"iterations": 100, "lr": 0.1, "objective": "mask", "normalisation": "range", "start": "mean"}
    expected |= {"stop": "paper", "best": False, "search_dtype": "float64", "layer": None}
    assert defaults == expected


def test_a_network_without_any_signal_gives_a_flat_map_not_nan() -> None:
    classifier = toy_classifier()
    for parameter in classifier.network.conv2.parameters():
        nn.init.zeros_(parameter)
    found = maps_of(classifier, toy_batch(2), "opticam(iterations=5)")
    assert found.status == ("constant_map", "constant_map")
    assert torch.equal(found.maps, torch.zeros(2, *SIZE))


def test_images_are_copied_only_when_one_leaves_the_search(monkeypatch: pytest.MonkeyPatch) -> None:
    """The black image has a constant objective and stops in the second iteration; the others go on to the last."""
    from camdbench.explainers import opticam as module

    sizes, part = list[int](), module._Target.of
    monkeypatch.setattr(module._Target, "of", lambda self, chosen: sizes.append(int(chosen.sum())) or part(self, chosen))
    classifier, batch = toy_classifier("gap"), toy_batch()
    black = batch.images.clone()
    black[1] = 0
    for images, expected in ((batch.images, []), (black, [len(black) - 1])):
        sizes.clear()
        with classifier.frozen():
            opticam(Trace(classifier, replace(batch, images=images)), iterations=6)
        assert sizes == expected
