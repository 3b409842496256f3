"""What an option of an entry does, as Markdown of a cell."""

from __future__ import annotations

import re

from _docstrings import Docstring, cell, one_line, read_docstring

from camdbench.core.registries import explainers, metrics
from camdbench.core.switch_values import SWITCH_MEANINGS

# Options that several entries share; those of one entry stand as `ENTRY.OPTION` and come first.
_COMMON = {
    "ablation": "what covers the object",
    "alpha": "exponent of the map",
    "areas": "area fractions of the masks",
    "at_least": "whether pixels equal to the threshold belong to the region",
    "baseline": "colour of the reference image: `black`, `mean` of the normalisation, or `noise` drawn uniformly",
    "baselines": "number of reference images",
    "cells": "cells along each side of a grid",
    "centre": "whether the matrix is centred, place by place",
    "choice": "`completeness`: the threshold with the highest (CSDC + PC + DC) / 3 + D; `none`: the mean over thresholds",
    "channels": "one value per pixel from those of colour channels: largest magnitude (`max`), `sum`, or sum of magnitudes (`abs`)",
    "compactness": "weight of the distance of pixels over that of colours, in SLIC",
    "compat": "whose implementation is followed",
    "connectivity": "neighbours of a pixel in a region: 4, or 8 with the diagonals",
    "constant_map": "whether a constant map has a value",
    "deltas": "overlaps that count as a hit",
    "empty": "what an image with an empty mask has",
    "ends": "whether both ends belong to the curve",
    "eps": "threshold of relevance and effect, epsilon in the formula",
    "factors": "number of factors",
    "fill": "what replaces removed pixels",
    "floor": "smallest area fraction in the logarithm",
    "gamma": "scale of the values before they are squashed",
    "information": "how the shown information is measured: `bytes` of the compressed picture, or share of `pixels`",
    "interpolate_mode": "how Captum enlarges the map of the layer",
    "interpolation": "how hidden pixels are filled in",
    "intervals": "number of steps of equal size; 0: as `step` says",
    "iterations": "steps of the search",
    "jitter": "size of the random numbers that order equal values",
    "k": "number of highest pixels that are compared",
    "keep": "fraction of the map's highest pixels that stay; the rest is set to 0",
    "kernel": "kernel function of the places",
    "level": "standard deviation of the noise, as a share of the image's range",
    "lower_bound": "largest size of the uniform noise, in units of the normalised image",
    "lr": "learning rate of Adam",
    "masks": "number of random masks",
    "max_iter": "steps of the search",
    "method": "method whose values are averaged",
    "n_baselines": "number of reference images",
    "n_samples": "number of random samples",
    "n_steps": "number of steps on the path",
    "network": "checkpoint of the second network",
    "noise": "standard deviation of the noise, as a share of the image's range",
    "normalisation": "mapping of the raw map to a mask",
    "nr_samples": "number of noisy copies of an image",
    "nt_samples": "number of noisy copies of an image",
    "nt_type": "statistic over the noisy copies",
    "objective": "what the search maximises",
    "patch": "side of a patch in pixels",
    "patch_size": "side of a patch in pixels",
    "percentages": "percentages of pixels that are replaced, one point of the curve each",
    "perturb_std": "standard deviation of the noise, in units of the normalised image",
    "perturbation": "how the covered block enters the prediction",
    "radius": "largest size of the uniform noise",
    "regions": "number of regions that are replaced",
    "regions_evaluation": "number of regions that are replaced",
    "relu": "whether the negative part of the weighted sum is set to 0",
    "relu_attributions": "whether Captum sets the negative part of the map to 0",
    "rounding": "whether the size of a step (`step`) or the pixel count of each point (`point`) is rounded",
    "same_class": "whether only noisy copies of the same predicted class count",
    "samples": "number of random samples",
    "score": "number that the method reads: the logit or the probability of the class",
    "seed_share": "share of pixels that are shown at first, drawn at random",
    "segments": "superpixels by `quickshift`, or a `grid` of cells",
    "shares": "shares of the most relevant pixels that are shown, one point of the curve each",
    "sigma": "standard deviation of the Gaussian",
    "sign": "rule for the sign of the component",
    "similarity": "how two maps are compared: rank correlation (also of magnitudes), structural similarity, or histograms of gradients",
    "sizes": "percentages of salient pixels",
    "sliding_window_shapes": "side of the square window in pixels; `None`: a fifth of the shorter side",
    "start": "what the first image of the curve shows",
    "statistic": "mean or variance over the noisy copies",
    "stdevs": "standard deviation of the noise",
    "step": "pixels per step",
    "stride": "pixels between windows; `None`: half of the window",
    "strides": "pixels between windows; `None`: half of the window",
    "temperature": "temperature of the softmax, tau in the formula",
    "threshold": "threshold of the map",
    "thresholds": "number of thresholds between 0 and 1",
    "ties": "order of equal pixels in raster order",
    "variant": "whether the mask preserves or deletes the class, or both",
    "window": "side of the square window in pixels; `None`: a fifth of the shorter side",
    "zero": "what a map of zeros has: no value, or a norm of 1 in place of its own",
    "layer": "target layer; `None`: the default of the network, see [models](../models/index.md)",
    "protocol": "convention of the table above, which sets the other options",
    "preprocess": "preprocessing protocol",
    "split": "split of the data set",
    "centre.sigma": "standard deviation, as a share of each side",
    "fem.k": "standard deviations above the mean from which a value counts",
    "f_fidelity_plus.alpha": "largest probability of removal",
    "f_fidelity_plus.beta": "expected share of removed pixels of the image",
    "f_fidelity_minus.alpha": "largest probability of removal",
    "f_fidelity_minus.beta": "expected share of removed pixels of the image",
    "infidelity.blocks": "sides of the covered squares in pixels",
    "infidelity.beta": "whether the map's scale is fitted to each image",
    "kpcacam.gamma": "gamma of the kernel; `None`: 1 / channels",
    "layercam.gamma": "gamma in tanh(gamma M / max M), with several layers",
    "refine.layers": "layers whose maps are multiplied, two or more",
    "sobol.designs": "number of designs, pairs of masks of the Sobol sequence",
    "road.noise": "standard deviation of the noise on imputed pixels",
    "road_morf.noise": "standard deviation of the noise on imputed pixels",
    "road_lerf.noise": "standard deviation of the noise on imputed pixels",
    "arcc.noise": "standard deviation of the noise on imputed pixels",
    "srg.sigma": "standard deviation of the Gaussian that smooths the image before SLIC",
}


