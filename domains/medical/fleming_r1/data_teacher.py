"""What a model does for the data: words questions anew, checks that one option alone fits, and audits labels.

Prompts are ours; the paper's are not released (arXiv 2509.15279, 3.1). Replies are cached, calls repeated, and what
cannot be read never counts as agreement. `reworded` asks `data.teacher.endpoint`; the others `data.teacher.judge`.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace

from mmreason.data.ambiguity import judge_chat, with_options
from mmreason.data.endpoint import Chat
from mmreason.data.judge import ask_object, parse_object
from mmreason.data.step import Drop, StepContext
from mmreason.data.text import normal
from mmreason.data.workers import map_stream
from mmreason.errors import UserError
from mmreason.records import AnswerKind, Message, Role, Sample

AUDITS = 5
"""Independent answers of the label audit [paper]."""
_OPTION = re.compile(r"(?<![A-Za-z])[A-J][.)]\s|\boption [A-J]\b")

_WORD = """You write exam questions from facts of a medical knowledge graph. Reply with one JSON object and nothing
else: {"question": "..."}
The question is one short clinical vignette with a question at its end. It keeps every visible fact, each name spelt as
given, adds no other finding, names neither the answer nor any option, and has no list of options."""
_CHECK = """You check a multiple-choice question against facts. Reply with one JSON object and nothing else:
{"fitting": ["letters of all options that fit"]}
Take the facts as given and your medical knowledge beside them; several letters if several options fit, none if none."""
_AUDIT = """Answer the medical exam question. Reply with one JSON object and nothing else: {"answer": "letter"}"""


def teacher_chat(context: StepContext) -> Chat:
    """The recipe's teacher endpoint, with a cache of this run. Raises UserError where there is none."""
    teacher = context.recipe.data.teacher
    if teacher is None or teacher.endpoint is None:
        raise UserError("this step asks a teacher endpoint; set data.teacher.endpoint (base_url, model) or take it out")
    return Chat(teacher.endpoint, context.work_dir / "cache" / "teacher_data.sqlite", offline=context.offline)


def reworded(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Data step: graph items in the teacher's words. A wording that breaks a guard leaves the template's in place;
    `worded_by` and `wording_fault` tell which and why."""
    chat = teacher_chat(context)

    def word(sample: Sample) -> Sample:
        if "masked_nodes" not in sample.metadata:
            return sample
        messages = [{"role": "system", "content": _WORD}, {"role": "user", "content": _facts(sample)}]
        said = ask_object(chat, messages, {"question": str})
        text = "" if said is None else said["question"].strip()
        fault = "unread" if said is None else wording_fault(text, sample)
        if fault:
            return sample.with_meta(worded_by="template", wording_fault=fault)
        made = replace(sample, messages=(Message.of(Role.USER, text),))
        return made.with_meta(worded_by=chat.endpoint.model, question=text, template=sample.metadata["question"])

    return map_stream(stream, word, chat.endpoint.concurrency)


def _facts(sample: Sample) -> str:
    answer = sample.answer.options.get(sample.answer.gold, sample.answer.gold)
    told = "\n".join(", ".join(own) for own in sample.metadata["clues"] if own)
    return f"Visible facts, hidden node by hidden node:\n{told}\nTemplate: {sample.question}\nAnswer, hidden: {answer}"


def wording_fault(text: str, sample: Sample) -> str:
    """Which guard a teacher's wording breaks; empty if none."""
    padded = f" {normal(text)} "
    answer = sample.answer.options.get(sample.answer.gold, sample.answer.gold)
    if not text.endswith("?"):
        return "no_question"
    if f" {normal(answer)} " in padded:
        return "names_answer"
    if any(f" {normal(name)} " not in padded for own in sample.metadata["clues"] for name in own):
        return "clue_lost"
    others = [text for letter, text in sample.answer.options.items() if letter != sample.answer.gold]
    return "names_option" if any(f" {normal(name)} " in padded for name in others) or _OPTION.search(text) else ""


def one_fits(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Data step: drop a choice of which the judge says that another option fits, several do, or none does.

    What is unique in the graph need not be in the world: a released graph lacks facts.
    """
    chat = judge_chat(context)

    def check(sample: Sample) -> Sample | Drop:
        if sample.answer.kind is not AnswerKind.CHOICE:
            return sample
        messages = [{"role": "system", "content": _CHECK}, {"role": "user", "content": with_options(sample)}]
        said = ask_object(chat, messages, {"fitting": list})
        if said is None:
            return Drop(sample.id, "one_fits", "check_unread", "no reply could be read", sample.to_dict())
        fitting = sorted({str(letter).strip().upper() for letter in said["fitting"]})
        if fitting == sorted(sample.answer.gold):
            return sample.with_meta(checked_by=chat.endpoint.model)
        reason = "none_fits" if not fitting else "several_fit" if sample.answer.gold in fitting else "another_fits"
        return Drop(sample.id, "one_fits", reason, ", ".join(fitting), sample.to_dict())

    return map_stream(stream, check, chat.endpoint.concurrency)


@dataclass(frozen=True, slots=True)
class LabelAudit:
    """Several independent answers against a label."""

    n_correct: int
    of: int
    flagged: bool
    """No answer agrees with the gold: a person should look [paper: flagged, not dropped]."""
    instead: str
    """The answer that more than half of the readable ones give in its place; empty where they disagree."""


def audit(answers: Sequence[str | None], gold: str) -> LabelAudit:
    """The audit of one item; None is an answer that could not be read. Nothing readable flags nothing."""
    read = [answer for answer in answers if answer is not None]
    right = sum(answer == gold for answer in read)
    counts = Counter(answer for answer in read if answer != gold)
    first, most = counts.most_common(1)[0] if counts else ("", 0)
    flagged = bool(read) and len(read) == len(answers) and right == 0
    return LabelAudit(right, len(answers), flagged, first if 2 * most > len(read) else "")


def audited(stream: Iterable[Sample | Drop], context: StepContext, answers: int = AUDITS) -> Iterator[Sample | Drop]:
    """Data step: the judge answers each choice `answers` times, blind; `label_audit` holds what came of it.

    Flagged items stay: they are for a person to review, and the mining parks those that no model ever solves.
    """
    if answers < 1:
        raise UserError(f"audited: answers is {answers}, expected 1 or more")
    chat = judge_chat(context)

    def one(sample: Sample) -> Sample:
        if sample.answer.kind is not AnswerKind.CHOICE:
            return sample
        messages = [{"role": "system", "content": _AUDIT}, {"role": "user", "content": with_options(sample)}]
        said = [parse_object(chat.ask(messages, turn).content, {"answer": str}) for turn in range(answers)]
        letters = [None if one is None else "".join(sorted(one["answer"].strip().upper())) for one in said]
        known = [letter if letter and set(letter) <= set(sample.answer.options) else None for letter in letters]
        return sample.with_meta(label_audit={**asdict(audit(known, sample.answer.gold)), "by": chat.endpoint.model})

    return map_stream(stream, one, chat.endpoint.concurrency)


def suspects(samples: Iterable[Sample]) -> list[dict[str, str]]:
    """The flagged items for a person to review: id, question, gold, and what was answered in its place."""
    return [
        {
            "id": one.id,
            "question": one.question,
            "gold": one.answer.gold,
            "instead": one.metadata["label_audit"]["instead"],
        }
        for one in samples
        if one.metadata.get("label_audit", {}).get("flagged")
    ]
