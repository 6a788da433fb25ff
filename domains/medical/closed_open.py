"""Closed and open questions apart, and options for closed ones that come without.

Options: MedCCO puts closed questions with theirs (arXiv 2505.19213, issue 2 of its repository), which VQA-RAD, SLAKE
and PathVQA do not have. The rule is reconstructed: yes and no are two options; a question that names its candidates
("lung, liver or heart?") has these; any other has its answer and three answers to questions of the same content type.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mmreason.data.step import Drop, StepContext
from mmreason.data.text import normal
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Message, Part, Role, Sample

parts = load_module(Path(__file__).parent / "vqa_parts.py")
rows = load_module(Path(__file__).parent / "vqa_rows.py")

SHOWN, RULES = ("all", "closed", "open"), ("annotation", "yes_no")
LONGEST = 4
"""Words of a candidate that a question names, at most."""
_LAST_OR = re.compile(r"^(.*)\bor\b(.*)$", re.IGNORECASE | re.DOTALL)
_BETWEEN = re.compile(r"[,;:/]|\bor\b", re.IGNORECASE)
_ZH_LISTED = re.compile(r"^(?:.*?图[像片]?中的?)?(.+?)哪一?个")
_ZH_ASKED = re.compile(r"[，,]([^，,]+还是[^，,?？]+)[?？]?$")
_ZH_BETWEEN = re.compile(r"[、，,]|和|或者|还是|或")
_NEGATIONS = ("no", "non", "without")
_ARTICLES = frozenset({"a", "an", "the", "in", "on", "of", "this"})


def split(
    stream: Iterable[Sample | Drop], context: StepContext, keep: str = "all", rule: str = "annotation"
) -> Iterator[Sample | Drop]:
    """Keep all questions, or the closed or open ones; the others leave as `is_open` or `is_closed`.

    Sets metadata `answer_type` by the rule and `stage`, 1 for closed and 2 for open questions; counts of both and of
    the answer kinds go to the flags of the set (`vqa_rows.tell`). Raises UserError for an unknown side or rule.
    """
    if keep not in SHOWN or rule not in RULES:
        raise UserError(f"step split: keep {keep!r} by {rule!r}, expected one of {SHOWN} by one of {RULES}")
    counts: Counter[str] = Counter()
    dataset = ""
    for item in stream:
        if isinstance(item, Drop):
            yield item
            continue
        side = "closed" if rows.is_closed(item, rule) else "open"
        dataset = item.source.dataset
        counts.update((side, f"{side} {item.answer.kind.value}"))
        if keep in ("all", side):
            yield item.with_meta(answer_type=side, stage=1 if side == "closed" else 2)
        else:
            yield Drop(item.id, "split", f"is_{side}", f"by {rule}; {keep} is kept", item.to_dict())
    rows.tell(context, dataset, "split", counts)


def asked_anew(sample: Sample, question: str) -> Sample:
    """The sample with another question, pictures kept where they stand."""
    *before, last = sample.prompt
    pictures = tuple(part for part in last.parts if part.type != "text")
    turn = Message(Role.USER, (*pictures, Part("text", question)))
    return replace(sample, messages=(*before, turn)).with_meta(question=question)


def lettered(sample: Sample, texts: Sequence[str], rule: str) -> Sample:
    """The sample as a choice of `texts`, the gold among them; what it was stays in metadata `free`.

    Raises ValueError where the gold is not, or not once, among them.
    """
    places = _places(sample, texts)
    if len(places) != 1:
        raise ValueError(f"sample {sample.id}: gold {sample.answer.gold!r} is {len(places)} times among {list(texts)}")
    options = parts.lettered(texts)
    free = {"kind": sample.answer.kind.value, "gold": sample.answer.gold, "aliases": sample.answer.aliases}
    answer = Answer(AnswerKind.CHOICE, chr(ord("A") + places[0]), options, lang=sample.answer.lang)
    return replace(sample, answer=answer).with_meta(free=free, options_from=rule)


def _places(sample: Sample, texts: Sequence[str]) -> list[int]:
    """Where the gold, as released or as a label, stands among the texts."""
    golds = {form(str(sample.metadata.get("answer", ""))), form(sample.answer.gold)}
    return [place for place, text in enumerate(texts) if form(text) in golds]


def named_candidates(question: str, gold: str, known: Iterable[str]) -> list[str]:
    """What a question offers around its last "or", the gold among it, in normal form; nothing where it does not.

    How long a candidate is, is told by the gold and by `known` answers. A noun said once belongs to both: of "right or
    left side" with the gold "left side" the other is "right side".
    """
    listed = _ZH_ASKED.search(question) or _ZH_LISTED.search(question)
    if listed is not None:
        pieces = [piece.strip().removesuffix("的") for piece in _ZH_BETWEEN.split(listed[1])]
        return pieces if len(set(pieces)) > 1 and form(gold) in map(form, pieces) else []
    found, wanted = _LAST_OR.match(question), _words(gold)
    if found is None or not wanted:
        return []
    *others, before = _BETWEEN.split(found[1])
    after, known = _BETWEEN.split(found[2])[0], {*known, form(gold)}
    earlier = [end for piece in others if (end := _known_end(_words(piece), known))]
    candidates = [one for one in dict.fromkeys([*earlier, *_pair(before, after, wanted, known)]) if one]
    return candidates if len(candidates) > 1 and form(gold) in candidates else []


def _pair(before: str, after: str, wanted: list[str], known: set[str]) -> list[str]:
    """The candidates on both sides of "or"."""
    size, noun, left, right = len(wanted), wanted[1:], _words(before), _words(after)
    gold, end = " ".join(wanted), _known_end(left, known)
    if right[:size] == wanted:
        if normal(after).split()[0] in _ARTICLES:  # "the lesion or the surrounding tissue": nothing is shared
            return [_after_article(before), gold]
        if noun and left[-1:] != wanted[-1:] and len(end.split()) < size:
            return [" ".join([*left[-1:], *noun]), gold]
        return [end or form(" ".join(left[-size:])), gold]
    if noun and left[-1:] == wanted[:1] and right[1:size] == noun:
        return [gold, " ".join(right[:size])]
    least = size + (right[:1] in ([word] for word in _NEGATIONS))
    return [end, _known_begin(right, least, known) or " ".join(right[:least])]


def _after_article(text: str) -> str:
    words = normal(text).split()
    last = max((place for place, word in enumerate(words) if word in _ARTICLES), default=-1)
    return " ".join(words[last + 1 :])


def _known_end(words: list[str], known: set[str]) -> str:
    """The longest known answer that the words end with."""
    ends = (" ".join(words[-length:]) for length in range(min(LONGEST, len(words)), 0, -1))
    return next((end for end in ends if end in known), "")


def _known_begin(words: list[str], size: int, known: set[str]) -> str:
    """The known answer of `size` words that the words begin with, else the longest."""
    starts = (" ".join(words[:length]) for length in (size, *range(min(LONGEST, len(words)), 0, -1)))
    return next((start for start in starts if start in known), "")


def form(text: str) -> str:
    """An answer in normal form, articles and prepositions before it aside."""
    return " ".join(_words(text)) or normal(text)


def _words(text: str) -> list[str]:
    words = normal(text).split()
    while words and words[0] in _ARTICLES:
        words = words[1:]
    return words


@dataclass
class Pool:
    """The answers of a set, for distractors."""

    spelled: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))
    """Normal form -> how it is spelled."""
    by_type: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    """Content type -> normal forms."""
    of_picture: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    """(picture, content type) -> what was answered there, and may be true besides the gold."""

    def add(self, sample: Sample) -> None:
        """Take in the answer of one sample, unless it is a judgement, a set or a choice."""
        text = str(sample.metadata.get("answer", sample.answer.gold)).strip()
        key, kind = form(text), content_type(sample)
        if sample.answer.kind in (AnswerKind.SPAN, AnswerKind.NUMBER) and key and not parts.is_yes_no(text):
            self.spelled[key][text] += 1
            self.by_type[kind].add(key)
            self.of_picture[sample.source.document, kind].add(key)

    def spelling(self, key: str) -> str:
        """The commonest, so that no option stands out by its case."""
        if key not in self.spelled:
            return key
        return min(self.spelled[key].items(), key=lambda pair: (-pair[1], pair[0]))[0]

    def others(self, sample: Sample, count: int, rng: random.Random) -> list[str]:
        """At most `count` answers of the content type that were not given about the sample's picture and neither hold
        the gold nor are held by it: "CT" beside "contrast CT" would be right too."""
        kind, gold = content_type(sample), set(form(sample.answer.gold).split())
        other = self.by_type[kind] - self.of_picture[sample.source.document, kind]
        free = sorted(key for key in other if not (gold <= (held := set(key.split())) or held <= gold))
        return [self.spelling(key) for key in rng.sample(free, min(count, len(free)))]


def content_type(sample: Sample) -> str:
    """What a question is about: SLAKE's content_type, VQA-Med's category, VQA-RAD's question_type; "" without."""
    keys = ("content_type", "category", "question_type")
    return next((str(sample.metadata[key]) for key in keys if sample.metadata.get(key)), "")


