"""Resources of a run: data set, models and maps, each opened once; given objects take precedence over names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from torch import Tensor

from camdbench.core.errors import CamdbenchError, UsageError
from camdbench.core.model_names import is_zero_shot, with_absolute_folders
from camdbench.core.objective_names import is_objective_name, scored_objective
from camdbench.core.registries import dataset_facts
from camdbench.core.spec import Spec
from camdbench.datasets.loading import default_workers, first_readable
from camdbench.datasets.open_dataset import is_path, open_dataset
from camdbench.datasets.samples import Dataset, PartVersions
from camdbench.datasets.subsets import select_images
from camdbench.explainers.common.own_objectives import read_objective
from camdbench.explainers.common.saliency import saliency
from camdbench.functional.objectives import LOGIT, Objective
from camdbench.models.classifier import Classifier
from camdbench.models.devices import pick_device
from camdbench.models.optimisation import plain_of
from camdbench.models.zoo import load_classifier
from camdbench.runner.reference_images import ReferenceImages
from camdbench.runner.saved_maps import FileMaps, JointMaps, MapSource, RunMaps
from camdbench.runner.working_models import WorkingModels

if TYPE_CHECKING:
    from camdbench.datasets.own.of_model import OfModel
    from camdbench.runner.config import Request
    from camdbench.runner.map_files import MapsLike

_OF_MODELS = ("weights", "layer", "mean", "std", "precision", "download", "output", "batch_mates")  # options of `load_classifier`
OF_OWN_MODELS = ("mean", "std", "layer", "output", "batch_mates", "prompts")  # options of own models that are no finished classifiers
KEPT_BYTES = 4 * 2**30  # weights that may stay on the device; beyond that, models wait on the CPU


@dataclass
class Resources:
    """Objects of a run. Objects that are not given are opened on first use, by their names in the request.

    Attributes:
        models: classifiers by their names in rows. They stay on their devices.
        dataset: data set, or any form of data that `camdbench.data` takes.
        maps: run directory or file with maps to score.
        map_normalisation: normalisation of the maps of a file.
        map_source: function that returns the maps of a batch, in place of the explainers.
        joint: maps of other tools by their explainer's name in rows, beside computed ones: arrays (N, h, w) or mappings from ids.
        request: the checked configuration; set by `camdbench.run`.
        place: the same with absolute paths, for a process in another folder.
        class_order: index in the models of each class of the data, and the models' class names; None: equal positions.
        origins: where own models come from, by name: `FILE.py:NAME(options)`, or `object of a Python session`.
        places: references of own models with absolute paths, from which a worker makes them.
        data_options: options of `camdbench.data` beside that reference.
        dataset_place: reference of the data set with an absolute path; empty for objects.
        objective: a user's objective; None: the one that the request names.
        objective_place: reference of its function with an absolute path; empty for objects.
    """

    models: Mapping[str, Classifier] = field(default_factory=dict[str, Classifier])
    dataset: Dataset | OfModel | None = None
    maps: str | Path | None = None
    map_normalisation: str | None = None
    map_source: MapSource | None = None
    joint: Mapping[str, MapsLike] = field(default_factory=dict[str, Any])
    request: Request | None = None
    place: Request | None = None
    class_order: tuple[tuple[int, ...], tuple[str, ...]] | None = None
    origins: Mapping[str, str] = field(default_factory=dict[str, str])
    places: Mapping[str, str] = field(default_factory=dict[str, str])
    dataset_place: str = ""
    data_options: Mapping[str, Any] = field(default_factory=dict[str, Any])
    objective: Objective | None = None
    objective_place: str = ""
    _loaded: dict[str, Classifier] = field(default_factory=dict[str, Classifier], init=False, repr=False)
    _scored: dict[str, Classifier] = field(default_factory=dict[str, Classifier], init=False, repr=False)  # made for the objective

    def __post_init__(self) -> None:
        if self.dataset is not None:
            from camdbench.datasets.own_data import to_dataset

            self.dataset = to_dataset(self.dataset)

    def bind(self, request: Request) -> Resources:
        """Return the resources for a request."""
        return replace(self, request=request, place=request)

    def with_absolute_paths(self) -> Resources:
        """Return unopened resources with absolute paths, for a process in another folder."""
        asked = self.checked_request
        paths = ["data_root", "weights", "image_ids", "prompts"] + ["classes"] * is_path(asked.config.classes)
        found = {name: _absolute(getattr(asked.config, name)) for name in paths}
        maps = None if asked.config.maps is None else {name: _absolute(path) for name, path in asked.config.maps.items()}
        if self.objective is None and (scored := scored_objective(asked.config.objective)) is not None:
            found["objective"] = str(scored.in_folder(Path.cwd()))
        config = replace(asked.config, device=self.device, maps=maps, **found)
        models = tuple(_absolute(name) if Path(name).is_file() else with_absolute_folders(name) for name in asked.models)
        place = replace(asked, config=config, models=models, dataset=_with_absolute_paths(asked.dataset), maps=_absolute(asked.maps))
        kept = {name: own for name, own in self.models.items() if name not in self.places}
        return replace(self, place=place, models=kept, objective=None if self.objective_place else self.objective)

    @property
    def checked_request(self) -> Request:
        """The checked configuration.

        Raises:
            CamdbenchError: the resources are not bound to a run.
        """
        if self.request is None:
            raise CamdbenchError("resources: not bound to a run; pass them to camdbench.run(resources=…)")
        return self.request

    @property
    def _place(self) -> Request:
        return self.place or self.checked_request

    @cached_property
    def device(self) -> str:
        """The device of models that are loaded by name."""
        return str(pick_device(self._place.config.device))

    @property
    def workers(self) -> int:
        """Number of processes that load images."""
        given = self.checked_request.config.workers
        return default_workers(len(self.images.ids), on_disk=self._is_on_disk) if given is None else given

    @property
    def _is_on_disk(self) -> bool:
        """Whether images are files that are read one by one."""
        if self.dataset is None:
            return dataset_facts(self.checked_request.dataset).on_disk
        from camdbench.datasets.on_disk import OnDisk

        return isinstance(self.opened, OnDisk)

    @property
    def dataset_name(self) -> str:
        """Name of a data set object in rows."""
        return str(getattr(self.dataset, "name", "") or type(self.dataset).__name__.lower())

    @property
    def annotations(self) -> tuple[str, ...]:
        """Annotations of a data set object: those of its first readable image."""
        from camdbench.datasets.own.of_model import OfModel

        if isinstance(self.dataset, OfModel):
            return self.dataset.annotations
        sample = first_readable(cast("Dataset", self.dataset))
        known = (("boxes", sample.boxes), ("masks", sample.mask), ("mosaic", sample.cells), ("backgrounds", sample.background))
        scenes = sample.interventions is not None and "background" in sample.interventions.names
        parts = sample.parts is not None and isinstance(sample.interventions, PartVersions)
        return (*(name for name, own in known if own is not None), *(["scenes"] if scenes else []), *(["parts"] if parts else []))

    @cached_property
    def all_images(self) -> Dataset:
        """The whole data set, with class indices of the models."""
        if self.class_order is None:
            return self.opened
        from camdbench.datasets.class_order import InNetworkOrder

        return InNetworkOrder(self.opened, *self.class_order)

    @cached_property
    def opened(self) -> Dataset:
        """The whole data set, with its own class indices."""
        if self.dataset is not None:
            from camdbench.datasets.own.of_model import OfModel

            return self.dataset.open(self._models_preprocess()) if isinstance(self.dataset, OfModel) else self.dataset
        config, spec = self._place.config, self._preprocessed(self._place.dataset)
        load = partial(load_classifier, device=self.device, download=config.download)
        return open_dataset(spec, self._place.split, config.data_root, download=config.download, load=load)

    def _preprocessed(self, spec: Spec) -> Spec:
        """A data set with the preprocessing of the models, where it is asked for."""
        own = {"preprocess": self._models_preprocess()} if spec.arguments.get("preprocess") == "model" else {}
        return Spec.of(spec.name, spec.arguments | own, [self._preprocessed(part) for part in spec.wrapped])

    def set_class_order(self, order: tuple[tuple[int, ...], tuple[str, ...]] | None) -> None:
        """Give the images the class indices of the models."""
        self.class_order = order
        for name in ("all_images", "images"):  # both are cached
            self.__dict__.pop(name, None)

    def _models_preprocess(self) -> str:
        """The preprocessing of the models of the run.

        Raises:
            UsageError: a model has none, or two differ.
        """
        from camdbench.datasets.geometry import choose_preprocess

        found = {name: choose_preprocess("model", self.classifier(name).preprocess, name) for name in self.checked_request.models}
        if len(set(found.values())) > 1:
            listed = "; ".join(f"{name} {own}" for name, own in found.items())
            raise UsageError(f"preprocess = model: the models differ ({listed}); name one, or run them apart")
        return next(iter(found.values()))

    @cached_property
    def image_size(self) -> tuple[int, int]:
        """Height and width in pixels of the first readable image of the run.

        Raises:
            CamdbenchError: no image can be read.
        """
        image = first_readable(self.images).image
        return image.shape[-2], image.shape[-1]

    @cached_property
    def images(self) -> Dataset:
        """The images of the run; a limit of more than there are means all."""
        config, count = self._place.config, len(self.all_images.ids)
        limit = None if config.limit is None or config.limit >= count else config.limit
        return select_images(self.all_images, limit=limit, sample=config.sample, ids=config.image_ids, seed=config.seed)

    @cached_property
    def reference_images(self) -> ReferenceImages:
        """Images for metrics that compare with other images, drawn from the whole data set."""
        return ReferenceImages(self.all_images, seed=self.checked_request.config.seed, target=self.checked_request.target_rule)

    @cached_property
    def explained_objective(self) -> Objective:
        """What is explained of an image; the function of a reference is loaded in a worker."""
        if self.objective is not None:
            return self.objective
        text = self.objective_place or self.checked_request.config.objective
        if (self.maps is not None or self.map_source is not None) and not is_objective_name(text):
            return LOGIT  # a function of the run that made the maps; `check_config` refuses metrics that read it
        return read_objective(text)[0]

    @cached_property
    def joint_maps(self) -> dict[Spec, JointMaps]:
        """Given maps by explainer, read once."""
        given = {**(self._place.config.maps or {}), **self.joint}
        return {spec: JointMaps(str(spec), given[str(spec)], self.all_images.ids) for spec in self.checked_request.given}

    def source(self, spec: Spec) -> MapSource:
        """Source of an explainer's maps: the explainer, saved or given maps, or a given function."""
        return self.joint_maps.get(spec, self._run_source)

    @cached_property
    def _run_source(self) -> MapSource:
        if self.map_source is not None or self._place.maps is None:
            return self.map_source or saliency
        path = Path(self._place.maps)
        return RunMaps(path, self.row_name) if path.is_dir() else FileMaps(path, self._place.map_normalisation, self.all_images.ids)

    @cached_property
    def working(self) -> WorkingModels:
        """The classifiers that make the passes."""
        return WorkingModels(self)

    def classifier(self, name: str) -> Classifier:
        """Return the model of a name: the given object, or loaded on first use and kept; or what is made of it for the objective."""
        if self.objective is None and (scored := scored_objective(self._place.config.objective)) is not None:
            if name not in self._scored:
                from camdbench.explainers.common.scored_objectives import classifier_of

                self._scored[name] = classifier_of(self._own_classifier(name), scored)[0]
                self._scored[name].name = name if name in self.models else self._scored[name].name
            return self._scored[name]
        return self._own_classifier(name)

    def _own_classifier(self, name: str) -> Classifier:
        """Return the model of a name as it is."""
        if name in self.models:
            return plain_of(self.models[name])
        if name not in self._loaded:
            config = self._place.config
            given: dict[str, Any] = {key: getattr(config, key) for key in _OF_MODELS}
            given["prompts"] = config.prompts if is_zero_shot(name) else None
            path = dict(zip(self.checked_request.models, self._place.models, strict=True))[name]
            self._loaded[name] = self._own_model(name) if name in self.places else load_classifier(path, device=self.device, **given)
        self._make_room(name)
        return self._loaded[name]

    def _own_model(self, name: str) -> Classifier:
        """Make a model from its reference, in a worker."""
        from camdbench.models.own_models import own_models

        config = self._place.config
        facts = {key: own for key in OF_OWN_MODELS if (own := getattr(config, key)) is not None}
        return own_models(f"{name}={self.places[name]}", facts, device=self.device, precision=config.precision).built[name]

    def row_name(self, classifier: Classifier) -> str:
        """Return the name of a model in rows."""
        return next((name for name, own in self.models.items() if plain_of(own) is plain_of(classifier)), classifier.name)

    def _make_room(self, name: str) -> None:
        """Move a model to the device, and all others to the CPU if their weights exceed `KEPT_BYTES`."""
        if sum(map(_bytes_of, self._loaded.values())) > KEPT_BYTES:
            for other, classifier in self._loaded.items():
                if other != name:
                    classifier.to("cpu")
        if self._loaded[name].device != pick_device(self.device):
            self._loaded[name].to(self.device)


def _bytes_of(classifier: Classifier) -> int:
    weights = cast("Mapping[str, object]", classifier.state_dict()).values()  # quantised networks keep other objects too
    return sum(weight.numel() * weight.element_size() for weight in weights if isinstance(weight, Tensor))


def _absolute(path: Any) -> Any:
    return None if path is None else str(Path(path).resolve())


def _with_absolute_paths(dataset: Spec) -> Spec:
    """Return the data set with absolute paths to its folder of masks and to the checkpoint of its filter, if it has them."""
    masks, model = dataset.arguments.get("masks"), dataset.arguments.get("model")
    paths = {"masks": masks} if isinstance(masks, str) and Path(masks).is_dir() and masks not in ("gt", "bbox") else {}
    paths |= {"model": model} if isinstance(model, str) and Path(model).is_file() else {}
    options = dataset.arguments | {name: _absolute(path) for name, path in paths.items()}
    return Spec.of(dataset.name, options, [_with_absolute_paths(part) for part in dataset.wrapped])
