"""Quantus as a reference, imported past the warnings that its source raises under current Pythons."""

from __future__ import annotations

import warnings

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    import quantus

__all__ = ["quantus"]
