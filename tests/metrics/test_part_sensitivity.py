"""Single deletion against SciPy, target sensitivity against a literal reading."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers.toys import SIZE, ToyVersions, toy_batch, toy_classifier
from metrics.common.test_bird_parts import RAW, inputs, literal_sum
from scipy.stats import spearmanr

from camdbench.explainers.common.saliency import finish
from camdbench.metrics.part_sensitivity import single_deletion, target_sensitivity

NAMES = tuple(ToyVersions.part_values)
OTHER = torch.randn(4, *SIZE, generator=torch.Generator().manual_seed(2))


def importance(raw: torch.Tensor, image: int, names: set[str]) -> float:
    return sum(literal_sum(raw[image], toy_batch().parts[image], value) for name in names for value in ToyVersions.part_values[name])


@pytest.mark.parametrize("scored_output", ["logit", "centred_logit"])
def test_sd_is_scipys_rank_correlation(scored_output: Any) -> None:
    batch, network = toy_batch(), toy_classifier("dense")
    found = single_deletion(inputs(), scored_output=scored_output).values.tolist()
    for image, versions in enumerate(batch.interventions):
        shown = torch.stack([batch.images[image], *(versions.with_parts(set(NAMES) - {name}) for name in NAMES)])
        logits = network(shown).double()
        scores = logits[:, int(batch.labels[image])] - (logits.mean(1) if scored_output == "centred_logit" else 0)
        sums = [importance(RAW, image, {name}) for name in NAMES]
        assert found[image] == pytest.approx(50 * (1 + spearmanr((scores[0] - scores[1:]).tolist(), sums).statistic), abs=1e-6)


def test_a_constant_importance_is_no_correlation_and_the_release_omits_it() -> None:
    flat = torch.zeros_like(RAW)
    assert single_deletion(inputs(raw=flat)).values.tolist() == [50] * 4
    assert single_deletion(inputs(raw=flat), compat="release").undefined.all()
    wrong = (toy_batch().labels + 1) % 5
    assert single_deletion(inputs(labels=wrong), compat="release").undefined.all()
    assert not single_deletion(inputs(labels=wrong)).undefined.any()


def contrast(labels: list[int], **options: Any) -> tuple[Any, list[torch.Tensor]]:
    """Target sensitivity where the first explained class has the map RAW and the second OTHER; and the classes that were explained."""
    maps, seen = [RAW, OTHER], list[torch.Tensor]()

    def explain(images: torch.Tensor, targets: torch.Tensor, network: object) -> Any:
        del images, network
        seen.append(targets.clone())
        return finish(maps[len(seen) - 1], SIZE, "range")

    return target_sensitivity(inputs(labels=torch.tensor(labels), explainer=explain), **options), seen


def test_ts_asks_whether_shared_parts_gain_in_the_map_of_their_class() -> None:
    found, (first, second) = contrast([0, 0, 0, 0])
    assert (first.tolist(), second.tolist()) == ([1] * 4, [2] * 4)  # that share the parts a, b and c, d with class 0
    batch, network = toy_batch(), toy_classifier("dense")
    for image, versions in enumerate(batch.interventions):
        without = [network(versions.with_parts(set(NAMES) - own)[None])[0] for own in ({"a", "b"}, {"c", "d"})]
        obeys = bool(without[0][1] < without[1][1] and without[1][2] < without[0][2])
        assert bool(found.undefined[image]) == (not obeys)
        rises = importance(RAW, image, {"a", "b"}) > importance(OTHER, image, {"a", "b"})
        rises += importance(OTHER, image, {"c", "d"}) > importance(RAW, image, {"c", "d"})
        assert found.values[image].item() == pytest.approx(50 * rises if obeys else float("nan"), nan_ok=True)


def test_the_release_takes_pairs_with_a_part_in_common() -> None:
    _, (first, second) = contrast([4] * 4)
    _, (released, _) = contrast([4] * 4, compat="release")
    found, _ = contrast([4] * 4)
    shared = {i: [k for k in range(5) if row[k] == ToyVersions.variants[4][k]] for i, row in enumerate(ToyVersions.variants)}
    near = [i for i, parts in shared.items() if len(parts) == 2]
    apart = [(i, j) for i in near for j in near if i < j and not set(shared[i]) & set(shared[j])]
    if apart:
        assert (first[0].item(), second[0].item()) == apart[0]
    else:
        assert found.undefined.all()
        assert released.tolist() == [near[-2]] * 4
    assert contrast([-1] * 4)[0].undefined.all()
