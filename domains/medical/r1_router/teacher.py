"""Who writes trajectories: an endpoint that plays against the desk, or an exact program over the made-up world.

Both play one step at a time, as the authors' synthesis does (OpenBMB/MoRE, src/data_synthesis): two tries a step, then
the trajectory is given up. Which of them are kept is decided afterwards, by `trajectories.checked`. `solver` writes the
cold start, which teaches the tags and, on purpose, not which base to ask.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from pydantic import Field

from mmreason.config.parts import Endpoint
from mmreason.config.strict import Strict, validate
from mmreason.data.distil import as_response
from mmreason.data.endpoint import Chat, picture_part, text_part
from mmreason.data.judge import Judgement
from mmreason.data.sources import data_root
from mmreason.data.step import Drop, StepContext
from mmreason.data.workers import map_stream
from mmreason.errors import UserError
from mmreason.media.files import open_image
from mmreason.project import load_module
from mmreason.records import Message, Sample

_HERE = Path(__file__).parent
desks = load_module(_HERE / "desk.py")
forms = load_module(_HERE / "forms.py")
rewards = load_module(_HERE / "rewards.py")
trajectories = load_module(_HERE / "trajectories.py")
settings, Step, NONE = trajectories.settings, trajectories.Step, trajectories.NONE

TEACHER = "r1_router_teacher"
"""Key of the recipe's options under which the endpoint stands."""
UNKNOWN = "unknown"
"""What the exact teacher answers where the passages do not tell."""
Speak = Callable[[Sample, Sequence[dict[str, Any]], str, int], tuple[str, str]]
"""(sample, steps so far, kind of the next, attempt) -> (turn, its thought)."""


def play(sample: Sample, desk: Any, speak: Speak, tries: int) -> tuple[list[dict[str, Any]], str]:
    """A trajectory and why it was given up, "" if it was not."""
    steps: list[dict[str, Any]] = []
    notes: list[dict[str, Any]] = []
    while not notes or notes[-1]["next"]:
        kind = desks.next_kind(notes)
        for attempt in range(tries):
            text, thought = speak(sample, steps, kind, attempt)
            step = _read(text, kind, sample, desk.settings)
            if step is not None:
                break
        else:
            return steps, f"malformed_{kind}"
        [told] = desk.answer_all([(sample, text, notes)])
        notes.append(told.note)
        steps.append({**step, "thought": thought, **({"shown": told.text} if told.note.get("base") else {})})
    return steps, ""


def _read(text: str, kind: str, sample: Sample, own: Any) -> dict[str, Any] | None:
    """A turn as a step; None where it cannot be carried out."""
    if kind == Step.PLAN:
        plan = forms.read_plan(text, own.names)
        return None if plan.unusable else {"kind": "plan", "query": plan.query, "base": plan.bases[0]}
    said = forms.read_answer(text)
    if said is None:
        return None
    golds = rewards.golds_of(sample) if kind == Step.FINAL else [said]
    return {"kind": str(kind), "golds": golds, **({"said": said} if kind == Step.FINAL else {})}


