"""Metrics of Quantus 0.6 that are not passed through, and why: read in its source, and tried."""

from __future__ import annotations

UNSUPPORTED = {
    "quantus:ROAD": "Quantus 0.6 fails on images of three channels, and scores the first batch only; take road",
    "quantus:IROF": "Quantus 0.6 fails on images of three channels; take irof",
    "quantus:Infidelity": "Quantus 0.6 perturbs patches one upon another, and draws nothing at random; take infidelity",
    "quantus:SensitivityN": "Quantus 0.6 correlates over the images of a batch; take quantus:FaithfulnessCorrelation",
    "quantus:MPRT": "Quantus 0.6 draws every layer from the same seed; take randomisation(protocol=quantus), one copy for all batches",
    "quantus:SmoothMPRT": "Quantus 0.6 explains by its own gradients, whatever explainer it is given; take randomisation",
    "quantus:RandomLogit": "Quantus 0.6 draws the classes of a whole batch at once; take random_logit",
    "quantus:InputInvariance": "Quantus 0.6 fails where the first convolution has no bias, as in every ResNet",
    "quantus:Consistency": "its value is a share of the other images of the batch",
    "quantus:Sufficiency": "its value is a share of the other images of the batch",
    "quantus:BatchSufficiency": "its value is a share of the other images of the batch",
    "quantus:Focus": "it needs mosaics of four images, which no data set here has",
    "quantus:Completeness": "it asks whether two floats are exactly equal, which they never are",
    "quantus:NonSensitivity": "it makes one pass for each pixel, 50,176 at 224 x 224",
    "quantus:Monotonicity": "it is true or false, one element at a time; take quantus:MonotonicityCorrelation",
    "quantus:MST-C": "Quantus 0.6 does not have it",
}
