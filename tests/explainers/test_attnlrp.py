"""CP-LRP and AttnLRP against a slow reading of their rules as quotients, without gradients; conservation, and refusals."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.reference_vit import Block, literal_pass
from helpers.toys import maps_of, settled, timm_vit, toy_batch, toy_classifier
from torch import Tensor, nn
from torch.nn import functional as F

from camdbench.core.errors import NotApplicable
from camdbench.datasets.samples import Batch
from camdbench.explainers.attnlrp import attnlrp, cplrp
from camdbench.explainers.common.trace import Trace
from camdbench.models.attention import record_attention
from camdbench.models.classifier import Classifier
from camdbench.models.transformer_relevance import TransformerRelevance

pytestmark = pytest.mark.usefixtures("float64")

METHODS = {"cplrp": cplrp, "attnlrp": attnlrp}
PLAIN: dict[str, Any] = {"gamma_conv": 0, "gamma_linear": 0}


@pytest.fixture
def batch() -> Batch:
    return toy_batch(2, size=(32, 32))


@pytest.fixture
def classifier() -> Classifier:
    return toy_classifier("vit").requires_grad_(False)


def through_linear(x: Tensor, weight: Tensor, y: Tensor, received: Tensor, gamma: float = 0) -> Tensor:
    """R_i = sum_j x_i w_ij (1 + gamma where it has the sign of y_j) / y'_j R_j, for tokens (N, …); y' includes the bias."""
    found = torch.zeros_like(x)
    for n, j in torch.cartesian_prod(torch.arange(len(x)), torch.arange(len(weight))).tolist():
        z, bias = x[n] * weight[j], y[n, j] - x[n] @ weight[j]
        if gamma:
            z = torch.where(z * y[n, j] > 0, z * (1 + gamma), z)
            bias = bias * (1 + gamma) if bias * y[n, j] > 0 else bias
        found[n] += z / (z.sum() + bias) * received[n, j]
    return found


def through_norm(x: Tensor, norm: Any, received: Tensor) -> Tensor:
    """The norm is the linear map (x - mean x) w / sigma with a constant sigma."""
    scale = norm.weight / (x.var(1, correction=0, keepdim=True) + norm.eps).sqrt()
    y = norm(x)
    centring = torch.eye(x.shape[1]) - 1 / x.shape[1]
    return torch.cat([through_linear(x[n : n + 1], centring * scale[n, :, None], y[n : n + 1], received[n : n + 1]) for n in range(len(x))])


def through_attention(block: Block, received: Tensor, kind: str) -> tuple[Tensor, Tensor, Tensor]:
    """Relevance of q, k and v, each (heads, N, d), from that of the mixed values (N, heads d)."""
    heads, count, size = block.v.shape
    of_q, of_k, of_v = (torch.zeros_like(block.v) for _ in range(3))
    for h in range(heads):
        mixed, arriving = block.mixed[:, h * size : (h + 1) * size], received[:, h * size : (h + 1) * size]
        terms = block.attention[h][:, :, None] * block.v[h][None] / mixed[:, None] * arriving[:, None]  # (N, N, d)
        of_v[h] = terms.sum(0) / (1 if kind == "cplrp" else 2)
        if kind == "cplrp":
            continue
        of_probabilities = terms.sum(2) / 2
        scores = block.q[h] @ block.k[h].T / size**0.5
        of_scores = torch.zeros(count, count)
        for row in range(count):
            of_scores[row] = scores[row] * (of_probabilities[row] - block.attention[h][row] * of_probabilities[row].sum())
        terms = block.q[h][:, None] * block.k[h][None] / size**0.5 / scores[:, :, None] * of_scores[:, :, None] / 2
        of_q[h], of_k[h] = terms.sum(1), terms.sum(0)
    return of_q, of_k, of_v


def through_block(block: Block, received: Tensor, kind: str, gamma: float) -> Tensor:
    parts, mha = block.parts, block.parts.self_attention
    after = block.after
    of_branch, of_middle = block.branch2 / after * received, block.middle / after * received
    of_hidden = through_linear(block.active, parts.mlp[3].weight, block.branch2, of_branch, gamma)  # the activation function passes it on
    of_middle = of_middle + through_norm(
        block.middle, parts.ln_2, through_linear(block.normed2, parts.mlp[0].weight, parts.mlp[0](block.normed2), of_hidden, gamma)
    )
    of_branch, of_before = block.branch1 / block.middle * of_middle, block.before / block.middle * of_middle
    of_mixed = through_linear(block.mixed, mha.out_proj.weight, block.branch1, of_branch, gamma)
    joint = torch.cat([part.transpose(0, 1).flatten(1) for part in through_attention(block, of_mixed, kind)], 1)
    projected = F.linear(block.normed1, mha.in_proj_weight, mha.in_proj_bias)
    return of_before + through_norm(block.before, parts.ln_1, through_linear(block.normed1, mha.in_proj_weight, projected, joint, gamma))


def literal(classifier: Classifier, image: Tensor, target: int, kind: str, gammas: tuple[float, float]) -> tuple[Tensor, Tensor]:
    """Relevance of the pixels (H, W) and of the patch tokens (4, 4), from the logit at the class."""
    seen, network = literal_pass(classifier, image), classifier.network
    last = network.encoder.ln(seen.blocks[-1].after)
    start = torch.zeros(1, 5)
    start[0, target] = seen.logits[target]
    of_last = torch.zeros_like(last)
    of_last[:1] = through_linear(last[:1], network.heads.head.weight, seen.logits[None], start, gammas[1])
    received = through_norm(seen.blocks[-1].after, network.encoder.ln, of_last)
    for block in reversed(seen.blocks):
        received = through_block(block, received, kind, gammas[1])
    x = ((image - classifier.mean[0]) / classifier.std[0]).unfold(1, 8, 8).unfold(2, 8, 8)  # (3, 4, 4, 8, 8)
    patches = x.permute(1, 2, 0, 3, 4).reshape(16, -1)
    places = network.conv_proj(classifier.normalised(image[None]))[0].flatten(1).T
    of_places = received[1:] * places / seen.blocks[0].before[1:]  # positions have the rest
    found = through_linear(patches, network.conv_proj.weight.flatten(1), places, of_places, gammas[0])
    pixels = found.reshape(4, 4, 3, 8, 8).sum(2).permute(0, 2, 1, 3).reshape(32, 32)
    return pixels, received[1:].sum(1).reshape(4, 4)


@pytest.mark.parametrize("gammas", [(0.0, 0.0), (0.25, 0.05)])
@pytest.mark.parametrize("name", METHODS)
def test_is_the_literal_reading_of_its_rules(name: str, gammas: tuple[float, float], classifier: Classifier, batch: Batch) -> None:
    found = {
        at: maps_of(classifier, batch, f"{name}(gamma_conv={gammas[0]}, gamma_linear={gammas[1]}, at={at})").raw
        for at in ("pixels", "tokens")
    }
    for index, (image, target) in enumerate(zip(batch.images, batch.labels.tolist(), strict=True)):
        with torch.no_grad():
            pixels, tokens = literal(classifier, image, target, name, gammas)
        torch.testing.assert_close(found["pixels"][index].double(), pixels, rtol=1e-5, atol=1e-6 * float(pixels.abs().max()))
        torch.testing.assert_close(found["tokens"][index].double(), tokens, rtol=1e-5, atol=1e-6 * float(tokens.abs().max()))


def relevance_of_inputs(classifier: Classifier, images: Tensor, kind: str, gammas: tuple[float, float]) -> tuple[float, float, float]:
    """Relevance of the pixels and of the network's own tokens and positions, and the logit, without biases."""
    network = classifier.network
    for name, parameter in network.named_parameters():
        if "bias" in name:
            parameter.data.zero_()
    own = [value for name, value in network.named_parameters() if "token" in name or "pos_embed" in name]
    for value in own:
        nn.init.normal_(value.requires_grad_())
    leaf = classifier.normalised(images).requires_grad_()
    with record_attention(network), TransformerRelevance("fixed" if kind == "cplrp" else "halved", *gammas):
        logit = network(leaf)[0, 1]
    first, *rest = torch.autograd.grad(logit, [leaf, *own])
    return (leaf * first).sum().item(), sum((a * b).sum().item() for a, b in zip(own, rest, strict=True)), logit.item()


