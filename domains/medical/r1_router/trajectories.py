"""Teacher trajectories: the released file, the filters, and single steps as training samples.

A trajectory lies in a sample's `evidence["trajectory"]` as a list of steps:

    {"kind": "plan", "query", "base", "shown"}     base "none" where the teacher had finished; shown: the passages' turn
    {"kind": "answer", "golds": [the teacher's], ...}
    {"kind": "final", "golds": [accepted answers], ...}

with a `thought` where the teacher's is known, and `said` in a final step that is not checked yet. Step-GRPO trains on
each step by itself, conditioned on the teacher's steps before it (OpenBMB/MoRE, Easy-R1/verl/utils/rl_dataset.py).
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath
from typing import Any

from mmreason.data.lines import Row, read_rows
from mmreason.data.step import Drop, ReadRequest, StepContext
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Role, Sample, Source

_HERE = Path(__file__).parent
forms = load_module(_HERE / "forms.py")
rewards = load_module(_HERE / "rewards.py")
settings = load_module(_HERE / "settings.py")
Step, NONE = settings.Step, settings.NONE
Steps = list[dict[str, Any]]

_PICTURES = "r1_router_released/images/"
_QUESTION = re.compile(r"Origin question: (.*?)(?:\n|<image>|$)")


def released(request: ReadRequest) -> Iterator[Sample | Drop]:
    """Reader of grpo_dataset_{train,valid}_new.jsonl: {"images": [path], "steps": [{"step_type": "ret" or "ans",
    "system", "problem", "answer"}]}, one trajectory a line.

    The prompts as released stay in each step (`system`, `problem`). Pictures are looked for by their file name in
    images/ beside the file. A row that is no trajectory, or whose picture is not there, leaves with what is wrong.
    """
    for path in request.files:
        for row in read_rows(path):
            name = f"{request.name}-{request.split}-{row.line:05d}"
            reason = "no_trajectory"
            try:
                question, steps = _trajectory(row)
                reason = "no_picture"
                media = tuple(request.attach(_PICTURES + PurePosixPath(image).name) for image in row.texts("images"))
                yield _sample(request, row, name, question, steps, media)
            except UserError as error:
                yield Drop(name, "read", reason, str(error))


def _trajectory(row: Row) -> tuple[str, Steps]:
    """Question and steps of a row."""
    rows = row.inners("steps")
    if not rows or not isinstance(rows[-1].values.get("answer"), list):
        row.fail("a trajectory ends with the accepted answers as a list")
    steps = [_step(one, last=place + 1 == len(rows)) for place, one in enumerate(rows)]
    for plan, answer in itertools.pairwise(steps):
        if plan["kind"] == Step.PLAN and answer["kind"] == Step.ANSWER:
            plan["shown"] = answer["problem"].replace("<image>", "").strip()
    question = _QUESTION.search(rows[0].need("problem", str))
    if question is None:
        row.fail("the first step does not state its 'Origin question'")
    return question.group(1).strip(), steps


def _sample(request: ReadRequest, row: Row, name: str, text: str, steps: Steps, media: tuple[MediaRef, ...]) -> Sample:
    return Sample(
        id=name,
        source=Source(request.name, request.split, request.entry.licence, str(row.line), name),
        messages=(Message.about(text, media),),
        answer=Answer(AnswerKind.SPAN, steps[-1]["golds"][0], aliases={"also": steps[-1]["golds"][1:]}),
        media=media,
        evidence={"trajectory": steps},
        metadata={"question": text, "golds": steps[-1]["golds"]},
    )


def _step(row: Row, last: bool) -> dict[str, Any]:
    kind, answer = row.need("step_type", str), row.values.get("answer")
    prompt = {"system": row.need("system", str), "problem": row.need("problem", str)}
    if kind == "ret":
        plan = row.inner("answer")
        return {"kind": "plan", "query": plan.need("query", str).strip(), "base": _one(plan), **prompt}
    if kind != "ans":
        row.fail(f"step_type is {kind!r}, expected 'ret' or 'ans'")
    if last:
        golds = row.texts("answer")
        return {"kind": "final", "golds": golds or row.fail("no accepted answer"), **prompt}
    if not isinstance(answer, str):
        row.fail("an answer inside a trajectory is the teacher's sentence")
    return {"kind": "answer", "golds": [answer.strip()], **prompt}


def _one(plan: Row) -> str:
    named = plan.texts("retriever")
    if not named:
        plan.fail("the plan names no retriever")
    return named[0].strip().lower()  # the released reward compares with the first


def checked(stream: Iterable[Sample | Drop], context: StepContext, repeated: bool = False) -> Iterator[Sample | Drop]:
    """Data step: keep a trajectory whose final answer has a token recall of 1 against an accepted one, as the authors
    do, and (`repeated: true` keeps them) that asks no sub-question twice: 54 of 119 released ones do."""
    for item in stream:
        if isinstance(item, Drop):
            yield item
            continue
        steps = item.evidence.get("trajectory") or []
        queries = [step["query"].lower().strip() for step in steps if step["kind"] == Step.PLAN]
        said = steps[-1].get("said") if steps else None
        if not steps:
            yield Drop(item.id, "checked", "no_trajectory")
        elif said is not None and rewards.best_shares(said, steps[-1]["golds"])[0] < 1.0:
            yield Drop(item.id, "checked", "wrong_answer", f"{said!r} for {steps[-1]['golds'][0]!r}", item.to_dict())
        elif not repeated and len(set(queries)) < len(queries):
            yield Drop(item.id, "checked", "repeated_query", "; ".join(queries), item.to_dict())
        else:
            yield item


def steps(
    stream: Iterable[Sample | Drop], context: StepContext, form: str = "conversation", trace: bool = False
) -> Iterator[Sample | Drop]:
    """Data step: in place of each trajectory its steps as samples, conditioned on the teacher's steps before.

    form: 'conversation' puts the steps before as turns, as the environment plays them; 'released' keeps the prompts of
    the released file. trace: what the teacher wrote is put into `evidence["trace"]`, for a cold start or SFT arm.
    Their kind is free text, that of whole questions is not, so `data.rl_kinds` chooses between them.
    """
    if form not in ("conversation", "released"):
        raise UserError(f"steps: form is {form!r}, expected 'conversation' or 'released'")
    own = settings.of(context.recipe.options)
    for item in stream:
        if isinstance(item, Drop):
            yield item
            continue
        every: Steps = item.evidence["trajectory"]
        for place, step in enumerate(every):
            messages = as_released(item, step) if form == "released" else conversation(item, every[:place], own)
            yield _single(item, place, step, messages, turn_of(step, own) if trace else None)


def shown(stream: Iterable[Sample | Drop], context: StepContext, trace: bool = False) -> Iterator[Sample | Drop]:
    """Data step: whole questions for a cold start, whose plans are answered by the base of the solution whatever base
    they name. So a teacher can show everything but the routing (`teacher.py:solver`). A kind of their own keeps them
    out of RL. trace: the trajectory is put into `evidence["trace"]` as it is."""
    own = settings.of(context.recipe.options)
    for item in stream:
        if isinstance(item, Drop):
            yield item
            continue
        steps_ = item.evidence["trajectory"]
        told = {"trace": "".join(turn_of(step, own) for step in steps_)} if trace else {}
        answer = replace(item.answer, kind=AnswerKind.SET)
        made = replace(item, id=f"{item.id}-shown", answer=answer, evidence={**item.evidence, **told})
        yield made.with_meta(served=True, twin_of=item.id)


def _single(
    sample: Sample, place: int, step: Mapping[str, Any], messages: tuple[Message, ...], trace: str | None
) -> Sample:
    evidence: dict[str, Any] = {"step": {key: value for key, value in step.items() if key in _KEPT}}
    if trace is not None:
        evidence["trace"] = trace
    gold = step["query"] if step["kind"] == Step.PLAN else step["golds"][0]
    made = replace(
        sample,
        id=f"{sample.id}-step{place}",
        messages=messages,
        answer=Answer(AnswerKind.FREE, gold or NONE),
        evidence=evidence,
    )
    return made.with_meta(twin_of=sample.id, trajectory=sample.id, step=place, step_kind=step["kind"])


_KEPT = ("kind", "query", "base", "golds", "thought")


def conversation(sample: Sample, before: Sequence[Mapping[str, Any]], own: Any) -> tuple[Message, ...]:
    """The question, the steps before as turns of the assistant, and what the desk says behind each."""
    messages = list(sample.prompt)
    rounds = 0
    for step in before:
        rounds += step["kind"] == Step.PLAN and step["base"].lower() != NONE
        messages += [
            Message.of(Role.ASSISTANT, turn_of(step, own)),
            Message.of(Role.USER, _demand(sample, step, rounds, own)),
        ]
    return tuple(messages)


def _demand(sample: Sample, step: Mapping[str, Any], rounds: int, own: Any) -> str:
    question = str(sample.metadata["question"])
    if step["kind"] == Step.PLAN and step["base"].lower() != NONE:
        return str(step["shown"])
    if step["kind"] == Step.ANSWER and rounds < own.rounds:
        return str(own.proceed.format(question=question))
    return str(own.finish.format(question=question))


def turn_of(step: Mapping[str, Any], own: Any) -> str:
    """What the teacher wrote, as a turn; bases by their declared names."""
    thought = str(step.get("thought", ""))
    if step["kind"] != Step.PLAN:
        end = own.answer_end if step["kind"] == Step.ANSWER else ""
        return str(forms.write_answer(step.get("said") or step["golds"][0], thought)) + end
    base = own.names.get(step["base"].lower(), "")
    return str(forms.write_plan(step["query"], base, thought))


def as_released(sample: Sample, step: Mapping[str, Any]) -> tuple[Message, ...]:
    """The step's own prompts. Raises UserError for a trajectory that was not released."""
    if "problem" not in step:
        raise UserError(f"sample {sample.id}: form 'released' needs the released prompts; use form: conversation")
    pieces = step["problem"].split("<image>")
    text = "".join(pieces).strip()
    shown = sample.media[: len(pieces) - 1]
    if len(shown) < len(sample.media):
        raise UserError(f"sample {sample.id}: {len(sample.media)} pictures, {len(pieces) - 1} places for them")
    return Message.of(Role.SYSTEM, step["system"]), Message.about(text, shown)
