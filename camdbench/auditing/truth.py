"""Truth by intervention: how much of a class score a network takes from the object, and how much from the background.

Players that are absent are rendered anew from other images of the data's own law (`reference_draws`), and Shapley values divide the score
of the image among the players. Nothing is masked, blurred or pasted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, get_args

import numpy as np
import torch

from camdbench.auditing.coalition_logits import DEFAULT_PLAYERS, measure_logits
from camdbench.auditing.game import interaction, shapley_values, share_of
from camdbench.core.errors import UsageError, unknown
from camdbench.datasets.samples import Dataset
from camdbench.functional.probability import log_odds
from camdbench.functional.seeding import generator_for
from camdbench.functional.targets import check_classes
from camdbench.models.classifier import Classifier

Objective = Literal["centred_logit", "logit", "log_odds", "probability"]
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
_RESAMPLES, _PURPOSE = 200, "audit share"


@dataclass(frozen=True)
class Truth:
    """Scores of all coalitions of N images with one network, and what follows from them.

    Attributes:
        ids: ids of the N images.
        players: names of the p players.
        values: (N, K, 2^p) float64 score of each coalition in each of K draws; bit j of the last index is set if player j is the image's
            own. The full coalition is the same in all draws.
    """

    ids: tuple[str, ...]
    players: tuple[str, ...]
    values: np.ndarray

    @cached_property
    def phi_draws(self) -> np.ndarray:
        """(N, K, p) Shapley values of each draw."""
        return shapley_values(self.values)

    @property
    def phi(self) -> np.ndarray:
        """(N, p) Shapley values, mean over draws; they sum to the score of the image minus that of references."""
        return self.phi_draws.mean(1)

    @property
    def se(self) -> np.ndarray:
        """(N, p) standard error of `phi`: standard deviation over draws / sqrt(K); NaN for one draw."""
        draws = self.values.shape[1]
        return self.phi_draws.std(1, ddof=1) / np.sqrt(draws) if draws > 1 else np.full(self.phi.shape, np.nan)

    @property
    def interaction(self) -> np.ndarray:
        """(N,) score of all players beyond the sum of what each adds alone; 0 if the network is additive."""
        return interaction(self.values).mean(1)

    @property
    def share(self) -> np.ndarray:
        """(N,) r in [0, 1]: share of the object, or of shape and material, in the magnitude of all Shapley values."""
        return share_of(self.phi, self._of_object)

    @property
    def share_positive(self) -> np.ndarray:
        """(N,) r+ in [0, 1]: the share with negative values as 0, which a rectified map can show; NaN if no value is positive."""
        return share_of(self.phi, self._of_object, positive=True)

    @cached_property
    def se_share(self) -> np.ndarray:
        """(N,) standard error of `share`: its standard deviation over 200 resamples of the draws, seeded by the image."""
        return np.array([self._se_share(name, phi) for name, phi in zip(self.ids, self.phi_draws, strict=True)])

    def half(self, k: int) -> Truth:
        """Truth of the draws at even (`k` = 0) or odd (`k` = 1) places, for split-half comparisons.

        Both halves are stratified if the number of draws is a multiple of twice the number of classes.

        Raises:
            UsageError: there is one draw.
        """
        if self.values.shape[1] < 2:
            raise UsageError("draws = 1: there are no halves to compare; use more draws")
        return Truth(self.ids, self.players, self.values[:, k::2])

    @property
    def _of_object(self) -> np.ndarray:
        return np.array([name != "background" for name in self.players])

    def _se_share(self, name: str, phi: np.ndarray) -> float:
        """Standard error of the share of one image from Shapley values (K, p) of its draws."""
        random = generator_for(0, name, _PURPOSE)
        chosen = torch.randint(len(phi), (_RESAMPLES, len(phi)), generator=random).numpy()
        shares = share_of(phi[chosen].mean(1), self._of_object)
        return float(np.std(shares, ddof=1)) if len(phi) > 1 else float("nan")


def measure_truth(
    classifier: Classifier,
    data: Dataset,
    indices: Sequence[int],
    targets: Sequence[int] | np.ndarray,
    *,
    draws: int = 32,
    seed: int = 0,
    objective: Objective = "centred_logit",
    players: Sequence[str] = DEFAULT_PLAYERS,
) -> Truth:
    """Measure the truth of images with a network: (2^p - 1) K + 1 forward passes per image, no gradients.

    Args:
        classifier: the network.
        data: data set `shortcuts(…)`.
        indices: numbers of the N images.
        targets: (N,) explained classes.
        draws: number of references K per image, a multiple of the number of classes.
        seed: seed of the references.
        objective: score: `centred_logit` (logit minus the mean of all logits), `logit`, `log_odds` or `probability`.
        players: `object` and `background`, or `shape`, `material` and `background`. The shape is replaced at the image's own place.

    Raises:
        UsageError: other data than `shortcuts`, an unknown objective or player, a class that the network lacks, or a number of draws that
            cannot be stratified.
    """
    check_objective(objective)
    logits = measure_logits(classifier, data, indices, draws=draws, seed=seed, players=players)
    return truth_of(logits, targets, objective, ids=[data.ids[index] for index in indices], players=players)


def truth_of(
    logits: np.ndarray,
    targets: Sequence[int] | np.ndarray,
    objective: Objective = "centred_logit",
    *,
    ids: Sequence[str],
    players: Sequence[str] = DEFAULT_PLAYERS,
) -> Truth:
    """Truth from the logits of coalitions, so that several objectives share their passes.

    Args:
        logits: (N, K, 2^p, C) of `measure_logits`.
        targets: (N,) explained classes.
        objective: score; see `measure_truth`.
        ids: ids of the N images.
        players: names of the p players.

    Raises:
        UsageError: an unknown objective, or a class that the network lacks.
    """
    return Truth(tuple(ids), tuple(players), scores_of(logits, targets, objective))


def scores_of(logits: np.ndarray, targets: Sequence[int] | np.ndarray, objective: Objective) -> np.ndarray:
    """Scores (N, …) float64 of the classes (N,) of images from logits (N, …, C).

    Raises:
        UsageError: an unknown objective, or a class that the network lacks.
    """
    check_objective(objective)
    classes = torch.as_tensor(np.asarray(targets), dtype=torch.int64)
    check_classes(classes, logits.shape[-1], "targets: an image is given class")
    exact = torch.from_numpy(np.ascontiguousarray(logits, dtype=np.float64))
    flat = exact.reshape(-1, logits.shape[-1])
    repeated = classes.repeat_interleave(len(flat) // max(1, len(classes)))
    return _scores(flat, repeated, objective).reshape(logits.shape[:-1]).numpy()


def check_objective(objective: str) -> None:
    """Check the name of an objective.

    Raises:
        UsageError: unknown (with suggestions).
    """
    if objective not in OBJECTIVES:
        raise unknown("objective", objective, OBJECTIVES)


def _scores(logits: torch.Tensor, targets: torch.Tensor, objective: Objective) -> torch.Tensor:
    """Scores (N,) of classes (N,) from logits (N, C) in float64."""
    if objective in ("log_odds", "probability"):
        odds = log_odds(logits, targets)
        return odds if objective == "log_odds" else odds.sigmoid()
    chosen = logits.gather(1, targets[:, None]).squeeze(1)
    return chosen if objective == "logit" else chosen - logits.mean(1)
