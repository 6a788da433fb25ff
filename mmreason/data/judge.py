"""Who says that a chain is right: our graders on the answer, or a judge model with a structured verdict."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from mmreason.data.endpoint import Chat
from mmreason.data.text import question_of
from mmreason.records import AnswerKind, Outcome, Sample, Verdict
from mmreason.rewards.format import check_format
from mmreason.rewards.grade import grade
from mmreason.rewards.program import ProgramError, execute
from mmreason.rewards.terms import UNBOXED

JUDGE_TRIES = 3
"""Draws until a judge's reply parses; after that the judgement has failed, which never counts as agreement."""
PROGRAM_TOLERANCE = 1e-4
"""Relative difference allowed between an executed gold program and the gold answer [reconstructed]."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """Verdict on one attempt: both must hold for a chain to enter the SFT set."""

    answer_match: bool
    reasoning_consistent: bool
    why: str
    by: str
    """"grader", "grader+program" or the judge model's name."""
    parsed: bool = True
    """False when no reply of the judge could be read."""

    @property
    def accepted(self) -> bool:
        return self.answer_match and self.reasoning_consistent

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "accepted": self.accepted}


Judge = Callable[[Sample, str], Judgement]
"""Judges a response to a sample."""


def _program_holds(sample: Sample) -> bool:
    """Whether the gold program executes to the gold answer; true where there is no program."""
    program, table = sample.evidence.get("program"), sample.evidence.get("table")
    if not isinstance(program, str) or not isinstance(table, list):
        return True
    try:
        value = execute(program, table)
        gold = float(sample.answer.gold.rstrip("%"))
    except ProgramError:
        return False
    except ValueError:
        return str(value) == sample.answer.gold
    return isinstance(value, int | float) and abs(value - gold) <= PROGRAM_TOLERANCE * max(1.0, abs(gold))


def judge_locally(sample: Sample, response: str) -> Judgement:
    """Form and answer by our graders; with a gold program, that must execute to the gold answer too."""
    form = check_format(response, needs_box=sample.answer.kind not in UNBOXED)
    verdict: Verdict = grade(response, sample.answer)
    by = "grader+program" if "program" in sample.evidence else "grader"
    why = verdict.why if form.ok else f"form: {form.why}"
    return Judgement(form.ok and verdict.outcome is Outcome.RIGHT, _program_holds(sample), why, by)


_TASK = """You check an answer to a finance question against its reference. Reply with one JSON object and nothing else:
{"answer_match": true or false, "reasoning_consistent": true or false, "why": "one sentence"}
answer_match: the final answer means the same as the reference answer (format, unit words and rounding aside).
reasoning_consistent: the reasoning leads to that answer and does not contradict the reference explanation
(where there is none: it contains no wrong step)."""


def judge_prompt(sample: Sample, response: str) -> list[dict[str, str]]:
    """Messages for the judge. The prompt is ours: the paper's is not released."""
    options = "\n".join(f"{letter}. {text}" for letter, text in sample.answer.options.items())
    explanation = sample.evidence.get("explanation") or "(none)"
    fields = (
        ("Question", f"{question_of(sample)}\n{options}".strip()),
        ("Reference answer", sample.answer.gold),
        ("Reference explanation", explanation),
        ("Response to check", response),
    )
    text = "\n\n".join(f"## {title}\n{value}" for title, value in fields)
    return [{"role": "system", "content": _TASK}, {"role": "user", "content": text}]


def parse_object(text: str, wanted: dict[str, type]) -> dict[str, Any] | None:
    """The last JSON object in `text` whose `wanted` keys have exactly these types, else None."""
    decoder = json.JSONDecoder()
    found = None
    start = text.find("{")
    while start >= 0:
        try:
            value, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError:
            start = text.find("{", start + 1)
            continue
        if isinstance(value, dict) and all(type(value.get(key)) is kind for key, kind in wanted.items()):
            found = value
        start = text.find("{", end)
    return found


def ask_object(
    chat: Chat, messages: list[dict[str, str]], wanted: dict[str, type], tries: int = JUDGE_TRIES
) -> dict[str, Any] | None:
    """A structured reply of an endpoint; None when `tries` draws do not parse."""
    for attempt in range(tries):
        found = parse_object(chat.ask(messages, attempt).content, wanted)
        if found is not None:
            return found
    return None


def endpoint_judge(chat: Chat) -> Judge:
    """Checks per set as the sheet says (section 3).

    Choice: letters by our grader and reasoning by the judge. Number, judgement, mathematics: as `judge_locally`.
    Free text: answer and reasoning by the judge.
    """

    def judge(sample: Sample, response: str) -> Judgement:
        if sample.answer.kind not in UNBOXED:
            local = judge_locally(sample, response)
            if sample.answer.kind is not AnswerKind.CHOICE or not local.accepted:
                return local
        else:
            form = check_format(response, needs_box=False)
            if not form.ok:
                return Judgement(False, False, f"form: {form.why}", "grader")
        said = ask_object(chat, judge_prompt(sample, response), {"answer_match": bool, "reasoning_consistent": bool})
        if said is None:
            return Judgement(False, False, "the judge's reply could not be read", chat.endpoint.model, parsed=False)
        match = True if sample.answer.kind is AnswerKind.CHOICE else said["answer_match"]
        return Judgement(match, said["reasoning_consistent"], str(said.get("why", ""))[:300], chat.endpoint.model)

    return judge
