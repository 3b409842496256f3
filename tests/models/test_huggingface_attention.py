"""Attention of transformers: one matrix per block, the library's own, with gradients, and nothing left behind."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.hf_families import TINY, build

from camdbench.core.errors import NotApplicable
from camdbench.explainers.common.explain import explain
from camdbench.models.attention import record_attention, transformer_of
from camdbench.models.bare_network import bare_network
from camdbench.models.classifier import Classifier
from camdbench.models.huggingface_attention import attention_note

transformers: Any = pytest.importorskip("transformers")

RECORDED = ["beit", "clip", "deit", "dinov2", "dinov2_with_registers", "ijepa", "metaclip_2", "siglip", "siglip2", "vit", "vit_msn"]
CNNS = ["convnext", "resnet", "levit", "mobilevit"]
OTHERS = ["cvt", "data2vec-vision", "donut-swin", "hiera", "pvt", "pvt_v2", "segformer", "swin", "swinv2", *CNNS]


@pytest.mark.parametrize("family", RECORDED)
def test_attention_is_that_of_the_library_and_the_logits_are_kept(family: str) -> None:
    from camdbench.models.siglip2_images import patches_of

    original: Any = build(family)
    network: Any = bare_network(original)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    before, kind = network(images).logits, network.config._attn_implementation
    with record_attention(network) as seen:
        inside = network(images).logits
    torch.testing.assert_close(inside, before, rtol=1e-4, atol=1e-5)
    assert torch.equal(network(images).logits, before)
    assert network.config._attn_implementation == kind
    assert len(seen.probabilities) == len(transformer_of(network).blocks) == len(seen.tokens) - 1
    torch.testing.assert_close(transformer_of(network).head(seen.tokens[-1]), inside)
    gradients = torch.autograd.grad(inside[:, 1].sum(), seen.probabilities)
    assert all(bool(gradient.ne(0).any()) for gradient in gradients)
    network.set_attn_implementation("eager")
    arguments = patches_of(images, 8) if family == "siglip2" else {"pixel_values": images}
    expected = original(**arguments, output_attentions=True).attentions
    for ours, theirs in zip(seen.probabilities, expected, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_an_exception_puts_the_implementation_back() -> None:
    network: Any = build("clip")
    kinds = [module.config._attn_implementation for module in network.modules() if hasattr(module, "config")]
    with pytest.raises(ValueError, match="boom"), record_attention(network):
        raise ValueError("boom")
    assert [module.config._attn_implementation for module in network.modules() if hasattr(module, "config")] == kinds


@pytest.mark.parametrize("family", OTHERS)
def test_other_attention_is_refused(family: str) -> None:
    with pytest.raises(NotApplicable, match="ForImageClassification: "):
        transformer_of(build(family))


@pytest.mark.parametrize(("family", "specs"), [(family, ("rollout", "legrad")) for family in RECORDED])
def test_attention_explainers_have_maps(family: str, specs: tuple[str, ...]) -> None:
    classifier = Classifier(build(family), mean=0.5, std=0.5)
    images = torch.rand(2, 3, *(TINY[family][1],) * 2, generator=torch.Generator().manual_seed(0))
    for spec in (*specs, *(["tibav"] if family in ("vit", "vit_msn", "deit") else [])):
        found = explain(classifier, images, spec, targets=1)
        assert found.raw.shape == (2, 4, 4)
        assert found.status == ("ok", "ok")


def test_another_number_of_matrices_than_blocks_is_refused() -> None:
    network: Any = build("vit")
    with (
        pytest.raises(NotApplicable, match="ViTForImageClassification: 0 attention matrices in 2 blocks were recorded"),
        record_attention(network),
    ):
        pass
    images = torch.rand(1, 3, 32, 32)
    with pytest.raises(NotApplicable, match="4 attention matrices in 2 blocks"), record_attention(network):
        network(images)
        network(images)


def test_what_a_map_of_dinov2_leaves_out_is_noted() -> None:
    assert (
        attention_note(build("dinov2"))
        == "maps of attention show the row of the class token; the head also reads the mean of the patch tokens"
    )
    assert attention_note(build("vit")) == attention_note(torch.nn.Linear(2, 2)) == ""


def test_nothing_is_printed(capfd: pytest.CaptureFixture[str]) -> None:
    network: Any = build("clip")
    capfd.readouterr()
    with record_attention(network):
        network(torch.rand(1, 3, 32, 32))
    assert capfd.readouterr() == ("", "")
