"""Random numbers of each image: those of its seed and name, whatever the batch and however many are drawn at a time."""

from __future__ import annotations

import torch
from helpers.toys import toy_batch, toy_classifier

from camdbench.explainers.common.noisy_copies import drawing, noise_width
from camdbench.explainers.common.trace import Trace
from camdbench.functional.seeding import generator_for


def test_draws_are_those_of_the_image_one_sample_after_another() -> None:
    trace = Trace(toy_classifier(), toy_batch())
    more = drawing(trace, "a purpose", torch.randn, (2, 3))
    drawn = torch.cat([more(2), more(1)], 1)
    for index in range(4):
        generator = generator_for(0, f"image-{index}", "a purpose")
        assert torch.equal(drawn[index], torch.stack([torch.randn((2, 3), generator=generator) for _ in range(3)]))
    alone = Trace(toy_classifier(), toy_batch().part(2, 3))
    assert torch.equal(drawing(alone, "a purpose", torch.randn, (2, 3))(3)[0], drawn[2])


def test_the_width_of_the_noise_is_a_share_of_each_images_range() -> None:
    images = torch.zeros(2, 3, 2, 2)
    images[0, 1, 0, 0], images[1, 2, 1, 1] = 1.0, 0.5
    assert noise_width(images, 0.2).flatten().tolist() == torch.tensor([0.2, 0.1]).tolist()
