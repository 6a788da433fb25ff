"""Progress bars with an estimate, for everything that takes over two seconds."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from mmreason.run.processes import is_main


class Tick(Protocol):
    """Advance the bar by `count`; `note` stands beside it."""

    def __call__(self, count: int = 1, note: str = "") -> None: ...


_PLAIN_SECONDS = 10.0


def _silent(count: int = 1, note: str = "") -> None: ...


@contextmanager
def progress(title: str, total: int, done: int = 0) -> Iterator[Tick]:
    """A bar on a terminal; one line every ten seconds where output goes to a file. The main process alone shows."""
    if not is_main():
        yield _silent
    elif sys.stderr.isatty():
        with _bar(title, total, done) as tick:
            yield tick
    else:
        yield _plain(title, total, done)


@contextmanager
def _bar(title: str, total: int, done: int) -> Iterator[Tick]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        TextColumn("{task.fields[note]}"),
    )
    with Progress(*columns, console=Console(stderr=True)) as bar:
        task = bar.add_task(title, total=total, completed=done, note="")

        def tick(count: int = 1, note: str = "") -> None:
            bar.update(task, advance=count, note=note)

        yield tick


def _plain(title: str, total: int, done: int) -> Tick:
    start = last = time.monotonic()
    at = done

    def tick(count: int = 1, note: str = "") -> None:
        nonlocal at, last
        at += count
        now = time.monotonic()
        if at >= total or now - last >= _PLAIN_SECONDS:
            last = now
            left = (now - start) / max(at - done, 1) * max(total - at, 0)
            print(f"{title}: {at}/{total}, {now - start:.0f} s, about {left:.0f} s left {note}", file=sys.stderr)

    return tick


def say(text: str) -> None:
    """One line to the person at the terminal; stdout stays free for results."""
    print(text, file=sys.stderr)
