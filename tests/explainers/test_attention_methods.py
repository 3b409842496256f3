"""Attention methods against slow, literal readings of their papers in float64: one image, one head and one entry at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from helpers.reference_vit import Pass, literal_pass
from helpers.toys import maps_of, timm_vit, toy_batch, toy_classifier
from torch import Tensor

from camdbench.core.errors import NotApplicable, UsageError
from camdbench.core.registries import explainers
from camdbench.datasets.samples import Batch
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.rollout import _step
from camdbench.models.classifier import Classifier
from camdbench.models.pass_counts import PassCounts

pytestmark = pytest.mark.usefixtures("float64")

METHODS = ("rawattention", "rollout", "genericattention", "legrad")


@pytest.fixture
def classifier() -> Classifier:
    return toy_classifier("vit")


@pytest.fixture
def batch() -> Batch:
    return toy_batch(3, size=(32, 32))


def raw(classifier: Classifier, batch: Batch, spec: str) -> Tensor:
    return maps_of(classifier, batch, spec).raw


@pytest.fixture
def passes(classifier: Classifier, batch: Batch) -> list[Pass]:
    return [literal_pass(classifier, image) for image in batch.images]


def test_the_literal_pass_is_the_network(classifier: Classifier, batch: Batch, passes: list[Pass]) -> None:
    torch.testing.assert_close(torch.stack([seen.logits for seen in passes]), classifier(batch.images))


class TestRawAttention:
    def test_is_the_class_tokens_row_of_the_last_block(self, classifier: Classifier, batch: Batch, passes: list[Pass]) -> None:
        for spec, block in (("rawattention", 1), ("rawattention(block=0)", 0)):
            expected = [seen.attentions[block].mean(0)[0, 1:].reshape(4, 4) for seen in passes]
            torch.testing.assert_close(raw(classifier, batch, spec), torch.stack(expected))

    def test_a_block_that_is_not_there_is_refused(self, classifier: Classifier, batch: Batch) -> None:
        with pytest.raises(UsageError, match=r"rawattention\(block=2\): the network has 2 blocks; choose 0 to 1"):
            raw(classifier, batch, "rawattention(block=2)")


class TestRollout:
    @pytest.mark.parametrize(
        ("spec", "fuse", "share", "residual", "start"),
        [
            ("rollout", np.mean, 0.0, True, 0),
            ('rollout(fusion="max", discard=0.5)', np.max, 0.5, True, 0),
            ('rollout(fusion="min", residual=False)', np.min, 0.0, False, 0),
            ("rollout(start=1, discard=0.9)", np.mean, 0.9, True, 1),
        ],
    )
    def test_is_the_product_of_the_blocks(
        self, classifier: Classifier, batch: Batch, passes: list[Pass], spec: str, fuse: Any, share: float, residual: bool, start: int
    ) -> None:
        expected = list[np.ndarray]()
        for seen in passes:
            product = np.eye(17)
            for attention in seen.attentions[start:]:
                matrix = fuse(attention.detach().numpy(), axis=0)
                matrix.flat[np.argsort(matrix.flatten())[: int(share * 289)]] = 0
                matrix = matrix / 2 + np.eye(17) / 2 if residual else matrix
                for row in range(17):
                    matrix[row] /= matrix[row].sum()
                product = matrix @ product
            np.testing.assert_allclose(product.sum(1), 1)
            expected.append(product[0, 1:].reshape(4, 4))
        torch.testing.assert_close(raw(classifier, batch, spec), torch.from_numpy(np.stack(expected)))

    @pytest.mark.parametrize("discard", [0.0, 0.3, 0.9])
    def test_what_a_block_passes_on_sums_to_one(self, classifier: Classifier, batch: Batch, discard: float) -> None:
        with classifier.frozen():
            for attention in Trace(classifier, batch).attention.probabilities:
                step = _step(attention.mean(1), discard, residual=True)
                torch.testing.assert_close(step.sum(2), torch.ones(3, 17))

    def test_nothing_may_be_discarded_whole(self, classifier: Classifier, batch: Batch) -> None:
        with pytest.raises(UsageError, match=r"rollout\(discard=1\.0\): expected a fraction below 1"):
            raw(classifier, batch, "rollout(discard=1.0)")


class TestGenericAttention:
    @pytest.mark.parametrize("start", [0, 1])
    def test_is_the_papers_recursion(self, classifier: Classifier, batch: Batch, passes: list[Pass], start: int) -> None:
        expected = list[Tensor]()
        for seen, label in zip(passes, batch.labels, strict=True):
            gradients = torch.autograd.grad(seen.logits[label], seen.attentions)
            relevance = torch.eye(17, dtype=torch.float64)
            for attention, gradient in list(zip(seen.attentions, gradients, strict=True))[start:]:
                mean = torch.zeros(17, 17, dtype=torch.float64)
                for head in range(2):
                    mean += (attention[head] * gradient[head]).clamp(min=0) / 2
                relevance = relevance + mean @ relevance
            expected.append(relevance[0, 1:].reshape(4, 4).detach())
        found = raw(classifier, batch, f"genericattention(start={start})")
        torch.testing.assert_close(found, torch.stack(expected))


class TestLeGrad:
    @pytest.mark.parametrize("start", [0, 1])
    def test_is_the_mean_of_each_blocks_own_sensitivity(self, classifier: Classifier, batch: Batch, passes: list[Pass], start: int) -> None:
        expected = list[Tensor]()
        for seen, label in zip(passes, batch.labels, strict=True):
            total = torch.zeros(17, dtype=torch.float64)
            for block in seen.blocks[start:]:
                (gradient,) = torch.autograd.grad(seen.read_out(block.after)[label], block.attention, retain_graph=True)
                for head in range(2):
                    for query in range(17):
                        total += gradient[head, query].clamp(min=0) / (2 * 17)
            expected.append(total[1:].reshape(4, 4) / (2 - start))
        torch.testing.assert_close(raw(classifier, batch, f"legrad(start={start})"), torch.stack(expected))


@pytest.mark.parametrize("name", ["rollout", "genericattention", "legrad"])
def test_a_block_that_is_not_there_is_refused(classifier: Classifier, batch: Batch, name: str) -> None:
    with pytest.raises(UsageError, match=rf"{name}\(start=2\): .* 2 blocks.* 0 to 1"):
        raw(classifier, batch, f"{name}(start=2)")


class TestCost:
    def test_all_methods_together_share_one_pass_with_attention(self, classifier: Classifier, batch: Batch) -> None:
        with classifier.frozen():
            trace = Trace(classifier, batch)
            for name in METHODS:
                explainers.load(name)(trace)
        assert classifier.passes == PassCounts(forward=3, backward=6)

    @pytest.mark.parametrize(("name", "target"), [("genericattention", "label"), ("legrad", "predicted"), ("tibav", 1)])
    def test_those_with_gradients_choose_their_class_by_the_pass_that_shows_attention(
        self, classifier: Classifier, batch: Batch, name: str, target: str | int
    ) -> None:
        with classifier.frozen():
            trace = Trace(classifier, batch, target=target)
            explainers.load(name)(trace)
            assert classifier.passes == PassCounts(forward=3, backward=3)
            assert trace.usage.usage_since_last_call().passes == PassCounts(forward=3, backward=0 if name == "legrad" else 3)
            assert torch.equal(trace.targets, Trace(classifier, batch, target=target).targets)

    def test_logits_are_those_of_the_pass_without_whoever_came_first(self, classifier: Classifier, batch: Batch) -> None:
        with classifier.frozen():
            trace, alone = Trace(classifier, batch), Trace(classifier, batch)
            explainers.load("genericattention")(trace)
            assert torch.equal(trace.logits, alone.logits)

    def test_attention_alone_needs_one_forward_pass(self, classifier: Classifier, batch: Batch) -> None:
        for name in ("rawattention", "rollout"):
            before = classifier.passes
            raw(classifier, batch, name)
            assert classifier.passes - before == PassCounts(forward=3)


class TestNetworks:
    @pytest.mark.parametrize("name", METHODS)
    def test_without_attention_are_refused(self, name: str) -> None:
        with pytest.raises(
            NotApplicable, match="Toy: attention is read from vision transformers of torchvision, timm and transformers only"
        ):
            raw(toy_classifier(), toy_batch(), name)

    @pytest.mark.parametrize("name", METHODS)
    @pytest.mark.parametrize("kind", ["token", "distilled", "avg"])
    def test_of_timm_give_maps_that_do_not_depend_on_batch_mates(self, name: str, kind: str, batch: Batch) -> None:
        classifier = timm_vit(kind)
        found = raw(classifier, batch, name)
        assert found.shape == (3, 4, 4)
        assert (found.amax((1, 2)) > found.amin((1, 2))).all()
        alone = torch.cat([raw(classifier, batch.part(index, index + 1), name) for index in range(3)])
        torch.testing.assert_close(found, alone)
