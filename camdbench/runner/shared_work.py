"""Work that the explainers of a batch share when they are scored: what depends on no map, and one trace of each altered batch."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar, cast

from camdbench.core.registries import passes_of
from camdbench.core.spec import Spec
from camdbench.explainers.common.saliency import RawMaps, Saliency, saliency
from camdbench.explainers.common.trace import Trace
from camdbench.explainers.common.usage import Usage
from camdbench.functional.seeding import generator_for
from camdbench.metrics.common.inputs import AlteredImages, Change, ExplainOthers, ExplainVersions
from camdbench.models.devices import clock
from camdbench.models.pass_counts import copy_counted
from camdbench.runner.reference_images import ReferenceImages

T = TypeVar("T")
KEPT_MAP_BYTES = 2**30  # raw maps of altered images that wait for their explainers; explainers beyond that make theirs in their turn
MANY_PASSES = 100  # of an explainer for one image, of which a shared trace saves at most two; it makes its maps in its turn


def _needs_few_passes(spec: Spec) -> bool:
    """Whether a trace saves a share of an explainer's passes: not if there is one for each channel, feature or window."""
    passes = passes_of(spec)
    return not passes.total if passes.lower_bound else passes.total < MANY_PASSES  # of an own explainer none is known


@dataclass(frozen=True)
class _Part:
    """A result, what it cost without the parts that it read, and the keys of these and of itself."""

    value: Any
    usage: Usage
    read: frozenset[Hashable]


@dataclass
class _Kept:
    """Maps of one explainer for altered images with the images' names, their cost, and the parts that they read of the batch's trace."""

    bytes: int = 0
    maps: list[tuple[tuple[str, ...], RawMaps]] = field(default_factory=list[tuple[tuple[str, ...], RawMaps]])
    usage: Usage = field(default_factory=Usage)
    read: set[tuple[str | None, str]] = field(default_factory=set[tuple[str | None, str]])


