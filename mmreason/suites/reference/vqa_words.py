"""Words as medical VQA scorers cut and compare them: the VQA normaliser, NLTK's BLEU of two ages, difflib's nearest.

Used by `llava_med`, `vqa_med`, `medevalkit`, `pathvqa`, `pmc_vqa` and `omnimedvqa`, which share this code in the
original too (the normaliser is that of the VQA evaluation by Agrawal et al. 2015).
"""

from __future__ import annotations

import math
import re
import sys
from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from functools import lru_cache

from mmreason.records import Sample
from mmreason.rewards.overlap import ngrams

_PUNCTUATION = ';/[]"{}()=+\\_-><@`,?!'
_PERIOD = re.compile(r"(?!<=\d)(\.)(?!\d)")  # the look-behind is misspelt in the original and never holds
_PERIODS = 32
"""The original hands re.UNICODE over as the number of replacements: later periods stay."""
_THOUSANDS = re.compile(r"\d,\d")
_ARTICLES = frozenset({"a", "an", "the"})
_NUMBERS = {"none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5"}
_NUMBERS |= {"six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10"}

_SINGLE = """
ain't aren't can't could've couldn't didn't doesn't don't hadn't hasn't haven't he'd he's how'd how'll how's isn't
it'd it'll ma'am mightn't might've mustn't must've needn't not've o'clock oughtn't shan't should've shouldn't
somebody'll somebody's someone'd someone'll someone's something'd something'll that's there'd there're there's
they'd they'll they're they've 'twas wasn't we've weren't what'll what're what's what've when's where'd where's
where've who'd who'll who's who've why'll why're why's won't would've wouldn't y'all you'd you'll you're you've
""".split()
_DOUBLE = """
couldn't've hadn't've he'd've it'd've mightn't've she'd've shouldn't've somebody'd've someone'd've something'd've
there'd've they'd've we'd've who'd've wouldn't've y'all'll y'all'd've you'd've
""".split()


def _contractions() -> dict[str, str]:
    """Spelling without one apostrophe -> with it: what the table of the original maps, built by its own rule."""
    table = {form.replace("'", ""): form for form in _SINGLE}
    for form in _DOUBLE:
        places = [place for place, letter in enumerate(form) if letter == "'"]
        table |= {form[:place] + form[place + 1 :]: form for place in places}
    return table | {"ow's'at": "'ow's'at", "'ows'at": "'ow's'at", "'ow'sat": "'ow's'at", "somebody'd": "somebodyd"}


CONTRACTIONS = _contractions()


def strip_marks(text: str) -> str:
    """Punctuation as the VQA evaluation drops it.

    A mark that touches a space anywhere, or any mark in a text with digit-comma-digit, is deleted; else it becomes a
    space. The first 32 periods not followed by a digit are deleted.
    """
    out, thousands = text, _THOUSANDS.search(text) is not None
    for mark in _PUNCTUATION:
        out = out.replace(mark, "" if thousands or mark + " " in text or " " + mark in text else " ")
    return _PERIOD.sub("", out, count=_PERIODS)


def fold_words(text: str) -> str:
    """Lower case, number words as digits, no articles, contractions with their apostrophe, single spaces."""
    words = [_NUMBERS.get(word, word) for word in text.lower().split()]
    return " ".join(CONTRACTIONS.get(word, word) for word in words if word not in _ARTICLES)


@lru_cache(maxsize=8192)
def vqa_normal(text: str) -> str:
    """`strip_marks`, `fold_words`, then no commas: the normaliser N of the medical VQA sheet, section 6.1."""
    return fold_words(strip_marks(text)).replace(",", "")


def gold_text(sample: Sample) -> str:
    """The released answer as it was printed; scorers depend on its case, punctuation and separators."""
    return str(sample.metadata.get("answer", sample.answer.gold))


def word_counts(text: str) -> Counter[str]:
    """Words between spaces, lower case, with their counts."""
    return Counter(text.lower().split())


def lopsided_shares(said: Counter[str], wanted: Counter[str]) -> tuple[float, float, float]:
    """(F1, precision, recall) of LLaVA-Med and PathVQA: hits count as often as the PREDICTION has the word, so that
    repeating one right word raises recall. All 0 where a side is empty or nothing is shared.
    """
    hits = sum(count for word, count in said.items() if word in wanted)
    if not hits:
        return 0.0, 0.0, 0.0
    precision = hits / said.total()
    recall = hits / (hits + sum(count for word, count in wanted.items() if word not in said))
    return 2 * precision * recall / (precision + recall), precision, recall


def sentence_bleu(wanted: Sequence[str], said: Sequence[str], weights: Sequence[float], old: bool = False) -> float:
    """NLTK's unsmoothed `sentence_bleu` of one reference, in [0, 1].

    `old`: NLTK 3.2.2, where the first n-gram order without a hit ends the product, so that short answers score high;
    from 3.3 on such an order counts as the smallest float and the product is practically 0.
    """
    if not (ngrams(said, 1) & ngrams(wanted, 1)):
        return 0.0
    logs = []
    for order, weight in enumerate(weights, start=1):
        grams = ngrams(said, order)
        hits = (grams & ngrams(wanted, order)).total()
        if not hits and old:
            break
        share = hits / max(1, grams.total()) if hits else sys.float_info.min
        logs.append(weight * math.log(share))
    short = 1.0 if len(said) > len(wanted) else math.exp(1 - len(wanted) / len(said))
    return short * math.exp(math.fsum(logs))


def nearest(texts: Sequence[str], target: str) -> int | None:
    """Place of the text most alike to `target` by difflib's ratio, the first of equals; None where all have 0."""
    best, place = 0.0, None
    for index, text in enumerate(texts):
        ratio = SequenceMatcher(None, text, target).ratio()
        if ratio > best:
            best, place = ratio, index
    return place
