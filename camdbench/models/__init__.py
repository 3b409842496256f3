"""Classifiers: the model zoo, `Classifier`, captured layers, target layers."""
