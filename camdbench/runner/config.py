"""RunConfig: all options of a run, each declared once; Request: a checked configuration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from camdbench.core.errors import UsageError
from camdbench.core.model_names import is_zero_shot
from camdbench.core.network_options import BatchMates, Optimize, Output
from camdbench.core.objective_names import OBJECTIVE_HELP, explained_by, is_objective_name
from camdbench.core.option_types import SaveMaps
from camdbench.core.precision import Precision
from camdbench.core.registries import NO_EXPLAINER, dataset_facts, explainers, has_model_scope, parse_explainers, parse_metrics
from camdbench.core.settings import Setting, named_file, numbers
from camdbench.core.spec import Spec, parse_spec
from camdbench.runner.request_checks import check_explainers, check_needs, check_not_read, check_objective, parse_map_name
from camdbench.runner.shards import Shard, parse_shard

if TYPE_CHECKING:  # a request is checked before torch is imported
    from camdbench.models.classifier import Classifier
    from camdbench.runner.resources import Resources

SCORE_OPTIONS = (
    *("explainers", "metrics", "models", "dataset", "split", "data_root", "target", "objective", "limit", "batch_size", "out"),
    *("weights", "prompts", "mean", "std", "layer", "output", "batch_mates", "download", "device", "seed", "optimize", "shard"),
)

Specs = str | Sequence[str]
File = str | Path
Numbers = float | tuple[float, ...]


@dataclass(frozen=True)
class RunConfig:
    """Options of a run. Equal options over equal data, weights and code give equal rows."""

    explainers: Annotated[
        Specs,
        Setting(
            "Explainer specs, comma-separated: 'opticam(iterations=50),gradcam'; all, controls, none; all,-NAME; [NAME=]FILE.py:FUNCTION.",
            role="selection",
            short="e",
        ),
    ] = "opticam,gradcam"
    metrics: Annotated[
        Specs, Setting("Metric specs, comma-separated: 'ad,insertion(protocol=rise)'; all; all,-NAME; [NAME=]FILE.py:FUNCTION.", short="m")
    ] = "ad,ag,ai"
    maps: Annotated[
        Mapping[str, File] | None,
        Setting(
            "Maps of another tool, scored as explainer NAME: a file .npy, .npz, .h5 or .zarr, or a folder of ID.npy or ID.png.",
            role="resource",
            metavar="NAME=FILE",
            parse=named_file,
            repeats=True,
        ),
    ] = None
    models: Annotated[
        Specs, Setting("Model names, comma-separated (see: camdbench list models); or [NAME=]FILE.py:FUNCTION(option=value).")
    ] = "shortcuts-ce"
    dataset: Annotated[str, Setting("Data set spec (see: camdbench list datasets).")] = "shortcuts"
    split: Annotated[str | None, Setting("Split of the data set.", default_help="val, if the data set has it")] = None
    data_root: Annotated[File | None, Setting("Directory of a data set that is read from disk.", role="resource", metavar="DIR")] = None
    classes: Annotated[
        File | None,
        Setting(
            "How labels meet the classes of a model: names, positions, or a file with the data's class names in the model's order.",
            metavar="RULE",
            default_help="positions; names for your data",
        ),
    ] = None
    target: Annotated[
        str | int, Setting("Class to explain and score: label, predicted, runner_up, least_likely or a class index.", metavar="TARGET")
    ] = "label"
    objective: Annotated[str, Setting(OBJECTIVE_HELP, metavar="OBJECTIVE")] = "logit"
    limit: Annotated[int | None, Setting("Use the first N images.", ge=1, default_help="64 of the embedded data set, else all")] = None
    sample: Annotated[int | None, Setting("Use N images drawn at random by --seed; fewer are a subset of more.", ge=1)] = None
    image_ids: Annotated[File | None, Setting("File with the ids of the images, one per line.", role="resource", metavar="FILE")] = None
    workers: Annotated[
        int | None, Setting("Processes that load images.", role="execution", ge=0, default_help="by the number of images and cores")
    ] = None
    batch_size: Annotated[int, Setting("Images per batch; halved if memory runs out.", role="execution", ge=1)] = 16
    out: Annotated[File | None, Setting("Run directory.", role="execution", metavar="DIR", default_help="runs/DATASET-SPLIT-HASH")] = None
    executor: Annotated[
        Literal["local", "ray"],
        Setting("local, or ray: workers on a Ray cluster, with a GPU each, or with as many cores as torch has threads.", role="execution"),
    ] = "local"
    shard: Annotated[
        str | None, Setting("Compute only share I of N of the images, 0 <= I < N; N hosts share --out.", role="execution", metavar="I/N")
    ] = None
    save_maps: Annotated[
        SaveMaps,
        Setting("Maps to store: view, for a report, exact if of up to 1,024 values, else small pictures; raw, to be scored again; none."),
    ] = "view"
    weights: Annotated[
        File | None,
        Setting("Weights of a torchvision or timm model: safetensors or a state dict.", role="resource", metavar="FILE"),
    ] = None
    prompts: Annotated[
        File | None,
        Setting(
            "Class names of a zero-shot model hf-zero-shot/NAME, one per line; lines with {} are templates.",
            role="resource",
            metavar="FILE",
            default_help="template: a photo of a {}.",
        ),
    ] = None
    mean: Annotated[
        Numbers | None,
        Setting("Mean of the input normalisation in [0, 1]: one number, or three with commas.", metavar="NUMBERS", parse=numbers),
    ] = None
    std: Annotated[
        Numbers | None, Setting("Standard deviation of the input normalisation, as --mean.", metavar="NUMBERS", parse=numbers)
    ] = None
    layer: Annotated[str | None, Setting("Target layer (see: camdbench layers).", metavar="NAME", default_help="the model's own")] = None
    output: Annotated[
        Output | None,
        Setting(
            "What the models return: logits, probabilities, log-probabilities or sigmoid.",
            metavar="KIND",
            default_help="logits; anything else is refused",
        ),
    ] = None
    batch_mates: Annotated[
        BatchMates | None,
        Setting("alone: one image at a time, for a model whose outputs depend on the other images of a batch.", default_help="together"),
    ] = None
    download: Annotated[
        bool, Setting("Allow torchvision, timm and transformers to download missing weights and data.", role="execution")
    ] = False
    device: Annotated[str, Setting("auto, cpu, cuda, cuda:N or mps.", role="execution")] = "auto"
    seed: Annotated[int, Setting("Seed of methods that draw random numbers.", ge=0)] = 0
    precision: Annotated[
        Precision, Setting("Precision of passes on altered images: bf16 without gradients, bf16-all also with them; metrics stay in fp32.")
    ] = "fp32"
    optimize: Annotated[
        Optimize,
        Setting("Faster passes, equal but for rounding: layout (channels_last), fold (also batch norms), compile (also a compiled graph)."),
    ] = "none"


@dataclass(frozen=True)
class Request:
    """A checked configuration; two equal requests give equal rows.

    Attributes:
        config: the configuration in canonical words: specs with checked options, split and limit resolved.
        explainers: specs, in the order asked for; names of given maps follow.
        metrics: specs, in the order asked for.
        models: names of models.
        dataset: spec of the data set, without its split.
        split: name of the split, `all` if the data set has none.
        target_rule: label, predicted, runner_up, least_likely or a class index.
        maps: run directory or file with the maps to score; None if explainers make them.
        map_normalisation: normalisation of the maps of such a file.
        chunk_size: images in one part file, whatever the batch size; None: as an existing run has it, else by the number of images.
        given: explainers whose maps were given beside those of computed ones.
    """

    config: RunConfig
    explainers: tuple[Spec, ...]
    metrics: tuple[Spec, ...]
    models: tuple[str, ...]
    dataset: Spec
    split: str
    target_rule: str
    maps: str | None = None
    map_normalisation: str | None = None
    chunk_size: int | None = None
    given: tuple[Spec, ...] = ()

    @property
    def shard(self) -> Shard:
        """The chunks to compute."""
        return parse_shard(self.config.shard)

    @property
    def computed(self) -> tuple[Spec, ...]:
        """Explainers whose maps are computed."""
        return tuple(spec for spec in self.explainers if spec not in self.given)

    @property
    def jobs(self) -> tuple[Spec, ...]:
        """Explainers whose maps are scored or stored raw, and `none` for metrics of the model alone."""
        read = self.config.save_maps == "raw" or not all(map(has_model_scope, self.metrics))
        alone = (NO_EXPLAINER,) if any(map(has_model_scope, self.metrics)) else ()
        return (self.explainers if read else ()) + alone


def check_config(config: RunConfig, resources: Resources | None = None) -> Request:
    """Check a configuration before any model or image is loaded.

    Raises:
        UsageError: the first invalid option.
    """
    from camdbench.core.target_rules import check_target_rule

    maps = None if resources is None or resources.maps is None else str(resources.maps)
    made_before = resources is not None and (maps is not None or resources.map_source is not None)
    unnamed = resources is not None and (resources.objective is not None or (made_before and not is_objective_name(config.objective)))
    objective, target, kinds = (config.objective, config.target, ()) if unnamed else check_objective(config.objective, config.target)
    config = replace(config, objective=objective, target=target)
    config, models = _check_models(config, resources)
    spec, split, gives = _check_dataset(config, resources)
    scores = parse_metrics(config.metrics, gives, explains=not made_before)
    check_not_read(config.objective, scores, known=resources is not None and resources.objective is not None)
    if made_before and (maps is None or not Path(maps).is_dir()):
        named = (config.explainers,) if isinstance(config.explainers, str) else config.explainers
        chosen = tuple(map(parse_map_name, named))
    else:
        named = config.explainers
        own = made_before and not isinstance(named, str) and any(parse_spec(name).name not in explainers for name in named)
        chosen = tuple(map(parse_spec, named)) if own else parse_explainers(named, gives, kinds or explained_by(None))
    given = tuple(parse_map_name(name, "--maps") for name in _names_of_maps(config, resources))
    if twice := set(given) & set(chosen):
        raise UsageError(f"--maps {twice.pop()}: an explainer of the run has this name; choose another name")
    check_needs(spec.name, gives, () if made_before else chosen, scores)
    check_explainers((*chosen, *given), scores, made_before=made_before, save_raw=config.save_maps == "raw")
    if config.image_ids is not None and not Path(config.image_ids).is_file():
        raise UsageError(f"--image-ids = {config.image_ids}: no such file; give a file with one id per line")
    if config.classes not in (None, "names", "positions") and not Path(str(config.classes)).is_file():
        raise UsageError(f"--classes = {config.classes}: expected names, positions, or a file with one class name per line")
    canonical = replace(
        config,
        classes=_text(config.classes),
        explainers=tuple(map(str, chosen)),
        metrics=tuple(map(str, scores)),
        models=models,
        dataset=str(spec),
        split=split,
        target=check_target_rule(config.target),
        shard=None if config.shard is None else str(parse_shard(config.shard)),
        limit=_limit(config, spec, resources),
        data_root=_text(config.data_root),
        image_ids=_text(config.image_ids),
        weights=_text(config.weights),
        prompts=_text(config.prompts),
        maps=None if not config.maps else {name: str(path) for name, path in config.maps.items()},
    )
    normalisation = None if resources is None else resources.map_normalisation
    return Request(canonical, (*chosen, *given), scores, models, spec, split, str(canonical.target), maps, normalisation, given=given)


def _names_of_maps(config: RunConfig, resources: Resources | None) -> tuple[str, ...]:
    return (*(config.maps or ()), *(() if resources is None else resources.joint))


def _check_models(config: RunConfig, resources: Resources | None) -> tuple[RunConfig, tuple[str, ...]]:
    """Check the models; return their names and the configuration with precision and optimisation of model objects.

    Raises:
        UsageError: unknown or repeated name, or an incompatible option.
    """
    from camdbench.models.zoo import check_model

    own = {} if resources is None else resources.models
    names = tuple(name.strip() for name in config.models.split(",")) if isinstance(config.models, str) else tuple(config.models)
    if resources is not None and own:
        names = names if set(names) & set(own) else tuple(own)
        stated = ("mean", "std", "layer", "output", "batch_mates") if set(own) - set(resources.origins) else ()
        for option in ("weights", *stated):  # others are applied where a model is made
            if (value := getattr(config, option)) is not None:
                raise UsageError(f"--{option.replace('_', '-')} = {value}: the models are objects; set it in Classifier(…)")
        precisions = {classifier.precision for classifier in own.values()}
        if len(precisions) > 1 or config.precision not in ("fp32", *precisions):
            raise UsageError(
                f"--precision = {config.precision}: the models have {', '.join(sorted(precisions))}; load them with one precision"
            )
        config = replace(config, precision=precisions.pop(), optimize=_check_optimize(config.optimize, own))
    if len(set(names)) != len(names):
        raise UsageError(f"--models = {','.join(names)}: a model is named twice; name each once")
    if config.weights is not None and len(names) != 1:
        raise UsageError(f"--weights = {config.weights}: fits one model, but --models names {len(names)}; name one model")
    for name in names:
        if name not in own:
            check_model(name, weights=config.weights, prompts=config.prompts if is_zero_shot(name) else None)
    origins = {} if resources is None else resources.origins
    if config.prompts is not None and not any(is_zero_shot(origins.get(name, name)) for name in names):
        raise UsageError(f"--prompts = {config.prompts}: no model is hf-zero-shot/NAME; omit it")
    return config, names


def _check_optimize(asked: Optimize, own: Mapping[str, Classifier]) -> Optimize:
    """How models are optimised: as asked, or as all objects are."""
    kinds: set[Optimize] = {classifier.optimize for classifier in own.values()}
    if kinds <= {asked, "none"}:
        return asked
    if asked != "none" or len(kinds) > 1:
        raise UsageError(f"--optimize = {asked}: the models have {', '.join(sorted(kinds))}; optimise all alike, or none")
    return kinds.pop()


def _check_dataset(config: RunConfig, resources: Resources | None) -> tuple[Spec, str, tuple[str, ...]]:
    """Check the data set; return its spec, split and annotations."""
    from camdbench.datasets.open_dataset import available_annotations, check_dataset

    if resources is not None and resources.dataset is not None:
        if config.data_root is not None:
            raise UsageError(f"--data-root = {config.data_root}: the data set is an object; omit the option")
        return Spec(resources.dataset_name), config.split or "all", resources.annotations
    spec, split = check_dataset(config.dataset, config.split, config.data_root)
    return spec, split, available_annotations(spec, split, config.data_root)  # of some data sets only if their files were downloaded


def _text(path: File | None) -> str | None:
    return None if path is None else str(path)


def _limit(config: RunConfig, dataset: Spec, resources: Resources | None) -> int | None:
    """Number of images to use: the given limit, else 64 images of a generated data set and all images of any other."""
    if config.limit is not None or config.sample is not None or config.image_ids is not None:
        return config.limit
    own = resources is not None and resources.dataset is not None
    return None if own or dataset_facts(dataset).on_disk else 64
