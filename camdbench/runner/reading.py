"""Feed: the images of the units to come, read by worker processes while the network is at earlier ones."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice

from camdbench.datasets.loading import Read, read_ahead
from camdbench.datasets.samples import Dataset
from camdbench.runner.plan import Unit


class Feed:
    """Images in the order of the units that will take them.

    Args:
        dataset: where they come from.
        units: the units, in the order in which they will be executed.
        workers: number of reading processes; 0 reads when an image is asked for.
    """

    def __init__(self, dataset: Dataset, units: Sequence[Unit], workers: int) -> None:
        self._stream = read_ahead(dataset, [index for unit in units for index in range(unit.start, unit.stop)], workers=workers)

    def take(self, unit: Unit) -> list[Read]:
        """The images of the next unit."""
        return list(islice(self._stream, unit.stop - unit.start))

    def close(self) -> None:
        """End the reading processes."""
        self._stream.close()
