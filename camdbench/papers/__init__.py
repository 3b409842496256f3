"""The tables of the papers: recipes, the values that are printed, and ours beside them."""
