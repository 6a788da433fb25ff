"""Labels with polarity: yes/no, right/wrong, compliant/violation, and a domain's own."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from mmreason.records import Answer, Unread, Verdict

FAMILIES: tuple[dict[str, list[str]], ...] = (
    {
        "yes": ["yes", "y", "是", "是的"],
        "no": ["no", "n", "否", "不是"],
    },
    {
        "true": ["true", "t", "correct", "right", "对", "正确", "对的", "正确的", "√", "✓", "✔"],
        "false": [
            *("false", "f", "incorrect", "wrong", "not true", "not correct", "错", "错误", "错的", "错误的"),
            *("不对", "不正确", "不是正确的", "×", "✗", "✘", "x"),
        ],
    },
    {
        "合规": [
            *("合规", "未违规", "无违规", "没有违规", "不违规", "未发现违规", "不存在违规", "不构成违规", "并未违规"),
            *("compliant", "no violation", "not a violation", "no violations"),
        ],
        "违规": [
            *("违规", "不合规", "有违规", "存在违规", "未合规", "不是合规", "构成违规"),
            *("violation", "non-compliant", "noncompliant", "not compliant", "non compliant"),
        ],
    },
)
"""Default wordings, one dictionary per pair of opposite labels; negated forms stand under what they mean."""

_TRIM = " \t\n.。!！,，;；:：\"'“”‘’()（）[]【】*$"
_WRAP = re.compile(r"\\(?:text|textbf|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
_NEGATED = re.compile(r"(?:不|未|无|没|没有|非|并非|并未|\bnot|\bno|\bnever|n't|\bnon)[\s-]*(?:a\s+)?$")
_YES_NO = (re.compile(r"\b(yes|no)\b"), re.compile(r"\b(true|false)\b"), re.compile(r"(不是|是否|是|否)"))
_SAYS = {"yes": True, "no": False, "true": True, "false": False, "是": True, "否": False, "不是": False}
_LONGEST_TAIL = 60


def plain(text: str) -> str:
    """Half-width, lower-case, without wrappers and outer punctuation."""
    text = _WRAP.sub(r"\1", text)
    return unicodedata.normalize("NFKC", text).casefold().strip(_TRIM)


def yes_no(text: str) -> bool | None:
    """The one polarity that `text` states: among yes/no, else true/false, else the Chinese pair; None if not one.

    Digits never count, and "not" is no verdict: "it is not true that it rose: no" says no.
    """
    lower = plain(text)
    for words in _YES_NO:
        found = set(words.findall(lower))
        if found:
            said = {_SAYS.get(word) for word in found}
            return said.pop() if len(said) == 1 else None
    return None


def polarity(text: str) -> bool | None:
    """True for a wording of true or yes, False for one of false or no, None for anything else."""
    lower = plain(text)
    for family in FAMILIES[:2]:
        for said, wordings in zip((True, False), family.values(), strict=True):
            if lower in wordings:
                return said
    return None


def labels_of(answer: Answer) -> dict[str, list[str]]:
    """Label -> wordings: the answer's own table, else the default pair that holds the gold, else nothing."""
    if answer.aliases:
        return answer.aliases
    gold = plain(answer.gold)
    for family in FAMILIES:
        if any(gold in wordings for wordings in family.values()):
            return family
    return {}


def read_label(text: str, labels: dict[str, list[str]]) -> str | None:
    """The one label that `text` states, None if none or several.

    The whole text first; else wordings inside a short text, the longest first, each blanked once found, so that a
    negated form is never also counted as what it negates. A negation left standing before a wording spoils it. A long
    text states the label that it opens with, if it names no other.
    """
    pairs = _longest_first(tuple((label, *words) for label, words in labels.items()))
    text = plain(text)
    for wording, label in pairs:
        if text == wording:
            return label
    if len(text) > _LONGEST_TAIL:
        return _opening(text, [pair for pair in pairs if len(pair[0]) > 1])
    found: set[str] = set()
    for wording, label in pairs:
        if len(wording) < 2:
            continue  # a lone letter or sign inside a sentence is no verdict
        for match in re.finditer(_bounded(wording), text):
            if _NEGATED.search(text[: match.start()]):
                return None
            found.add(label)
        text = re.sub(_bounded(wording), lambda match: "\0" * len(match.group()), text)
    return found.pop() if len(found) == 1 else None


def _opening(text: str, pairs: list[tuple[str, str]]) -> str | None:
    """The label of the wording that stands at the beginning as a sentence of its own; None beside another label's."""
    opens = (label for wording, label in pairs if re.match(rf"{_bounded(wording)}\s*[,.:;!，。]", text))
    first = next(opens, None)
    others = (wording for wording, label in pairs if label != first)
    return None if first is None or any(re.search(_bounded(wording), text) for wording in others) else first


@lru_cache(maxsize=256)
def _longest_first(table: tuple[tuple[str, ...], ...]) -> list[tuple[str, str]]:
    pairs = {(plain(word), label) for label, *words in table for word in (label, *words)}
    return sorted((pair for pair in pairs if pair[0]), key=lambda pair: (-len(pair[0]), pair))


@lru_cache(maxsize=1024)
def _bounded(wording: str) -> str:
    escaped = re.escape(wording)
    return rf"\b{escaped}\b" if wording.isascii() and wording[0].isalnum() and wording[-1].isalnum() else escaped


def grade_judgement(read: str, answer: Answer) -> Verdict:
    """Compare labels, wordings and polarity included."""
    labels = labels_of(answer)
    gold = read_label(answer.gold, labels) if labels else None
    if gold is None:
        return Verdict.no_read(Unread.GOLD, f"the gold {answer.gold!r} is no label of {sorted(labels)}", read)
    said = read_label(read, labels)
    if said is None:
        return Verdict.no_read(Unread.PREDICTION, f"expected one of {sorted(labels)}, found {read!r}", read)
    return Verdict.of(said == gold, read, f"{said} against {gold}")
