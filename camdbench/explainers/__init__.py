"""Saliency methods: one function with one decorator, one file per method or family that shares its maths."""
