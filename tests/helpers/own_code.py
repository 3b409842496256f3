"""A Python file of a user, as the tests of executors write it: a network, an explainer, a metric and pictures."""

OWN = """
import torch
from torch import nn
from camdbench import Classifier

def small(width: int = 4):
    torch.manual_seed(0)
    layers = nn.Conv2d(3, width, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, 8)
    return Classifier(nn.Sequential(*layers), "1", mean=0.5, std=0.25)

def first(trace, *, count: int = 1):
    return trace.activations[:, :count].sum(1)

def inside(classifier, images, maps, targets, *, power: int = 1):
    return maps.mean((1, 2)) ** power

def pictures():
    generator = torch.Generator().manual_seed(0)
    return [(torch.rand(3, 32, 32, generator=generator), index % 8) for index in range(40)]
"""
