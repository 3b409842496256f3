"""Reduced precision ends at the target layer, a batch in parts equals the batch, and accelerate's state is not shared."""

from __future__ import annotations

import math
from contextlib import nullcontext
from dataclasses import replace
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from helpers.steps import fit_classifier, toy_step
from torch import Tensor, nn

from camdbench.core.errors import UsageError
from camdbench.core.registries import losses
from camdbench.models.classifier import Classifier
from camdbench.trainer.accelerator import open_accelerator
from camdbench.trainer.in_memory_split import InMemorySplit
from camdbench.trainer.recipe import TrainingRecipe, check_recipe
from camdbench.trainer.run_state import Epoch
from camdbench.trainer.step import TrainingStep, map_of

CPU = torch.device("cpu")


class Net(nn.Module):
    """Two convolutions, the second of which is looked at, and a linear head."""

    def __init__(self) -> None:
        super().__init__()
        self.low = nn.Conv2d(3, 6, 3, padding=1)
        self.high = nn.Sequential(nn.Conv2d(6, 5, 3, padding=1), nn.ReLU())
        self.fc = nn.Linear(5, 3)

    def forward(self, images: Tensor) -> Tensor:
        return self.fc(self.high(self.low(images).relu()).mean((2, 3)))


def _classifier() -> Classifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Classifier(Net(), "high", mean=0.5, std=0.25)


def _images(count: int = 24) -> InMemorySplit:
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 255, (count, 3, 12, 12), generator=random, dtype=torch.uint8)
    masks = torch.rand(count, 12, 12, generator=random) < 0.4
    return InMemorySplit(pixels, torch.arange(count) % 3, tuple("abc"), "", tuple(map(str, range(count))), masks)


def _recipe(**changes: Any) -> TrainingRecipe:
    how = {"name": "sgd", "lr": 0.1, "max_grad_norm": 1.0}
    return check_recipe({"name": "test", "epochs": 2, "batch_size": 8, "optimiser": how} | changes, "test")


def _weights(**changes: Any) -> Tensor:
    classifier = _classifier()
    fit_classifier(classifier, _images(), _images(), _recipe(**changes), device=CPU)
    return torch.cat([parameter.detach().flatten() for parameter in classifier.network.parameters()])


