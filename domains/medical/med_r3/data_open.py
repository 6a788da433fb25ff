"""Multiple choice as open questions where the stem allows it, as Med-R3 makes its questions (data_construction).

The rewriting and its guards are `mmreason.data.open_questions`; what cannot be rewritten stays as it is. Rows of
RareArena's confirmation task are open questions already.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from mmreason.data.open_questions import to_open
from mmreason.data.step import Drop, StepContext
from mmreason.records import AnswerKind, Sample

_NEGATED = re.compile(
    r"(?i:\b(?:except|least|not (?:true|correct|a|an|one|associated|seen|used|included)|false|incorrect|all of the"
    r" following)\b)|\bNOT\b"
)
_VAGUE = re.compile(r"\b(?:some|several|variable|about|approximately|any)\b|\d\s*(?:-|to)\s*\d", re.IGNORECASE)


def open_where_possible(
    stream: Iterable[Sample | Drop], context: StepContext, by: str = "auto"
) -> Iterator[Sample | Drop]:
    """Data step: each multiple-choice question as an open one, or unchanged with the reason in
    `metadata["not_opened"]`.

    Negated stems, ranges and vague values stay closed. An open question keeps the wrong options for the judge in
    `metadata["wrong_options"]`. `by`: as for `to_open`.
    """
    before: dict[str, Sample] = {}
    for made in to_open(_asked(stream, before), context, by):
        if isinstance(made, Drop):
            source = before.pop(made.id, None) if made.step == "to_open" else None
            yield made if source is None else source.with_meta(not_opened=made.reason)
        elif "twin_of" in made.metadata:
            yield made.with_meta(wrong_options=_wrong(before.pop(made.metadata["twin_of"])))
        else:
            yield made


def _asked(stream: Iterable[Sample | Drop], before: dict[str, Sample]) -> Iterator[Sample | Drop]:
    """The stream for `to_open`; what must stay closed is handed over as a drop, and remembered."""
    for item in stream:
        if isinstance(item, Drop):
            yield item
            continue
        before[item.id] = item
        reason = fault_of(item)
        yield Drop(item.id, "to_open", reason) if reason else item


def fault_of(sample: Sample) -> str:
    """Why a question must stay closed, "" if it may be rewritten."""
    if sample.answer.kind is not AnswerKind.CHOICE:
        return "not_multiple_choice"
    if _NEGATED.search(sample.question):
        return "negated"
    return "vague" if _VAGUE.search(sample.answer.options.get(sample.answer.gold, "")) else ""


def _wrong(sample: Sample) -> str:
    return "; ".join(text for letter, text in sample.answer.options.items() if letter != sample.answer.gold)
