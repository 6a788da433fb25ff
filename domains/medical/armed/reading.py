"""From a model's output to the short answer that is compared, and the answers that are worth nothing whatever they say.

Shared with `../medcco`. Rules reconstructed for arXiv 2508.12957, each against a known exploit: a list of candidates,
yes and no together, an essay that holds every word, nothing at all.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from mmreason.project import load_module
from mmreason.records import Sample
from mmreason.rewards.extract import after_thinking, find_boxes
from mmreason.rewards.format import check_format

conflict = load_module(Path(__file__).parent.parent / "conflicts.py")
rows = load_module(Path(__file__).parent.parent / "vqa_rows.py")

_OR = re.compile(r"\bor\b|\u8fd8\u662f")
_LEAD_IN = re.compile(r"\s*(?:which|what|where|who|how)\b(?! of\b| among\b)")
_LETTER = re.compile(r"(?<![A-Za-z])([A-H])(?=[.):,;/]|\s*$|\s+(?:and|or)\b)")
"""An option's letter, not the article that begins an option's text."""


@dataclass(frozen=True, slots=True)
class Said:
    """The answer of an output, as text."""

    text: str
    """Inside the last pair of answer tags (of its last box where it has one); empty without one."""
    well_formed: bool
    """One think block, then one answer block, nothing else, and no second pair of answer tags anywhere."""
    why: str


def read_said(text: str) -> Said:
    """The answer after the reasoning. An output whose think block never closes has none."""
    form = check_format(text, needs_box=False)
    pairs = text.count("<answer>"), text.count("</answer>")
    single = pairs == (1, 1)
    why = form.why if single or not form.ok else f"{pairs[0]} answer tags opened and {pairs[1]} closed, expected one"
    rest = after_thinking(text)
    head, closed, _ = (rest or "").rpartition("</answer>")
    _, opened, block = head.rpartition("<answer>")
    if not (closed and opened):
        return Said("", False, why)
    boxes = find_boxes(block)
    return Said(boxes[-1].content.strip() if boxes else block.strip(), form.ok and single, why)


def is_worthless(said: str, sample: Sample, most_words: int) -> str:
    """Why an answer earns nothing by its text or meaning: "empty", "too_long", "yes_and_no", "several_options"; "" if
    it may earn."""
    words = conflict.plain_words(said)
    if not words and said.strip(" .:()") not in sample.answer.options:  # the letter A is an article elsewhere
        return "empty"
    if len(words) > most_words:
        return "too_long"
    polar = conflict.plain_words(sample.answer.gold)[:1] in (["yes"], ["no"])
    if polar and {"yes", "no"} <= set(words):
        return "yes_and_no"
    return "several_options" if rows.is_closed(sample) and _several(said, sample) else ""


def _several(said: str, sample: Sample) -> bool:
    """Whether two options of the question stand in the answer; an option inside a longer one counts as that one."""
    if len(sample.answer.gold) == 1 and len(set(_LETTER.findall(said)) & set(sample.answer.options)) > 1:
        return True
    texts = list(sample.answer.options.values()) or named_options(sample)
    spelled = sorted((" ".join(conflict.plain_words(text)) for text in texts), key=len, reverse=True)
    rest, count = f" {' '.join(conflict.plain_words(said))} ", 0
    for option in filter(None, spelled):
        if f" {option} " in rest:
            count, rest = count + 1, rest.replace(f" {option} ", "  ")
    return count > 1


def named_options(sample: Sample) -> list[str]:
    """The candidates that a question names ("the lung, liver or heart?"), as plain words; empty where it names none.

    Each is as many words long as the gold, which must be one of them: where a candidate begins cannot be told from the
    question alone. A clause before the list ("which is larger, ...") is none of them.
    """
    question = str(sample.metadata.get("question") or sample.question)
    gold = conflict.plain_words(sample.answer.gold)
    parts = _OR.split(question.lower())
    if len(parts) < 2 or not gold:
        return []
    pieces = [piece for part in parts[:-1] for piece in re.split("[,:]", part)]
    listed = pieces[1:] if len(pieces) > 1 and _LEAD_IN.match(pieces[0]) else pieces
    before = [conflict.plain_words(piece)[-len(gold) :] for piece in listed]
    after = conflict.plain_words(re.split(r"[?.,]", parts[-1])[0])[: len(gold)]
    found = list(dict.fromkeys(" ".join(words) for words in [*before, after] if words))
    return found if " ".join(gold) in found and len(found) > 1 else []
