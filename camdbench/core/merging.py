"""Deep merge of nested mappings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def merge_nested(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Deep merge of two mappings; `over` takes precedence.

    >>> merge_nested({"data": {"dataset": "pets", "train": "trainval"}, "epochs": 3}, {"data": {"dataset": "cars"}})
    {'data': {'dataset': 'cars', 'train': 'trainval'}, 'epochs': 3}
    """
    both = {
        name: merge_nested(base[name], value)
        for name, value in over.items()
        if isinstance(value, dict) and isinstance(base.get(name), dict)
    }
    return {**base, **over, **both}
