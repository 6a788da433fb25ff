"""Distillation with verification: a teacher writes chains, a judge lets the right ones through.

At most T attempts a question; the first accepted chain goes to the SFT set; a question whose attempts all failed
keeps its gold without a chain and is the RL pool [DianJin-R1, figure 2].
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from mmreason.config import Domain, Recipe
from mmreason.data.endpoint import Chat, EndpointStopped, Reply, chat_messages
from mmreason.data.judge import Judge, Judgement, endpoint_judge, judge_locally
from mmreason.data.material import material_of, write_chain
from mmreason.data.workers import run_parallel
from mmreason.errors import UserError
from mmreason.project import load_ref
from mmreason.records import AnswerKind, Sample
from mmreason.run.progress import progress

Ask = Callable[[Sample, int], str | None]
"""(sample, attempt) -> response; None when this teacher has nothing to write from."""

_BLOCK = re.compile(r"<answer>.*</answer>", re.DOTALL)


@dataclass(frozen=True)
class Teacher:
    """Who writes, and how often and how many at once it may be asked."""

    name: str
    """Model, solver reference, or "material" (each sample then names its own)."""
    ask: Ask
    judge: Judge
    attempts: int
    workers: int
    chats: tuple[Chat, ...] = ()
    """Endpoints in use, for counts; empty offline."""


@dataclass(frozen=True)
class Lesson:
    """What came of one question."""

    sample: Sample
    first: str | None
    """First response, whatever its verdict."""
    accepted: str | None
    verdicts: tuple[dict[str, Any], ...]
    teacher: str


@dataclass(frozen=True)
class Distilled:
    """The sets that distillation makes. `unverified` is the control arm: the first attempt, right or wrong."""

    sft: list[Sample]
    unverified: list[Sample]
    rl: list[Sample]


def as_response(reply: Reply) -> str:
    """A reply in think/answer form: separate reasoning becomes the think block, bare text the answer block."""
    think, _, rest = reply.content.rpartition("</think>")
    think = think.replace("<think>", "", 1).strip() or reply.reasoning.strip()
    block = _BLOCK.search(rest)
    answer = block.group(0) if block else f"<answer>{rest.strip()}</answer>"
    return f"<think>{think}</think>{answer}"


def _endpoint_ask(chat: Chat) -> Ask:
    def ask(sample: Sample, attempt: int) -> str:
        reply = chat.ask(chat_messages(sample.prompt), attempt)
        return reply.content if reply.finish in ("length", "empty") else as_response(reply)  # a cut chain stays cut

    return ask


def make_teacher(recipe: Recipe, domain: Domain, cache: Path, *, embedded: bool) -> Teacher:
    """The recipe's teacher: its endpoint, its solver on the embedded sets, else the material of the released rows."""
    settings = recipe.data.teacher
    chats: list[Chat] = []
    verify = settings.verify if settings is not None else None
    judge: Judge = judge_locally if verify is None else cast(Judge, load_ref(verify, domain.folder))
    if settings is not None and settings.judge is not None:
        chats.append(Chat(settings.judge, cache / "judge.sqlite", role="judge"))
        judge = endpoint_judge(chats[0])
    if settings is not None and settings.endpoint is not None:
        chats.append(Chat(settings.endpoint, cache / "teacher.sqlite"))
        endpoint = settings.endpoint
        ask = _endpoint_ask(chats[-1])
        return Teacher(endpoint.model, ask, judge, settings.attempts, endpoint.concurrency, tuple(chats))
    workers = settings.judge.concurrency if settings is not None and settings.judge is not None else 1
    if settings is not None and settings.solver is not None and embedded:
        ask = load_ref(settings.solver, domain.folder)(settings.options)
        return Teacher(settings.solver, ask, judge, settings.attempts, workers, tuple(chats))
    return Teacher("material", write_chain, judge, 1, workers, tuple(chats))


def teach(sample: Sample, teacher: Teacher) -> Lesson:
    """Ask until a chain is accepted, at most `teacher.attempts` times."""
    own_chain = teacher.name == "material" or bool({"chain", "trace"} & set(sample.evidence))  # a data step wrote it
    ask = write_chain if own_chain else teacher.ask
    name = (material_of(sample) or "none") if own_chain else teacher.name
    first: str | None = None
    verdicts: list[dict[str, Any]] = []
    for attempt in range(teacher.attempts):
        response = ask(sample, attempt)
        if response is None:
            break
        first = response if first is None else first
        judgement: Judgement = teacher.judge(sample, response)
        verdicts.append(judgement.to_dict())
        if judgement.accepted:
            return Lesson(sample, first, response, tuple(verdicts), name)
    return Lesson(sample, first, None, tuple(verdicts), name)


def bare_answer(sample: Sample) -> str:
    """The gold answer without a chain, for answer-only training where no chain exists."""
    gold = sample.answer.gold
    shown = gold if sample.answer.kind is AnswerKind.FREE else f"\\boxed{{{gold}}}"
    return f"<answer>{shown}</answer>"


def sort_lessons(lessons: Sequence[Lesson], *, answers_suffice: bool = False) -> Distilled:
    """Lessons as training samples. `answers_suffice`: with the answer as target, rows without a chain train too."""
    made = Distilled([], [], [])
    for lesson in lessons:
        facts = {"teacher": lesson.teacher, "attempts": len(lesson.verdicts), "verdicts": list(lesson.verdicts)}
        if lesson.first is not None:
            made.unverified.append(lesson.sample.with_response(lesson.first).with_meta(**facts))
        if lesson.accepted is not None:
            made.sft.append(lesson.sample.with_response(lesson.accepted).with_meta(**facts))
            continue
        source = "teacher_failed" if lesson.first is not None else "no_chain_material"
        made.rl.append(lesson.sample.without_response().with_meta(source=source, **facts))
        if answers_suffice and lesson.first is None:
            facts["teacher"] = "gold_answer"
            made.sft.append(lesson.sample.with_response(bare_answer(lesson.sample)).with_meta(**facts))
    return made


def distil(samples: Sequence[Sample], teacher: Teacher, *, answers_suffice: bool = False) -> Distilled:
    """Teach every sample. Raises EndpointStopped saying how far it got; what came is cached for the next run."""
    finished = 0
    with progress("teacher", total=len(samples)) as tick:

        def on_done(count: int) -> None:
            nonlocal finished
            finished += count
            tick(count)

        try:
            lessons = run_parallel(lambda sample: teach(sample, teacher), samples, teacher.workers, on_done)
        except EndpointStopped as stopped:
            cached = sum(len(chat.cache) for chat in teacher.chats)
            raise UserError(
                f"{stopped}; {finished} of {len(samples)} questions are finished and {cached} replies are cached: "
                "run the same command again to continue"
            ) from stopped
    return sort_lessons(lessons, answers_suffice=answers_suffice)