@pytest.mark.parametrize("gammas", [(0.0, 0.0), (0.25, 0.05)])
@pytest.mark.parametrize("kind", ["torchvision", "token", "distilled", "avg", "scaled", "qk-norm"])
def test_cplrp_of_pixels_tokens_and_positions_sums_to_the_logit(kind: str, gammas: tuple[float, float], batch: Batch) -> None:
    classifier = (toy_classifier("vit") if kind == "torchvision" else timm_vit(kind)).requires_grad_(False)
    pixels, own, logit = relevance_of_inputs(classifier, batch.images[:1], "cplrp", gammas)
    assert pixels + own == pytest.approx(logit, abs=1e-9)
    assert pixels != pytest.approx(logit, rel=0.01)
    if gammas[0] and kind != "qk-norm":
        torch.testing.assert_close(cplrp(Trace(classifier, batch.part(0, 1), target=1)).sum().item(), pixels, rtol=1e-9, atol=1e-9)


def test_attnlrp_is_not_conservative_and_gives_queries_and_keys_relevance(classifier: Classifier, batch: Batch) -> None:
    pixels, own, logit = relevance_of_inputs(classifier, batch.images[:1], "attnlrp", (0, 0))
    assert abs(pixels + own - logit) > 0.01 * abs(logit)


