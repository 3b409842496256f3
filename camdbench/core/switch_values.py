"""Meanings of the switches of protocols, and of their values; for the report of a run and for the site."""

from __future__ import annotations

SWITCH_MEANINGS = {
    "masking": "colour space in which pixels are masked, and what replaces them",
    "scored_class": "class whose score is read",
    "scored_output": "output of the network that is scored",
    "maps": "normalisation of maps",
    "resize": "how maps are resized to the image",
    "ground_truth": "boxes or masks, and whether the end pixel belongs to a box",
    "reduction": "how values of images become the number of the table",
}
VALUE_MEANINGS = {
    "masking": {
        "pixels": "in [0, 1], before mean and std: masked pixels are black",
        "normalised": "after mean and std: masked pixels have the mean colour",
    },
    "scored_class": {
        "target": "the class that was explained",
        "predicted": "the class with the highest score on the whole image",
        "label": "the class of the data set",
        "two others": "two classes that share two parts each with that of the data set",
        "each cell's": "the class of each cell of a mosaic, one after another",
    },
    "scored_output": {
        "probability": "the softmax, or sigmoid, of the logits",
        "logit": "the number before the softmax",
        "centred_logit": "the logit minus the mean of all logits, which a constant on all logits does not change",
        "objective": "what was explained: --objective of the run",
        "accuracy": "whether the predicted class is the scored one: 1 or 0",
    },
    "maps": {
        "default": "the explainer's own normalisation to [0, 1]",
        "raw": "the map as the explainer returns it",
        "abs": "the absolute raw map",
        "abs, layer grid": "the absolute raw map on the grid of its layer",
        "relu": "the raw map without its negative part",
        "positive": "the raw map, resized and then without its negative part",
        "relu, sum": "the raw map without its negative part, divided by its sum",
        "range": "the map minus its minimum, divided by its range",
        "relu, clipped at the 99th percentile, range": "the raw map without its negative part, clipped there, then as `range`",
        "batch statistics": "made in train mode, so that they depend on the batch and the order of the data",
    },
    "resize": {
        "bilinear": "bilinear interpolation",
        "bicubic": "bicubic interpolation",
        "none": "maps keep their grid",
        "masks to the grid, nearest-exact": "maps keep their grid; masks are resized to it, each cell taking the nearest pixel",
    },
    "ground_truth": {
        "exclusive boxes": "boxes whose end pixel is outside",
        "inclusive boxes": "boxes whose end pixel, as in the annotation file, is inside",
        "VOC slices": "boxes as slices of the numbers of the annotation file, minus 1",
        "single boxes, exclusive ends": "images with one box, whose end pixel is outside",
        "exclusive": "boxes whose end pixel is outside",
        "clovaai": "the numbers of the annotation file as coordinates from 0, cut off at the image's sides",
        "masks": "masks of the object",
        "parts": "parts of the object, each dilated by 5 x 5 pixels",
        "cells": "cells of a mosaic of several images",
        "mask of the image": "the mask of the image, or its boxes filled",
        "fixed": "boxes with their last row and column",
        "official": "boxes without their last row and column, as in the released code",
        "largest region": "the box around the largest region of the thresholded map",
        "all regions": "the box around all regions of the thresholded map",
    },
    "reduction": {
        "mean": "mean over images",
        "class mean": "mean over classes of the mean over their images",
        "maximum over thresholds": "for each IoU level, the largest over thresholds of the mean over images; then the mean over levels",
        "ratio of means": "sum of numerators over sum of denominators",
        "relative foreground sensitivity": "from class-balanced accuracies under noise",
        "micro average precision": "average precision over all pairs of image and class",
        "macro average precision": "mean over classes of the average precision",
        "pixel average precision": "average precision over the pixels of all images",
        "area under the median curve": "median over images of the curve at each place, and the area under it",
        "worst group": "the smallest mean of a group of images",
        "training-weighted groups": "mean over groups of images, weighted by their shares in the training data",
        "best threshold": "mean over images at the threshold of part importance that maximises completeness on the same images",
        "held-out threshold": "mean over images, each at the threshold that maximises completeness on the other half of the images",
        "difference of groups": "mean over one group of images minus mean over the other",
    },
}


def switch_text(switch: str, value: str) -> str:
    """Return what a switch is set to and what that means; the value alone if it is another one, as of a plug-in.

    >>> switch_text("masking", "pixels")
    'pixels: in [0, 1], before mean and std: masked pixels are black'
    """
    meaning = VALUE_MEANINGS.get(switch, {}).get(value)
    return value if meaning is None else f"{value}: {meaning}"
