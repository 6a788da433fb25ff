"""The VQA-consistency auditor: question and answer that do not fit each other are rewritten, or leave.

Only the idea is known (arXiv 2505.19213; reviews). Reconstructed: a teacher endpoint is asked whether the answer
answers the question, is unique, and whether the question stands alone; what is not consistent may be rewritten once;
the rewrite passes if a second look calls it consistent, if the new answer is about the same thing as the old one (same
head noun) and contradicts it in nothing (`../conflicts.py`). Test parts are never audited. Replies are cached.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Any

from mmreason.data.ambiguity import with_options
from mmreason.data.endpoint import Chat
from mmreason.data.judge import ask_object
from mmreason.data.step import Drop, StepContext
from mmreason.data.text import question_of
from mmreason.data.workers import map_stream
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import AnswerKind, Message, Sample

_HERE = Path(__file__).parent
conflict = load_module(_HERE.parent / "conflicts.py")
rewards = load_module(_HERE / "rewards.py")

STEP = "audit"
_TASK = """You audit questions about medical images together with their reference answers. You do not see the image.
Is the pair consistent: does the answer answer this very question, is it the only right one, can the question be
understood by itself? Reply with one JSON object and nothing else:
{"consistent": true or false, "reason": "one sentence", "new_question": "...", "new_answer": "..."}
new_question and new_answer only where consistent is false and a change of wording alone makes the pair consistent. They
must keep the medical content: findings, structures, sides, numbers and negations stay as they are."""
_PREPOSITION = re.compile(r"^(?:of|in|on|at|with|within|from|near|by|for|to|over|under|between|around)$")


class Outcome(StrEnum):
    """What became of a pair, as `metadata["audit"]["outcome"]` says it."""

    KEPT = "kept"
    REWRITTEN = "rewritten"
    DROPPED = "dropped"


def audit(stream: Iterable[Sample | Drop], context: StepContext, required: bool = False) -> Iterator[Sample | Drop]:
    """Data step: each pair with `metadata["audit"]` = {outcome, by, reason}, of a rewritten one with its `original`.

    Asks `data.teacher.endpoint`. Without one every pair is kept and the record says that nobody looked; with `required`
    that is a UserError. Drops: `inconsistent`, `audit_unread` (no reply could be read), `rewrite_refused`. Raises
    UserError for a sample of a test part, EndpointStopped where the endpoint cannot go on; what came is cached.
    `options.medcco.audits` spares the kind of question that a stage does not train on.
    """
    teacher = context.recipe.data.teacher
    endpoint = teacher.endpoint if teacher is not None else None
    if endpoint is None:
        if required:
            raise UserError("the audit asks a teacher endpoint; set data.teacher.endpoint (base_url, model)")
        return map_stream(stream, partial(_checked, look=partial(_unseen, why="no teacher endpoint")), 1)
    chat = Chat(endpoint, context.work_dir / "cache" / "audit.sqlite", role="auditor", offline=context.offline)
    audits = rewards.settings.of(context.recipe.options).audits.value
    return map_stream(stream, partial(_checked, look=partial(_look, chat=chat, audits=audits)), endpoint.concurrency)


def _checked(sample: Sample, look: Any) -> Sample | Drop:
    if "test" in sample.source.split.lower():
        raise UserError(
            f"sample {sample.id} is of the part {sample.source.split!r} of {sample.source.dataset}: test parts are "
            "never audited; take the step out of this data set"
        )
    found: Sample | Drop = look(sample)
    return found


def _unseen(sample: Sample, why: str) -> Sample:
    return _marked(sample, Outcome.KEPT, "nobody", why)


def _look(sample: Sample, chat: Chat, audits: str) -> Sample | Drop:
    if audits not in ("all", "closed" if rewards.is_closed(sample) else "open"):
        return _unseen(sample, f"{audits} questions alone are audited")
    by = chat.endpoint.model
    said = _ask(sample, chat)
    if said is None:
        return _dropped(sample, by, "audit_unread", "no reply could be read")
    reason = str(said.get("reason", ""))[:300]
    if said["consistent"]:
        return _marked(sample, Outcome.KEPT, by, reason)
    question, answer = _text(said, "new_question"), _text(said, "new_answer")
    if not question and not answer:
        return _dropped(sample, by, "inconsistent", reason)
    made = rewritten(sample, question or question_of(sample), answer or answer_of(sample))
    if isinstance(made, str):
        return _dropped(sample, by, "rewrite_refused", made)
    again = _ask(made, chat)
    if again is None or not again["consistent"]:
        return _dropped(sample, by, "rewrite_refused", "a second look does not find the rewrite consistent")
    original = {"question": question_of(sample), "answer": answer_of(sample)}
    return _marked(made, Outcome.REWRITTEN, by, reason, original=original)


def _ask(sample: Sample, chat: Chat) -> dict[str, Any] | None:
    caption = str(sample.metadata.get("caption") or sample.evidence.get("caption") or "").strip()
    fields = [("Question", with_options(sample)), ("Reference answer", answer_of(sample))]
    fields += [("Caption of the image", caption)] if caption else []
    text = "\n\n".join(f"## {title}\n{value}" for title, value in fields)
    return ask_object(
        chat, [{"role": "system", "content": _TASK}, {"role": "user", "content": text}], {"consistent": bool}
    )


def _text(said: dict[str, Any], key: str) -> str:
    value = said.get(key)
    return value.strip() if isinstance(value, str) else ""


def answer_of(sample: Sample) -> str:
    """The reference in words; of a choice the text of its option."""
    return sample.answer.options.get(sample.answer.gold, sample.answer.gold)


def rewritten(sample: Sample, question: str, answer: str) -> Sample | str:
    """The sample with another wording, or why that may not be. Options, yes and no stay as they are."""
    old, fixed = answer_of(sample), sample.answer.kind in (AnswerKind.CHOICE, AnswerKind.JUDGEMENT)
    if fixed and conflict.plain_words(answer) != conflict.plain_words(old):
        return f"the new answer {answer!r} is another option than {old!r}"
    if head_noun(answer) != head_noun(old):
        return f"the new answer {answer!r} is about something else than {old!r}"
    found = conflict.conflicts(answer, old)
    if found:
        return f"the new answer {answer!r} contradicts {old!r} in {', '.join(sorted(found))}"
    gold = sample.answer if fixed else replace(sample.answer, gold=answer)
    messages = (Message.about(question, sample.media),)
    return replace(sample, messages=messages, answer=gold).with_meta(question=question)


def head_noun(text: str) -> str:
    """What a phrase is about: the last word before its first preposition, in the singular; "" for none.

    "a mass of the left lung" and "large mass" are both about a mass.
    """
    words = conflict.plain_words(text)
    end = next((place for place, word in enumerate(words) if place and _PREPOSITION.match(word)), len(words))
    last = words[end - 1] if words else ""
    return last[:-1] if len(last) > 3 and last.endswith("s") and not last.endswith(("ss", "is", "us")) else last


def _marked(sample: Sample, outcome: Outcome, by: str, reason: str, **more: Any) -> Sample:
    return sample.with_meta(audit={"outcome": outcome.value, "by": by, "reason": reason, **more})


def _dropped(sample: Sample, by: str, why: str, reason: str) -> Drop:
    return Drop(sample.id, STEP, why, reason, _marked(sample, Outcome.DROPPED, by, f"{why}: {reason}").to_dict())