class TestPrecision:
    @pytest.fixture
    def step(self) -> TrainingStep:
        with open_accelerator(_recipe(precision="bf16"), CPU) as accelerator:
            batch = next(_images().batches(4))
            return TrainingStep(_classifier(), batch, torch.Generator(), reduced=accelerator.autocast)

    @pytest.fixture(autouse=True)
    def _state(self) -> Any:
        with open_accelerator(_recipe(precision="bf16"), CPU):
            yield

    def test_the_map_and_the_loss_are_those_of_a_literal_reading_in_full_precision(self, step: TrainingStep) -> None:
        """In bfloat16 up to the layer; from there on gradients, Grad-CAM, cosine and cross-entropy written out in float32."""
        net = step.classifier.network
        with torch.no_grad():
            with torch.autocast("cpu", torch.bfloat16):
                features = net.high(net.low((step.images - 0.5) / 0.25).relu())
            assert features.dtype == torch.bfloat16
            features = features.float()
            logits = features.mean((2, 3)) @ net.fc.weight.T + net.fc.bias
            alphas = net.fc.weight[step.labels] / 144
            maps = (alphas[:, :, None, None] * features).sum(1).relu()
            cosines = F.cosine_similarity(maps.flatten(1), step.masks.flatten(1).float())
            total = 0.5 * F.cross_entropy(logits, step.labels, reduction="none") + 0.5 * (1 - cosines)
        judged = losses.load("so")(step, views=1, kernel=0)
        assert judged.logits.dtype == judged.total.dtype == map_of(step.trace, "gradcam").dtype == torch.float32
        torch.testing.assert_close(map_of(step.trace, "gradcam"), maps, rtol=1e-5, atol=1e-7)
        torch.testing.assert_close(judged.total, total, rtol=1e-5, atol=1e-6)

    @pytest.mark.parametrize("loss", ["ce", "so", "cfce", "cgc", "ria", "energy", "rrr", "corm", "dfr", "bce"])
    def test_every_loss_is_in_full_precision_and_close_to_that_of_a_network_in_it(self, loss: str, step: TrainingStep) -> None:
        exact = replace(step, reduced=TrainingStep.reduced, random=torch.Generator().manual_seed(1))
        step = replace(step, random=torch.Generator().manual_seed(1))
        options = {"so": {"kernel": 3}, "cgc": {"smallest": 0.5}}.get(loss, {})
        found, wanted = (losses.load(loss)(one, **options) for one in (step, exact))
        assert {value.dtype for value in (found.total, found.logits, *found.parts.values())} == {torch.float32}
        torch.testing.assert_close(found.total, wanted.total, rtol=0.03, atol=0.03)
        weights = list(step.classifier.network.parameters())
        slopes = [torch.autograd.grad(one.total.mean(), weights, allow_unused=True) for one in (found, wanted)]
        flat = [torch.cat([slope.flatten() for slope in own if slope is not None]) for own in slopes]
        assert float(F.cosine_similarity(*flat, dim=0)) > 0.99
        assert torch.equal(*flat) == (loss in ("rrr", "dfr"))  # derivatives by pixels, and a trunk that is not trained, are exact

    def test_a_closed_form_of_the_head_is_still_recognised(self, step: TrainingStep) -> None:
        assert step.trace.class_weights.shape == (3, 5)

    def test_training_differs_from_full_precision_by_little(self) -> None:
        exact, reduced = _weights(), _weights(precision="bf16")
        assert not torch.equal(exact, reduced)
        assert float((exact - reduced).norm() / exact.norm()) < 0.02

    def test_fp16_on_a_cpu_is_refused(self) -> None:
        with pytest.raises(UsageError, match="precision=fp16: needs a GPU"), open_accelerator(_recipe(precision="fp16"), CPU):
            pass

    def test_scaled_gradients_are_unscaled_and_then_clipped_and_an_overflow_is_no_step(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """fp16's scaler, put into an accelerator on the CPU: weights are those of an unscaled run, until a gradient is infinite."""

        def run(scale: float) -> tuple[Tensor, tuple[Epoch, ...]]:
            with open_accelerator(_recipe(gradient_accumulation=2), CPU) as accelerator:
                if scale > 1:
                    accelerator.scaler, accelerator.native_amp = torch.amp.GradScaler("cpu", init_scale=scale), True
                    accelerator.state._mixed_precision = "fp16"
                    monkeypatch.setattr(accelerator, "autocast", nullcontext)
                classifier = _classifier()
                log = fit_classifier(
                    classifier, _images(), _images(), _recipe(gradient_accumulation=2), device=CPU, accelerator=accelerator
                ).log
                return torch.cat([value.detach().flatten() for value in classifier.network.parameters()]), log

        plain, scaled = run(1)[0], run(1024.0)[0]
        start = torch.cat([value.detach().flatten() for value in _classifier().network.parameters()])
        torch.testing.assert_close(scaled, plain, rtol=1e-5, atol=1e-7)
        stuck, log = run(math.inf)
        assert torch.equal(stuck, start)
        assert log[0].lr == log[1].lr  # the schedule waits

    @pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
    @pytest.mark.parametrize("precision", ["bf16", "fp16"])
    def test_on_a_gpu_gradients_are_unscaled_before_they_are_clipped(self, precision: str) -> None:
        """A step of rate 1 is as long as its gradient, clipped to 0.001; scaled by 65536 it would be as long as that, or nothing."""
        classifier = _classifier()
        before = torch.cat([value.detach().flatten().clone() for value in classifier.network.parameters()])
        how = {"name": "sgd", "lr": 1.0, "momentum": 0.0, "weight_decay": 0.0, "schedule": "constant", "max_grad_norm": 1e-3}
        recipe = _recipe(precision=precision, optimiser=how, epochs=1, batch_size=24, loss="so(kernel=3)")
        fit_classifier(classifier, _images(), _images(), recipe, device=torch.device("cuda"))
        after = torch.cat([value.detach().flatten().cpu() for value in classifier.network.parameters()])
        assert float((after - before).norm()) == pytest.approx(1e-3, rel=1e-2)


class TestParts:
    @pytest.mark.parametrize("loss", ["ce(smoothing=0.1)", "so(kernel=3)", "cfce", "energy", "ria", "rrr", "bce"])
    def test_a_batch_in_parts_takes_the_steps_of_the_whole(self, loss: str) -> None:
        """None of these losses, and no layer of this network, couples the images of a batch."""
        whole = _weights(loss=loss, augment={"flip": 0.5, "crop_scale": 0.5})
        parts = _weights(loss=loss, augment={"flip": 0.5, "crop_scale": 0.5}, gradient_accumulation=4)
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-6)
        start = torch.cat([parameter.detach().flatten() for parameter in _classifier().network.parameters()])
        assert float((whole - start).norm()) > 1e-2

    def test_a_part_has_its_own_negatives(self) -> None:
        """Among n maps that are all alike the contrast is log n: of 4 parts of 2 images each log 2, not log 8."""

        def contrast(accumulate: int) -> float:
            images = replace(_images(8), pixels=torch.full((8, 3, 12, 12), 128, dtype=torch.uint8))
            recipe = _recipe(loss="cgc(smallest=1.0, cam='hirescam')", gradient_accumulation=accumulate, epochs=1)
            classifier = _classifier()
            nn.init.constant_(classifier.network.high[0].weight, 0.0)
            nn.init.ones_(classifier.network.high[0].bias)
            nn.init.constant_(classifier.network.fc.weight, 1.0)
            return fit_classifier(classifier, images, images, recipe, device=CPU).log[0].parts["cgc"]

        assert contrast(1) == pytest.approx(2.0794, abs=1e-3)
        assert contrast(4) == pytest.approx(0.6931, abs=1e-3)

    def test_a_schedule_moves_once_per_batch(self) -> None:
        rates = [
            fit_classifier(_classifier(), _images(), _images(), _recipe(gradient_accumulation=parts), device=CPU).log[-1].lr
            for parts in (1, 2)
        ]
        assert rates[0] == rates[1] != 0.1


