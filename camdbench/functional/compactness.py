"""Compactness of a set of pixels: spread of its convex hull and cohesion of its minimum spanning tree (MST-C)."""

from __future__ import annotations

import math

import numpy as np


def tree_length(points: np.ndarray, neighbours: int) -> float:
    """Length of the minimum spanning tree of points (n, 2) in the graph of each point's nearest neighbours.

    An edge joins two points if one is among the `neighbours` nearest of the other. A graph in several parts has a tree for each: the
    ways between them are not counted.

    >>> tree_length(np.array([[0, 0], [0, 1], [0, 2], [0, 9]]), 2), tree_length(np.array([[0, 0], [0, 1], [0, 8], [0, 9]]), 1)
    (9.0, 2.0)
    """
    from scipy.sparse import csr_array
    from scipy.sparse.csgraph import minimum_spanning_tree
    from scipy.spatial import KDTree

    count = min(neighbours, len(points) - 1)
    if not count:
        return 0.0
    lengths, places = (np.asarray(part)[:, 1:] for part in KDTree(points).query(points, k=count + 1))  # the first is the point itself
    rows = np.repeat(np.arange(len(points)), count)
    graph = csr_array((lengths.ravel(), (rows, places.ravel())), shape=(len(points), len(points)))
    return float(minimum_spanning_tree(graph.maximum(graph.T)).sum())


def hull_area(points: np.ndarray) -> float:
    """Area of the convex hull of points (n, 2); 0 for points on one line.

    >>> hull_area(np.array([[0, 0], [0, 2], [3, 0], [1, 1]])), hull_area(np.array([[0, 0], [1, 1], [2, 2]]))
    (3.0, 0.0)
    """
    from scipy.spatial import ConvexHull

    if np.linalg.matrix_rank(points - points[0]) < 2:
        return 0.0
    return float(ConvexHull(points).volume)  # in the plane, the area


def compactness(points: np.ndarray, size: tuple[int, int], neighbours: int = 20) -> float:
    """MST-C of pixels (n, 2) of an image of `size`: 100 d (1 / sqrt(A)) (n / L), not negative; NaN for fewer than two pixels.

    d is the image's diagonal, A the area of the convex hull of the pixels' centres, d^2 for pixels on one line, and L the length of
    their minimum spanning tree.

    >>> block = np.argwhere(np.ones((4, 5)))
    >>> round(compactness(block, (10, 10)), 3)
    429.735
    """
    if len(points) < 2:
        return math.nan
    diagonal = math.hypot(*size)
    return 100 * diagonal / math.sqrt(hull_area(points) or diagonal**2) * len(points) / tree_length(points, neighbours)
