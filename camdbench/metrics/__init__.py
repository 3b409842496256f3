"""Metrics of saliency maps: one function with one decorator, one file per family that shares its maths."""
