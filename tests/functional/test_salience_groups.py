"""Groups of pixels by salience, and SaCo's coefficient: golden values and a literal reading of the algorithm."""

from __future__ import annotations

import pytest
import torch

from camdbench.functional.salience_groups import faithfulness_coefficient, group_means, groups_of


@pytest.mark.parametrize(("drops", "wanted"), [((0.4, 0.3, 0.2, 0.1), 1.0), ((0.3, 0.4, 0.2, 0.1), 0.8), ((0.1, 0.2, 0.3, 0.4), -1.0)])
def test_golden_values_of_saco(drops: tuple[float, ...], wanted: float) -> None:
    found = faithfulness_coefficient(torch.tensor([[4.0, 3.0, 2.0, 1.0]]).double(), torch.tensor([drops]).double())
    assert found.item() == pytest.approx(wanted, abs=1e-12)


def test_the_coefficient_is_that_of_a_loop_over_pairs() -> None:
    generator = torch.Generator().manual_seed(0)
    salience = torch.rand(5, 7, generator=generator).double().sort(1, descending=True).values
    drops = torch.randn(5, 7, generator=generator).double()
    drops[0, 3] = drops[0, 5]  # equal drops count as in order
    for image, found in enumerate(faithfulness_coefficient(salience, drops).tolist()):
        total = weight = 0.0
        for i in range(6):
            for j in range(i + 1, 7):
                apart = float(salience[image, i] - salience[image, j])
                total += apart if drops[image, i] >= drops[image, j] else -apart
                weight += abs(apart)
        assert found == pytest.approx(total / weight)


def test_equal_salience_has_no_coefficient() -> None:
    assert faithfulness_coefficient(torch.ones(1, 3), torch.tensor([[3.0, 2.0, 1.0]])).isnan().all()


def test_groups_follow_the_ranks_and_have_equal_sizes() -> None:
    ranks = torch.randperm(192, generator=torch.Generator().manual_seed(0))[None]
    groups = groups_of(ranks, 10)
    assert set(groups.flatten().bincount().tolist()) == {19, 20}
    assert torch.equal(groups.gather(1, ranks.argsort()), groups.sort(1).values)
    values = torch.rand(1, 192, generator=torch.Generator().manual_seed(1))
    wanted = torch.stack([values[groups == group].double().mean() for group in range(10)])
    torch.testing.assert_close(group_means(values, groups, 10), wanted[None])
