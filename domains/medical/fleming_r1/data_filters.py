"""Filters of the data recipe, in the order of arXiv 2509.15279, 3.1: form, (label audit), personal text, and what the
evaluation knows. The audit asks a model and stands in data_teacher.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import replace

from mmreason.data.decontaminate import EvalIndex
from mmreason.data.filters import screen
from mmreason.data.sources import has_files, read_source
from mmreason.data.step import Drop, StepContext
from mmreason.data.text import normal
from mmreason.errors import UserError
from mmreason.records import Message, Sample

_DAMAGE = re.compile("\ufffd|\u00c3[\u0080-\u00bf]|\u00e2\u20ac|[\x00-\x08\x0b\x0c\x0e-\x1f]")
"""A replacement character, UTF-8 read as Latin-1 or Windows-1252, control characters."""
_PERSONAL = (
    (re.compile(r"[\w.+-]+@[\w-]+(?:\.[\w-]+)+"), "[e-mail]"),
    (
        re.compile(r"\b(?:MRN|NHS|SSN|patient id|record no\.?|case no\.?)\s*[:#]?\s*[\w-]*\d[\w-]*", re.IGNORECASE),
        "[number]",
    ),
    (re.compile(r"(?<![\w.])(?:\+\d{1,3}[ -]?)?\(?\d{3}\)?[ -]\d{3}[ -]\d{4}(?![\w.])"), "[telephone]"),
    (re.compile(r"\b(?:Mr|Mrs|Ms)\.?\s+[A-Z][a-z]+(?:\s+[A-Z][a-z]+)?\b"), "[name]"),
)
"""What names a person [reconstructed: the paper says "anonymised" and no more]. Ages, years and values stay."""


def well_formed(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Drop questions without text, with two equal options or a gold that is none of them, and damaged encoding."""

    def check(sample: Sample) -> tuple[str, str] | None:
        options = sample.answer.options
        texts = [normal(text) or text.strip() for text in options.values()]
        if not sample.question.strip() or not sample.answer.gold.strip():
            return "empty", "no question or no gold"
        if len(set(texts)) < len(texts) or "" in texts:
            return "options", f"two options are equal, or one is empty: {list(options.values())}"
        if options and not set(sample.answer.gold) <= set(options):
            return "gold", f"gold {sample.answer.gold!r} is none of {', '.join(options)}"
        damage = _DAMAGE.search(" ".join([sample.question, *options.values()]))
        return ("encoding", f"damaged text {damage.group()!r}") if damage else None

    return screen(stream, "well_formed", check)


def anonymise(stream: Iterable[Sample | Drop], context: StepContext) -> Iterator[Sample | Drop]:
    """Replace e-mail addresses, telephone and record numbers and titled names in the messages; `anonymised` counts."""
    for item in stream:
        if isinstance(item, Drop):
            yield item
            continue
        found = [0]
        messages = tuple(
            Message(message.role, tuple(replace(part, text=_cleaned(part.text, found)) for part in message.parts))
            for message in item.messages
        )
        asked = item.metadata.get("question")
        noted = {"question": _cleaned(asked, [0])} if isinstance(asked, str) else {}
        yield replace(item, messages=messages).with_meta(anonymised=found[0], **noted) if found[0] else item


def _cleaned(text: str, found: list[int]) -> str:
    """The text with marks in place; `found[0]` grows by their number."""
    for pattern, mark in _PERSONAL:
        text, count = pattern.subn(mark, text)
        found[0] += count
    return text


def unknown_to(
    stream: Iterable[Sample | Drop], context: StepContext, sets: list[str], absent: str = "refuse"
) -> Iterator[Sample | Drop]:
    """Drop what the evaluation sets know: the same or nearly the same question, or the same document (PubMedQA's PMID).

    `sets`: sources of the domain as "name@split". Files that are not there are an error, or with `absent: note` are
    named in each sample's `not_compared`. The paper trains and tests on three of the same sets and does not say that
    it did this.
    """
    if absent not in ("refuse", "note"):
        raise UserError(f"unknown_to: absent is {absent!r}, expected 'refuse' or 'note'")
    known: list[Sample] = []
    missing: list[str] = []
    for name in sets:
        source, _, split = name.partition("@")
        if absent == "note" and not has_files(context.domain, source, split, context.data_dir):
            missing.append(name)
            continue
        rows = read_source(context.domain, source, split, context.data_dir, {"subset": True}, need_media=False)
        known += [row for row in rows if isinstance(row, Sample)]
    index = EvalIndex(known)

    def check(sample: Sample) -> tuple[str, str] | None:
        if sample.source.document and sample.source.document in index.documents:
            return "same_document", sample.source.document
        pair = index.find(sample) if index.keys else None
        return (pair.kind.value, f"evaluation row {pair.eval}") if pair else None

    for item in screen(stream, "unknown_to", check):
        yield item if isinstance(item, Drop) or not missing else item.with_meta(not_compared=missing)
