"""Read-outs of altered images: scores of the explained and of the predicted class, and the objective, from the same logits."""

from __future__ import annotations

import torch
from torch import Tensor

from camdbench.core.option_types import ScoredClass
from camdbench.functional.curves import CLASS_OUTPUTS, Output, class_outputs
from camdbench.metrics.common.inputs import MetricInputs

READ_OUTS = 2 * len(CLASS_OUTPUTS) + 1
_OBJECTIVE = READ_OUTS - 1


def read_outs(inputs: MetricInputs, logits: Tensor, rows: Tensor) -> Tensor:
    """All read-outs (N, 7) float64 on the CPU of logits (N, C) of altered images of the batch at places (N,); see `read_out_of`.

    Those of an explained class that the network does not have are NaN.
    """
    target, predicted = inputs.targets[rows], inputs.predictions[rows]
    known = (target >= 0) & (target < logits.shape[1])
    of_target = class_outputs(logits, torch.where(known, target, 0))
    of_target[~known.cpu()] = torch.nan
    of_predicted = of_target if torch.equal(target, predicted) else class_outputs(logits, predicted)
    objective = of_target[:, CLASS_OUTPUTS.index("logit")]
    if not inputs.explains_logit:
        objective = torch.full_like(objective, torch.nan)
        objective[known.cpu()] = inputs.objective(logits[known], rows[known])
    return torch.cat([of_target, of_predicted, objective[:, None]], 1)


def read_out_of(scored_class: ScoredClass, scored_output: Output) -> int:
    """Place of a class and an output among all read-outs; the objective has its own class."""
    if scored_output == "objective":
        return _OBJECTIVE
    return len(CLASS_OUTPUTS) * (scored_class == "predicted") + CLASS_OUTPUTS.index(scored_output)
