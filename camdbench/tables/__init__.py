"""Rows become tables: means with intervals, ties, the regression check; pandas only, never torch."""
