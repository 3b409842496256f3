"""Labels of a data set as class indices of the models: by name, by position, or by a list in the models' order."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from pathlib import Path

from camdbench.core.errors import CamdbenchWarning, UsageError
from camdbench.models.classifier import Classifier
from camdbench.models.network_check import check_network
from camdbench.runner.resources import Resources

Order = tuple[tuple[int, ...], tuple[str, ...]]


def meet_classes(resources: Resources) -> None:
    """Give the images the class indices of the models.

    The rule is `--classes`, else the data set's own, else positions. By name, class names are compared without case and
    underscores; if the data or a model has none, positions are used if the numbers of classes agree.

    Raises:
        UsageError: an image of the user has no label, a class of the data is none of a model, or two models have different orders.
    """
    asked = resources.checked_request
    given, own = asked.config.classes, getattr(resources.opened, "class_rule", None)
    stated = given if given is not None else own
    if own is not None and asked.target_rule == "label":
        _refuse_unlabelled(resources)
    if stated in (None, "positions"):
        for name in asked.models if stated is None else ():
            _warn_of_positions(resources, resources.classifier(name))
        return
    from camdbench.datasets.folder_layout import read_lines

    names = resources.opened.classes if stated == "names" else stated if isinstance(stated, tuple) else read_lines(Path(str(stated)))
    orders = {name: _order(resources, resources.classifier(name), names, by_name=stated == "names") for name in asked.models}
    first, *others = orders
    for other in others:
        if orders[other] != orders[first]:
            raise UsageError(
                f"--models = {first},{other}: they order the classes of data set {asked.dataset} in different ways; run them one by one, "
                "or use classes='positions'"
            )
    resources.set_class_order(orders[first])


def _refuse_unlabelled(resources: Resources) -> None:
    images = resources.images
    if unknown := [name for name, label in zip(images.ids, images.labels, strict=True) if label < 0]:
        raise UsageError(
            f"--target label: {len(unknown)} of {len(images.ids)} images of data set {resources.checked_request.dataset} have no label "
            f"(first: {unknown[0]!r}); give labels, or choose --target predicted"
        )


def _order(resources: Resources, classifier: Classifier, names: Sequence[str], *, by_name: bool) -> Order | None:
    """Index in a model of each class of the data, and the model's class names; None for positions."""
    from camdbench.datasets.class_order import order_by_names

    data, network = tuple(resources.opened.classes), classifier.class_names
    required = resources.checked_request.target_rule == "label"
    what = f"data set {resources.checked_request.dataset} and model {classifier.name}"
    if not data:
        return None
    count = check_network(classifier, resources.image_size).classes
    if not by_name and len(names) != count:
        raise UsageError(f"{what}: CLASSES.txt has {len(names)} classes and the network {count}; list each class of the network once")
    try:
        if not by_name:
            return order_by_names(data, names, required=required), tuple(network or names)
        if network and not classifier.name.endswith("@random"):  # random weights know no classes
            order = order_by_names(data, network, required=required)
            return None if order == tuple(range(count)) else (order, network)
    except UsageError as error:
        raise UsageError(f"{what}: {error}") from None
    if required and len(data) != count and not classifier.name.endswith("@random"):
        raise UsageError(
            f"{what}: {len(data)} and {count} classes, and the model has no class names; give class_names, a CLASSES.txt with the data's "
            "names in the network's order, or classes='positions'"
        )
    return None


def _warn_of_positions(resources: Resources, classifier: Classifier) -> None:
    """Warn if a model has more classes than the data and different class names; models with random weights are exempt."""
    request, classes = resources.checked_request, resources.opened.classes
    if request.target_rule != "label" or classifier.name.endswith("@random"):
        return
    count = check_network(classifier, resources.image_size).classes
    if len(classes) < count and classifier.class_names[: len(classes)] != tuple(classes):
        from camdbench.core.imagenet_classes import imagenet_positions

        known = imagenet_positions()
        fix = "if the classes differ, list the model's classes in order in classes.txt, or choose --target predicted"
        if count == len(known) and set(classes) <= set(known):
            fix = "the class folders are WordNet identifiers of ImageNet: give --dataset 'folder(classes=\"imagenet\")'"
        warnings.warn(
            f"data set {request.dataset} has {len(classes)} classes and model {classifier.name} has {count}: label 0 is scored as "
            f"the model's class 0, and so on; {fix}",
            CamdbenchWarning,
            stacklevel=2,
        )
