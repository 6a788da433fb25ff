"""Spans, sets of spans and free text: right if equal after normalisation; the overlap is partial credit."""

from __future__ import annotations

import json
import re

from mmreason.records import Answer, Outcome, Unread, Verdict
from mmreason.rewards.overlap import f1, overlap, token_f1
from mmreason.rewards.words import golds_of, normalise

_ITEMS = re.compile(r"[\n;；、]|,\s+(?!\d{3}\b)|，|\s+(?:and|和)\s+")


def items_of(text: str) -> list[str]:
    """Items of a set: a JSON list of strings, else one per line, else parted by ; 、 comma or 'and'."""
    text = text.strip()
    if text.startswith("["):
        try:
            values = json.loads(text)
        except (json.JSONDecodeError, RecursionError):
            values = None  # brackets that only decorate the answer
        if isinstance(values, list) and all(isinstance(value, str | int | float) for value in values):
            return [str(value) for value in values]
        text = text.strip("[]")
    lines = [line for line in text.split("\n") if line.strip()]
    return lines if len(lines) > 1 else [item for item in _ITEMS.split(text) if item.strip()]


def _unreadable(said: str, answer: Answer, read: str) -> Verdict | None:
    if not normalise(answer.gold):
        return Verdict.no_read(Unread.GOLD, "the gold is empty", read)
    return None if said else Verdict.no_read(Unread.PREDICTION, "the answer is empty", read)


def grade_span(read: str, answer: Answer) -> Verdict:
    """Right if equal to one of the golds after `normalise`; the credit is the best token F1 (1 where right)."""
    said = normalise(read)
    unreadable = _unreadable(said, answer, read)
    if unreadable is not None:
        return unreadable
    golds = [gold for gold in map(normalise, golds_of(answer)) if gold]
    if said in golds:
        return Verdict(Outcome.RIGHT, read, "equal after normalisation", value=1.0)
    best = max(token_f1(said, gold) for gold in golds)
    return _short_of_equal(best, answer, read, f"not equal after normalisation, token F1 {best:.2f}")


def grade_free(read: str, answer: Answer) -> Verdict:
    """Right if equal to one of the golds after `normalise`; the credit is the best `overlap` (1 where right).

    Overlap alone never makes an answer right unless `Answer.threshold` says so: it cannot tell a right paraphrase
    from a wrong one, a judge can.
    """
    said = normalise(read)
    unreadable = _unreadable(said, answer, read)
    if unreadable is not None:
        return unreadable
    golds = golds_of(answer)
    if said in map(normalise, golds):
        return Verdict(Outcome.RIGHT, read, "equal after normalisation", value=1.0)
    best = max(overlap(read, gold) for gold in golds)
    return _short_of_equal(best, answer, read, f"not equal after normalisation, overlap {best:.2f}")


def _short_of_equal(value: float, answer: Answer, read: str, why: str) -> Verdict:
    enough = answer.threshold is not None and value >= answer.threshold
    return Verdict(Outcome.RIGHT if enough else Outcome.WRONG, read, why, value=value)


def grade_set(read: str, answer: Answer) -> Verdict:
    """Right if both hold the same items after `normalise`, order and repeats free; the credit is the F1 of the items.

    Gold: see `items_of`.
    """
    gold = {normalise(item) for item in items_of(answer.gold)} - {""}
    said = {normalise(item) for item in items_of(read)} - {""}
    if not gold:
        return Verdict.no_read(Unread.GOLD, "the gold set is empty", read)
    if not said:
        return Verdict.no_read(Unread.PREDICTION, "no item", read)
    if normalise(read) == normalise(answer.gold) and "[" not in answer.gold:
        said = gold  # one item that holds a comma
    value = f1(len(gold & said), len(said), len(gold))
    threshold = 1.0 if answer.threshold is None else answer.threshold
    return Verdict.graded(value, threshold, read, f"{len(gold & said)} of {len(gold)} items, {len(said)} given")