def meaning_of(entry: str, option: str, doc: Docstring) -> str:
    """What an option does.

    In this order: its line of the docstring, the meaning of a switch, a sentence of the docstring or of one that it refers to,
    a common meaning.
    """
    if option in doc.arguments:
        return cell(doc.arguments[option])
    if option in SWITCH_MEANINGS:
        return f"[{SWITCH_MEANINGS[option]}](../switches.md#{option.replace('_', '-')})"
    if found := _COMMON.get(f"{entry}.{option}"):
        return found
    if option not in ("layer", "protocol"):
        texts = [doc.text, *(_text_of(name) for name in re.findall(r"as in `([\w:]+)`", doc.text))]
        if found := next(filter(None, (_sentence(text, option) for text in texts)), ""):
            return found
    return _COMMON.get(option, "")


def _text_of(name: str) -> str:
    """Text of the docstring of an explainer or metric; empty for other names."""
    registry = metrics if name in metrics else explainers
    return read_docstring(registry.get(name).doc).text if name in registry else ""


def _sentence(text: str, option: str) -> str:
    """First sentence of a text that begins with an option, else one that names it; empty if there is none."""
    named, text = re.compile(rf"`{option}`|`{option}="), re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    paragraphs = re.split(r"\n\s*\n|\n(?=- )", text)
    sentences = [one for paragraph in paragraphs for one in re.split(r"(?<=[.;])\s+(?=[A-Z`])", paragraph) if named.search(one)]
    found = next((one for one in sentences if named.match(one)), sentences[0] if sentences else "")
    return one_line(found).replace("|", "\\|").removeprefix("- ")
