"""A worker process: parse two expressions with math-verify, compare, answer one JSON line. Run with `-m`."""

from __future__ import annotations

import json
import logging
import signal
import sys
from functools import lru_cache
from typing import Any

TINY = 1e-30
"""Relative difference below which two exact constants count as equal, at 60 digits."""
DECIMALS = 1e-6
"""Absolute difference allowed between a decimal and a constant."""
CACHED = 2048
"""Parsed expressions kept: the golds of a batch come once per answer."""


def _limit(memory: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's business
    if sys.platform != "win32":
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory, memory))


@lru_cache(maxsize=CACHED)
def _parse(latex: str) -> list[Any]:
    from math_verify import LatexExtractionConfig, parse

    parsed: list[Any] = parse(
        f"\\boxed{{{latex}}}",
        extraction_config=[LatexExtractionConfig(boxed_match_priority=0)],
        fallback_mode="no_fallback",
        parsing_timeout=None,
    )
    return parsed


def _same_constants(gold: Any, read: Any) -> bool:
    """Exact check behind math-verify's rounding, which takes 1/2^98 and 1/2^99 for equal."""
    from sympy import Expr, Float

    if not isinstance(gold, Expr) or not isinstance(read, Expr) or gold.free_symbols or read.free_symbols:
        return True
    left, right = gold.evalf(60), read.evalf(60)
    if not (left.is_number and right.is_number):
        return True
    decimal = gold.has(Float) or read.has(Float)
    return bool(abs(left - right) <= (DECIMALS if decimal else TINY * max(abs(left), abs(right))))


def compare(gold: str, read: str) -> dict[str, Any]:
    """{"equal": bool} or {"unread": "gold" | "prediction"} for two LaTeX expressions."""
    from math_verify import verify

    golds = _parse(gold)
    if not golds:
        return {"unread": "gold"}
    reads = _parse(read)
    if not reads:
        return {"unread": "prediction"}
    equal = verify(golds, reads, strict=True, timeout_seconds=None) and _same_constants(golds[0], reads[0])
    return {"equal": bool(equal)}


def _answer(job: dict[str, Any]) -> dict[str, Any]:
    from math_verify.errors import TimeoutException

    try:
        return compare(job["gold"], job["read"])
    except (Exception, TimeoutException, RecursionError) as error:  # sympy fails in many ways: told, counted unread
        return {"unread": "prediction", "error": type(error).__name__}


def main() -> None:
    """Serve jobs from stdin until it closes. The one argument is the limit of address space in bytes."""
    _limit(int(sys.argv[1]))
    logging.disable(logging.CRITICAL)  # math-verify logs each failed parse; the reply tells it
    compare("\\frac{1}{2}", "x+1")  # builds the grammar before the first deadline runs
    out, sys.stdout = sys.stdout, sys.stderr
    print("ready", file=out, flush=True)
    for line in sys.stdin:
        job = json.loads(line)
        if hasattr(signal, "alarm"):
            signal.alarm(int(job["seconds"]))  # ends the process even if the parent was killed and cannot
        reply = _answer(job)
        if hasattr(signal, "alarm"):
            signal.alarm(0)
        print(json.dumps(reply), file=out, flush=True)


if __name__ == "__main__":
    main()
