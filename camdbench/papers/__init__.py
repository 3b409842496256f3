"""Reproduction of the papers' tables: recipes, printed values and measured values."""
