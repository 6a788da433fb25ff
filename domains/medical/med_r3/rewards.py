"""The rewards of Med-R3 (arXiv 2507.23541): answer, reasoning against reference graphs, evidence that was found.

    released   a + 0.8 reason - penalties
    reasoning  a + 0.4 g reason - penalties
    retrieval  a + 0.4 Q + 0.2 B - 0.02 (calls beyond 2) - penalties
    joint      a + 0.2 g reason + 0.2 g Q - penalties
    outcome    a

a: 1, 0.4 or 0 by the judge; g: whether a > 0; reason: mean of the likenesses of paths, of meaning and of entities to
the nearest reference; Q: mean over the calls of the best passage's evidence weight x relevance; B: share of the facts
to be retrieved whose entities stand in one passage. Constants, and what is ours: `settings.py`.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean
from typing import Any

from mmreason.config.recipe import RewardSettings
from mmreason.errors import require
from mmreason.project import load_module
from mmreason.records import Rollout, Sample, Stop
from mmreason.rewards.terms import Terms, score

_HERE = Path(__file__).parent
graphs = load_module(_HERE / "graphs.py")
judges = load_module(_HERE / "judges.py")
settings = load_module(_HERE / "settings.py")
shape = load_module(_HERE / "shape.py")
similar = load_module(_HERE.parent / "armed" / "similarity.py")
Stage = settings.Stage

_OUTCOME = RewardSettings(mode="accuracy")
_BAD = ("bad", "forged")
_REASONING = ("reason", "logic", "meaning", "entities")


@dataclass(frozen=True, slots=True)
class Reference:
    """One accepted chain of a question."""

    graph: frozenset[graphs.Triple]
    text: str
    retrieved: frozenset[graphs.Triple]
    """The facts that came from a document."""


def references_of(sample: Sample) -> list[Reference]:
    """From `evidence["references"]`: [{"triples": [[one, relation, other, if_retrieval], ...], "text": thought}]."""
    made = []
    for given in sample.evidence.get("references", []):
        rows = given.get("triples", [])
        found = graphs.triples(row for row in rows if len(row) > 3 and row[3])
        made.append(Reference(graphs.triples(rows), given.get("text", ""), found))
    return made


def reward(rollout: Rollout, sample: Sample, *, options: Mapping[str, Any]) -> Terms:
    """r of one rollout that was played in the search environment.

    `parts`: answer, reason, logic, meaning, entities, evidence (Q), bridge (B), calls, reliable (share of calls whose
    first passage has the highest evidence weight), forced, malformed, down (searches that failed), penalties.
    """
    own = settings.of(options)
    terms = score(rollout.text, sample.answer, _OUTCOME, lenient=True)
    told = [turn for turn in rollout.extras.get("turns", []) if turn.get("kind")]
    found = shape.parts_of(rollout.text)
    form = found.form if rollout.stop is not Stop.LENGTH else 0.0
    parts = {"answer": 0.0, "form": form, **dict.fromkeys(_REASONING, 0.0), **_looks(told, sample, own)}
    if any(turn["kind"] in _BAD for turn in told):
        return replace(terms, reward=own.forged, format=0.0, parts=parts)
    parts |= penalties(rollout, sample, found, form, own)
    charged = sum(value for name, value in parts.items() if name.startswith("penalty_"))
    if own.stage is Stage.OUTCOME:
        worth = answer_worth(terms, sample, found.answer, own)
        return replace(terms, reward=worth, format=float(form == 1.0), parts={**parts, "answer": worth})
    if form == 0.0:  # not judged
        base = own.wrong_released if own.stage is Stage.RELEASED else own.wrong
        return replace(terms, reward=base + charged, format=0.0, parts={**parts, "answer": base})
    worth = answer_worth(terms, sample, found.answer, own)
    parts |= {"answer": worth, **reasoning(found.think, sample, own)}
    total = max(staged(worth, parts, own), 0.0) if own.stage is Stage.RELEASED else staged(worth, parts, own)
    return replace(terms, reward=total + charged, format=float(form == 1.0), parts=parts)


def staged(worth: float, parts: Mapping[str, float], own: Any) -> float:
    """The stage's reward before penalties."""
    right = float(worth > 0.0)
    if own.stage is Stage.RELEASED:
        return worth + float(own.reason_released) * parts["reason"]
    if own.stage is Stage.REASONING:
        return worth + float(own.reason_first) * right * parts["reason"]
    if own.stage is Stage.RETRIEVAL:
        extra = max(parts["calls"] - own.free_calls, 0.0)
        gained = own.evidence_second * parts["evidence"] + own.bridge_second * parts["bridge"]
        return worth + float(gained - own.call_cost * extra)
    return worth + right * float(own.reason_last * parts["reason"] + own.evidence_last * parts["evidence"])


def answer_worth(terms: Terms, sample: Sample, answer: str, own: Any) -> float:
    """a: by the judge endpoint where there is one, else 2 for a right answer by our graders and 0 otherwise."""
    said = 2 * terms.verdict.score if own.judge is None else judges.score(own.judge, sample, answer)
    if own.judge is None and own.stage is Stage.OUTCOME and not terms.verdict.score:
        return 0.0
    wrong = own.wrong_released if own.stage is Stage.RELEASED else own.wrong
    return float(own.right if said >= 2 else own.partly if said >= 1 else wrong)


