"""The segmentation probe: how well objects can be told apart, pixel by pixel, from what a classifier sees."""
