"""Answers that come with the verdict of the authors' judge: `<judge>verdict</judge><answer>answer</answer>`.

Judges are models; their verdicts are used where a predictions file holds them, and never made up.
"""

from __future__ import annotations

_OPEN, _JOINT, _CLOSE = "<judge>", "</judge><answer>", "</answer>"


def with_verdict(answer: str, verdict: str) -> str:
    """An answer and its verdict as one output."""
    return f"{_OPEN}{verdict}{_JOINT}{answer}{_CLOSE}"


def is_judged(output: str) -> bool:
    """Whether the output carries a verdict."""
    return output.startswith(_OPEN) and _JOINT in output and output.endswith(_CLOSE)


def verdict_of(output: str) -> str | None:
    """The judge's verdict, None where there is none."""
    return output.removeprefix(_OPEN).partition(_JOINT)[0] if is_judged(output) else None


def answer_of(output: str) -> str:
    """The answer without the verdict; an unjudged output as it is."""
    return output.partition(_JOINT)[2].removesuffix(_CLOSE) if is_judged(output) else output
