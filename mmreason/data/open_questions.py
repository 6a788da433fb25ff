"""Multiple choice turned into open questions (CFLUE_OE), by a model or by rule, behind the guards of the sheet.

Guards: (a) the stem points at no list of options, (b) no option letters in stem or reference, (c) the reference is
the right option's content, with the explanation kept beside it, (d) a judge answers from the reference and finds it
unique (endpoint only), (e) `metadata.twin_of` links to the source, so that twins never straddle train and test.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any

from mmreason.data.ambiguity import judge_chat, with_options
from mmreason.data.endpoint import Chat
from mmreason.data.judge import ask_object
from mmreason.data.step import Drop, StepContext
from mmreason.data.text import question_of
from mmreason.data.workers import map_stream
from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, Message, Role, Sample

_POINTS = re.compile(
    r"which (?:one )?of (?:the following|these)|the following|below|以下|下列|下面|下述|选项|上述.{0,6}(?:中|哪)"
    r"|(?:正确|错误|不正确|不准确|有误|不对|恰当|合适)的(?:是|有|为|说法|表述)|不属于|不包括|不包含|除.{0,12}外",
    re.IGNORECASE,
)
_LETTER = re.compile(r"(?<![A-Za-z0-9])[A-H](?:[.、)）:：]|项|选项)|选\s*[A-H](?![A-Za-z])|\boption [A-H]\b")
_REFERS = re.compile(r"以上|上述|都对|都不|都是|all of the above|none of the above|both", re.IGNORECASE)
_BLANK = re.compile(r"[（(]\s*[)）]|_{2,}")
_ASKS_FOR_NAME = re.compile(r"(?:是|为|指|叫|称|称作|即|于)$|\b(?:is|are|equals|called|by|of)$", re.IGNORECASE)
"""Words after which a blank is a name or a number, so that "what" may stand in its place."""
_MARKS = "。.？?！!；;：: "


def _fault_of_source(sample: Sample) -> str:
    """Why an item cannot become an open question, "" if it may."""
    answer = sample.answer
    if sample.media:
        return "has_pictures"
    if answer.kind is not AnswerKind.CHOICE:
        return "not_multiple_choice"
    if answer.multi or len(answer.gold) != 1:
        return "several_answers"
    if len(answer.options) < 3:
        return "true_or_false"
    if _REFERS.search(answer.options[answer.gold]):
        return "option_refers_to_options"
    return ""


def _fault_of_rewrite(stem: str, reference: str) -> str:
    """Guards (a) to (c) on a rewritten pair, "" if it passes."""
    if not stem.strip() or not reference.strip():
        return "empty_rewrite"
    if _POINTS.search(stem):
        return "points_at_options"
    if _LETTER.search(stem) or _LETTER.search(reference):
        return "option_letters"
    return "" if not _BLANK.search(stem) else "blank_left"


def by_rule(sample: Sample) -> str | None:
    """A stem that stands alone: a question as it is, or one whose single blank ends it. None for others."""
    stem = question_of(sample).strip()
    blanks = _BLANK.findall(stem)
    if not blanks:
        return stem if stem.endswith(("?", "？")) else None
    match = _BLANK.search(stem)
    if len(blanks) > 1 or match is None or stem[match.end() :].strip(_MARKS):
        return None
    before = stem[: match.start()].rstrip(" ,，:：")
    if not _ASKS_FOR_NAME.search(before):
        return None
    return f"{before} what?" if sample.answer.lang == "en" else f"{before}什么？"


def _open_form(sample: Sample, stem: str, reference: str, by: str) -> Sample:
    answer = Answer(AnswerKind.FREE, reference, lang=sample.answer.lang)
    bare = replace(sample, id=f"{sample.id}-open", messages=(Message.of(Role.USER, stem),), answer=answer)
    return bare.with_meta(twin_of=sample.id, question=stem, rewritten_by=by)


def _drop(sample: Sample, reason: str, detail: str = "") -> Drop:
    return Drop(sample.id, "to_open", reason, detail, sample.to_dict())


def _rewrite_by_rule(sample: Sample) -> Sample | Drop:
    fault = _fault_of_source(sample)
    if fault:
        return _drop(sample, fault)
    stem, reference = by_rule(sample), sample.answer.options[sample.answer.gold]
    if stem is None:
        return _drop(sample, "stem_needs_options")
    fault = _fault_of_rewrite(stem, reference)
    return _drop(sample, fault, stem) if fault else _open_form(sample, stem, reference, "rule")


_REWRITE = """You turn a multiple-choice question into an open question that can be answered without seeing the options.
Reply with one JSON object and nothing else:
{"standalone": true or false, "question": "...", "answer": "..."}
standalone: false if the question cannot be asked without its options. question: in the language of the original,
without mention of options or letters. answer: the content of the right option, with the conclusion of the
explanation where it adds something, without letters."""
_CONFIRM = """You check an open question and its reference answer. Reply with one JSON object and nothing else:
{"unique": true or false, "covered": true or false}
unique: the question has one right answer, and the reference states it. covered: the reference keeps the content of
the right option."""


def _source_text(sample: Sample) -> str:
    explanation = sample.evidence.get("explanation") or "(none)"
    return f"{with_options(sample)}\n\nRight option: {sample.answer.gold}\nExplanation: {explanation}"


def _ask(chat: Chat, task: str, text: str, wanted: dict[str, type]) -> dict[str, Any] | None:
    return ask_object(chat, [{"role": "system", "content": task}, {"role": "user", "content": text}], wanted)


def _rewrite_by_model(sample: Sample, chat: Chat) -> Sample | Drop:
    fault = _fault_of_source(sample)
    if fault:
        return _drop(sample, fault)
    said = _ask(chat, _REWRITE, _source_text(sample), {"standalone": bool, "question": str, "answer": str})
    if said is None:
        return _drop(sample, "rewrite_unread")
    if not said["standalone"]:
        return _drop(sample, "stem_needs_options")
    stem, reference = said["question"].strip(), said["answer"].strip()
    fault = _fault_of_rewrite(stem, reference)
    if fault:
        return _drop(sample, fault, stem)
    right = sample.answer.options[sample.answer.gold]
    pair = f"Question: {stem}\nReference: {reference}\nRight option of the source: {right}"
    confirmed = _ask(chat, _CONFIRM, pair, {"unique": bool, "covered": bool})
    if confirmed is None or not (confirmed["unique"] and confirmed["covered"]):
        reason = "confirm_unread" if confirmed is None else "not_unique" if not confirmed["unique"] else "not_covered"
        return _drop(sample, reason, stem)
    return _open_form(sample, stem, reference, chat.endpoint.model)


def to_open(stream: Iterable[Sample | Drop], context: StepContext, by: str = "auto") -> Iterator[Sample | Drop]:
    """Rewrite each multiple-choice sample, or drop it with the guard that it fails.

    `by`: "rule", "endpoint" (the judge endpoint rewrites and confirms), or "auto": the endpoint where there is one.
    """
    if by not in ("auto", "rule", "endpoint"):
        raise UserError(f"to_open: by is {by!r}, expected 'auto', 'rule' or 'endpoint'")
    teacher = context.recipe.data.teacher
    has_judge = teacher is not None and teacher.judge is not None
    if by == "rule" or (by == "auto" and not has_judge):
        return map_stream(stream, _rewrite_by_rule, 1)
    chat = judge_chat(context)
    return map_stream(stream, partial(_rewrite_by_model, chat=chat), chat.endpoint.concurrency)
