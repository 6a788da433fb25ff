"""The reward of ARMed, as far as one answer decides it (arXiv 2508.12957; the full text could not be read).

    R = w_f r_fmt + (1 - w_f) (w_t r_text + w_s r_sem)

r_fmt: the shape of the output. r_text: mean of BLEU-1 and ROUGE-1-F, the metrics that the paper reports; for closed
questions right or wrong. r_sem depends on the answers of others and is added by `adaptive.py`, a method of the
recipe's `grpo.methods`; without it R stops at the text, which is what evaluation logs. Constants: `settings.py`.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmreason.config.recipe import RewardSettings
from mmreason.project import load_module
from mmreason.records import Rollout, Sample
from mmreason.rewards.grade import grade_read
from mmreason.rewards.overlap import ngram_f1
from mmreason.rewards.terms import Terms, score

_HERE = Path(__file__).parent
reading = load_module(_HERE / "reading.py")
settings = load_module(_HERE / "settings.py")
similar = load_module(_HERE / "similarity.py")
conflict = reading.conflict

_OUTCOME = RewardSettings(mode="accuracy")


@dataclass(frozen=True, slots=True)
class Worth:
    """What an answer is worth against its reference, before weights."""

    text: float
    """r_text in [0, 1]."""
    similarity: float
    """s in [0, 1], raw."""
    exact: bool
    """Equal after normalising (closed: right): r_sem is 1 whatever s says."""
    cap: float
    """Largest r_sem, for an answer that contradicts its reference; 1 without a conflict."""
    earns: bool
    """Whether r_sem counts at all."""
    compared: bool
    """Whether s belongs into the history of the map."""


NOTHING = Worth(0.0, 0.0, False, 1.0, False, False)


def bleu1(said: Sequence[str], gold: Sequence[str]) -> float:
    """Clipped unigram precision times exp(1 - |gold| / |said|) where the answer is shorter; 0 for an empty answer."""
    if not said:
        return 0.0
    common = (Counter(said) & Counter(gold)).total()
    return common / len(said) * math.exp(min(0.0, 1.0 - len(gold) / len(said)))


def rouge1(said: Sequence[str], gold: Sequence[str]) -> float:
    """F1 of clipped unigram counts."""
    return ngram_f1(said, gold, 1)


def worth(said: str, sample: Sample, own: Any) -> Worth:
    """An answer against the sample's gold under `ArmedSettings`.

    The gold alone is compared, not the further wordings that a sample may list: in the paper each question has one
    reference, and the meaning of other wordings is what r_sem is there for [reconstructed].
    """
    if reading.is_worthless(said, sample, own.most_words):
        return NOTHING
    if reading.rows.is_closed(sample):
        right = grade_read(said, sample.answer).score
        if right or not own.closed_semantics:
            return Worth(right, right, bool(right), 1.0, bool(right), False)
        text = 0.0
    else:
        mine, gold = conflict.plain_words(said), conflict.plain_words(sample.answer.gold)
        if mine == gold:
            return Worth(1.0, 1.0, True, 1.0, True, True)
        text = (bleu1(mine, gold) + rouge1(mine, gold)) / 2
    near = similar.similarity(said, reference(sample), own.encoder) if own.w_semantic else 0.0
    cap = own.conflict_cap if conflict.conflicts(said, reference(sample)) else 1.0
    return Worth(text, near, False, cap, bool(own.w_semantic), bool(own.w_semantic))


def reference(sample: Sample) -> str:
    """The gold in words: of a choice the text of its option."""
    return sample.answer.options.get(sample.answer.gold, sample.answer.gold)


def text(rollout: Rollout, sample: Sample, *, options: Mapping[str, Any]) -> Terms:
    """Format and text of one answer, weighted, and the parts that `adaptive.Adaptive` makes r_sem of.

    Parts: `well_formed` (r_fmt), `text`, `similarity`, `exact`, `cap` and `compared` as in `Worth`; `share`: what
    r_sem = 1 adds to R, 0 where it does not count; `floor`: what unrelated answers score under the encoder.
    """
    own = settings.of(options)
    said = reading.read_said(rollout.text)
    found = worth(said.text, sample, own)
    share = (1.0 - own.w_format) * own.w_semantic
    parts = {
        "well_formed": float(said.well_formed),
        "text": found.text,
        "similarity": found.similarity,
        "exact": float(found.exact),
        "cap": found.cap,
        "compared": float(found.compared),
        "share": share if found.earns else 0.0,
        "floor": similar.floor_of(own.encoder) if own.floor is None else own.floor,
    }
    reward = own.w_format * said.well_formed + (1.0 - own.w_format) * own.w_text * found.text
    terms = score(rollout.text, sample.answer, _OUTCOME, lenient=True)
    form = {"format": float(said.well_formed), "format_why": said.why}
    return replace(terms, reward=reward, parts=parts, **form)
