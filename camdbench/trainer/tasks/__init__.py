"""Training tasks: classification, and segmentation by a head on a classifier's features."""
