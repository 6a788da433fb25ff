"""Arms and seeds of a reproduction: variants of one recipe, each in a run folder, several at a time."""

from __future__ import annotations

import multiprocessing
import shutil
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from mmreason.config import Recipe
from mmreason.config.stages import with_settings
from mmreason.errors import UserError
from mmreason.run.folder import RunFolder

_LOOK = 0.2
"""Seconds between two looks at the processes."""


def variant(recipe: Recipe, settings: Mapping[str, Any], seed: int, name: str) -> Recipe:
    """The recipe with settings by dotted key, and one seed for weights, data and sampling. Raises UserError naming the
    arm for a setting that does not exist."""
    seeds = {f"seeds.{kind}": seed for kind in ("weights", "data", "sampling")}
    return with_settings(recipe, {**seeds, **settings}, f"arm {name}")


def choice(recipe: Recipe, arms: Sequence[str], seeds: int) -> tuple[int, list[str]]:
    """`options.seeds` and `options.arms` of a reproduction, by default all. Raises UserError for what is not there."""
    count, chosen = recipe.options.get("seeds", seeds), recipe.options.get("arms", list(arms))
    if not isinstance(count, int) or isinstance(count, bool) or count < 1:
        raise UserError(f"options.seeds is {count!r}; expected a whole number from 1")
    if not isinstance(chosen, list) or not set(chosen) <= set(arms):
        raise UserError(f"options.arms is {chosen!r}; expected a list of names out of {', '.join(arms)}")
    return count, [arm for arm in arms if arm in chosen]


def share(source: RunFolder, home: RunFolder, stages: Sequence[str] = ("base", "sft")) -> None:
    """Give an arm the data and the models of another, and a link to its made files; nothing where that was done."""
    if home.is_done("data"):
        return
    shutil.copytree(source.data, home.data, dirs_exist_ok=True, ignore=shutil.ignore_patterns(source.made.name))
    if source.made.is_dir() and not home.made.exists():
        home.made.symlink_to(source.made)
    for stage in stages:
        if source.final(stage).is_dir():
            shutil.copytree(source.final(stage), home.final(stage), dirs_exist_ok=True)
    home.mark_done("data", shared_from=source.path.name)


def side_by_side(
    jobs: Mapping[str, Callable[[], None]], after: Mapping[str, Sequence[str]], logs: Path, processes: int
) -> None:
    """Run every job once those it comes after are done, `processes` of them at a time; what they say goes to logs/.

    A job is a child process by fork, so this process must not have computed with torch. Raises RuntimeError naming the
    first job that failed, once those that run beside it have ended; Ctrl-C ends them all.
    """
    logs.mkdir(parents=True, exist_ok=True)
    waiting, running, done = dict(jobs), dict[str, tuple[BaseProcess, float]](), set[str]()
    failed: list[str] = []
    try:
        while running or (waiting and not failed):
            ready = [name for name in waiting if done >= set(after.get(name, ()))]
            for name in ready[: 0 if failed else processes - len(running)]:
                running[name] = (_begin(name, waiting.pop(name), logs), time.monotonic())
            time.sleep(_LOOK)
            for name in [name for name, (process, _) in running.items() if not process.is_alive()]:
                process, begun = running.pop(name)
                (failed.append if process.exitcode else done.add)(name)
                outcome = "failed" if process.exitcode else "done"
                print(f"{name}: {outcome} after {time.monotonic() - begun:.0f} s", file=sys.stderr, flush=True)
    finally:
        for process, _ in running.values():
            process.terminate()
            process.join()
    if failed:
        raise RuntimeError(f"{failed[0]} failed: {_log(logs, failed[0])} says why; run the same command to go on")


def _begin(name: str, job: Callable[[], None], logs: Path) -> BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=_logged, args=(job, _log(logs, name)))
    process.start()
    return process


def _logged(job: Callable[[], None], path: Path) -> None:
    with path.open("a", encoding="utf-8", buffering=1) as log, redirect_stdout(log), redirect_stderr(log):
        try:
            job()
        except Exception:
            import traceback

            traceback.print_exc(file=log)
            raise SystemExit(1) from None


def _log(logs: Path, name: str) -> Path:
    return logs / f"{name.replace('/', '-')}.txt"
