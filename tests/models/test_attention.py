"""Attention inside the context: the module's own, with unchanged logits, batched, and nothing left behind."""

from __future__ import annotations

import copy

import pytest
import torch
from helpers.toys import toy_batch, toy_classifier
from torch import Tensor, nn

from camdbench.core.errors import NotApplicable
from camdbench.models import torchvision_zoo
from camdbench.models.attention import record_attention, transformer_of


def timm_vit(**options: object) -> nn.Module:
    """A tiny ViT of timm with fused attention; attention that tells tokens apart."""
    timm = pytest.importorskip("timm")
    kind = timm.models.deit.VisionTransformerDistilled if options.pop("distilled", False) else timm.models.VisionTransformer
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = kind(img_size=32, patch_size=8, embed_dim=16, depth=2, num_heads=2, mlp_ratio=2, num_classes=5, **options).eval()
        for block in network.blocks:
            block.attn.qkv.weight.data.mul_(20)
        nn.init.normal_(network.head.weight)
    assert network.blocks[0].attn.fused_attn, "these tests are about fused attention"
    return network


NETWORKS = {
    "torchvision": lambda: toy_classifier("vit").network,
    "timm": timm_vit,
    "distilled": lambda: timm_vit(distilled=True),
    "averaged": lambda: timm_vit(global_pool="avg", class_token=False),
    "registers": lambda: timm_vit(reg_tokens=3),
    "qk-norm": lambda: timm_vit(qk_norm=True),
}
every_network = pytest.mark.parametrize("make", NETWORKS.values(), ids=NETWORKS.keys())


@pytest.fixture
def images() -> Tensor:
    return toy_batch(3, size=(32, 32)).images


class TestTheContext:
    @every_network
    def test_leaves_the_logits_as_they_are(self, make, images: Tensor) -> None:
        network = make()
        plain = network(images)
        with record_attention(network):
            inside = network(images)
        torch.testing.assert_close(inside, plain, rtol=1e-5, atol=1e-5)
        assert torch.equal(network(images), plain)

    @every_network
    def test_shows_one_attention_a_block_whose_rows_sum_to_one(self, make, images: Tensor) -> None:
        network = make()
        with record_attention(network) as seen:
            network(images)
        count = 16 + transformer_of(network).prefix
        assert [tuple(item.shape) for item in seen.probabilities] == [(3, 2, count, count)] * 2
        assert [tuple(item.shape) for item in seen.tokens] == [(3, count, 16)] * 3
        for item in seen.probabilities:
            torch.testing.assert_close(item.sum(-1), torch.ones(3, 2, count))
            assert item.max() > 2 / count, "attention is not uniform"

    @every_network
    def test_restores_everything_even_after_an_exception(self, make, images: Tensor) -> None:
        network = make()
        before = {name: dict(vars(module)) for name, module in network.named_modules()}
        before = {name: {key: copy.copy(value) for key, value in members.items()} for name, members in before.items()}
        with pytest.raises(ValueError, match="boom"), record_attention(network):
            assert any("forward" in vars(module) for module in network.modules())
            raise ValueError("boom")
        after = {name: vars(module) for name, module in network.named_modules()}
        assert {name: set(members) for name, members in after.items()} == {name: set(members) for name, members in before.items()}
        assert not any("forward" in vars(module) for module in network.modules())
        assert [getattr(m, "fused_attn", None) for m in network.modules()] == [members.get("fused_attn") for members in before.values()]

    @every_network
    def test_the_last_tokens_and_the_head_make_the_logits(self, make, images: Tensor) -> None:
        network = make()
        with record_attention(network) as seen:
            logits = network(images)
        torch.testing.assert_close(transformer_of(network).head(seen.tokens[-1]), logits)

    @every_network
    def test_no_weight_gets_a_gradient_and_the_graph_starts_at_the_first_attention(self, make, images: Tensor) -> None:
        network = make().requires_grad_(False)
        with record_attention(network) as seen:
            logits = network(images)
        assert seen.probabilities[0].is_leaf
        gradients = torch.autograd.grad(logits[:, 1].sum(), seen.probabilities)
        assert all(gradient.abs().max() > 0 for gradient in gradients)

    @every_network
    def test_works_without_gradients(self, make, images: Tensor) -> None:
        with torch.no_grad(), record_attention(network := make()) as seen:
            network(images)
        assert len(seen.probabilities) == 2


