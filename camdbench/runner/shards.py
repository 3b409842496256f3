"""Shards: `--shard I/N` computes the chunks whose number is I modulo N, so that N hosts share a run without coordination."""

from __future__ import annotations

import re
from dataclasses import dataclass

from camdbench.core.errors import UsageError

_FORM = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")


@dataclass(frozen=True)
class Shard:
    """A part of the chunks of a run.

    Attributes:
        index: number of the shard, from 0.
        count: number of shards.
    """

    index: int = 0
    count: int = 1

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    @property
    def is_whole(self) -> bool:
        """Whether it has all chunks."""
        return self.count == 1

    def chunks(self, total: int) -> range:
        """Return the chunks of the shard, of a run with `total` chunks.

        >>> list(Shard(1, 3).chunks(8))
        [1, 4, 7]
        """
        return range(self.index, total, self.count)

    def end(self, jobs: int, done: int, total: int) -> str:
        """Return a line for the end of a shard.

        Args:
            jobs: jobs of the shard, all done.
            done: finished jobs of the run.
            total: jobs of the run.
        """
        rest = "computes the rest, packs and summarises" if done < total else "packs and summarises"
        return f"shard {self}: {jobs} of {jobs} jobs done, {done} of {total} in the whole run; the same command without --shard {rest}"


WHOLE = Shard()  # all chunks


def parse_shard(text: str | None) -> Shard:
    """Return the shard I/N; all chunks for None.

    >>> parse_shard("3/16")
    Shard(index=3, count=16)

    Raises:
        UsageError: another form, or not 0 <= I < N.
    """
    if text is None:
        return WHOLE
    found = _FORM.fullmatch(text.strip())
    shard = Shard(*map(int, found.groups())) if found else None
    if shard is None or shard.index >= shard.count:
        raise UsageError(f"--shard = {text}: expected I/N with 0 <= I < N, such as 0/16 for the first of 16; count from 0")
    return shard
