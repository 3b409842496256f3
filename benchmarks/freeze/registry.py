"""The registries: facts, options, defaults, protocols and their hashes."""

from __future__ import annotations

import json
from typing import Any

from neutral import write_json
from process import camdbench
from recorder import Recorder
from spelling import registries

KINDS = ("explainers", "metrics", "models", "datasets", "losses")
_PROSE = ("summary", "doc", "module", "cost", "undefined", "refuses")


def dump_registries(recorder: Recorder) -> None:
    """Store the output of `camdbench list KIND --json`, with prose in a file of its own, and the protocols of all metrics."""
    docs = dict[str, Any]()
    for kind in KINDS:
        done = camdbench(["list", kind, "--json"], recorder.work)
        entries = {entry["name"]: _named(entry) for entry in json.loads(done.stdout)}
        docs[kind] = {name: {key: entry.pop(key) for key in _PROSE if key in entry} for name, entry in entries.items()}
        write_json(entries, recorder.out / "registry" / f"{kind}.json")
    write_json(docs, recorder.out / "registry" / "docs.json")
    write_json(_protocols(), recorder.out / "registry" / "protocols.json")
    write_json(_defaults(), recorder.out / "registry" / "defaults.json")


def _named(entry: dict[str, Any]) -> dict[str, Any]:
    """Return an entry whose lists of options and protocols are mappings by name, with the order beside them."""
    for key in ("options", "protocols"):
        items = entry.get(key)
        if items and isinstance(items[0], dict):
            entry[f"{key} in order"] = [item["name"] for item in items]
            entry[key] = {item.pop("name"): item for item in items}
    return entry


def _protocols() -> dict[str, Any]:
    """Return metric -> protocol -> switches, options, hash, and the values of all options under it."""
    from camdbench.core.spec import Spec

    found = dict[str, Any]()
    for entry in registries().metrics:
        found[entry.name] = {}
        for known in entry.facts.protocols:
            protocol = entry.protocol(Spec.of(entry.name, {"protocol": known.name}))
            payload = {"switches": protocol.switches, "options": dict(protocol.options), "hash": protocol.digest(entry.name)}
            found[entry.name][known.name] = payload | {"paper": known.paper, "defaults": dict(entry.defaults(known.name))}
    return found


def _defaults() -> dict[str, Any]:
    """Return kind -> name -> the values of all options by default."""
    return {
        kind: {entry.name: {"wraps": entry.wraps, "defaults": dict(entry.defaults())} for entry in getattr(registries(), kind)}
        for kind in KINDS
        if kind != "metrics"
    }
