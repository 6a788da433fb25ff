"""From answers to one scored record a question; sums over the records are in `mmreason.suites.summary`."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from mmreason.records import Rollout, Sample, Stop, Unread, Verdict
from mmreason.rewards.reward import Reward
from mmreason.rewards.terms import Terms
from mmreason.suites.rules import run_all
from mmreason.suites.suite import Suite

MISSING = "no output was given for this question"


@dataclass(frozen=True, slots=True)
class Output:
    """One answer to a question, as text with its stop reason; `text` None when none was given."""

    text: str | None
    stop: str = ""
    tokens: int = 0
    turns: list[dict[str, Any]] | None = None
    """Of an answer of several turns: what was said in each, with what the environment noted of it."""
    visual: int = 0
    """Visual tokens of the prompt and of what an environment showed; 0 where it is not known."""


def _judge(output: Output, sample: Sample, reward: Reward) -> Terms:
    if output.text is None:
        verdict = Verdict.no_read(Unread.PREDICTION, MISSING)
        return Terms(format=0.0, accuracy=0.0, reward=0.0, verdict=verdict, format_why=MISSING, think_empty=True)
    stop = Stop(output.stop) if output.stop else Stop.EOS
    talk = {} if output.turns is None else {"said": [turn["said"] for turn in output.turns], "turns": output.turns}
    return reward(Rollout(prompt_ids=(), ids=(), logprobs=(), text=output.text, stop=stop, extras=talk), sample)


def _run(output: Output, terms: Terms, official: dict[str, float | None]) -> dict[str, Any]:
    """One answer as judged by our graders and by every published scorer of the suite."""
    return {
        "output": output.text,
        "stop": output.stop,
        "tokens": output.tokens,
        **({"visual_tokens": output.visual} if output.visual else {}),
        "outcome": terms.verdict.outcome.value,
        "unread": terms.verdict.unread.value if terms.verdict.unread else None,
        "credit": terms.verdict.credit,
        "read": terms.verdict.read,
        "why": terms.verdict.why,
        "format": terms.format,
        "format_why": terms.format_why,
        "think_empty": terms.think_empty,
        "reward": terms.reward,
        "official": official,
        **({} if output.turns is None else {"turns": output.turns, "parts": terms.parts}),
    }


def _sha(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _record(
    index: int, sample: Sample, runs: list[dict[str, Any]], suite: Suite, train_documents: Mapping[str, int] | None
) -> dict[str, Any]:
    """One record: lm-eval's sample keys (doc_id ... acc), then ours (`runs`, `groups`, `document_in_train`).

    `acc`, `credit` and each scorer's value are means over the answers; a scorer that leaves all of them out of its
    denominator has None. `document_in_train` is None where the run left no list of training documents.
    """
    question = sample.question if suite.keep_questions else ""
    metadata = {key: value for key, value in sample.metadata.items() if key not in ("question", "prompted")}
    names = [name for name in suite.metrics if name != "strict"]
    return {
        "doc_id": index,
        "doc": {"id": sample.id, "question": question, "metadata": metadata},
        "target": sample.answer.gold,
        "resps": [[run["output"] for run in runs]],
        "filtered_resps": [run["read"] for run in runs],
        "filter": "none",
        "metrics": ["acc", "credit", *names],
        "doc_hash": _sha(sample.id + sample.question),
        "prompt_hash": _sha("\n".join(message.text for message in sample.prompt)),
        "target_hash": _sha(sample.answer.gold),
        "acc": _mean([run["outcome"] == "right" for run in runs]),
        "credit": _mean([run["credit"] for run in runs]),
        **{name: _mean([run["official"][name] for run in runs]) for name in names},
        "id": sample.id,
        "kind": sample.answer.kind.value,
        "document": sample.source.document,
        "interval_by": suite.interval_by,
        "document_in_train": None if train_documents is None else sample.source.document in train_documents,
        "groups": {key: _group(sample.metadata.get(key)) for key in suite.group_by},
        "media": [asdict(ref) for ref in sample.media],
        **_moments(sample),
        "runs": runs,
    }


def _group(value: Any) -> str:
    """Where a row without the key, or with an empty one, is counted too."""
    return "(none)" if value is None or value == "" else str(value)


def _moments(sample: Sample) -> dict[str, Any]:
    """Where the answer can be seen, for pages with a time line."""
    known = {key: sample.evidence[key] for key in ("windows", "gold_times") if key in sample.evidence}
    return {"evidence": known} if known else {}


def _mean(values: Sequence[float | None]) -> float | None:
    counted = [value for value in values if value is not None]
    return sum(counted) / len(counted) if counted else None


def score_outputs(
    suite: Suite,
    samples: Sequence[Sample],
    outputs: Sequence[Sequence[Output]],
    reward: Reward,
    train_documents: Mapping[str, int] | None = None,
) -> list[dict[str, Any]]:
    """Score all answers; one record a question, in order.

    `reward` is the one that training uses (`mmreason.rewards.reward.load_reward`), so that a right answer means
    the same in both. Its declared terms see text and stop reason; token ids are not kept.
    """
    scored = run_all(suite, samples, [[output.text for output in answers] for answers in outputs])
    records = []
    for index, (sample, answers) in enumerate(zip(samples, outputs, strict=True)):
        runs = [
            _run(
                output, _judge(output, sample, reward), {name: runs[turn][index].value for name, runs in scored.items()}
            )
            for turn, output in enumerate(answers)
        ]
        records.append(_record(index, sample, runs, suite, train_documents))
    return records
