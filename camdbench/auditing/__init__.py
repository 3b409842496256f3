"""Audit of explainers and metrics: reliability, and truth measured by intervention."""
