"""The cold start's rationales: the teacher sees question and gold, and writes how one leads to the other.

arXiv 2509.15279, 3.2: rationalisation, not blind solving; the hardest items are drafted, compared with the gold and
revised by backtracking, exploring other paths or correcting oneself. Reconstructed: a rationale is accepted only if a
blind reader of it, its answer taken out, comes to the gold, and if it does not betray that the gold was given. What is
accepted stands in `evidence["trace"]`, which the distillation takes in place of a teacher's blind chain.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

from mmreason.data.ambiguity import with_options
from mmreason.data.endpoint import Chat
from mmreason.data.judge import ask_object
from mmreason.data.material import boxed_gold, compose
from mmreason.data.step import Drop, StepContext
from mmreason.data.workers import map_stream
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import AnswerKind, Sample

_HERE = Path(__file__).parent
asking = load_module(_HERE / "data_teacher.py")
tiers = load_module(_HERE / "tiers.py")

REVISIONS = (
    "Go back to the step where the draft leaves the way to the answer, and take it again.",
    "Explore another line of reasoning from the findings, and say why the first does not hold.",
    "Check every step of the draft, and correct what is wrong or missing.",
)
"""Backtracking, path exploration, self-correction [paper]; taken in turn."""
_BETRAYS = re.compile(
    r"(?:given|provided|stated|reference|known|gold|correct) (?:answer|option|label|solution)|answer (?:key|is given)"
    r"|as (?:given|stated) in the (?:answer|key)",
    re.IGNORECASE,
)
_WRITE = """You write short, well-ordered rationales for medical exam questions. You are told the right answer. Reply
with one JSON object and nothing else: {"rationale": "..."}
The rationale leads from the question to the answer, weighs the other options where that decides, and reads as if the
answer had been found: it never says that the answer was known."""
_RESOLVE = """Read a question and the reasoning of another person about it, whose answer was taken out. Reply with one
JSON object and nothing else: {"answer": "the letter that the reasoning leads to"}"""


def rationales(
    stream: Iterable[Sample | Drop], context: StepContext, attempts: int = 1, revisions: int = 3
) -> Iterator[Sample | Drop]:
    """Data step: choices of single answers get a trace where one is accepted; `rationale` tells how it went.

    `attempts`: drafts of an easy or moderate item; a difficult one is also revised up to `revisions` times. An item
    without a trace is left to the distillation's blind teacher, and to RL where that fails too.
    """
    if attempts < 1 or revisions < 0:
        raise UserError(f"rationales: attempts is {attempts}, revisions {revisions}; expected 1 and 0 or more")
    chat = asking.teacher_chat(context)

    def write(sample: Sample) -> Sample:
        if sample.answer.kind is not AnswerKind.CHOICE or sample.answer.multi:
            return sample
        hard = sample.metadata.get("tier") == tiers.Tier.DIFFICULT.value
        text, faults = drafted(sample, chat, attempts + (revisions if hard else 0))
        told = sample.with_meta(rationale={"by": chat.endpoint.model, "faults": faults, "accepted": text is not None})
        if text is None:
            return told
        return replace(told, evidence={**told.evidence, "trace": compose(text, boxed_gold(sample))})

    return map_stream(stream, write, chat.endpoint.concurrency)


def drafted(sample: Sample, chat: Chat, tries: int) -> tuple[str | None, list[str]]:
    """The first accepted rationale, None without one, and what was wrong with those before."""
    faults: list[str] = []
    draft = ""
    for turn in range(tries):
        said = ask_object(chat, _messages(sample, draft, faults, turn), {"rationale": str})
        draft = "" if said is None else said["rationale"].strip()
        fault = rationale_fault(draft) or ("" if resolves(sample, draft, chat) else "leads_elsewhere")
        if not fault:
            return draft, faults
        faults.append(fault)
    return None, faults


def _messages(sample: Sample, draft: str, faults: list[str], turn: int) -> list[dict[str, str]]:
    gold = f"{sample.answer.gold}. {sample.answer.options[sample.answer.gold]}"
    text = f"{with_options(sample)}\n\nRight answer: {gold}"
    if faults:
        how = REVISIONS[(turn - 1) % len(REVISIONS)]
        text += f"\n\nDraft {turn}, which fails ({faults[-1]}):\n{draft or '(unreadable)'}\n{how}"
    return [{"role": "system", "content": _WRITE}, {"role": "user", "content": text}]


def rationale_fault(text: str) -> str:
    """What the text alone shows to be wrong; empty if nothing."""
    if not any(letter.isalnum() for letter in text):
        return "empty"
    if "<think" in text or "</think" in text or "<answer" in text or "</answer" in text:
        return "tags"
    return "betrays_the_gold" if _BETRAYS.search(text) else ""


def resolves(sample: Sample, text: str, chat: Chat) -> bool:
    """Whether a blind reader comes to the gold: sentences that state the letter itself are taken out before."""
    own = re.compile(rf"[^.!?\n]*\b(?:answer|option|choice)\b[^.!?\n]*\b{sample.answer.gold}\b[^.!?\n]*[.!?]?")
    asked = f"{with_options(sample)}\n\nReasoning:\n{own.sub('', text).strip()}"
    messages = [{"role": "system", "content": _RESOLVE}, {"role": "user", "content": asked}]
    said = ask_object(chat, messages, {"answer": str})
    return said is not None and said["answer"].strip().upper() == sample.answer.gold
