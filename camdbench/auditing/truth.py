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

from camdbench.auditing.coalition_logits import DEFAULT_PLAYERS, check_players, drawn_data, measure_logits
from camdbench.auditing.game import interaction, shapley_values, share_of
from camdbench.auditing.reference_draws import reference_classes
from camdbench.core.errors import UsageError, unknown
from camdbench.datasets.samples import Dataset
from camdbench.functional.probability import log_odds
from camdbench.functional.seeding import generator_for
from camdbench.functional.targets import check_classes, class_indices
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
        strata: (N, K, 2) shape and texture of each draw, from `reference_classes`. They are drawn equally often, so that what they explain
            of the values is no sampling error. Default: unknown; standard errors are then too large, by a factor of 2 to 3 on
            networks of `shortcuts`.
    """

    ids: tuple[str, ...]
    players: tuple[str, ...]
    values: np.ndarray
    strata: np.ndarray | None = None

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
        r"""(N, p) standard error of `phi`; NaN for one draw.

        .. math:: \sqrt{\sum_k e_k^2 / (d K)}

        Without strata e is the deviation from the mean and d = K - 1. With strata e is the residual of the additive fit of shape and
        texture and d its degrees of freedom, if they are as many as there are classes; a network that adds both has no error.
        """
        return np.sqrt((self._residuals**2).mean(1) / self.values.shape[1])

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
        found = [self._se_share(name, *rows) for name, *rows in zip(self.ids, self.phi, self._residuals, strict=True)]
        return np.array(found, dtype=np.float64)

    def half(self, k: int) -> Truth:
        """Truth of the draws at even (`k` = 0) or odd (`k` = 1) places, for split-half comparisons.

        Both halves are stratified if the number of draws is a multiple of twice the number of classes.

        Raises:
            UsageError: there is one draw.
        """
        if self.values.shape[1] < 2:
            raise UsageError("draws = 1: there are no halves to compare; use more draws")
        return Truth(self.ids, self.players, self.values[:, k::2], None if self.strata is None else self.strata[:, k::2])

    @property
    def _of_object(self) -> np.ndarray:
        return np.array([name != "background" for name in self.players])

    @cached_property
    def _residuals(self) -> np.ndarray:
        """(N, K, p) deviations of the draws, scaled so that their mean square is the variance of a draw within its strata."""
        strata = [None] * len(self.ids) if self.strata is None else self.strata
        found = [_scaled_residuals(phi, own) for phi, own in zip(self.phi_draws, strata, strict=True)]
        return np.array(found, dtype=np.float64).reshape(self.phi_draws.shape)

    def _se_share(self, name: str, phi: np.ndarray, residuals: np.ndarray) -> float:
        """Standard error of the share of one image from Shapley values (p,) and scaled residuals (K, p)."""
        random = generator_for(0, name, _PURPOSE)
        chosen = torch.randint(len(residuals), (_RESAMPLES, len(residuals)), generator=random).numpy()
        return float(np.std(share_of(phi + residuals[chosen].mean(1), self._of_object), ddof=1))


def _scaled_residuals(phi: np.ndarray, strata: np.ndarray | None) -> np.ndarray:
    """Residuals (K, p) of one image times sqrt(K / d); NaN if no degree of freedom d is left."""
    residuals, free = phi - phi.mean(0), len(phi) - 1
    if strata is not None:
        design = np.concatenate([strata[:, [side]] == np.unique(strata[:, side]) for side in (0, 1)], 1).astype(np.float64)
        left = len(phi) - int(np.linalg.matrix_rank(design))
        if left >= len(np.unique(strata[:, 0])):
            residuals, free = phi - design @ (np.linalg.pinv(design) @ phi), left
    return residuals * np.sqrt(len(phi) / free) if free else np.full_like(phi, np.nan)


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
    strata = reference_classes(drawn_data(data), indices, draws, seed)
    return truth_of(logits, targets, objective, ids=[data.ids[index] for index in indices], players=players, strata=strata)


def truth_of(
    logits: np.ndarray,
    targets: Sequence[int] | np.ndarray,
    objective: Objective = "centred_logit",
    *,
    ids: Sequence[str],
    players: Sequence[str] = DEFAULT_PLAYERS,
    strata: np.ndarray | None = None,
) -> Truth:
    """Truth from the logits of coalitions, so that several objectives share their passes.

    Args:
        logits: (N, K, 2^p, C) of `measure_logits`.
        targets: (N,) explained classes.
        objective: score; see `measure_truth`.
        ids: ids of the N images.
        players: names of the p players.
        strata: (N, K, 2) of `reference_classes`, for standard errors that count the stratification.

    Raises:
        UsageError: an unknown objective or player, a class that the network lacks, or ids and players of other logits.
    """
    names = check_players(players)
    if len(ids) != len(logits) or 2 ** len(names) != logits.shape[2]:
        raise UsageError(
            f"logits: of {len(logits)} images and {logits.shape[2]} coalitions, but there are {len(ids)} ids "
            f"and players {','.join(names)}; give those of measure_logits"
        )
    return Truth(tuple(ids), names, scores_of(logits, targets, objective), strata)


def scores_of(logits: np.ndarray, targets: Sequence[int] | np.ndarray, objective: Objective) -> np.ndarray:
    """Scores (N, …) float64 of the classes (N,) of images from logits (N, …, C).

    Raises:
        UsageError: an unknown objective, or a class that the network lacks.
    """
    check_objective(objective)
    classes = class_indices(targets, len(logits), "targets")
    check_classes(classes, logits.shape[-1], "targets: an image is given class")
    exact = torch.from_numpy(np.ascontiguousarray(logits, dtype=np.float64))
    flat = exact.reshape(-1, logits.shape[-1])
    repeated = classes.repeat_interleave(len(flat) // len(classes))
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
