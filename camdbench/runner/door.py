"""The door: turns names, references and objects of a call into specs, entries of the registries and resources."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any

from camdbench.core.errors import UsageError
from camdbench.core.own_entry import OwnEntry
from camdbench.core.references import is_reference
from camdbench.core.registries import explainers, metrics
from camdbench.core.spec import Spec
from camdbench.datasets.given_data import data_of
from camdbench.datasets.open_dataset import is_own_data
from camdbench.runner.data_options import take_data_options
from camdbench.runner.resources import OF_OWN_MODELS, Resources

_HELD = ExitStack()  # entries that `hold` registered; never closed


@contextmanager
def opened(options: Mapping[str, Any], resources: Resources | None = None) -> Generator[tuple[dict[str, Any], Resources | None]]:
    """Inside the context, own explainers and metrics are registered; yields options of plain names, and the resources.

    Args:
        options: options of `RunConfig`, in which explainers, metrics, models and data set may be references or objects.
        resources: further objects.

    Raises:
        UsageError: a name is taken or invalid, a reference cannot be loaded, or an object is of no known kind.
        CamdbenchError: a function of the user's raises.
    """
    from camdbench.explainers.common.own_explainers import own_explainers
    from camdbench.metrics.common.own_metrics import own_metrics

    made_before = resources is not None and (resources.maps is not None or resources.map_source is not None)
    given = dict(options)
    with (
        own_explainers(None if made_before else given.get("explainers")) as own,
        own_metrics(given.get("metrics")) as scores,
    ):
        given |= {name: texts for name, texts in (("explainers", own), ("metrics", scores)) if texts is not None}
        resources = _with_models(given, resources)
        yield given, _with_objective(given, _with_data(given, resources))


def _with_models(options: dict[str, Any], resources: Resources | None) -> Resources | None:
    """Move models that are no names of the zoo from the options to the resources; their names stay."""
    models = options.get("models")
    if models is None or _are_plain(models):
        return resources
    from camdbench.models.own_models import own_models

    facts = {key: options[key] for key in OF_OWN_MODELS if options.get(key) is not None}
    found = own_models(models, facts, device=options.get("device", "auto"), precision=options.get("precision", "fp32"))
    options["models"] = found.names
    resources = resources or Resources()
    return replace(resources, models={**resources.models, **found.built}, origins=found.origins, places=found.places)


def _are_plain(models: Any) -> bool:
    """Whether all are names of the zoo."""
    things = models if isinstance(models, list | tuple) else [models]
    return all(isinstance(one, str) and not is_reference(one) and "=" not in one and ":" not in one for one in things)


def _with_data(options: dict[str, Any], resources: Resources | None) -> Resources | None:
    """Move a data set that is an object, a table or a reference from the options to the resources."""
    given, about = options.get("dataset"), take_data_options(options)
    if given is None or (isinstance(given, str) and not is_own_data(given)):
        return resources
    del options["dataset"]
    found, place = data_of(given, limit=options.get("limit"), **about)
    return replace(resources or Resources(), dataset=found, dataset_place=place, data_options=about if place else {})


def _with_objective(options: dict[str, Any], resources: Resources | None) -> Resources | None:
    """Move an objective that is a function or a reference from the options to the resources; its name stays.

    Raises:
        UsageError: it is none, or there is a function for each image.
    """
    from camdbench.explainers.common.own_objectives import is_own_objective, read_objective

    if not is_own_objective(options.get("objective")):
        return resources
    found, place = read_objective(options["objective"])
    if len(found.functions) > 1:
        raise UsageError(f"objective: {len(found.functions)} functions; a run takes one, for all images; use camdbench.explain")
    options["objective"] = found.name
    return replace(resources or Resources(), objective=found, objective_place=place)


def own_entries(explained: Sequence[Spec], scored: Sequence[Spec]) -> list[tuple[str, Spec, OwnEntry[Any]]]:
    """Own explainers and metrics of a call: kind, spec and entry of each."""
    pairs = [(explainers, spec) for spec in explained] + [(metrics, spec) for spec in scored]
    return [(registry.kind, spec, own) for registry, spec in pairs if (own := registry.own(spec.name)) is not None]


def own_references(explained: Sequence[Spec], scored: Sequence[Spec]) -> dict[str, tuple[str, ...]]:
    """References of own explainers and metrics, by kind, for a worker in another process."""
    found = dict[str, tuple[str, ...]]()
    for kind, spec, own in own_entries(explained, scored):
        found[kind] = (*found.get(kind, ()), own.reference(spec))
    return found


def hold(references: Mapping[str, tuple[str, ...]]) -> None:
    """Register the references of another process for the rest of this one."""
    from camdbench.explainers.common.own_explainers import own_explainers
    from camdbench.metrics.common.own_metrics import own_metrics

    for kind, enter in (("explainer", own_explainers), ("metric", own_metrics)):
        if texts := references.get(kind):
            _HELD.enter_context(enter(list(texts)))
