"""Check of a network: what it returns, what it depends on, and what it says when a pass fails."""

from __future__ import annotations

from collections.abc import Callable
from itertools import count

import pytest
import torch
from helpers.each import each
from helpers.toys import SIZE, Toy, toy_batch, toy_classifier
from torch import Tensor, nn

import camdbench
from camdbench.core.errors import UsageError
from camdbench.core.registries import explainers, metrics
from camdbench.models.classifier import Classifier
from camdbench.models.network_check import check_network
from camdbench.models.pass_counts import PassCounts
from camdbench.models.probe_outputs import ProbeOutputs, findings, kind_of

ROWS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.3, -2.0]])


class Alters(nn.Module):
    """A function as a layer."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.change = change

    def forward(self, values: Tensor) -> Tensor:
        return self.change(values)


def with_tail(*tail: nn.Module) -> nn.Sequential:
    return nn.Sequential(toy_classifier().network, *tail).eval()


def classifier_of(network: nn.Module, **stated: object) -> Classifier:
    return Classifier(network, **({"mean": 0.5, "std": 0.25, "name": "mine"} | stated))


def shared_statistics(norm: Callable[[int], nn.Module] = lambda width: nn.BatchNorm2d(width, track_running_stats=False)) -> nn.Module:
    """The toy with a norm whose statistics are those of the batch, or another norm with the same weights."""
    network = toy_classifier().network
    scale, shift = network.norm1.weight, network.norm1.bias
    network.norm1 = norm(network.norm1.num_features)
    network.norm1.load_state_dict({"weight": scale + 0.5, "bias": shift + 0.1})
    return network.eval()


class TestFindings:
    """The pure function, on rows that no network had to make."""

    @each("dtype", [torch.float32, torch.float64])
    @each("classes", [2, 3, 1000])
    def test_outputs_are_told_apart_by_range_and_sum(self, dtype: torch.dtype, classes: int) -> None:
        rows = 4 * torch.randn(3, classes, generator=torch.Generator().manual_seed(0), dtype=dtype)
        assert [kind_of(own) for own in (rows, rows.softmax(1), rows.log_softmax(1), rows.sigmoid())] == [
            *("logits", "probabilities", "log-probabilities", "sigmoid")
        ]
        assert kind_of(rows.softmax(1).half().to(dtype)) == "probabilities"  # computed in half precision
        assert kind_of((100 * rows).softmax(1)) == "probabilities"  # saturated

    @each(
        ("seen", "stated", "message"),
        [
            (ROWS, {}, ""),
            (ROWS, {"class_names": ("a", "b")}, "class_names: 2 names for 3 classes"),
            (ROWS.half(), {}, "torch.float16 values; return float32"),
            (ROWS.round().long(), {}, "torch.int64 values"),
            (ROWS / 0, {}, "not finite"),
            (ROWS.softmax(1), {}, r"returns probabilities .* not logits; state output='probabilities' \(--output probabilities\)"),
            (ROWS.log_softmax(1), {}, "returns log-probabilities"),
            (ROWS.sigmoid(), {}, "returns values of a sigmoid"),
            (ROWS.sigmoid(), {"output": "logits"}, ""),  # logits that happen to lie in [0, 1]
            (ROWS.sigmoid(), {"output": "sigmoid"}, ""),
            (ROWS[:, :2].softmax(1), {"output": "sigmoid"}, ""),  # of two classes that exclude each other
            (ROWS.sigmoid(), {"output": "probabilities"}, "output = probabilities: the network returns values of a sigmoid"),
            (ROWS, {"output": "probabilities"}, "output = probabilities: the network returns logits"),
            (ROWS, {"output": "log-probabilities"}, "output = log-probabilities: the network returns logits"),
            (ROWS, {"output": "sigmoid"}, "output = sigmoid: the network returns logits"),
            (torch.full((2, 4), 0.25), {}, "all classes have equal values"),
        ],
    )
    def test_each_contradiction_has_its_line(self, seen: Tensor, stated: dict[str, object], message: str) -> None:
        found = findings(ProbeOutputs(seen), **stated)
        assert len(found) == (1 if message else 0)
        if message:
            with pytest.raises(UsageError, match=message):
                raise UsageError(found[0].message)

    def test_small_logits_leave_the_unit_interval_for_extreme_colours(self) -> None:
        """Sixty draws of a network whose logits often happen to lie in [0, 1], and of the same with a sigmoid."""
        for seed in range(60):
            torch.manual_seed(seed)
            network = nn.Sequential(nn.Flatten(), nn.Linear(12, 2))
            assert check_network(classifier_of(network), (2, 2)).kind == "logits"
            with pytest.raises(UsageError, match="returns values of a sigmoid"):
                check_network(classifier_of(nn.Sequential(network, nn.Sigmoid())), (2, 2))

    def test_small_outputs_of_a_linear_layer_are_logits_and_those_of_a_sigmoid_are_not(self) -> None:
        """After a layer norm no colour moves them out of [0, 1]: the last step alone separates them."""
        for seed in range(10):
            torch.manual_seed(seed)
            body = (nn.Conv2d(3, 8, 4, stride=4), nn.GELU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.LayerNorm(8))
            linear, conv = nn.Linear(8, 3), nn.Conv2d(8, 3, 1)
            for head in (linear, conv):
                nn.init.normal_(head.weight, std=0.02)
                nn.init.uniform_(head.bias, 0.2, 0.8)
            as_map, flat = nn.Unflatten(1, (8, 1, 1)), nn.Flatten()
            for tail in ((linear,), (as_map, conv, flat), (linear, nn.Unflatten(1, (3, 1)), flat)):
                assert check_network(classifier_of(nn.Sequential(*body, *tail)), SIZE).kind == "logits"
                for last in (nn.Sigmoid(), nn.Hardsigmoid(), Alters(lambda x: x.clamp(0, 1)), Alters(lambda x: 1 / (1 + (-x).exp()))):
                    bounded = classifier_of(nn.Sequential(*body, *tail, last))
                    with pytest.raises(UsageError, match="returns values of a sigmoid"):
                        check_network(bounded, SIZE)
                    bounded.output = "sigmoid"
                    assert check_network(bounded, SIZE).kind == "sigmoid"

    def test_a_class_that_is_excluded_by_minus_infinity_is_no_contradiction(self) -> None:
        rows = ROWS.masked_fill(ROWS == -1, -torch.inf)
        assert findings(ProbeOutputs(rows, rows)) == []

    def test_equal_logits_refuse_nothing(self) -> None:
        assert [item.refused for item in findings(ProbeOutputs(torch.zeros(2, 4)))] == [False]

    def test_differences_are_measured_by_the_spread(self) -> None:
        change = torch.tensor([[0.0, 0.0, 1.0], [0.0, 0.0, 0.0]])
        assert findings(ProbeOutputs(ROWS, ROWS + 1e-3 * change)) == []
        for scale in (1e-6, 1.0, 1e6):
            moved = ProbeOutputs(scale * ROWS, scale * (ROWS + 0.1 * change), scale * (ROWS + 0.1 * change))
            assert "depend on the other images of its batch (0.033 of their spread)" in findings(moved, output="logits")[0].message
            noise = ProbeOutputs(scale * ROWS, scale * (ROWS + 0.1 * change), scale * ROWS)
            assert "random (0.033 of its spread" in findings(noise, output="logits")[0].message


class TestNetworks:
    @each(
        ("make", "message"),
        [
            (lambda: with_tail(nn.Softmax(1)), "mine: output: the network returns probabilities"),
            (lambda: with_tail(nn.LogSoftmax(1)), "mine: output: the network returns log-probabilities"),
            (lambda: with_tail(nn.Sigmoid()), "mine: output: the network returns values of a sigmoid"),
            (lambda: with_tail(nn.Linear(5, 2), nn.Softmax(1)), "mine: output: the network returns probabilities"),
            (lambda: with_tail(nn.Linear(5, 1)), r"returned \(1, 1\); for one logit z of two classes return torch.cat"),
            (lambda: with_tail(Alters(lambda x: x.half())), "mine: output: torch.float16 values"),
            (lambda: with_tail(Alters(lambda x: x * torch.nan)), "mine: output: not finite"),
            (lambda: with_tail(Alters(lambda x: x + torch.randn_like(x))), "mine: output: random"),
            (lambda: with_tail(Alters(lambda x: x + torch.randn(1))), "mine: output: random"),  # the same noise for a whole batch
            (lambda: with_tail(Alters(lambda x: x - x.mean(0))), "depend on the other images of its batch"),
            (lambda: with_tail(Alters(lambda x: x[-1:] + x)), "depend on the other images of its batch"),
            (lambda: with_tail(Alters(lambda x: x[:1])), "several images at once fail"),
            (lambda: with_tail(Alters(lambda x: x.reshape(1, 5))), "several images at once fail .*state batch_mates='alone'"),
            (shared_statistics, r"depend on the other images of its batch \(.*\): BatchNorm2d '.+' has no running statistics; state"),
            (
                lambda: nn.Sequential(toy_classifier().network).half(),
                r"float16 values; return float32, for instance by network.float\(",
            ),
            (
                lambda: nn.Sequential(toy_classifier().network.half(), Alters(lambda x: x @ torch.ones(7, 7))),
                r"\(1, 3, 16, 12\) in float16: .*; call network.float\(\)",
            ),
            (lambda: nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten()), "to have 1 channels, but got 3 channels"),
            (lambda: nn.Sequential(nn.Flatten(), nn.Linear(300, 5)), r"does not take images of 16 x 12 pixels .*made for 10 x 10"),
        ],
    )
    @each("door", ["explain", "evaluate"])
    def test_a_bad_one_is_refused_by_its_line_at_every_door(self, make: Callable[[], nn.Module], message: str, door: str) -> None:
        batch, classifier = toy_batch(2), classifier_of(make(), input_size=10)
        with pytest.raises(UsageError, match=message):
            if door == "explain":
                camdbench.explain(classifier, batch.images, "random")
            else:
                camdbench.evaluate(classifier, batch.images, [0, 1], torch.rand(2, *SIZE))
        assert classifier.passes == PassCounts()

    def test_a_sound_one_is_checked_once_in_three_small_uncounted_passes(self) -> None:
        network, sizes = toy_classifier().network, list[int]()
        network.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
        classifier = classifier_of(network)
        check = check_network(classifier, SIZE)
        assert sizes == [1, 1, 2]
        assert (check.classes, check.kind, check.gradient_problem) == (5, "logits", "")
        assert check.batch_difference < 1e-5
        camdbench.explain(classifier, toy_batch(2).images, "fakecam")
        assert sizes == [1, 1, 2, 2]
        assert classifier.passes == PassCounts(forward=2)

    def test_the_generator_of_torch_and_the_network_are_left_as_they_were(self) -> None:
        classifier = toy_classifier().train()
        state, weights = torch.get_rng_state(), classifier.weights_hash()
        check_network(classifier, SIZE)
        assert torch.equal(torch.get_rng_state(), state)
        assert classifier.weights_hash() == weights
        assert classifier.network.norm1.training


class TestOneAtATime:
    """A batch norm with the statistics of its batch equals an instance norm if every pass is of one image."""

    @staticmethod
    def pair() -> tuple[Classifier, Classifier]:
        twin = shared_statistics(lambda width: nn.InstanceNorm2d(width, affine=True))
        return classifier_of(shared_statistics(), layer="relu2", batch_mates="alone"), classifier_of(twin, layer="relu2")

    def test_every_explainer_gives_the_maps_of_the_twin(self) -> None:
        alone, twin = self.pair()
        batch, small = toy_batch(3), {"opticam": "(iterations=3)", "rise": "(masks=8)", "sobol": "(designs=2)", "extremal": "(max_iter=2)"}
        reduced = {"kernelshap": "(samples=20)", "lime": "(samples=20)", "smoothgrad": "(samples=3)", "gradientshap": "(samples=3)"}
        reduced |= {"shapleysampling": "(samples=2, segments='grid', cells=2)", "vargrad": "(samples=3)", "deepliftshap": "(baselines=2)"}
        reduced |= {"captum:FeatureAblation": "(cells=2)"} | {
            f"captum:{name}": "(n_samples=2, cells=2)" for name in ("Lime", "ShapleyValueSampling")
        }
        reduced |= {"captum:KernelShap": "(n_samples=12, cells=2)", "captum:Occlusion": "(sliding_window_shapes=8, strides=8)"}
        reduced |= {"captum:IntegratedGradients": "(n_steps=3)", "captum:NoiseTunnel": "(nt_samples=2)"}
        refused, compared = set[str](), 0
        for name in explainers.names():
            if explainers.get(name).wraps:
                continue
            spec, given = name + (small | reduced).get(name, ""), {"targets": [0, 1, 2], "boxes": batch.boxes, "masks": batch.masks}
            try:
                expected = camdbench.explain(twin, batch.images, spec, **given)
            except camdbench.NotApplicable:
                continue
            try:
                found = camdbench.explain(alone, batch.images, spec, **given)
            except camdbench.NotApplicable:
                refused.add(name)
                continue
            torch.testing.assert_close(found.raw, expected.raw, rtol=1e-3, atol=1e-5, msg=lambda text, name=name: f"{name}: {text}")
            compared += 1
        assert compared > 25
        copies = {"DeepLift", "DeepLiftShap", "LayerIntegratedGradients", "LayerConductance", "InternalInfluence", "LayerGradientShap"}
        of_captum = {f"captum:{name}" for name in copies | {"LayerDeepLift", "LayerDeepLiftShap", "LRP", "LayerLRP"}}
        assert refused <= {"deeplift", "deepliftshap", "ebp", "cmwp", "fullgrad"} | of_captum  # their rules are not defined for such a norm

    def test_metrics_of_masked_copies_give_the_values_of_the_twin(self) -> None:
        batch, names = toy_batch(3), ["ad", "ag", "insertion(step=9)", "deletion(step=9)", "infidelity(samples=4)"]
        assert {name.partition("(")[0] for name in names} <= set(metrics.names())
        alone, twin = (
            camdbench.evaluate(one, batch.images, [0, 1, 2], torch.rand(3, *SIZE, generator=torch.Generator().manual_seed(0)), names)
            for one in self.pair()
        )
        assert alone["value"].tolist() == pytest.approx(twin["value"].tolist(), rel=1e-4, abs=1e-4)

    def test_every_pass_is_of_one_image_and_counted(self) -> None:
        alone, sizes = self.pair()[0], list[int]()
        alone.network.register_forward_hook(lambda module, inputs, output: sizes.append(len(inputs[0])))
        images = toy_batch(3).images.requires_grad_()
        together = alone(images)
        assert sizes == [1, 1, 1]
        assert alone.passes == PassCounts(forward=3)
        expected = [torch.autograd.grad(alone(images[index : index + 1]).sum(), images)[0] for index in range(3)]
        torch.testing.assert_close(torch.autograd.grad(together.sum(), images)[0], torch.stack(expected).sum(0))
        camdbench.explain(alone, images.detach(), "ablationcam")
        assert set(sizes) == {1}
        with pytest.raises(UsageError, match="3 images in a pass that captures a layer"), alone.captured():
            alone(images)

    def test_it_may_be_stated_for_any_network(self) -> None:
        images, usual = toy_batch(3).images, toy_classifier("dense")
        alone = toy_classifier("dense")
        alone.batch_mates = "alone"
        expected, found = (camdbench.explain(one, images, "gradcam").maps for one in (usual, alone))
        torch.testing.assert_close(found, expected)


def test_a_failing_pass_of_memory_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    classifier, calls = toy_classifier(), count()

    def fails(images: Tensor) -> Tensor:
        if next(calls):
            raise torch.OutOfMemoryError
        return Toy("gap").eval()(images)

    monkeypatch.setattr(classifier, "outputs", fails)
    with pytest.raises(torch.OutOfMemoryError):
        check_network(classifier, SIZE)
