"""ImageCLEF VQA-Med's evaluator: strict accuracy against any reference, and BLEU as its pinned NLTK computes it.

Accuracy: equal to one of the references after the VQA clean-up (`vqa_words`, commas stay). BLEU: lower case, no ASCII
punctuation, no stop words, Snowball stems, the best of the references; `bleu` is NLTK 3.2.2, which the evaluator pins
and under which one right word scores 1, `bleu_new` any later NLTK, under which it scores 0. Both results are rounded
to four digits. There is no released evaluator of 2019; that of 2021 is used with the golds that the 2019 readme allows.

Predictions (`run`): one `<image id>|<answer>` a line, as participants submitted them; an empty answer is refused.
"""

from __future__ import annotations

import random
import string
from collections.abc import Callable, Sequence
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from mmreason.errors import UserError, require
from mmreason.records import Sample
from mmreason.suites.predictions import collect, read_text
from mmreason.suites.reference.vqa_words import fold_words, gold_text, sentence_bleu, strip_marks
from mmreason.suites.references import Reference, Scored, counted_mean

ORIGIN = "abachaa/VQA-Med-2021 EvaluationCode/VQA-Med-2021--VQA--Evaluator.py@ffa0e6c"
DIGITS = 4
_NO_MARKS = str.maketrans("", "", string.punctuation)
_SPLIT = {"cannot": "can not", "gimme": "gim me", "gonna": "gon na", "gotta": "got ta"}
_SPLIT |= {"lemme": "lem me", "wanna": "wan na"}
_QUARTERS = (0.25, 0.25, 0.25, 0.25)
_STOP = frozenset(
    """
    i me my myself we our ours ourselves you your yours yourself yourselves he him his himself she her hers herself it
    its itself they them their theirs themselves what which who whom this that these those am is are was were be been
    being have has had having do does did doing a an the and but if or because as until while of at by for with about
    against between into through during before after above below to from up down in out on off over under again
    further then once here there when where why how all any both each few more most other some such no nor not only
    own same so than too very s t can will just don should now d ll m o re ve y ain aren couldn didn doesn hadn hasn
    haven isn ma mightn mustn needn shan shouldn wasn weren won wouldn
    """.split()
)
"""NLTK's English list without the forms that an apostrophe parts: no apostrophe is left when it is asked."""


def golds(sample: Sample) -> list[str]:
    """All references of a question."""
    return [str(gold) for gold in sample.metadata.get("answers", [gold_text(sample)])]


@lru_cache(maxsize=8192)
def _clean(text: str) -> str:
    return fold_words(strip_marks(text.replace("\n", " ").replace("\t", " ").strip()))


def _accuracy(output: str, sample: Sample, rng: random.Random) -> bool:
    return _clean(output) in {fold_words(strip_marks(gold)) for gold in golds(sample)}


@cache
def _stemmer() -> Any:
    require("nltk", "eval", "stem English words for VQA-Med's BLEU")
    from nltk.stem.snowball import SnowballStemmer

    return SnowballStemmer("english")


@lru_cache(maxsize=8192)
def _stems(text: str) -> list[str]:
    words = " ".join(_SPLIT.get(word, word) for word in text.lower().translate(_NO_MARKS).split()).split()
    return [_stemmer().stem(word) for word in words if word not in _STOP]


def _single(output: str, gold: str, old: bool) -> float:
    said, wanted = _stems(output), _stems(gold)
    return sentence_bleu(wanted, said, _QUARTERS, old) if said or wanted else 1.0


def _bleu(old: bool) -> Callable[[str, Sample, random.Random], float]:
    return lambda output, sample, rng: max(_single(output.strip(), gold, old) for gold in golds(sample))


def _rounded(scored: Sequence[Scored]) -> dict[str, float]:
    return {"acc": round(counted_mean(scored)["acc"], DIGITS)}


accuracy = Reference(ORIGIN, _accuracy, total=_rounded)
bleu = Reference(f"{ORIGIN}, nltk 3.2.2 as pinned", _bleu(old=True), total=_rounded)
bleu_new = Reference(f"{ORIGIN}, nltk from 3.3 on", _bleu(old=False), total=_rounded)


def run(path: Path, samples: Sequence[Sample]) -> dict[str, list[str]]:
    """Sample id -> answer of a submitted run. Raises UserError for a line without one bar or an empty answer."""
    ids = {sample.source.row: sample.id for sample in samples}
    pairs = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        where, cells = f"{path} line {number}", line.split("|")
        if len(cells) != 2 or not cells[1].strip():
            raise UserError(
                f"{where}: found {line!r:.80}, expected <image id>|<answer> with an answer that is not empty"
            )
        pairs.append((where, ids.get(cells[0], cells[0]), [cells[1].strip()]))
    return collect(pairs)
