"""Methods of Captum 0.9 that are not available here, with the reason."""

from __future__ import annotations

UNSUPPORTED = {
    "captum:FeaturePermutation": "permutes pixels among the images of a batch, so a map depends on batch mates; use captum:FeatureAblation",
    "captum:LayerFeaturePermutation": "permutes activations among the images of a batch, so a map depends on batch mates",
    "captum:LayerActivation": "gives activations, which depend on no class; use captum:LayerGradientXActivation",
    "captum:LRP": "Captum 0.9 misses additions and functional operations, as of residual networks; use deeplift",
    "captum:LayerLRP": "Captum 0.9 misses additions and functional operations, as of residual networks; use deeplift",
    "captum:ShapleyValues": "makes n! permutations of n features; use captum:ShapleyValueSampling",
    "captum:LimeBase": "needs functions for samples and distances; use captum:Lime",
}