class TestWitness:
    def test_torchvisions_attention_is_what_its_module_returns_when_asked(self, images: Tensor) -> None:
        network = toy_classifier("vit").network
        with record_attention(network) as seen:
            network(images)
        for block, tokens, ours in zip(network.encoder.layers, seen.tokens, seen.probabilities, strict=False):
            normed = block.ln_1(tokens)
            _, own = block.self_attention(normed, normed, normed, need_weights=True, average_attn_weights=False)
            torch.testing.assert_close(ours, own)

    @pytest.mark.parametrize("make", [timm_vit, NETWORKS["distilled"], NETWORKS["qk-norm"]], ids=["vit", "distilled", "qk-norm"])
    def test_timms_attention_is_worked_out_from_its_projections(self, make, images: Tensor) -> None:
        network = make()
        with record_attention(network) as seen:
            network(images)
        for block, tokens, ours in zip(network.blocks, seen.tokens, seen.probabilities, strict=False):
            q, k, _ = block.attn.qkv(block.norm1(tokens)).reshape(3, tokens.shape[1], 3, 2, 8).double().unbind(2)
            q, k = block.attn.q_norm.double()(q), block.attn.k_norm.double()(k)
            expected = (torch.einsum("bihd,bjhd->bhij", q, k) / 8**0.5).softmax(-1)
            torch.testing.assert_close(ours, expected.float(), rtol=1e-4, atol=1e-5)


class TestReading:
    def test_the_class_tokens_row_or_both_or_the_mean_of_the_places(self) -> None:
        matrix = torch.arange(18 * 18).reshape(1, 18, 18).float()
        read = {name: transformer_of(NETWORKS[name]()).read(matrix)[0] for name in ("timm", "distilled", "averaged")}
        assert torch.equal(read["timm"], matrix[0, 0])
        assert torch.equal(read["distilled"], (matrix[0, 0] + matrix[0, 1]) / 2)
        assert torch.equal(read["averaged"], matrix[0].mean(0))

    @pytest.mark.parametrize("name", ["timm", "distilled", "averaged", "registers", "torchvision"])
    def test_only_the_tokens_that_are_read_move_the_logits(self, name: str, images: Tensor) -> None:
        network = NETWORKS[name]().requires_grad_(False)
        transformer = transformer_of(network)
        with record_attention(network) as seen:
            network(images)
        tokens = seen.tokens[-1].detach().requires_grad_()
        gradient = torch.autograd.grad(transformer.head(tokens)[:, 1].sum(), tokens)[0].abs().amax((0, 2))  # (N,)
        expected = set(transformer.readers) or set(range(transformer.prefix, len(gradient)))
        assert set(gradient.nonzero().flatten().tolist()) == expected


class TestRefusal:
    def test_networks_without_tokens(self) -> None:
        with (
            pytest.raises(NotApplicable, match="Toy: attention is read from vision transformers"),
            record_attention(toy_classifier().network),
        ):
            pass

    def test_swin_whose_windows_do_not_see_the_whole_image(self) -> None:
        network = torchvision_zoo.build("swin_t", "random", None, download=False).network
        with pytest.raises(NotApplicable, match="SwinTransformer: attention is read from vision transformers"):
            transformer_of(network)

    def test_a_head_that_attends_to_its_tokens(self) -> None:
        with pytest.raises(NotApplicable, match="pools its tokens by 'map'"):
            transformer_of(timm_vit(global_pool="map", class_token=False))

    def test_blocks_that_hide_their_attention(self) -> None:
        network = timm_vit()
        network.blocks[1].attn = nn.Identity()
        with pytest.raises(NotApplicable, match="unsupported attention Identity"):
            transformer_of(network)
