"""HealthBench: conversations that end with the user, and the criteria that physicians wrote for the reply."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from mmreason.data.lines import Row, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source

_THEME = "theme:"


def healthbench(request: ReadRequest) -> Iterator[Sample]:
    """One sample a conversation. There is no gold answer: evidence holds `rubrics`, a list of {criterion, points, tags}
    with negative points for what a reply should not do, for a judge (`mmreason.suites.judged`).

    Forms: the released lines (`prompt_id`, `example_tags`), and a compact one with `id`.
    """
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            identity = row.need("prompt_id" if "prompt_id" in row.values else "id", str)
            tags = row.texts("example_tags") if "example_tags" in row.values else []
            themes = [tag.removeprefix(_THEME) for tag in tags if tag.startswith(_THEME)]
            messages = tuple(Message.of(_role(turn), turn.need("content", str)) for turn in row.inners("prompt"))
            if not messages or messages[-1].role is not Role.USER:
                row.fail("the conversation does not end with a user's turn")
            yield Sample(
                id=f"{request.name}-{identity}",
                source=Source(request.name, request.split, request.entry.licence, identity, identity),
                messages=messages,
                answer=Answer(AnswerKind.FREE, ""),
                evidence={"rubrics": [_rubric(one) for one in row.inners("rubrics")]},
                metadata={
                    "question": messages[-1].text,
                    "example_tags": tags,
                    "theme": themes[0] if themes else "(none)",
                },
            )


def _role(turn: Row) -> Role:
    name = turn.need("role", str)
    if name not in set(Role):
        turn.fail(f"role is {name!r}, expected {', '.join(Role)}")
    return Role(name)


def _rubric(row: Row) -> dict[str, Any]:
    points = row.values.get("points")
    if not isinstance(points, int | float) or isinstance(points, bool) or not math.isfinite(points):
        row.fail(f"points is {points!r}, expected a number")
    return {"criterion": row.need("criterion", str), "points": points, "tags": row.texts("tags")}
