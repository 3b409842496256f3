"""Models of the user's: networks, functions that build them, and references to these, as classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from torch import nn

from camdbench.core.errors import UsageError
from camdbench.core.model_names import HF, is_zero_shot, with_absolute_folders
from camdbench.core.network_options import BatchMates, Output
from camdbench.core.precision import check_precision
from camdbench.core.references import Given, call_given, check_name, check_names, has_reference, name_of, read_given
from camdbench.models.classifier import Classifier
from camdbench.models.devices import pick_device
from camdbench.models.network_check import check_network
from camdbench.models.network_output import ReadOutput
from camdbench.models.zoo import load_classifier, model_names

Numbers = float | Sequence[float]


def classifier(
    model: Any,
    *,
    layer: str | None = None,
    mean: Numbers | None = None,
    std: Numbers | None = None,
    name: str | None = None,
    class_names: Sequence[str] | None = None,
    input_size: int | None = None,
    output: Output | ReadOutput | None = None,
    batch_mates: BatchMates | None = None,
    prefix_tokens: int | None = None,
    check: bool = False,
) -> Classifier:
    """Classifier of a network, of a function that returns one, of a reference `FILE.py:NAME(options)`, or of a name of the zoo.

    Args:
        model: an `nn.Module`, a function without arguments that returns a Module or a `Classifier`, a reference, or a name.
        layer: target layer; default: by architecture.
        mean: mean of the normalisation on the scale of [0, 1]; default: that of timm's `pretrained_cfg`, or of the image processor in
            the folder that a network of transformers was read from.
        std: standard deviation of the normalisation; default: as for `mean`.
        name: name in rows; default: the name of the function, or the class in lower case.
        class_names: names of the C classes, in the order of the logits.
        input_size: side of the images in pixels; default: the network's own, else 224.
        output: what the network returns, or a function from it to logits; default: logits, and anything else is refused.
        batch_mates: `alone` passes one image at a time.
        prefix_tokens: number of tokens before those of the patches.
        check: run the check of the outputs now, by passes of images of `input_size`, counted in `check_passes`; it also runs at first use,
            at the size of the images.

    Returns:
        The classifier; a given one as it is.

    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 5))
    >>> classifier(network, layer="1", mean=0, std=1).name
    'sequential'

    Raises:
        UsageError: mean and std are unknown, an option does not fit, or the outputs contradict what they are taken for.
        CamdbenchError: the function raises.
    """
    facts = {"layer": layer, "mean": mean, "std": std, "class_names": class_names, "input_size": input_size, "output": output}
    facts |= {"batch_mates": batch_mates, "prefix_tokens": prefix_tokens}
    facts = {key: value for key, value in facts.items() if value is not None}
    found = model if isinstance(model, Classifier) and not facts and name is None else _made(model, facts, name)
    if check:
        check_network(found, (found.input_size, found.input_size))
    return found


def _made(model: Any, facts: dict[str, Any], name: str | None) -> Classifier:
    if isinstance(model, str | Path) and not has_reference(str(model)):
        return _of_zoo(str(model), name, facts)
    (given,) = read_given(str(model) if isinstance(model, Path) else [model], "model")
    return build(given, facts, name=name)


def _of_zoo(model: str, name: str | None, facts: dict[str, Any]) -> Classifier:
    for key in ("class_names", "input_size", "prefix_tokens", "output"):
        if key in facts and (key != "output" or callable(facts[key])):
            raise UsageError(f"{key} = {facts[key]}: model {model} states its own; omit it")
    found = load_classifier(model, **facts)
    found.name = found.name if name is None else check_name(name, "name")
    return found


def build(given: Given, facts: Mapping[str, Any], *, name: str | None = None, unstated: Mapping[str, float] | None = None) -> Classifier:
    """Classifier of an object or a loaded reference.

    Args:
        given: the object, or what a reference names.
        facts: options of `Classifier` that are given.
        name: name in rows; default: that of the alias, else of the function or class.
        unstated: mean and std of a network that states none; default: it is refused.

    Raises:
        UsageError: it is not a network, mean and std are unknown, or an option does not fit.
        CamdbenchError: the function raises.
    """
    label, thing = name or given.label, given.thing
    what = given.name or name_of(thing)
    if isinstance(thing, type) or (callable(thing) and not isinstance(thing, nn.Module)):
        thing = call_given(given, f"model {what}")
        given_name = what
    else:
        if given.options:
            raise UsageError(f"model {given.origin}: {what} is an object, not a function; omit the options")
        given_name = "" if given.name == "" else what
    if isinstance(thing, Classifier):
        return _keep(thing, facts, label, given_name)
    if not isinstance(thing, nn.Module):
        raise UsageError(f"model {what}: {type(thing).__name__}; expected an nn.Module, a Classifier or a function that returns one")
    shown = label or given_name or type(thing).__name__.lower()
    return Classifier(thing, name=check_name(shown, "models"), **_with_normalisation(thing, {**(unstated or {}), **facts}))


def _keep(found: Classifier, facts: Mapping[str, Any], label: str, default: str) -> Classifier:
    """A finished classifier; options cannot be stated again.

    Raises:
        UsageError: an option is given.
    """
    for key, value in facts.items():
        raise UsageError(f"--{key.replace('_', '-')} = {value}: the models are objects; set it in Classifier(…)")
    if default:  # made for this call
        found.name = check_name(label or (default if found.name == "custom" else found.name), "models")
    return found


def _with_normalisation(network: nn.Module, facts: Mapping[str, Any]) -> dict[str, Any]:
    """The facts, with those of timm's `pretrained_cfg`, or of transformers' configuration and image processor, if not given.

    Raises:
        UsageError: mean and std are unknown.
    """
    stated = getattr(network, "pretrained_cfg", None)
    known = stated if isinstance(stated, Mapping) else {}
    found = {key: known[key] for key in ("mean", "std") if key in known} | dict(facts)
    processed = {} if {"mean", "std"} <= set(found) else _of_processor(network)
    if lacks := [key for key in ("mean", "std") if key not in processed | found]:
        raise UsageError(
            f"{type(network).__name__}: {' and '.join(lacks)} {'are' if len(lacks) > 1 else 'is'} unknown; "
            f"give {', '.join(f'{key}=' for key in lacks)} (--mean, --std; 0 and 1 for a network that takes [0, 1])"
        )
    side = known.get("input_size", (0, 0))[-1]
    return _of_transformers(network) | processed | ({"input_size": side} if side else {}) | found


def _of_transformers(network: nn.Module) -> dict[str, Any]:
    """Class names and input size of a network of transformers, by its configuration; empty for other networks."""
    config: Any = getattr(network, "config", None)
    if not (type(network).__module__.startswith("transformers.") and hasattr(config, "id2label")):
        return {}
    from camdbench.models.huggingface_zoo import _class_names  # pyright: ignore[reportPrivateUsage]

    sides = getattr(config, "image_size", None)
    side = sides[0] if isinstance(sides, list | tuple) and len(set(sides)) == 1 else sides
    return {"class_names": _class_names(config)} | ({"input_size": side} if isinstance(side, int) else {})


def _of_processor(network: nn.Module) -> dict[str, Any]:
    """Preprocessing of a network of transformers, by the folder that it was read from; empty without a known image processor there."""
    folder = Path(str(getattr(network, "name_or_path", "") or "\0"))
    if not type(network).__module__.startswith("transformers.") or not (folder / "preprocessor_config.json").is_file():
        return {}
    from camdbench.models.huggingface_zoo import load_processor, quiet

    try:
        with quiet():
            found = load_processor(f"{HF}{folder.resolve()}", network.config, download=False)
    except UsageError:  # an unknown kind of processor: mean and std must be given
        return {}
    stated = {"mean": found.mean, "std": found.std, "input_size": found.size}
    return stated | {"channels": found.channels, "preprocess": found.geometry}


@dataclass(frozen=True)
class OwnModels:
    """Models of a call.

    Attributes:
        names: names in rows, in the order given.
        built: classifiers of those that are no names of the zoo.
        origins: where these come from.
        places: names or references, with absolute paths, from which another process makes them; objects have none.
    """

    names: tuple[str, ...]
    built: dict[str, Classifier]
    origins: dict[str, str]
    places: dict[str, str]


def own_models(given: Any, facts: Mapping[str, Any], *, device: str, precision: str) -> OwnModels:
    """Read names, references, networks, functions and classifiers.

    Args:
        given: one, a sequence, or a mapping from names in rows.
        facts: options of the classifiers that are given.
        device: device of models that are made here.
        precision: their precision.

    Raises:
        UsageError: a name is invalid or given twice, or a model cannot be built.
    """
    found = OwnModels((), {}, {}, {})
    names = list[str]()
    for one in read_given(given, "models"):
        if one.is_text and one.label in ("", str(one.thing)):
            names.append(str(one.thing))
            continue
        model, place = _model_of(one, facts, device, precision)
        if place and (known := one.label or model.name) in model_names():
            raise UsageError(
                f"models: {known}: a name of camdbench; choose another, such as {known}-mine={one.thing if one.is_text else one.origin}"
            )
        names.append(check_name(one.label or model.name, "models"))
        check_names(names, "models")
        found.built[names[-1]], found.origins[names[-1]] = model, str(one.thing) if one.is_text else one.origin
        found.places.update({names[-1]: place} if place else {})
    return replace(found, names=tuple(names))


def _model_of(one: Given, facts: Mapping[str, Any], device: str, precision: str) -> tuple[Classifier, str]:
    """The classifier, and the text from which another process makes it; empty for objects."""
    facts = dict(facts)
    prompts = facts.pop("prompts", None)
    if one.is_text:
        name = with_absolute_folders(str(one.thing))
        facts |= {"prompts": prompts} if is_zero_shot(name) else {}
        model = load_classifier(name, device=device, precision=precision, **facts)
        model.name = one.label
        return model, str(Path(name).absolute()) if Path(name).is_file() else name
    model = build(one, facts)
    if model is not one.thing:
        model.precision = check_precision(precision)
        model = model.to(pick_device(device)).eval()
    return (model.requires_grad_(False) if one.place else model), one.reference
