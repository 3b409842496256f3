"""Modules that the methods share: traces, post-processing, masking and usage; no explainer is registered here."""
