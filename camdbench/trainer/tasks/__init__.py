"""What can be trained: classifiers, and segmentation heads on their features."""