class SharedWork:
    """Parts of the metrics of one batch that depend on no map, and maps of altered images of all explainers, made on one trace.

    Each explainer is charged with what it uses, as if it were alone; the classifier's own count has shared passes once.

    Args:
        trace: the batch.
        explainers: those that can explain altered images, in the order in which they are scored.
        others: images for metrics that compare with other images.
    """

    def __init__(self, trace: Trace, explainers: Iterable[Spec], others: ReferenceImages | None) -> None:
        self._trace, self._left, self._others = trace, list(explainers), others
        self._parts, self._read = dict[Hashable, _Part](), set[Hashable]()
        self._kept = dict[tuple[Hashable, Spec], _Kept]()
        self._spent, self._charged = Usage(), Usage()

    def part(self, key: Hashable, make: Callable[[], T]) -> T:
        """Return the result of `make`, which depends on no map; it is computed once."""
        if key not in self._parts:
            outside, self._read, start = self._read, set(), self._now()
            try:
                value = make()
                own = self._now() - start
                self._parts[key] = _Part(value, own, frozenset({key, *self._read}))
                self._spent += own
            finally:
                self._read = outside
        self._read |= self._parts[key].read
        return cast("T", self._parts[key].value)

    def versions_of(self, spec: Spec) -> ExplainVersions:
        """Return the function by which metrics explain altered versions of the batch."""

        def explain(key: Hashable, versions: Callable[[], Iterable[AlteredImages]], count: int) -> Iterator[Saliency]:
            if kept := self._kept.get((key, spec)):
                self._charge(kept)
                yield from (maps.finish() for _, maps in kept.maps)
                return
            waiting = {other: _Kept() for other in self._sharing(spec) if (key, other) not in self._kept}
            yield from (maps.finish() for _, maps in self._explain(spec, map(self._version, versions()), waiting, count))
            self._kept |= {(key, other): kept for other, kept in waiting.items()}

        return explain

    def others_of(self, spec: Spec) -> ExplainOthers | None:
        """Return the function by which metrics explain reference images, once in a run; None if there are none."""
        if self._others is None:
            return None
        known = cast("dict[Hashable, _Kept]", self._others.known.setdefault(self._trace.classifier, {}))

        def explain(count: int, purpose: str, change: Change) -> list[tuple[tuple[str, ...], Saliency]]:
            def key(other: Spec) -> Hashable:
                return other, count, purpose

            if key(spec) not in known:
                waiting = {other: _Kept() for other in self._sharing(spec) if key(other) not in known}
                found = list(self._explain(spec, self._references(count, purpose, change), waiting))
                known.update({key(other): kept for other, kept in waiting.items()})
                known[key(spec)] = _Kept(maps=found)  # charged while they were made
            kept = known[key(spec)]
            self._charge(kept)
            kept.usage, kept.read = Usage(), set()  # the first batch pays
            return [(names, maps.finish()) for names, maps in kept.maps]

        return explain

    def begin(self) -> Callable[[], Usage]:
        """Start to meter the metrics of one explainer; the returned function gives their usage, as if the explainer were alone."""
        paid = set(self._trace.usage.read)  # by its maps
        self._trace.usage.read.clear()
        self._read.clear()
        self._charged, start = Usage(), self._now()

        def usage() -> Usage:
            own = self._now() - start
            shared = [self._parts[key].usage for key in self._read]
            return sum(shared, own + self._charged + self._trace.usage.cost(self._trace.usage.read - paid))

        return usage

    def done(self, spec: Spec) -> None:
        """Forget the maps of an explainer that is scored, or that failed."""
        self._left = [other for other in self._left if other != spec]
        self._kept = {(key, other): kept for (key, other), kept in self._kept.items() if other != spec}

    def _sharing(self, spec: Spec) -> list[Spec]:
        """Explainers that use the traces of another one, whose maps they will need."""
        return [other for other in self._left if other != spec and _needs_few_passes(other)]

    def _now(self) -> Usage:
        """Usage so far, without what is shared."""
        whole = Usage(self._trace.classifier.passes, clock(self._trace.images.device))
        return whole - self._trace.usage.spent() - self._spent

    def _charge(self, kept: _Kept) -> None:
        self._charged += kept.usage
        self._trace.usage.read |= kept.read

    def _version(self, version: AlteredImages) -> Trace:
        batch = replace(self._trace.batch, images=version.images)
        return self._trace.of(batch, targets=version.targets, classifier=version.classifier)

    def _references(self, count: int, purpose: str, change: Change) -> Iterator[Trace]:
        """Yield a trace of each batch of altered reference images, for the classes of the images as they are."""
        assert self._others is not None
        for batch in self._others.batches(count, len(self._trace.images)):
            moved = batch.to(self._trace.images.device)
            how: dict[str, Any] = {"seed": self._trace.seed, "objective": self._trace.objective}
            as_is = Trace(self._trace.classifier, moved, target=self._others.target, **how)
            images = change(moved.images, [generator_for(self._trace.seed, name, purpose) for name in batch.ids])
            yield as_is.of(replace(moved, images=images))

    def _explain(
        self, spec: Spec, traces: Iterator[Trace], waiting: dict[Spec, _Kept], count: int = 0
    ) -> Iterator[tuple[tuple[str, ...], RawMaps]]:
        """Yield the maps of an explainer for each trace; the waiting ones explain it too, unless one fails or `count` maps find no room."""
        while True:
            start = self._now()
            if (other := next(traces, None)) is None:
                return
            mine, drawn = _Kept(), self._now() - start
            with copy_counted(other.classifier, self._trace.classifier):
                self._add(mine, spec, other)
                for following, kept in list(waiting.items()):
                    try:
                        self._add(kept, following, other)
                    except KeyboardInterrupt:
                        raise
                    except BaseException:  # it fails again in its own turn, for its own rows
                        del waiting[following]
                    else:
                        kept.bytes = count * kept.maps[0][1].raw.nbytes
                        if sum(held.bytes for held in (*self._kept.values(), *waiting.values())) > KEPT_MAP_BYTES:
                            del waiting[following]
            for kept in (mine, *waiting.values()):
                kept.usage += drawn
            self._charge(mine)
            self._spent += self._now() - start
            yield mine.maps[0]

    def _add(self, kept: _Kept, spec: Spec, other: Trace) -> None:
        """Add the maps of an explainer for the images of a trace."""
        own, whole = other.usage, self._trace.usage
        outside, own.read, whole.read = whole.read, set(), set()
        passes, start, spent = other.classifier.passes, clock(other.images.device), own.spent() + whole.spent()
        try:
            found = saliency(other, spec, later=True)
            if found.raw.untyped_storage().nbytes() > found.raw.nbytes:
                found = replace(found, raw=found.raw.clone())  # a view keeps the whole
            kept.maps.append((other.batch.ids, found))
            used = Usage(other.classifier.passes - passes, clock(other.images.device) - start) - (own.spent() + whole.spent() - spent)
            kept.usage += used + own.cost(own.read)
        finally:
            kept.read |= whole.read
            whole.read = outside
