"""Logits from probabilities, log-probabilities and sigmoids: metrics have the values of the network's own logits."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from helpers.toys import LAYER, toy_batch, toy_classifier
from torch import nn

import camdbench
from camdbench.core.errors import UsageError
from camdbench.core.network_options import Output
from camdbench.models.classifier import Classifier
from camdbench.models.network_output import to_logits

TAILS: dict[str, nn.Module] = {"probabilities": nn.Softmax(1), "log-probabilities": nn.LogSoftmax(1), "sigmoid": nn.Sigmoid()}


def declared(output: str) -> Classifier:
    plain = toy_classifier()
    network = nn.Sequential(plain.network, TAILS[output])
    return Classifier(network, f"0.{LAYER}", mean=(0.4, 0.5, 0.6), std=(0.2, 0.25, 0.3), output=output)


@pytest.mark.parametrize("output", [output for output in get_args(Output) if output != "logits"])
def test_metrics_are_those_of_the_logits(output: str) -> None:
    batch, metrics = toy_batch(), "ad,ag,ai,insertion(step=9),deletion(step=9)"
    maps = camdbench.explain(toy_classifier(), batch.images, "gradcam").maps
    expected = camdbench.evaluate(toy_classifier(), batch.images, batch.labels, maps, metrics)["value"]
    found = camdbench.evaluate(declared(output), batch.images, batch.labels, maps, metrics)["value"]
    assert found.tolist() == pytest.approx(expected.tolist(), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize("output", ["probabilities", "log-probabilities"])
def test_gradient_maps_are_of_log_probabilities(output: str) -> None:
    """d log p_c = d z_c - sum_k p_k d z_k, here put together from the gradients of every logit."""
    images, plain = toy_batch(2).images, toy_classifier()
    each = torch.stack([camdbench.explain(plain, images, "hirescam(relu=False)", targets=index).raw for index in range(5)], 1)
    p = plain(images).softmax(1)[:, :, None, None].detach()
    found = camdbench.explain(declared(output), images, "hirescam(relu=False)", targets=1).raw
    torch.testing.assert_close(found, each[:, 1] - (p * each).sum(1), rtol=1e-4, atol=1e-5)


def test_a_sigmoid_has_the_maps_of_its_logit() -> None:
    images = toy_batch(2).images
    found, expected = (camdbench.explain(one, images, "gradcam", targets=1).raw for one in (declared("sigmoid"), toy_classifier()))
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5)


def test_saturated_values_stay_finite_with_zero_gradient() -> None:
    p = torch.tensor([[1.0, 0.0]], requires_grad=True)
    for output, low, high in (("probabilities", math.log(torch.finfo(torch.float32).tiny), 0.0), ("sigmoid", -87.33655, 16.635532)):
        logits = to_logits(p, output)
        assert logits.tolist()[0] == pytest.approx([high, low], rel=1e-5)
        assert torch.autograd.grad(logits.sum(), p)[0].isfinite().all()


def test_an_unknown_word_is_refused() -> None:
    with pytest.raises(UsageError, match="no output 'probability'; did you mean 'probabilities'"):
        Classifier(nn.Identity(), mean=0, std=1, output="probability")
    with pytest.raises(UsageError, match="no batch mates 'one'"):
        Classifier(nn.Identity(), mean=0, std=1, batch_mates="one")


class _Detector(nn.Module):
    """Logits of the toy under a key that no library has, behind another tensor."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = toy_classifier().network

    def forward(self, images: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"boxes": images.mean((2, 3)), "scores": self.inner(images)}


def test_a_function_takes_the_logits_from_what_the_network_returns(tmp_path: Path) -> None:
    def scores(found: dict[str, torch.Tensor]) -> torch.Tensor:
        return found["scores"]

    def made(read: Any) -> Classifier:
        facts: dict[str, Any] = {"layer": f"inner.{LAYER}", "mean": (0.4, 0.5, 0.6), "std": (0.2, 0.25, 0.3), "name": "toy"}
        return camdbench.classifier(_Detector().eval(), **facts, output=read, check=True)

    def values(model: Classifier, out: str) -> list[float]:
        data: dict[str, Any] = {"dataset": list(toy_batch(2).images), "target": "predicted"}
        return camdbench.run("gradcam,scorecam", "ad", models={"toy": model}, **data, out=tmp_path / out)["value"].tolist()

    assert values(made(scores), "run") == values(toy_classifier(), "plain")
    with pytest.raises(UsageError, match="holds a run"):  # another function is another network
        values(made(lambda found: 2 * found["scores"]), "run")
    with pytest.raises(UsageError, match="in float32: 'missing'"):
        made(lambda found: found["missing"])
    with pytest.raises(UsageError, match="with the keys 'boxes', 'scores', not 'logits'"):
        made(None)


def test_a_check_at_construction_is_uncounted_and_refuses() -> None:
    network = nn.Sequential(toy_classifier().network, nn.Softmax(1))
    later = camdbench.classifier(network, layer=f"0.{LAYER}", mean=0, std=1, input_size=16)
    assert not later.checks
    with pytest.raises(UsageError, match="the network returns probabilities"):
        camdbench.classifier(network, layer=f"0.{LAYER}", mean=0, std=1, input_size=16, check=True)
    now = camdbench.classifier(network, layer=f"0.{LAYER}", mean=0, std=1, input_size=16, output="probabilities", check=True)
    assert list(now.checks) == [(16, 16)]
    assert now.passes.forward == 0
    with pytest.raises(UsageError, match="model shortcuts-ce states its own; omit it"):
        camdbench.classifier("shortcuts-ce", output=len)
