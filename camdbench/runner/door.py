"""The door: turns names, references and objects of a call into specs, entries of the registries and resources."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from camdbench.core.errors import UsageError
from camdbench.core.own_entry import OwnEntry
from camdbench.core.references import Given, is_reference, read_given
from camdbench.core.registries import explainers, metrics
from camdbench.core.spec import Spec, parse_spec, split_specs
from camdbench.datasets.open_dataset import split_table
from camdbench.datasets.own.of_model import OfModel
from camdbench.datasets.own_data import to_dataset
from camdbench.datasets.samples import Dataset
from camdbench.runner.config import RunConfig
from camdbench.runner.data_options import take_data_options
from camdbench.runner.resources import OF_OWN_MODELS, Resources


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
        if given.get("executor") == "ray":
            _refuse_objects(given)
        resources = _with_models(given, resources)
        yield given, _with_data(given, resources)


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
    if given is None or (isinstance(given, str) and not is_reference(given) and split_table(given) == ("", "")):
        return resources
    del options["dataset"]
    return replace(resources or Resources(), dataset=data_of(given, **about))


def data_of(given: Any, **more: Any) -> Dataset | OfModel:
    """Data set of an object, of a table of pictures, or of the function of a reference, with options of `camdbench.data`.

    Raises:
        UsageError: it is of no known kind.
    """
    if isinstance(given, str) and is_reference(given):
        (one,) = read_given(given, "dataset")
        return _named(to_dataset(_called(one), **more), one.label or one.name)
    return to_dataset(given, **more)


def _called(one: Given) -> Any:
    """The object of a reference; a function is called with its options."""
    from camdbench.core.foreign_code import calling

    if not callable(one.thing):
        return one.thing
    with calling(f"dataset {one.origin}"):
        return one.thing(**one.options)


def _named(dataset: Any, name: str) -> Any:
    """The data set under a name, if it may take one."""
    if getattr(dataset, "name", None) in (None, ""):
        dataset.name = name
    return dataset


def _refuse_objects(options: Mapping[str, Any]) -> None:
    """Refuse functions without a file, which workers in other processes cannot load."""
    for kind, own in _own(options):
        if not own.place:
            raise UsageError(
                f"--executor ray: {kind} {own.entry.name} is an object of this session, which workers cannot load; give FILE.py:NAME"
            )


def _own(options: Mapping[str, Any]) -> list[tuple[str, OwnEntry[Any]]]:
    """Own explainers and metrics of a call."""
    found = list[tuple[str, OwnEntry[Any]]]()
    for kind, registry in (("explainers", explainers), ("metrics", metrics)):
        names = options.get(kind) or ()
        specs = [parse_spec(text) for name in ((names,) if isinstance(names, str | Spec) else names) for text in split_specs(str(name))]
        entries = [registry.own(part.name) for spec in specs for part in spec.walk()]
        found += [(registry.kind, own) for own in entries if own is not None]
    return found


def own_references(config: RunConfig) -> dict[str, tuple[str, ...]]:
    """References of own explainers and metrics, by kind, for a worker in another process."""
    found = dict[str, tuple[str, ...]]()
    for kind, own in _own({"explainers": config.explainers, "metrics": config.metrics}):
        found[kind] = (*found.get(kind, ()), f"{own.entry.name}={own.place}")
    return found


def hold(references: Mapping[str, tuple[str, ...]]) -> None:
    """Register the references of another process for the rest of this one."""
    from camdbench.explainers.common.own_explainers import own_explainers
    from camdbench.metrics.common.own_metrics import own_metrics

    for kind, enter in (("explainer", own_explainers), ("metric", own_metrics)):
        if texts := references.get(kind):
            enter(list(texts)).__enter__()