def test_on_one_token_attention_is_one_and_both_methods_differ_by_the_half_alone(batch: Batch) -> None:
    """Of a block without attention to anything else: the softmax of one number has no gradient."""
    values = torch.randn(1, 1, 4)
    for kind, expected in (("fixed", 1.0), ("halved", 0.5)):
        leaf = values.clone().requires_grad_()
        with TransformerRelevance(kind, 0, 0):
            mixed = (leaf @ leaf.mT).softmax(-1) @ leaf
        torch.testing.assert_close(torch.autograd.grad(mixed.sum(), leaf)[0], torch.full_like(values, expected))


def test_no_other_network_changes(classifier: Classifier, batch: Batch) -> None:
    maps_of(classifier, batch, "attnlrp")
    leaf = torch.tensor([0.0, 1.0], requires_grad=True)
    assert torch.autograd.grad(nn.GELU()(leaf).sum(), leaf)[0].tolist() == pytest.approx([0.5, 1.0833], abs=1e-4)
    values = torch.randn(1, 4, requires_grad=True)
    score = torch.autograd.grad(nn.LayerNorm(4)(values).square()[:, 0].sum(), values)[0]
    assert (score * values).sum().item() == pytest.approx(0, abs=1e-4)


@pytest.mark.parametrize("name", METHODS)
def test_another_network_is_refused_by_name(name: str, batch: Batch) -> None:
    with pytest.raises(NotApplicable, match="Toy: attention is read from vision transformers"):
        METHODS[name](Trace(toy_classifier("gap"), batch, target=1))
    transformers = pytest.importorskip("transformers")
    config = transformers.ViTConfig(
        hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8, num_labels=5
    )
    network = settled(transformers.ViTForImageClassification(config)).requires_grad_(False)
    with pytest.raises(NotApplicable, match=f"{name} is not defined for ViTForImageClassification of transformers"):
        METHODS[name](Trace(Classifier(network, mean=0.5, std=0.5), batch, target=1))


def test_a_gate_is_refused(batch: Batch) -> None:
    timm = pytest.importorskip("timm")
    network = timm.models.VisionTransformer(
        img_size=32, patch_size=8, embed_dim=16, depth=1, num_heads=2, num_classes=5, mlp_layer=timm.layers.GluMlp
    )
    with pytest.raises(NotApplicable, match="cplrp is not defined for"):
        cplrp(Trace(Classifier(settled(network).requires_grad_(False), mean=0.5, std=0.5), batch, target=1))
