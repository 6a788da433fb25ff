"""What the readers of medical questions with images share: the form of an answer, its accepted wordings, the sample."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from mmreason.data.lines import Row
from mmreason.data.step import ReadRequest
from mmreason.errors import UserError
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Sample, Source
from mmreason.rewards.text import items_of

YES_NO_ZH = {
    "是": ["是", "是的", "有", "包含", "包括", "存在", "可以", "能", "会", "对", "yes"],
    "否": ["不是", "否", "没有", "无", "不包含", "不包括", "不存在", "不可以", "不能", "不会", "不对", "no"],
}
NORMAL_ZH = {"正常": ["正常", "健康", "无异常"], "不正常": ["不正常", "不健康", "异常"]}
LONGEST_CELL = 64 << 20
_DIGITS = "zero one two three four five six seven eight nine ten".split()
_XRAY = re.compile(r"\bx[- ]?rays?\b|\bradiographs?\b", re.IGNORECASE)
_BARE_COMMA = re.compile(r",(?=[^\s\d])")


def is_yes_no(text: str) -> bool:
    """The yes/no rule: the answer is one of the words themselves, in English or Chinese, whatever its case."""
    lower = text.strip().lower()
    return lower in ("yes", "no") or any(lower in words for words in YES_NO_ZH.values())


def form_of(text: str, closed: bool) -> str:
    """ "yes_no" by the yes/no rule, else "closed_word" or "open" by the annotation."""
    return "yes_no" if is_yes_no(text) else "closed_word" if closed else "open"


def wordings(text: str) -> list[str]:
    """Other spellings of the same answer: digits and number words, the names of an X-ray."""
    found = [_XRAY.sub(name, text) for name in ("x-ray", "xray", "radiograph")] if _XRAY.search(text) else []
    lower = text.strip().lower()
    if lower in _DIGITS:
        found.append(str(_DIGITS.index(lower)))
    elif lower.isdecimal() and lower.isascii() and len(lower) <= 2 and int(lower) < len(_DIGITS):
        found.append(_DIGITS[int(lower)])
    return [one for one in found if one != text]


def labelled(text: str, table: dict[str, list[str]], lang: str) -> Answer:
    """A judgement whose gold is the label of `table` that `text` is a wording of."""
    gold = next(label for label, words in table.items() if text in words)
    return Answer(AnswerKind.JUDGEMENT, gold, aliases=table, lang=lang)


def judged(text: str, lang: str) -> Answer:
    """A yes/no answer; the gold is one of two labels, whatever its wording, so that labels can be counted."""
    lower = text.strip().lower()
    return labelled(lower, YES_NO_ZH, lang) if lang == "zh" else Answer(AnswerKind.JUDGEMENT, lower)


def worded(text: str, lang: str = "en", also: Sequence[str] = (), several: bool = False) -> Answer:
    """A word or phrase, right if equal to it or to one of `also`; with `several`, commas part items of a set."""
    if lang == "zh" and any(text in words for words in NORMAL_ZH.values()):
        return labelled(text, NORMAL_ZH, lang)
    parted = _BARE_COMMA.sub("，" if lang == "zh" else ", ", text)
    if several and len(items_of(parted)) > 1:
        return Answer(AnswerKind.SET, parted, lang=lang)
    others = list(dict.fromkeys([*also, *(one for gold in (text, *also) for one in wordings(gold))]))
    return Answer(AnswerKind.SPAN, text, aliases={"also": others} if others else {}, lang=lang)


def free_answer(text: str, closed: bool, lang: str = "en", also: Sequence[str] = (), several: bool = False) -> Answer:
    """The gold of a question without options, by its form."""
    return judged(text, lang) if form_of(text, closed) == "yes_no" else worded(text, lang, also, several)


def lettered(texts: Sequence[str]) -> dict[str, str]:
    """Option texts under A, B, C, ..."""
    return {chr(ord("A") + place): text for place, text in enumerate(texts)}


def beside(request: ReadRequest, path: Path, *parts: str) -> str:
    """A path relative to the data folder, below the folder of the annotation file `path`."""
    if request.root is None:
        raise UserError(f"source {request.name}: images need a data folder; give one with --data")
    return "/".join([path.parent.resolve().relative_to(request.root).as_posix(), *parts])


def attacher(request: ReadRequest) -> Callable[[str], MediaRef]:
    """`request.attach` for one reading: sets ask many questions of one picture, and each is read and hashed once."""
    return cache(request.attach)


def sample(
    request: ReadRequest,
    identity: str,
    question: str,
    gold: Answer,
    media: Sequence[MediaRef],
    document: str,
    evidence: dict[str, Any] | None = None,
    **metadata: Any,
) -> Sample:
    """One question about its images, in order before the text. `metadata` takes what scorers and groups need."""
    shown = tuple(media)
    return Sample(
        id=f"{request.name}-{identity}",
        source=Source(request.name, request.split, request.entry.licence, identity, document),
        messages=(Message.about(question, shown),),
        answer=gold,
        media=shown,
        evidence=evidence or {},
        metadata={"question": question, **metadata},
    )


def text_of(row: Row, key: str) -> str:
    """A field that should be text but is a number in some rows, stripped."""
    value = row.values.get(key)
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        row.fail(f"field {key!r} is {value!r:.40}, expected text or a number")
    return str(value).strip()


def parted_rows(path: Path, columns: Sequence[str], mark: str = "|") -> Iterator[Row]:
    """Lines of cells between bars; the last column takes the rest. Raises UserError for a line with fewer cells."""
    for number, line in enumerate(path.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        cells = line.split(mark, len(columns) - 1)
        if len(cells) != len(columns):
            raise UserError(f"{path}, line {number}: {len(cells)} cells, expected {mark.join(columns)}")
        yield Row(dict(zip(columns, map(str.strip, cells), strict=True)), path, number)


def table_rows(path: Path) -> Iterator[Row]:
    """Rows of a table with tabs between cells and a header, whose cells may hold whole pictures.

    Raises UserError for a row with another number of cells than the header, and for broken quotes.
    """
    csv.field_size_limit(LONGEST_CELL)
    with path.open(encoding="utf-8-sig", newline="") as handle:
        cells = csv.reader(handle, delimiter="\t")
        header = next(cells, [])
        try:
            for values in cells:
                if len(values) != len(header):
                    raise UserError(f"{path}, line {cells.line_num}: {len(values)} cells, the header has {len(header)}")
                yield Row(dict(zip(header, values, strict=True)), path, cells.line_num)
        except csv.Error as error:
            raise UserError(f"{path}, line {cells.line_num}: broken table ({error})") from None
