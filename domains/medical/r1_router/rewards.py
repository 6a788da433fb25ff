"""The rewards of single steps, and what a whole episode is worth (arXiv 2505.22095; OpenBMB/MoRE step.py).

    plan     w_query cos(q, q*) + w_route 1[one base named, and the teacher's]      0 for a plan that cannot be read
    answer   R = token recall of the gold that has the best token F1; 0 without both tags
             one short gold, or several: 1[R = 1]; one long gold: R

A sample that is one step (`evidence["step"]`) is scored so. A whole question is worth its final answer by the same
rule, less what its calls cost: the outcome reward. `turn_rewards` scores the steps of an episode against the teacher's.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Rollout, Sample, Stop, Unread, Verdict
from mmreason.rewards.grade import grade_read
from mmreason.rewards.overlap import token_f1
from mmreason.rewards.terms import Terms
from mmreason.suites.reference.r1_router import normal, tokens

_HERE = Path(__file__).parent
forms = load_module(_HERE / "forms.py")
settings = load_module(_HERE / "settings.py")
similar = load_module(_HERE.parent / "armed" / "similarity.py")
Step = settings.Step
WORDS = "words"


@dataclass(frozen=True, slots=True)
class Worth:
    """What one turn earned."""

    kind: str
    """A `Step`."""
    reward: float
    well_formed: bool
    right: bool
    """A plan: the teacher's base alone was named. An answer: the reward is full."""


def similarity(said: str, gold: str, encoder: str) -> float:
    """Of two sub-questions, in [0, 1]; 'words' is token F1."""
    return token_f1(said, gold) if encoder == WORDS else float(similar.similarity(said, gold, encoder))


def plan_worth(text: str, query: str, base: str, own: Any) -> Worth:
    """A plan against the teacher's; "none" and "none" where the teacher had finished."""
    plan = forms.read_plan(text, own.names)
    if plan.fault:
        return Worth(Step.PLAN, 0.0, False, False)
    near = similarity(plan.query, query.lower().strip(), own.encoder) if own.w_query else 0.0
    routed = plan.bases == (base.lower().strip(),)
    return Worth(Step.PLAN, own.w_query * near + own.w_route * routed, True, routed)


def best_shares(said: str, golds: Sequence[str]) -> tuple[float, float]:
    """(recall, F1) for the gold of the highest token F1, the first of several; zeros without a common token."""
    mine, best = Counter(tokens(normal(said))), (0.0, 0.0)
    for gold in golds:
        wanted = Counter(tokens(normal(gold)))
        common = (mine & wanted).total()
        f1 = 2 * common / (mine.total() + wanted.total()) if common else 0.0
        if f1 > best[1]:
            best = common / wanted.total(), f1
    return best


def answer_worth(text: str, golds: Sequence[str], own: Any, kind: str = Step.ANSWER) -> Worth:
    """An answer turn against its golds."""
    said = forms.read_answer(text)
    if said is None:
        return Worth(kind, 0.0, False, False)
    recall, f1 = best_shares(said, golds)
    long = len(golds) == 1 and len(golds[0].split(" ")) > own.short_words
    value = (f1 if own.long_gold is settings.LongGold.F1 else recall) if long else float(recall == 1.0)
    return Worth(kind, value, True, value == 1.0)


def step_worth(text: str, step: Mapping[str, Any], own: Any) -> Worth:
    """A turn against one step of a trajectory, as `trajectories.py` holds it."""
    if step["kind"] == Step.PLAN:
        return plan_worth(text, step["query"], step["base"], own)
    return answer_worth(text, step["golds"], own, step["kind"])


def router(rollout: Rollout, sample: Sample, *, options: Mapping[str, Any]) -> Terms:
    """The recipe's reward term: of a step its worth, of a question its outcome.

    `parts` of a question: `calls` of bases, `plans`, `failed` plans, `routed` (share of the trajectory's bases named in
    their place), and with a trajectory `turn0`, `turn1`, ...: what each turn earned.
    """
    own = settings.of(options)
    step = sample.evidence.get("step")
    return _episode(rollout, sample, own) if step is None else _step(rollout, step, own)


def _step(rollout: Rollout, step: Mapping[str, Any], own: Any) -> Terms:
    worth = step_worth(rollout.text, step, own)
    verdict = Verdict.of(worth.right, rollout.text[-80:], f"{worth.kind}: {worth.reward:.3f}")
    plan = worth.kind == Step.PLAN
    return _terms(worth, worth.reward, verdict, {"plan": float(plan), "routed": float(plan and worth.right)})


