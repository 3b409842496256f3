"""Which objectives an explainer explains."""

from __future__ import annotations

from camdbench.core.errors import UsageError
from camdbench.core.registries import explainers
from camdbench.core.spec import Spec
from camdbench.functional.objectives import Objective


def check_fit(spec: Spec, objective: Objective, *, linear: bool) -> None:
    """Refuse an explainer that does not explain an objective; arguments as of `why_not`.

    Raises:
        UsageError: with the reason and the fix.
    """
    if reason := why_not(spec, objective, linear=linear):
        raise UsageError(f"--objective = {objective.name}: {reason}")


def needs_linear(spec: Spec) -> bool:
    """Whether an explainer, or one that it wraps, explains only objectives linear in the logits."""
    return any(part.name in explainers and explainers.get(part.name).facts.objective == "linear" for part in spec.walk())


def why_not(spec: Spec, objective: Objective, *, linear: bool) -> str:
    """Why an explainer, or one that it wraps, does not explain an objective, with the fix; empty if it does.

    Args:
        spec: checked spec.
        objective: the objective.
        linear: whether it is affine in the logits.
    """
    for part in spec.walk():
        takes = explainers.get(part.name).facts.objective if part.name in explainers else "any"
        if takes == "logit" and not objective.is_logit:
            return f"{part.name} explains the logit of the class by its definition, not {objective.name}; use objective logit"
        if takes == "linear" and not linear:
            return f"{part.name} needs an objective linear in the logits, which {objective.name} is not; use gradcam, or objective logit"
    return ""
