"""Many slow calls at once, results in order, Ctrl-C at any moment."""

from __future__ import annotations

import itertools
import queue
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from mmreason.data.step import Drop

Item = TypeVar("Item")
Result = TypeVar("Result")


def run_parallel(
    function: Callable[[Item], Result],
    items: Sequence[Item],
    workers: int,
    on_done: Callable[[int], None] | None = None,
) -> list[Result]:
    """`function` of every item, in order, by `workers` threads; one worker runs in the caller's thread.

    The first error stops new calls, lets the running ones finish (so that caches keep them), then is raised.
    Ctrl-C does not wait: the threads are daemons and end with the process.
    """
    done = on_done or (lambda count: None)
    if workers <= 1:
        results = []
        for item in items:
            results.append(function(item))
            done(1)
        return results
    return _threaded(function, items, workers, done)


def _threaded(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, done: Callable[[int], None]
) -> list[Result]:
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    for index in range(len(items)):
        todo.put(index)
    finished: queue.SimpleQueue[tuple[int, Result | None, BaseException | None]] = queue.SimpleQueue()
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                index = todo.get_nowait()
            except queue.Empty:
                return
            try:
                finished.put((index, function(items[index]), None))
            except BaseException as error:  # handed to the caller's thread, which raises it
                finished.put((index, None, error))
                return

    threads = [threading.Thread(target=work, daemon=True) for _ in range(min(workers, len(items)))]
    for thread in threads:
        thread.start()
    results: dict[int, Result] = {}
    try:
        for _ in items:
            index, result, error = finished.get()
            if error is not None:
                stop.set()
                for thread in threads:
                    thread.join()
                raise error
            results[index] = result  # type: ignore[assignment]
            done(1)
    finally:
        stop.set()
    return [results[index] for index in range(len(items))]


def map_stream(
    stream: Iterable[Item | Drop], function: Callable[[Item], Result], workers: int
) -> Iterator[Result | Drop]:
    """`function` of a stream's items, in order, `workers` at a time; drops pass through."""
    source = iter(stream)
    while batch := list(itertools.islice(source, 4 * workers)):
        items = [item for item in batch if not isinstance(item, Drop)]
        results = iter(run_parallel(function, items, workers))
        yield from (item if isinstance(item, Drop) else next(results) for item in batch)
