"""Progress of bytes, shown in kilobytes."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from mmreason.run.progress import Tick, progress

_UNIT = 1000


@contextmanager
def amount(title: str, size: int, done: int = 0) -> Iterator[Tick]:
    """A bar over `size` bytes of which `done` are there; the tick takes bytes."""
    with progress(f"{title}, kB", -(-size // _UNIT), done // _UNIT) as step:
        seen = done

        def tick(count: int = 1, note: str = "") -> None:
            nonlocal seen
            before, seen = seen, seen + count
            # The last part of a kilobyte counts as a whole one.
            shown = -(-seen // _UNIT) if seen >= size else seen // _UNIT
            step(shown - before // _UNIT, note)

        yield tick
