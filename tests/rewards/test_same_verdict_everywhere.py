"""One verdict wherever it is asked for: threads, process pools, forks, event loops, a notebook's kernel."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from mmreason.records import Answer, AnswerKind
from mmreason.rewards.grade import grade

TABLE = Path(__file__).parent / "hard_cases.yaml"
KNOWN = ("options", "multi", "asks_percent", "scale")
SLOW = [("9^{9^{9^9}}", "3"), ("(" * 60 + "x" + ")" * 60, "x"), ("x^2+2x+1", "(x+1)^2"), (r"2+\sqrt{3}", r"2-\sqrt{3}")]


def verdicts(_: int = 0) -> list[list[str | None]]:
    """(outcome, cause of unread) of the hard cases and of answers that a worker must compare or refuse."""
    rows = yaml.safe_load(TABLE.read_text("utf-8"))["rows"]
    asked = [(row["output"], Answer(AnswerKind.MATH, row["gold"])) for row in rows if row["kind"] == "math"]
    for row in rows:
        if row["kind"] in ("number", "choice", "judgement"):
            known = {key: row[key] for key in KNOWN if key in row}
            asked.append((f"<answer>{row['output']}</answer>", Answer(AnswerKind(row["kind"]), row["gold"], **known)))
    asked += [(rf"\boxed{{{said}}}", Answer(AnswerKind.MATH, gold)) for said, gold in SLOW]
    found = [grade(text, answer) for text, answer in asked]
    return [[verdict.outcome.value, verdict.unread and verdict.unread.value] for verdict in found]


@pytest.fixture(scope="module")
def here() -> list[list[str | None]]:
    """The verdicts of the main thread."""
    return verdicts()


def test_the_main_thread_knows_all_three_outcomes(here: list[list[str | None]]) -> None:
    assert here[-4:] == [["unread", "prediction"], ["unread", "prediction"], ["right", None], ["wrong", None]]
    assert {outcome for outcome, _ in here} == {"right", "wrong", "unread"}


def test_worker_threads(here: list[list[str | None]]) -> None:
    with ThreadPoolExecutor(4) as threads:
        assert all(found == here for found in threads.map(verdicts, range(8)))


def test_process_pools(here: list[list[str | None]]) -> None:
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as processes:
        assert processes.submit(verdicts).result() == here
    with spawn.Pool(1) as daemons:  # daemonic processes may have no multiprocessing children of their own
        assert daemons.apply(verdicts) == here


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
def test_a_forked_child_uses_its_own_workers(here: list[list[str | None]]) -> None:
    with multiprocessing.get_context("fork").Pool(1) as processes:
        assert processes.apply(verdicts) == here
    assert verdicts() == here


async def _inline_and_in_a_thread() -> list[list[list[str | None]]]:
    return [verdicts(), await asyncio.to_thread(verdicts)]


def test_event_loops_in_the_main_thread_and_in_another(here: list[list[str | None]]) -> None:
    assert asyncio.run(_inline_and_in_a_thread()) == [here, here]
    with ThreadPoolExecutor(1) as threads:
        assert threads.submit(lambda: asyncio.run(_inline_and_in_a_thread())).result() == [here, here]


def test_a_notebook_kernel(here: list[list[str | None]]) -> None:
    for module in ("ipykernel", "jupyter_client"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: pip install ipykernel jupyter-client")
    from jupyter_client.manager import start_new_kernel

    cell = f"import json, runpy; print(json.dumps(runpy.run_path({str(Path(__file__))!r})['verdicts']()))"
    manager, client = start_new_kernel()
    try:
        printed: list[str] = []
        client.execute_interactive(
            cell, timeout=120, output_hook=lambda message: printed.append(message["content"].get("text", ""))
        )
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    assert json.loads("".join(printed)) == here
