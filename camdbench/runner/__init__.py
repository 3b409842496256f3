"""Runs: plan the missing parts, compute them and write them to a run directory."""
