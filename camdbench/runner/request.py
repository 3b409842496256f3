"""Request: what was asked for, checked before any work and before torch is imported."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from camdbench.core.catalogue import NO_EXPLAINER, datasets, explainers, judges_model, metrics, needs_of, parse_explainers, parse_metrics
from camdbench.core.errors import UsageError
from camdbench.core.precision import Precision, check_precision
from camdbench.core.spec import Spec, parse_spec

CHUNK = 32  # images in one part file: what an interruption can lose, whatever the batch size


@dataclass(frozen=True)
class Request:
    """Everything that decides the values of a run; two equal requests give equal rows.

    Attributes:
        explainers: checked specs, in the order asked for.
        metrics: checked specs, likewise.
        models: names for the zoo.
        dataset: checked spec of the data set, its split apart.
        split: name of the split, `all` where the data set has none.
        data_root: where the data set lies, for one that is read from disk.
        weights: file with the weights of the one model, or None for its own.
        mean: mean of the input normalisation, or None for the weights' own.
        std: standard deviation, likewise.
        layer: target layer, or None for each model's own.
        target_rule: label, predicted, second, least or a class index.
        limit: number of images, from the first; None for all.
        sample: number of images at random, by the seed; None for all.
        ids: a file that names the images, or None.
        seed: seed of explainers that draw random numbers.
        precision: of the passes over images that explainers have altered.
        save_maps: whether raw maps are stored.
        maps: a run directory or a file with the maps to judge, or None where explainers make them.
        normalisation: what is done to the maps of such a file.
    """

    explainers: tuple[Spec, ...]
    metrics: tuple[Spec, ...]
    models: tuple[str, ...]
    dataset: Spec
    split: str
    data_root: str | None
    weights: str | None
    mean: tuple[float, ...] | float | None
    std: tuple[float, ...] | float | None
    layer: str | None
    target_rule: str
    limit: int | None
    seed: int
    save_maps: bool
    precision: Precision = "fp32"
    sample: int | None = None
    ids: str | None = None
    maps: str | None = None
    normalisation: str | None = None

    @property
    def jobs(self) -> tuple[Spec, ...]:
        """What there is to do with every image: explainers where something reads their maps, and the model alone."""
        read = self.save_maps or not all(map(judges_model, self.metrics))
        alone = (NO_EXPLAINER,) if any(map(judges_model, self.metrics)) else ()
        return (self.explainers if read else ()) + alone

    def described(self) -> dict[str, Any]:
        """The request as JSON; specs become text, paths the names that they were given as."""
        return {
            "explainers": [str(spec) for spec in self.explainers],
            "metrics": [str(spec) for spec in self.metrics],
            "models": list(self.models),
            "dataset": str(self.dataset),
            "split": self.split,
            "data_root": self.data_root,
            "weights": self.weights,
            "mean": list(self.mean) if isinstance(self.mean, tuple) else self.mean,
            "std": list(self.std) if isinstance(self.std, tuple) else self.std,
            "layer": self.layer,
            "target_rule": self.target_rule,
            "limit": self.limit,
            "sample": self.sample,
            "ids": self.ids,
            "seed": self.seed,
            "precision": self.precision,
            "save_maps": self.save_maps,
            "chunk": CHUNK,
        } | ({} if self.maps is None else {"maps": self.maps, "normalisation": self.normalisation})


def check_request(
    *,
    explainers_: str | Sequence[str],
    metrics_: str | Sequence[str],
    models: str | Sequence[str],
    dataset: str,
    split: str | None,
    data_root: str | Path | None,
    weights: str | Path | None,
    mean: float | Sequence[float] | None,
    std: float | Sequence[float] | None,
    layer: str | None,
    target: str | int,
    limit: int | None,
    seed: int,
    save_maps: bool,
    precision: str = "fp32",
    sample: int | None = None,
    ids: str | Path | None = None,
    maps: str | Path | None = None,
    normalisation: str | None = None,
) -> Request:
    """Check everything that can be checked without a network or a picture.

    With `maps`, the explainers are those whose maps are there, or the one name that stands for the maps of a file.

    Raises:
        UsageError: the first thing that is wrong.
    """
    from camdbench.core.targets import check_target_rule
    from camdbench.datasets.opening import annotations_of, checked_dataset
    from camdbench.models.zoo import check_model

    names = tuple(name.strip() for name in models.split(",")) if isinstance(models, str) else tuple(models)
    if len(set(names)) != len(names):
        raise UsageError(f"--models {','.join(names)}: a model is named twice")
    if weights is not None and len(names) != 1:
        raise UsageError(f"--weights {weights} fits one model, but --models names {len(names)}")
    for name in names:
        check_model(name, weights=weights)
    spec, split = checked_dataset(dataset, split, data_root)
    gives = annotations_of(spec, split, data_root)  # some data sets have boxes or masks only where those were fetched too
    judges = parse_metrics(metrics_, gives, explains=maps is None)
    chosen = parse_explainers(explainers_, gives) if maps is None or Path(maps).is_dir() else (_foreign(str(explainers_)),)
    _check_needs(spec.name, gives, chosen if maps is None else (), judges)
    _check_explainer_is_there(judges, maps)
    _check_maps_are_read(chosen, judges, save_maps=save_maps)
    if limit is not None and limit < 1:
        raise UsageError(f"--limit {limit}: expected at least 1 image")
    if ids is not None and not Path(ids).is_file():
        raise UsageError(f"--ids {ids}: no such file; expected one id per line")
    return Request(
        explainers=chosen,
        metrics=judges,
        models=names,
        dataset=spec,
        split=split,
        data_root=None if data_root is None else str(data_root),
        weights=None if weights is None else str(weights),
        mean=mean if mean is None or isinstance(mean, int | float) else tuple(mean),
        std=std if std is None or isinstance(std, int | float) else tuple(std),
        layer=layer,
        target_rule=check_target_rule(target),
        limit=limit if limit is not None or sample is not None or ids is not None else _default_limit(spec),
        seed=seed,
        save_maps=save_maps,
        precision=check_precision(precision),
        sample=sample,
        ids=None if ids is None else str(ids),
        maps=None if maps is None else str(maps),
        normalisation=normalisation,
    )


def _foreign(name: str) -> Spec:
    """The name of maps that another tool made.

    Raises:
        UsageError: it cannot be read as a name, or an explainer of ours has it.
    """
    spec = parse_spec(name)
    if spec.name in explainers.names() or spec == NO_EXPLAINER:
        raise UsageError(f"--name {name}: that is one of camdbench's own; choose another, such as {spec.name}-theirs")
    return spec


def _check_explainer_is_there(judges: Sequence[Spec], maps: str | Path | None) -> None:
    for spec in judges if maps is not None else ():
        if "explainer" in metrics.get(spec.name).facts.needs:
            raise UsageError(f"metric {spec} explains altered images, which saved maps cannot do; give it to camdbench run")


def _check_maps_are_read(chosen: Sequence[Spec], judges: Sequence[Spec], *, save_maps: bool) -> None:
    of_maps = [str(spec) for spec in judges if not judges_model(spec)]
    if of_maps and not chosen:
        raise UsageError(f"--explainers none: metric {', '.join(of_maps)} judges maps, so there must be something that makes them")
    if save_maps and not chosen:
        raise UsageError("--save-maps: there are no maps with --explainers none")


def _default_limit(dataset: Spec) -> int | None:
    """64 images of a data set that is made on the fly, which has no size of its own; all of one on disk."""
    return None if datasets.get(dataset.name).facts.on_disk else 64


def _check_needs(dataset: str, gives: Collection[str], chosen: Sequence[Spec], judges: Sequence[Spec]) -> None:
    """What a data set lacks refuses by name the explainers and metrics that need it."""
    wanted = [("explainer", spec, needs_of(spec)) for spec in chosen]
    wanted += [("metric", spec, set(metrics.get(spec.name).facts.needs)) for spec in judges]
    for kind, spec, needs in wanted:
        for need in ("boxes", "masks"):
            if need in needs and need not in gives:
                raise UsageError(f"{kind} {spec} needs {need}, which data set {dataset} does not have{_where(dataset, need)}")


def _where(dataset: str, need: str) -> str:
    """Where a data set that may have an annotation keeps it."""
    paths = [path for kind, path in (entry.split(": ") for entry in datasets.get(dataset).facts.optional) if kind == need]
    return f" without {' or '.join(paths)} under --data-root" if paths else ""