def reasoning(think: str, sample: Sample, own: Any) -> dict[str, float]:
    """The likenesses of a thought to the reference that it is most like; zeros without references."""
    given = references_of(sample)
    if not given:
        return dict.fromkeys(_REASONING, 0.0)
    shown = [one.graph for one in given] if own.show_references else []
    mine = graphs.stated(think) if own.extractor is None else judges.graph_of(own.extractor, think, shown)
    return max((_likeness(mine, think, one, own) for one in given), key=lambda made: made["reason"])


def _likeness(mine: frozenset[graphs.Triple], think: str, given: Reference, own: Any) -> dict[str, float]:
    made = {"logic": graphs.logic(mine, given.graph, own.hops), "entities": graphs.statistics(mine, given.graph)}
    if own.encoder != similar.NONE:
        made["meaning"] = similar.similarity(think, given.text, own.encoder)
    return {"meaning": 0.0, **made, "reason": fmean(made.values())}


def penalties(rollout: Rollout, sample: Sample, found: Any, form: float, own: Any) -> dict[str, float]:
    """What the shape costs, each term 0 or below."""
    tokens = len(rollout.ids) if own.count_results else rollout.num_model_tokens
    return {
        "penalty_format": -own.penalty * (1.0 - form),
        "penalty_length": -own.penalty * (1.0 - shape.length_share(found.think, found.answer)),
        "penalty_think_language": -own.penalty * (1.0 - shape.same_language(found.think, sample.question)),
        "penalty_answer_language": -own.penalty * (1.0 - shape.same_language(found.answer, sample.question)),
        "penalty_overlong": shape.overlong(tokens, own.long_from, own.long_over),
    }


def _looks(told: Sequence[Mapping[str, Any]], sample: Sample, own: Any) -> dict[str, float]:
    """What the searches found."""
    calls = [turn for turn in told if turn["kind"] in ("search", "down")]
    best = max(own.evidence.values(), default=1.0)
    worth = [_best(turn["hits"], sample, own) for turn in calls]
    first = [turn["hits"][0]["source"] for turn in calls if turn["hits"]]
    return {
        "evidence": fmean(worth) if worth else 0.0,
        "bridge": bridge(calls, sample),
        "calls": float(len(calls)),
        "reliable": fmean(own.weight(source) == best for source in first) if first else 0.0,
        "forced": float(any(turn["kind"] == "forced" for turn in told)),
        "malformed": float(any(turn["kind"] in _BAD for turn in told)),
        "down": float(sum(turn["kind"] == "down" for turn in told)),
    }


def _best(hits: Sequence[Mapping[str, Any]], sample: Sample, own: Any) -> float:
    """Evidence weight times relevance of the best passage of a search; 0 where it found none."""
    return max((own.weight(hit["source"]) * relevance(hit["text"], sample, own) for hit in hits), default=0.0)


def bridge(calls: Sequence[Mapping[str, Any]], sample: Sample) -> float:
    """B: share of the facts to be retrieved, of the reference that fares best, whose two entities stand in one
    passage; 0 where none is marked, so that the term drops out."""
    shown = [graphs.normal(hit["text"]) for turn in calls for hit in turn["hits"]]
    shares = [
        fmean(any(_holds(one, text) and _holds(other, text) for text in shown) for one, _, other in given.retrieved)
        for given in references_of(sample)
        if given.retrieved
    ]
    return max(shares, default=0.0)


def _holds(entity: str, text: str) -> bool:
    """Whether a text names an entity, as words of their own."""
    return re.search(rf"(?<!\w){re.escape(entity)}(?!\w)", text) is not None


def relevance(text: str, sample: Sample, own: Any) -> float:
    """In [0, 1]: of a passage for the question with its gold answer, by a cross-encoder or by words.

    By words: the largest share of a reference's fact that the passage holds; without references the share of the
    question's and the answer's longer words.
    """
    if own.relevance != "words":
        return _cross(
            own.relevance,
            f"{sample.question}\n{sample.answer.options.get(sample.answer.gold, sample.answer.gold)}",
            text,
        )
    words = set(graphs.normal(text).replace(".", " ").replace(":", " ").split())
    facts = [triple for given in references_of(sample) for triple in given.graph]
    if facts:
        return max(sum(part in words for part in fact) / 3 for fact in facts)
    asked = {word for word in graphs.normal(f"{sample.question} {sample.answer.gold}").split() if len(word) > 3}
    return len(asked & words) / len(asked) if asked else 0.0


@functools.lru_cache(maxsize=100_000)
def _cross(model: str, question: str, text: str) -> float:
    import torch

    value = torch.as_tensor(_reranker(model).predict([(question, text)])[0], dtype=torch.float64)
    return float(value if 0.0 <= float(value) <= 1.0 else torch.sigmoid(value))


@functools.cache
def _reranker(model: str) -> Any:
    require("sentence_transformers", "similarity", "score passages with a cross-encoder")
    from sentence_transformers import CrossEncoder

    return CrossEncoder(model, device="cpu", local_files_only=True)
