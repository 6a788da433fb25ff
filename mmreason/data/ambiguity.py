"""Ambiguity filter: a judge model flags questions whose wording admits more than one answer [DianJin-R1]."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from mmreason.data.endpoint import Chat
from mmreason.data.judge import ask_object
from mmreason.data.step import Drop, StepContext
from mmreason.data.workers import map_stream
from mmreason.errors import UserError
from mmreason.records import Sample

_TASK = """You review exam questions. Reply with one JSON object and nothing else:
{"ambiguous": true or false, "why": "one sentence"}
ambiguous: the wording is unclear, information needed for the answer is missing, or several options fit equally well."""


def judge_chat(context: StepContext) -> Chat:
    """The recipe's judge endpoint, with the cache of this run. Raises UserError where there is none."""
    teacher = context.recipe.data.teacher
    if teacher is None or teacher.judge is None:
        raise UserError(
            "this step asks a judge endpoint; set data.teacher.judge (base_url, model) or take the step out"
        )
    return Chat(teacher.judge, context.work_dir / "cache" / "judge.sqlite", role="judge", offline=context.offline)


def with_options(sample: Sample) -> str:
    """The whole question as a reader sees it, options included."""
    options = "\n".join(f"{letter}. {text}" for letter, text in sample.answer.options.items())
    return f"{sample.question}\n{options}".strip()


def ambiguity(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Drop flagged questions; a question whose review cannot be read is dropped too, under its own reason."""
    chat = judge_chat(context)

    def review(sample: Sample) -> Sample | Drop:
        messages = [{"role": "system", "content": _TASK}, {"role": "user", "content": with_options(sample)}]
        said = ask_object(chat, messages, {"ambiguous": bool})
        if said is None:
            return Drop(sample.id, "ambiguity", "review_unread", "no reply could be read", sample.to_dict())
        if said["ambiguous"]:
            return Drop(sample.id, "ambiguity", "ambiguous", str(said.get("why", ""))[:300], sample.to_dict())
        return sample

    return map_stream(stream, review, chat.endpoint.concurrency)
