"""Inert patches: a slow literal descent finds the same pixels, the network hardly notices them, and nothing else changes."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from camdbench.functional.inert_patch import inert_patch

SIZE = (6, 5)


def network() -> nn.Module:
    generator = torch.Generator().manual_seed(0)
    linear = nn.Linear(3 * SIZE[0] * SIZE[1], 4).double()
    for parameter in linear.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator, dtype=torch.float64).requires_grad_(False)
    return nn.Sequential(nn.Flatten(), nn.Tanh(), linear)


def pictures() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    images, start = torch.rand(2, 2, 3, *SIZE, generator=generator, dtype=torch.float64)
    region = torch.zeros(2, *SIZE, dtype=torch.bool)
    region[0, 1:4, 1:3] = region[1, 2:, :2] = True
    return images, start, region


def literal(image: Tensor, start: Tensor, region: Tensor, steps: int) -> Tensor:
    """One image, by torch's optimiser."""
    model, patched = network(), torch.where(region, start, image)
    optimiser = torch.optim.Adam([patched.requires_grad_()], lr=0.01)
    for _ in range(steps):
        optimiser.zero_grad()
        loss = torch.linalg.vector_norm(model(patched[None]) - model(image[None])) - 0.05 * torch.linalg.vector_norm(patched - image)
        loss.backward()
        patched.grad[:, ~region] = 0
        optimiser.step()
        with torch.no_grad():
            patched.clamp_(0, 1)
    return patched.detach()


def test_a_patch_is_that_of_a_literal_descent() -> None:
    images, start, region = pictures()
    found = inert_patch(network(), images, start, region, 25)
    expected = torch.stack([literal(*one, 25) for one in zip(images, start, region, strict=True)])
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


def test_the_network_ignores_a_patch_that_is_far_from_the_image() -> None:
    images, start, region = pictures()
    before, model = inert_patch(network(), images, start, region, 0), network()
    assert torch.equal(before, torch.where(region[:, None], start, images))
    after = inert_patch(model, images, start, region, 400)
    assert after.min() >= 0
    assert after.max() <= 1
    assert torch.equal(after[~region[:, None].expand_as(after)], images[~region[:, None].expand_as(after)])
    moved, was = ((model(own) - model(images)).norm(dim=1) for own in (after, before))
    assert (moved < 0.1 * was).all()
    assert ((after - images).flatten(1).norm(dim=1) > 0.5).all()


def test_without_a_region_nothing_changes() -> None:
    images, start, region = pictures()
    assert torch.equal(inert_patch(network(), images, start, torch.zeros_like(region), 3), images)
