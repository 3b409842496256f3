"""The door: turns names, references and objects of a call into specs, entries of the registries and resources."""

from __future__ import annotations

from collections.abc import Generator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from camdbench.core.own_entry import OwnEntry
from camdbench.core.references import Given, call_given, is_reference, read_given
from camdbench.core.registries import explainers, metrics
from camdbench.core.spec import Spec
from camdbench.datasets.open_dataset import split_table, table_in
from camdbench.datasets.own.items import is_stream
from camdbench.datasets.own.of_model import OfModel
from camdbench.datasets.own_data import check_data_name, data, is_dataset, to_dataset
from camdbench.datasets.samples import Dataset
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
    found, place = data_of(given, limit=options.get("limit"), **about)
    return replace(resources or Resources(), dataset=found, dataset_place=place, data_options=about if place else {})


def data_of(given: Any, *, limit: int | None = None, **more: Any) -> tuple[Dataset | OfModel, str]:
    """Data set of an object, of a table of pictures, or of the function of a reference, with options of `camdbench.data`.

    Args:
        given: the object or text.
        limit: number of images to read of a stream; other data are not cut here.
        **more: options of `camdbench.data`.

    Returns:
        The data set, and a text with an absolute path of which another process makes it; empty for objects.

    Raises:
        UsageError: it is of no known kind, or its name is invalid.
    """
    has_lists = any(name in more for name in ("labels", "boxes", "masks"))
    if not isinstance(given, str):
        return to_dataset(given, **more, **_limit_of(given, limit)), ""
    if not is_reference(given):
        return to_dataset(given, **more), "" if has_lists else table_in(Path.cwd(), given)
    (one,) = read_given(given, "dataset")
    thing, name = _called(one), one.label or one.name
    if not is_dataset(thing):
        thing = data(thing, name=name, **more, **_limit_of(thing, limit))
    elif more:
        thing = to_dataset(thing, **more)
    elif one.label or getattr(thing, "name", None) in (None, ""):
        thing = _named(thing, check_data_name(name))
    return thing, "" if has_lists else f"{one.label}={one.reference}" if one.label else one.reference


def _limit_of(given: Any, limit: int | None) -> dict[str, Any]:
    """The option `limit` of a stream."""
    return {"limit": limit} if limit is not None and is_stream(given) and not is_dataset(given) else {}


def _named(dataset: Any, name: str) -> Any:
    """The data set under a name; a frozen one without a field for it keeps its own."""
    if "name" in getattr(dataset, "__dataclass_fields__", ()):
        return replace(dataset, name=name)
    with suppress(AttributeError):
        dataset.name = name
    return dataset


def _called(one: Given) -> Any:
    """The object of a reference; a function is called with its options."""
    if not callable(one.thing) or is_dataset(one.thing):
        return one.thing
    return call_given(one, f"dataset {one.name}")


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