def _episode(rollout: Rollout, sample: Sample, own: Any) -> Terms:
    said, told = _turns(rollout)
    ended = kinds_of(rollout)[-1] == Step.FINAL and rollout.stop is not Stop.LENGTH
    worth = answer_worth(said[-1], golds_of(sample), own, Step.FINAL) if ended else Worth(Step.FINAL, 0.0, False, False)
    calls = asked(told)
    routes = routes_of(told, sample)
    parts = {
        "calls": float(len(calls)),
        "plans": float(sum(turn.get("kind") == Step.PLAN for turn in told)),
        "failed": float(sum(bool(turn.get("fault")) for turn in told)),
        "routed": sum(routes) / len(routes) if routes else 0.0,
    }
    if "trajectory" in sample.evidence:
        earned = [worth.reward for worth in turn_rewards(rollout, sample, own)]
        parts |= {turn_part(turn): value for turn, value in enumerate(earned + [0.0] * (own.most_turns - len(earned)))}
    verdict = _verdict(said[-1], sample) if ended else _no_answer(rollout)
    return _terms(worth, worth.reward - own.call_cost * len(calls), verdict, parts)


def _terms(worth: Worth, reward: float, verdict: Verdict, parts: dict[str, float]) -> Terms:
    return Terms(
        format=float(worth.well_formed),
        accuracy=verdict.score,
        reward=reward,
        verdict=verdict,
        format_why="" if worth.well_formed else f"the {worth.kind} turn misses a tag or names no such base",
        think_empty=False,
        parts=parts,
    )


def _verdict(text: str, sample: Sample) -> Verdict:
    """Our graders on the final answer, which may stand in no tag."""
    said = forms.read_answer(text)
    return grade_read(text.rpartition("</think>")[2].strip() if said is None else said, sample.answer)


def _no_answer(rollout: Rollout) -> Verdict:
    cut = rollout.stop is Stop.LENGTH
    why = "cut by the limit of tokens" if cut else "no final answer was given"
    return Verdict.no_read(Unread.PREDICTION, why)


def _turns(rollout: Rollout) -> tuple[list[str], list[dict[str, Any]]]:
    """What was said in each turn, and what the environment noted of it."""
    return rollout.extras.get("said") or [rollout.text], rollout.extras.get("turns", [])


def turn_part(turn: int) -> str:
    """Name among the parts of an episode's reward of what turn `turn`, from 0, earned."""
    return f"turn{turn}"


def golds_of(sample: Sample) -> list[str]:
    """The accepted final answers."""
    listed = sample.metadata.get("golds") or [sample.answer.gold, *sample.answer.aliases.get("also", [])]
    return [str(gold) for gold in listed]


def asked(told: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """The plans that a base was asked for."""
    return [turn for turn in told if turn.get("kind") == Step.PLAN and turn.get("base")]


def routes_of(told: Sequence[Mapping[str, Any]], sample: Sample) -> list[bool]:
    """For each step that the trajectory knows to need a base whether the plan in its place named it; missing plans are
    wrong. Empty without a trajectory."""
    wanted = [step["base"] for step in sample.evidence.get("trajectory", []) if step["kind"] == Step.PLAN]
    wanted = [base for base in wanted if base.lower() != settings.NONE]
    got = [turn["base"] for turn in asked(told)]
    return [place < len(got) and got[place].lower() == base.lower() for place, base in enumerate(wanted)]


def turn_rewards(rollout: Rollout, sample: Sample, own: Any) -> list[Worth]:
    """What each turn of an episode earned against the teacher's step in the same place: round k's plan against the
    teacher's k-th, after whose last one "none" is right. Raises UserError for a sample without a trajectory."""
    steps = sample.evidence.get("trajectory")
    if not steps:
        raise UserError(f"sample {sample.id} has no trajectory in its evidence; steps are rewarded against a teacher's")
    said, told = _turns(rollout)
    plans = [step for step in steps if step["kind"] == Step.PLAN]
    answers = [step for step in steps if step["kind"] == Step.ANSWER]
    out, rounds = [], 0
    for text, turn, kind in zip(said, [*told, {}], kinds_of(rollout), strict=False):
        if kind == Step.PLAN:
            step = plans[rounds] if rounds < len(plans) else {"query": settings.NONE, "base": settings.NONE}
            out.append(_costed(plan_worth(text, step["query"], step["base"], own), turn, own))
            rounds += not turn.get("fault")
        elif kind == Step.ANSWER:
            known = answers[rounds - 1]["golds"] if rounds <= len(answers) else []
            out.append(answer_worth(text, known, own))
        else:
            out.append(answer_worth(text, golds_of(sample), own, Step.FINAL))
    return out


def kinds_of(rollout: Rollout) -> list[str]:
    """What each turn of an episode is: what the desk demanded before it."""
    said, told = _turns(rollout)
    return [Step.PLAN.value, *(str(turn["next"]) for turn in told[: len(said) - 1])]


def _costed(worth: Worth, turn: Mapping[str, Any], own: Any) -> Worth:
    cost = own.call_cost * bool(turn.get("base"))
    return Worth(worth.kind, worth.reward - cost, worth.well_formed, worth.right)
