"""Options for closed questions that were released without, and open questions without any.

MedCCO puts the options of closed questions behind the question (an answer of its author); VQA-RAD, SLAKE and PathVQA
have none. Reconstructed: yes and no are two options; other closed answers get the candidates that the question names
("lung, liver or heart"), else the answer among three others of the same content type. The order is drawn by sample.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Sample

rewards = load_module(Path(__file__).parent / "rewards.py")
reading, conflict = rewards.reading, rewards.conflict

DISTRACTORS = 3
STEP = "with_options"
_YES_NO = (["yes"], ["no"])


def with_options(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Data step: closed questions as choices; open ones and those with options pass. Reads the stream whole, because
    wrong options are other answers of the set. Drops `no_distractors`: a content type with one answer alone."""
    items = list(stream)
    known = answers_by_type(item for item in items if isinstance(item, Sample))
    for item in items:
        if isinstance(item, Drop) or not _lacks_options(item):
            yield item
            continue
        texts = option_texts(item, known, context.recipe.seeds.data)
        if len(texts) < 2:
            yield Drop(item.id, STEP, "no_distractors", f"content type {_type(item)!r}", item.to_dict())
        else:
            yield as_choice(item, texts, context.recipe.seeds.data)


def _lacks_options(sample: Sample) -> bool:
    return bool(rewards.is_closed(sample)) and not sample.answer.options


def _type(sample: Sample) -> str:
    """Content type by the annotation: SLAKE's `content_type`, VQA-RAD's `question_type`; the set as a whole without."""
    return str(sample.metadata.get("content_type") or sample.metadata.get("question_type") or sample.source.dataset)


def answers_by_type(samples: Iterable[Sample]) -> dict[str, list[str]]:
    """Content type -> the distinct closed answers in it that are not yes or no, sorted."""
    found: dict[str, set[str]] = {}
    for sample in samples:
        if _lacks_options(sample) and conflict.plain_words(sample.answer.gold) not in _YES_NO:
            found.setdefault(_type(sample), set()).add(sample.answer.gold.strip().lower())
    return {kind: sorted(texts) for kind, texts in found.items()}


def option_texts(sample: Sample, known: Mapping[str, list[str]], seed: int) -> list[str]:
    """The gold first, then the wrong options; the gold alone where there are none."""
    gold = sample.answer.gold.strip()
    plain = conflict.plain_words(gold)
    if plain in _YES_NO:
        return ["yes", "no"] if plain == ["yes"] else ["no", "yes"]
    named = [text for text in reading.named_options(sample) if text.split() != plain]
    if named:
        return [gold, *named]
    others = [text for text in known.get(_type(sample), []) if conflict.plain_words(text) != plain]
    drawn = random.Random(f"{seed}:{sample.id}:distractors").sample(others, min(DISTRACTORS, len(others)))
    return [gold, *drawn]


def as_choice(sample: Sample, texts: list[str], seed: int) -> Sample:
    """The sample as a choice among `texts`, the first of which is right. Raises UserError for more than 26."""
    if len(texts) > 26:
        raise UserError(f"sample {sample.id}: {len(texts)} options; letters end at Z, so give at most 26")
    order = list(range(len(texts)))
    random.Random(f"{seed}:{sample.id}:order").shuffle(order)
    options = {chr(ord("A") + place): texts[index] for place, index in enumerate(order)}
    gold = chr(ord("A") + order.index(0))
    answer = Answer(AnswerKind.CHOICE, gold, options=options, lang=sample.answer.lang)
    return replace(sample, answer=answer).with_meta(released_answer=sample.answer.gold)