def with_options(
    stream: Iterable[Sample | Drop], context: StepContext, seed: int = 0, distractors: int = 3
) -> Iterator[Sample | Drop]:
    """Give closed questions their options, in an order fixed by `seed` and the sample's id; open ones pass.

    Metadata `options_from` says by which rule: yes_no, question, content_type. A question for which no wrong option is
    found leaves as `no_options`. Reads the whole set before it gives the first sample.
    """
    items = list(stream)
    pool, counts = Pool(), Counter[str]()
    for item in items:
        if isinstance(item, Sample):
            pool.add(item)
    dataset = next((item.source.dataset for item in items if isinstance(item, Sample)), "")
    for item in items:
        if isinstance(item, Drop) or item.answer.kind is AnswerKind.CHOICE or not rows.is_closed(item):
            yield item
            continue
        rng = random.Random(hashlib.sha256(f"{seed}:{item.id}".encode()).hexdigest())
        rule, texts = _options(item, pool, distractors, rng)
        if len(texts) < 2 or len(_places(item, texts)) != 1:
            yield Drop(
                item.id, "with_options", "no_options", f"no wrong option for {item.answer.gold!r}", item.to_dict()
            )
            continue
        counts[rule] += 1
        rng.shuffle(texts)
        yield lettered(item, texts, rule)
    rows.tell(context, dataset, "with_options", counts)


def _options(sample: Sample, pool: Pool, distractors: int, rng: random.Random) -> tuple[str, list[str]]:
    """The rule that applies, and the options by it."""
    answer: Any = sample.answer
    if answer.kind is AnswerKind.JUDGEMENT:
        return "yes_no", list(answer.aliases) or ["yes", "no"]
    gold = str(sample.metadata.get("answer", answer.gold)).strip()
    listed = sample.metadata.get("candidates")
    named = listed or named_candidates(str(sample.metadata.get("question", "")), gold, pool.spelled.keys())
    if named:
        return "question", list(named)
    return "content_type", [pool.spelling(form(gold)), *pool.others(sample, distractors, rng)]