def test_the_map_of_a_pass_in_full_precision_is_what_it_was() -> None:
    step = toy_step("gap")
    assert step.trace.activations.dtype == torch.float64


def test_a_callers_own_accelerator_is_left_alone() -> None:
    AcceleratorState._reset_state(reset_partial_state=True)
    try:
        theirs = Accelerator(mixed_precision="bf16", cpu=True)
        fit_classifier(_classifier(), _images(), _images(), _recipe(epochs=1), device=CPU)
        assert (theirs.mixed_precision, theirs.num_processes) == ("bf16", 1)
    finally:
        AcceleratorState._reset_state(reset_partial_state=True)
    fit_classifier(_classifier(), _images(), _images(), _recipe(epochs=1), device=CPU)
    assert AcceleratorState._shared_state == {}


def test_batches_that_cannot_be_shared_out_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "3")
    with pytest.raises(UsageError, match="batch_size=8: does not split equally among 3"), open_accelerator(_recipe(), CPU):
        pass
    monkeypatch.setenv("WORLD_SIZE", "2")
    with (
        pytest.raises(UsageError, match="among 2 processes in 8 parts"),
        open_accelerator(_recipe(batch_size=24, gradient_accumulation=8), CPU),
    ):
        pass


def test_another_device_than_accelerates_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ACCELERATE_USE_CPU", "true")
    with (
        pytest.raises(UsageError, match="--device cuda: accelerate is set to cpu"),
        open_accelerator(_recipe(), torch.device("cuda")),
    ):
        pass
