"""Metrics of Quantus 0.6 that are not available here, with the reason found in its source and by tests."""

from __future__ import annotations

UNSUPPORTED = {
    "quantus:ROAD": "Quantus 0.6 fails on images of three channels and scores the first batch only; use road",
    "quantus:IROF": "Quantus 0.6 fails on images of three channels; use irof",
    "quantus:Infidelity": "Quantus 0.6 accumulates the perturbations of patches and draws no random numbers; use infidelity",
    "quantus:SensitivityN": "Quantus 0.6 correlates over the images of a batch, by cumulative removal; use sensitivity_n",
    "quantus:MPRT": "Quantus 0.6 draws every layer from the same seed; use randomisation(protocol=quantus), one copy for all batches",
    "quantus:SmoothMPRT": "Quantus 0.6 ignores the given explainer and uses gradients; use randomisation",
    "quantus:RandomLogit": "Quantus 0.6 draws the classes of a whole batch at once; use random_logit",
    "quantus:InputInvariance": "Quantus 0.6 fails if the first convolution has no bias, as in every ResNet; use input_invariance",
    "quantus:Consistency": "the value is a fraction of the other images of the batch",
    "quantus:Sufficiency": "the value is a fraction of the other images of the batch",
    "quantus:BatchSufficiency": "the value is a fraction of the other images of the batch",
    "quantus:Focus": "the cells have their classes in the data set here; use focus with --dataset 'grid(…, mosaic=\"focus\")'",
    "quantus:Completeness": "tests two floats for exact equality, which never holds; use completeness",
    "quantus:NonSensitivity": "makes one pass per pixel, 50,176 at 224 x 224; use non_sensitivity",
    "quantus:Monotonicity": "Quantus 0.6 never shows the image: it replaces reference values by themselves; use monotonicity",
    "quantus:MST-C": "Quantus 0.6 does not have it",
}
