"""The trainer makes classifiers for the zoo from recipes in YAML."""
