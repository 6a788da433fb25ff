from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chat_server import completion, send_json, serve
from making import choice, context, endpoint

from mmreason.data.ambiguity import ambiguity
from mmreason.data.step import Drop
from mmreason.errors import UserError


def test_flagged_questions_leave_with_the_judges_reason(tmp_path: Path) -> None:
    def script(body: dict[str, Any], seen: int, handler: Any) -> None:
        text = body["messages"][-1]["content"]
        flag = {"ambiguous": "vague" in text, "why": "two readings"}
        send_json(handler, completion("hm" if "unreadable" in text else json.dumps(flag)))

    rows = [choice(id, f"a {id} question?", ["x", "y", "z"], "A") for id in ("clear", "vague", "unreadable")]
    with serve(script) as log:
        first, second, third = ambiguity(rows, context(tmp_path, {"judge": endpoint(log.url)}))
        assert "B. y" in log.prompts()[0], "the judge sees the options"
    assert first == rows[0]
    assert isinstance(second, Drop) and (second.reason, second.detail) == ("ambiguous", "two readings")
    assert isinstance(third, Drop) and third.reason == "review_unread"


def test_a_step_that_needs_a_judge_says_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"set data\.teacher\.judge"):
        ambiguity([], context(tmp_path))
