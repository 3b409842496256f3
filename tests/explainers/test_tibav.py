"""Transformer attribution against a literal reading of its rules: every single contribution written out, in float64."""

from __future__ import annotations

import pytest
import torch
from helpers.reference_vit import Block, Pass, literal_pass
from helpers.toys import CLASSES, maps_of, timm_vit, toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.tibav import _of_tokens, relevance_of_attention
from camdbench.models.attention import transformer_of
from camdbench.models.classifier import Classifier
from camdbench.models.transformer_parts import parts_of

pytestmark = pytest.mark.usefixtures("float64")


@pytest.fixture
def classifier() -> Classifier:
    return toy_classifier("vit")


@pytest.fixture
def batch() -> Batch:
    return toy_batch(3, size=(32, 32))


def linear(x: Tensor, weight: Tensor, held: Tensor) -> Tensor:
    contributions = (x[:, None, :] * weight[None]).clamp(min=0)  # (N, outputs, inputs)
    return (portions(contributions, 2) * held[:, :, None]).sum(1)


def portions(contributions: Tensor, dim: int) -> Tensor:
    """Each contribution's portion of their sum; nothing of nothing."""
    return (contributions / contributions.sum(dim, keepdim=True)).nan_to_num()


def sum_of(u: Tensor, v: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
    first, second = u / (u + v) * held, v / (u + v) * held
    share = first.sum().abs() / (first.sum().abs() + second.sum().abs())
    return first * share * held.sum() / first.sum(), second * (1 - share) * held.sum() / second.sum()


def product(x: Tensor, y: Tensor, held: Tensor) -> tuple[Tensor, Tensor]:
    """The two sides of x @ y."""
    contributions = x[:, :, None] * y[None]  # (N, K, M)
    shares = portions(contributions, 1) * held[:, None, :]
    return shares.sum(2) / 2, shares.sum(0) / 2


def down(block: Block, held: Tensor) -> tuple[Tensor, Tensor]:
    """The relevance of the block's attention and of the tokens that it read."""
    mlp, mha = block.parts.mlp, block.parts.self_attention
    around, inside = sum_of(block.middle, block.branch2, held)
    held = around + linear(block.normed2, mlp[0].weight, linear(block.active, mlp[3].weight, inside))
    around, inside = sum_of(block.before, block.branch1, held)
    mixed = linear(block.mixed, mha.out_proj.weight, inside)
    of_attention, of_q, of_k, of_v = list[Tensor](), list[Tensor](), list[Tensor](), list[Tensor]()
    for head, part in enumerate(mixed.chunk(2, 1)):
        attention, values = product(block.attention[head], block.v[head], part)
        queries, keys = product(block.q[head], block.k[head].T, attention)
        for found, what in zip((of_attention, of_q, of_k, of_v), (attention, queries, keys.T, values), strict=True):
            found.append(what)
    joint = torch.cat([*of_q, *of_k, *of_v], 1)
    return torch.stack(of_attention), around + linear(block.normed1, mha.in_proj_weight, joint)


def literal_map(seen: Pass, label: int, start: int) -> Tensor:
    gradients = torch.autograd.grad(seen.logits[label], seen.attentions)
    with torch.no_grad():
        normed = seen.network.encoder.ln(seen.blocks[-1].after)
        held = torch.zeros_like(normed)
        held[:1] = linear(normed[:1], seen.network.heads.head.weight, torch.eye(CLASSES, dtype=torch.float64)[label : label + 1])
        rolled = torch.eye(17, dtype=torch.float64)
        for block, gradient in reversed(list(zip(seen.blocks, gradients, strict=True))[start:]):
            attention, held = down(block, held)
            rolled = rolled @ (torch.eye(17) + (gradient * attention).clamp(min=0).mean(0))
    return rolled[0, 1:].reshape(4, 4)


@pytest.mark.parametrize("start", [0, 1])
def test_is_the_papers_recursion(classifier: Classifier, batch: Batch, start: int) -> None:
    found = maps_of(classifier.double(), doubled(batch), f"tibav(start={start})").raw
    for index, image in enumerate(batch.images):
        expected = literal_map(literal_pass(classifier, image), int(batch.labels[index]), start)
        torch.testing.assert_close(found[index], expected, rtol=1e-6, atol=1e-9)


def test_the_relevance_of_tokens_is_that_which_each_block_reads(classifier: Classifier, batch: Batch) -> None:
    classifier = classifier.double()
    with classifier.frozen():
        found = relevance_of_attention(Trace(classifier, doubled(batch))).tokens
    seen = literal_pass(classifier, batch.images[1])
    with torch.no_grad():
        normed = seen.network.encoder.ln(seen.blocks[-1].after)
        held, one = torch.zeros_like(normed), torch.eye(CLASSES, dtype=torch.float64)[batch.labels[1], None]
        held[:1] = linear(normed[:1], seen.network.heads.head.weight, one)
        for block, tokens in reversed(list(zip(seen.blocks, found, strict=True))):
            held = down(block, held)[1]
            torch.testing.assert_close(tokens[1], held, rtol=1e-6, atol=1e-9)


def test_single_precision_is_enough(classifier: Classifier, batch: Batch) -> None:
    single = maps_of(classifier, batch, "tibav").raw
    double = maps_of(classifier.double(), doubled(batch), "tibav").raw
    torch.testing.assert_close(single.double() / double.amax(), double / double.amax(), rtol=0, atol=1e-3)


def doubled(batch: Batch) -> Batch:
    return Batch(batch.ids, batch.images.double(), batch.labels, batch.boxes, batch.masks)


class TestConservation:
    @pytest.mark.parametrize(
        "make", [lambda: toy_classifier("vit"), lambda: timm_vit("token"), lambda: timm_vit("distilled"), lambda: timm_vit("scaled")]
    )
    def test_every_block_holds_one_and_its_attention_half_of_its_branch(self, make, batch: Batch) -> None:
        classifier = make().double()
        with classifier.frozen():
            found = relevance_of_attention(Trace(classifier, doubled(batch)))
        for tokens, attention in zip(found.tokens, found.attention, strict=True):
            torch.testing.assert_close(tokens.sum((1, 2)), torch.ones(3, dtype=torch.float64), rtol=1e-6, atol=1e-6)
            assert ((attention.sum((1, 2, 3)) > 0) & (attention.sum((1, 2, 3)) < 0.5)).all()


class TestNetworks:
    @pytest.mark.parametrize("kind", ["token", "distilled", "scaled", "avg"])
    def test_of_timm_give_maps_that_do_not_depend_on_batch_mates(self, kind: str, batch: Batch) -> None:
        classifier = timm_vit(kind)
        found = maps_of(classifier, batch, "tibav").raw
        alone = torch.cat([maps_of(classifier, batch.part(index, index + 1), "tibav").raw for index in range(3)])
        assert found.shape == (3, 4, 4)
        assert (found.amax((1, 2)) > found.amin((1, 2))).all()
        torch.testing.assert_close(found, alone, rtol=1e-3, atol=1e-6)

    def test_that_average_their_places_hand_relevance_to_each_place_by_the_linear_rule(self, batch: Batch) -> None:
        classifier = timm_vit("avg").double()
        network, trace = classifier.network, Trace(classifier, doubled(batch))
        with classifier.frozen():
            found = _of_tokens(trace, parts_of(network), transformer_of(network))
            for index, label in enumerate(trace.targets.tolist()):
                places = network.norm(trace.attention.tokens[-1][index])  # (16, C)
                pooled = network.fc_norm(places.mean(0, keepdim=True))
                one = torch.eye(CLASSES, dtype=torch.float64)[label : label + 1]
                held = linear(pooled, network.head.weight, one)
                pooling = torch.full((1, 16), 1 / 16, dtype=torch.float64)
                expected = torch.stack([linear(places[None, :, c], pooling, held[:, c : c + 1])[0] for c in range(16)], 1)
                torch.testing.assert_close(found[index], expected)
                assert found[index].sum() > 0.5

    def test_without_a_rule_for_each_layer_are_refused(self, batch: Batch) -> None:
        with pytest.raises(NotApplicable, match="type Block: has layers without a rule"):
            maps_of(timm_vit("qk-norm"), batch, "tibav")

    def test_whose_head_is_not_linear_are_refused(self, batch: Batch) -> None:
        classifier = toy_classifier("vit")
        classifier.network.heads = nn.Sequential(nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, CLASSES))
        with pytest.raises(NotApplicable, match="not linear in the tokens that it reads"):
            maps_of(classifier, batch, "tibav")

    def test_whose_blocks_compute_something_else_are_refused(self, batch: Batch) -> None:
        classifier = toy_classifier("vit")
        block = classifier.network.encoder.layers[0]
        block.dropout.forward = lambda tokens: tokens * 2
        with pytest.raises(NotApplicable, match="a block computes something else than its layers say"):
            maps_of(classifier, batch, "tibav")

    def test_without_attention_are_refused(self) -> None:
        with pytest.raises(NotApplicable, match="Toy: attention is read from vision transformers"):
            maps_of(toy_classifier(), toy_batch(), "tibav")


def test_a_block_that_is_not_there_is_refused(classifier: Classifier, batch: Batch) -> None:
    with pytest.raises(UsageError, match=r"tibav\(start=2\): there are 2 blocks, 0 to 1"):
        maps_of(classifier, batch, "tibav(start=2)")
