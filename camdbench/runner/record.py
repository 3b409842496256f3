"""The record of a run: everything on which its values depend, with its origin."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from camdbench.core import provenance
from camdbench.core.object_text import object_hash
from camdbench.core.references import OBJECT
from camdbench.core.registries import datasets, explainers, is_control, metrics, protocol_of
from camdbench.core.registries import models as registered_models
from camdbench.core.settings import fields_of
from camdbench.core.spec import Spec
from camdbench.explainers.common.own_objectives import code_of_objective
from camdbench.models.classifier import Classifier
from camdbench.models.huggingface_attention import attention_note
from camdbench.models.network_check import Look
from camdbench.models.network_identity import network_code, probe
from camdbench.runner.config import Request, RunConfig
from camdbench.runner.resources import Resources
from camdbench.runner.run_directory import RunRecord
from camdbench.runner.saved_maps import fingerprint

Models = dict[str, dict[str, Any]]  # facts by requested name


def make_record(request: Request, resources: Resources, models: Models, few: Mapping[str, int], chunk_size: int) -> RunRecord:
    """The record of a run: configuration, data, models, code, explainers and metrics.

    Args:
        request: the checked configuration.
        resources: its resources.
        models: by requested name: `name` in rows, `classifier`, `layers` by explainer and `look`.
        few: numbers of points of coarse curves by metric.
        chunk_size: images in one part file.
    """
    dataset = resources.images
    kept = [item.name for item in fields_of(RunConfig) if item.setting.role != "execution"]
    return RunRecord(
        run="",
        config={name: to_json(getattr(request.config, name)) for name in kept},
        dataset={"fingerprint": dataset.fingerprint(), "images": len(dataset.ids), "classes": list(dataset.classes)} | _filter(resources),
        models={facts["name"]: _model_record(name, facts) | _model_origin(name, resources) for name, facts in models.items()},
        code=provenance.code_hash(),
        maps=None if request.maps is None else fingerprint(request.maps),
        map_normalisation=request.map_normalisation,
        given={str(spec): own.digest() for spec, own in resources.joint_maps.items()},
        plugins=_plugins(request, {facts["name"]: facts["classifier"] for facts in models.values()}) | _code_of_objective(resources),
        explainers={
            str(spec): {
                "paper": explainers.get(spec.name).facts.paper if spec.name in explainers else "",
                "control": spec.name in explainers and is_control(spec),
                "layers": {facts["name"]: facts["layers"].get(str(spec)) for facts in models.values()},
                **_explainer_of_a_user(spec),
            }
            for spec in request.explainers
        },
        metrics={str(spec): metric_record(spec) | _origin(spec) | _few(few.get(str(spec))) for spec in request.metrics},
        ids=list(dataset.ids),
        chunk_size=chunk_size,
    )


def _explainer_of_a_user(spec: Spec) -> dict[str, Any]:
    """Facts of an explainer of a user or a plug-in that its saved maps need; empty for those of camdbench."""
    if spec.name not in explainers or explainers.is_built_in(spec.name):
        return {}
    from camdbench.explainers.common.own_explainers import own_record

    return own_record(spec)


def _filter(resources: Resources) -> dict[str, Any]:
    """The model by which a wrapper of the data set has filtered the images."""
    own = getattr(resources.opened, "filter", None)
    return {"filter": dict(own)} if own and isinstance(own, Mapping) else {}


def _model_record(name: str, facts: dict[str, Any]) -> dict[str, Any]:
    classifier: Classifier = facts["classifier"]
    look: Look = facts["look"]
    code = registered_models.plugin_hash(name) if name in registered_models else None
    return {
        "name": facts["name"],
        "weights_hash": classifier.weights_hash(),
        "code": "-".join(filter(None, [network_code(classifier.network), code, classifier.read and object_hash(classifier.read)])),
        "layer": classifier.layer,
        "classes": look.check.classes,
        "mean": classifier.mean.flatten().tolist(),
        "std": classifier.std.flatten().tolist(),
        "output": classifier.output or "logits",
        "batch_mates": classifier.batch_mates,
        "prefix_tokens": classifier.prefix_tokens,
        "input_size": classifier.input_size,
        "class_names": _short_hash(classifier.class_names),
        "channels": classifier.channels,
        "preprocess": classifier.preprocess,
        "probe": probe(classifier, look.outputs),
        "check": look.check.record(),
        **({} if classifier.revision is None else {"revision": classifier.revision}),
        **({"note": note} if (note := attention_note(classifier.network)) else {}),
    } | provenance.training_of(name)


def _short_hash(names: Sequence[str]) -> str:
    return hashlib.sha256("\n".join(names).encode("utf-8", "surrogatepass")).hexdigest()[:16]


def _model_origin(name: str, resources: Resources) -> dict[str, str]:
    """Where an own model comes from; empty for a name of the zoo."""
    return {"origin": resources.origins.get(name, OBJECT)} if name in resources.models else {}


def _origin(spec: Spec) -> dict[str, str]:
    own = metrics.own(spec.name)
    return {} if own is None else {"origin": own.origin}


def _few(points: int | None) -> dict[str, int]:
    return {} if points is None else {"curve_points": points}


def metric_record(spec: Spec) -> dict[str, Any]:
    """The record of a metric: its facts and its protocol."""
    facts, protocol = metrics.get(spec.name).facts, protocol_of(spec)
    return {
        "paper": facts.paper,
        "protocol": protocol.name,
        "protocol_hash": protocol.digest(spec.name),
        "switches": protocol.switches,
        "options": dict(protocol.options),
        "scope": facts.scope,
        "higher_is_better": facts.higher_is_better,
        "unit": facts.unit,
        "tolerance": facts.tolerance,
    }


def _plugins(request: Request, networks: Mapping[str, Classifier]) -> dict[str, str]:
    """Return the code hashes of explainers, metrics and data sets from plug-ins, by kind and name: `explainer mine`."""
    asked = [(explainers, part.name) for spec in request.explainers for part in spec.walk() if part.name in explainers]
    asked += [(metrics, spec.name) for spec in request.metrics]
    asked += [(datasets, part.name) for part in request.dataset.walk() if part.name in datasets]
    found = {f"{registry.kind} {name}": registry.plugin_hash(name, networks) for registry, name in asked}
    return {name: code for name, code in found.items() if code is not None} | _second_networks(request)


def _second_networks(request: Request) -> dict[str, str]:
    """Hashes of the weights of networks that metrics read beside the explained one, by name: `network resnet50`."""
    options = [metrics.get(spec.name).arguments(spec) for spec in request.metrics if metrics.is_built_in(spec.name)]
    if not (names := sorted({str(own["network"]) for own in options if own.get("network")})):
        return {}
    from camdbench.metrics.common.second_network import load_second

    return {f"network {name}": load_second(name).weights_hash() for name in names}


def _code_of_objective(resources: Resources) -> dict[str, str]:
    """Return the code hash of a user's objective, by its name: `objective mine`."""
    own = resources.objective
    return {} if own is None else {f"objective {own.name}": code_of_objective(own)}


def to_json(value: Any) -> Any:
    """A value of a configuration as JSON has it."""
    return list(value) if isinstance(value, tuple) else str(value) if isinstance(value, Path) else value


def automatic_name(record: RunRecord) -> str:
    """Return a name derived from configuration, data, weights and code."""
    facts = record.identity | {"explainers": record.config["explainers"]}
    if facts["objective"] == RunConfig.objective:
        del facts["objective"]  # as before there were others
    text = json.dumps(facts, sort_keys=True)
    name = record.config["dataset"].partition("(")[0]
    return f"{name}-{record.config['split']}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"