def exact(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Data step: trajectories by a teacher that knows each question's solution (`metadata["chain"]`) and reads each
    answer in the passages, where it may be missing."""
    desk = open_desk(context)
    for item in stream:
        yield item if isinstance(item, Drop) else _played(item, desk, _by_chain, 1)


def asked(stream: Iterable[Sample | Drop], context: StepContext, tries: int = 2) -> Iterator[Sample | Drop]:
    """Data step: trajectories played by the endpoint `options.r1_router_teacher` against the recipe's bases.

    Raises UserError without one, EndpointStopped when its retries are spent.
    """
    declared = context.recipe.options.get(TEACHER)
    if declared is None:
        raise UserError(f"asked: no endpoint to ask; set options.{TEACHER}: {{base_url: ..., model: ...}}")
    endpoint = validate(Endpoint, declared, f"options.{TEACHER}")
    chat = Chat(endpoint, context.work_dir / "cache" / f"{TEACHER}.sqlite", role=TEACHER, offline=context.offline)
    desk = open_desk(context)
    speak = _by_endpoint(chat, desk.settings, context)
    try:
        yield from map_stream(stream, lambda sample: _played(sample, desk, speak, tries), endpoint.concurrency)
    finally:
        chat.close()


def open_desk(context: StepContext) -> Any:
    """The desk of a data step."""
    root = data_root(context.domain, context.data_dir, context.work_dir / "made")
    return desks.open_desk(context.recipe.options, context.domain.folder, root, context.recipe.seeds.sampling)


def _played(sample: Sample, desk: Any, speak: Speak, tries: int) -> Sample | Drop:
    steps, fault = play(sample, desk, speak, tries)
    if fault:
        return Drop(sample.id, "teacher", fault, f"after {len(steps)} steps", sample.to_dict())
    return replace(sample, evidence={**sample.evidence, "trajectory": steps})


def _by_chain(sample: Sample, steps: Sequence[dict[str, Any]], kind: str, attempt: int) -> tuple[str, str]:
    """The exact teacher's turn. Its thought in a plan names the relations that are left, in their order; in an answer
    it repeats the passage, so that a tiny model need only copy up to what is asked."""
    chain = sample.metadata["chain"]
    plans = [step for step in steps if step["kind"] == Step.PLAN]
    known = [step["golds"][0] for step in steps if step["kind"] == Step.ANSWER]
    if kind == Step.PLAN:
        left = chain[len(plans) :]
        if known[-1:] == [UNKNOWN]:
            left = []  # what follows cannot be asked
        thought = " ".join([*(hop["relation"] for hop in left), "."])
        return forms.write_plan(left[0]["query"] if left else "", left[0]["base"] if left else "", thought), thought
    if kind == Step.FINAL:
        return forms.write_answer(known[-1]), ""
    hop = chain[len(plans) - 1]
    if hop["told"] not in plans[-1]["shown"]:
        return forms.write_answer(UNKNOWN), ""
    return forms.write_answer(hop["object"], hop["told"]), str(hop["told"])


def _by_endpoint(chat: Chat, own: Any, context: StepContext) -> Speak:
    """Asks with the task's system prompt and the conversation so far."""
    root = data_root(context.domain, context.data_dir)
    system = context.domain.file.system_prompt

    def speak(sample: Sample, steps: Sequence[dict[str, Any]], kind: str, attempt: int) -> tuple[str, str]:
        messages = [_on_wire(message, sample, root) for message in trajectories.conversation(sample, steps, own)]
        if system:
            messages.insert(0, {"role": "system", "content": system})
        reply = chat.ask(messages, attempt)
        text = reply.content if kind == Step.PLAN else as_response(reply)
        return text, forms.tagged(text, "think") or reply.reasoning.strip()

    return speak


def _on_wire(message: Message, sample: Sample, root: Path) -> dict[str, Any]:
    parts = [
        text_part(part.text) if part.type == "text" else picture_part(open_image(root, sample.media[part.media]))
        for part in message.parts
    ]
    return {"role": message.role.value, "content": message.text if len(parts) == 1 else parts}


class SolverOptions(Strict):
    """`data.teacher.options`."""

    misroute: float = Field(0.0, ge=0, le=1)
    """Share of the plans whose base is drawn from all, the right one included: what RL has to mend."""
    stop_at_tags: bool = True
    """As `options.r1_router.stop_at_tags`."""
    seed: int = 0


def solver(options: dict[str, Any]) -> Callable[[Sample, int], str | None]:
    """The cold start's teacher: (sample, attempt) -> the turns of a whole trajectory, joined; None for samples that are
    not `shown`, which are left to RL.

    Raises UserError naming an option that is wrong.
    """
    made = validate(SolverOptions, options, "data.teacher.options")
    own = settings.RouterSettings(stop_at_tags=made.stop_at_tags)

    def respond(sample: Sample, attempt: int) -> str | None:
        if not sample.metadata.get("served"):
            return None
        rng = random.Random(f"{made.seed}:{sample.id}:{attempt}")
        steps = [_misrouted(step, list(own.bases), made.misroute, rng) for step in sample.evidence["trajectory"]]
        return "".join(trajectories.turn_of(step, own) for step in steps)

    return respond


def _misrouted(step: dict[str, Any], bases: list[str], rate: float, rng: random.Random) -> dict[str, Any]:
    asks = step["kind"] == Step.PLAN and step["base"].lower() != NONE
    return {**step, "base": rng.choice(bases)} if asks and rng.random() < rate else step


def verify(sample: Sample, response: str) -> Judgement:
    """The check of a trajectory (`data.teacher.verify`): its last answer earns fully, whatever bases were named. A step
    by itself is right where it earns fully, a plan where its base is right."""
    step = sample.evidence.get("step")
    if step is not None:
        worth = rewards.step_worth(response, step, settings.RouterSettings(encoder=rewards.WORDS))
        return Judgement(worth.right, worth.well_formed, f"{worth.kind}: {worth.reward:.2f}", "step")
    final = response.rpartition("<think>")
    worth = rewards.answer_worth(final[1] + final[2], rewards.golds_of(sample), settings.RouterSettings())
    return Judgement(worth.right, worth.well_formed, f"final answer: {worth.reward:.2f}", "trajectory")
