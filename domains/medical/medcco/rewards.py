"""The rewards of MedCCO's two stages, chosen by the question's form (arXiv 2505.19213; only reviews could be read).

    R_close = (1 - w_f) [right option] + w_f r_fmt
    R_open  = (1 - w_f) S + w_f r_fmt        S = lambda Lex + (1 - lambda) Sem,  Lex = (BLEU-1 + ROUGE-1) / 2

Which form a step sees is a matter of the prompts (`curriculum.py`), so both stages and the joint arm have one reward
term. Constants and their reasons: `settings.py`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmreason.config.recipe import RewardSettings
from mmreason.project import load_module
from mmreason.records import AnswerKind, Rollout, Sample
from mmreason.rewards.grade import grade_read
from mmreason.rewards.terms import Terms, score
from mmreason.rewards.words import CJK, fold

_HERE = Path(__file__).parent
armed = load_module(_HERE.parent / "armed" / "rewards.py")
settings = load_module(_HERE / "settings.py")
reading, similar, conflict = armed.reading, armed.similar, armed.conflict

REPORTED = 0.7
"""lambda of the open scores that the paper prints, whatever a run trains with."""
_OUTCOME = RewardSettings(mode="accuracy")
_WORD = re.compile(rf"[{CJK}]|[^\W_]+")


@dataclass(frozen=True, slots=True)
class Mixed:
    """S and what it is made of, each in [0, 1]."""

    lexical: float
    semantic: float
    value: float
    """S, capped where the answer contradicts."""
    contradicts: bool


def is_closed(sample: Sample) -> bool:
    """Graded by right or wrong: closed by annotation, with options, or with yes or no as its reference."""
    return reading.rows.is_closed(sample) or sample.answer.kind is AnswerKind.JUDGEMENT


def words(text: str) -> list[str]:
    """Lower-cased words without punctuation, articles kept, as the rouge-score package cuts them, in any script."""
    return _WORD.findall(fold(text))


def mixed(said: str, gold: str, own: Any, lam: float | None = None) -> Mixed:
    """S of an answer under `MedccoSettings`; equal answers give 1, empty ones 0."""
    mine, theirs = words(said), words(gold)
    if not mine or not theirs:
        return Mixed(0.0, 0.0, 0.0, False)
    if conflict.plain_words(said) == conflict.plain_words(gold):
        return Mixed(1.0, 1.0, 1.0, False)
    lexical = (armed.bleu1(mine, theirs) + armed.rouge1(mine, theirs)) / 2
    semantic = similar.similarity(said, gold, own.encoder)
    share = own.lam if lam is None else lam
    on_lexical = share if own.lambda_on == settings.Side.LEX else 1.0 - share
    value = on_lexical * lexical + (1.0 - on_lexical) * semantic
    contradicts = bool(conflict.conflicts(said, gold))
    return Mixed(lexical, semantic, min(value, own.conflict_cap) if contradicts else value, contradicts)


def closed_worth(said: str, sample: Sample) -> float:
    """1 for the right option by letter, letter with text, or text; 0 for none, two, or yes and no together."""
    fault = reading.is_worthless(said, sample, most_words=len(said) + 1)
    return 0.0 if fault else float(grade_read(said, sample.answer).score)


def reward(rollout: Rollout, sample: Sample, *, options: Mapping[str, Any]) -> Terms:
    """R of one answer.

    Parts: `closed` (1 or 0), `well_formed` (r_fmt), `lexical`, `semantic` and `open` (S; of closed questions 0),
    `contradicts`, `reported`: S with the lambda of the paper's tables and no other rule of ours.
    """
    own = settings.of(options)
    said = reading.read_said(rollout.text)
    closed = is_closed(sample)
    found, value = Mixed(0.0, 0.0, 0.0, False), 0.0
    if closed:
        value = closed_worth(said.text, sample)
    else:
        found = mixed(said.text, sample.answer.gold, own)
        value = _open_worth(said.text, sample, found, own)
    parts = {
        "closed": float(closed),
        "well_formed": float(said.well_formed),
        "lexical": found.lexical,
        "semantic": found.semantic,
        "open": found.value,
        "contradicts": float(found.contradicts),
        "reported": REPORTED * found.lexical + (1.0 - REPORTED) * found.semantic,
    }
    terms = score(rollout.text, sample.answer, _OUTCOME, lenient=True)
    total = (1.0 - own.w_format) * value + own.w_format * said.well_formed
    form = {"format": float(said.well_formed), "format_why": said.why}
    return replace(terms, reward=total, parts=parts, **form)


def _open_worth(said: str, sample: Sample, found: Mixed, own: Any) -> float:
    if own.open_reward == settings.OpenReward.EXACT:
        return float(bool(said) and conflict.plain_words(said) == conflict.plain_words(sample.answer.gold))
    return found.value * (own.long_factor if len(words(said)) > own.most_words else 1.0)
