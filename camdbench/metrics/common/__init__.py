"""Modules that metrics share; none registers a metric."""
