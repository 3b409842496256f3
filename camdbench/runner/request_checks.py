"""Checks of a request that need the registries only: names of maps, and what explainers and metrics need."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from camdbench.core.errors import UsageError
from camdbench.core.objective_names import explained_by, is_objective_name, parse_objective
from camdbench.core.registries import ANNOTATIONS, NO_EXPLAINER, datasets, explainers, has_model_scope, metrics, needs_of, scores_objective
from camdbench.core.spec import Spec, parse_spec


def parse_map_name(name: str, flag: str = "--explainer-name") -> Spec:
    """Parse the explainer name of maps from another tool.

    Raises:
        UsageError: the name is invalid, or a registered explainer has it.
    """
    spec = parse_spec(name)
    if spec.name in explainers.names() or spec == NO_EXPLAINER:
        raise UsageError(f"{flag} = {name}: an explainer of camdbench; choose another name, such as {spec.name}-theirs")
    return spec


def check_explainers(chosen: Sequence[Spec], scores: Sequence[Spec], *, made_before: bool, save_raw: bool) -> None:
    """Check that metrics of maps have maps, and that no metric re-runs the explainer of saved maps.

    Raises:
        UsageError: a metric has no maps, or re-runs the explainer of saved ones.
    """
    for spec in scores if made_before else ():
        if "explainer" in metrics.get(spec.name).facts.needs:
            raise UsageError(f"metric {spec} re-runs the explainer on perturbed images, which saved maps do not allow; use camdbench run")
    of_maps = [str(spec) for spec in scores if not has_model_scope(spec)]
    if of_maps and not chosen:
        names = f"metric {of_maps[0]} scores" if len(of_maps) == 1 else f"metrics {', '.join(of_maps)} score"
        raise UsageError(f"--explainers none: {names} saliency maps; name at least one explainer")
    if save_raw and not chosen:
        raise UsageError("--save-maps raw: there are no maps with --explainers none; name at least one explainer")


def check_needs(dataset: str, gives: Collection[str], chosen: Sequence[Spec], scores: Sequence[Spec]) -> None:
    """Check that the data set has the annotations that explainers and metrics need.

    Raises:
        UsageError: it lacks one.
    """
    wanted = [("explainer", spec, needs_of(spec)) for spec in chosen]
    wanted += [("metric", spec, set(metrics.get(spec.name).facts.needs)) for spec in scores]
    for kind, spec, needs in wanted:
        for need in sorted(ANNOTATIONS & needs):
            if need not in gives and need == "mosaic":
                fix = f"give --dataset 'grid({dataset})'" if dataset in datasets else "use the data set grid(…)"
                raise UsageError(f"{kind} {spec}: needs mosaics of several images; {fix}")
            if need not in gives and need == "parts" and not _files_of(dataset, need):
                raise UsageError(f"{kind} {spec}: needs images without parts of their object; give --dataset funnybirds --data-root DIR")
            if need not in gives:
                raise UsageError(f"{kind} {spec}: needs {need}, which data set {dataset} does not have{_files_of(dataset, need)}")


def _files_of(dataset: str, need: str) -> str:
    """Name the files in which a data set may have an annotation."""
    optional = datasets.get(dataset).facts.optional if dataset in datasets else ()
    paths = [path.format(split="SPLIT") for kind, path in (entry.split(": ") for entry in optional) if kind == need]
    return f" without {' or '.join(paths)} under --data-root" if paths else ""


def check_objective(objective: str, target: str | int) -> tuple[str, str | int, tuple[str, ...]]:
    """A named objective in canonical spelling, the target, which some objectives state, and the kinds of explainers that explain it.

    Raises:
        UsageError: unknown objective, or a target beside an objective that states one.
    """
    named = parse_objective(objective)
    if not named.of_logits:
        stated = str(named.classes[0] if named.classes else 1)  # of `models.scored_outputs`
        if str(target) not in ("label", stated):
            raise UsageError(f"--target = {target}: --objective {named} states what is explained; omit it")
        target = stated
    return str(named), target, explained_by(named)


def check_not_read(objective: str, scores: Sequence[Spec], *, known: bool) -> None:
    """Refuse metrics that read a function that made saved maps, if it is not at hand.

    Raises:
        UsageError: a metric scores the objective.
    """
    for spec in scores:
        if not (known or is_objective_name(objective)) and scores_objective(spec):
            raise UsageError(f"metric {spec}: reads the objective of the maps, the function {objective}; give it as objective=")
