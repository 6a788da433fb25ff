"""What rule N reads and refuses, its borders, and scale words on either side."""

from __future__ import annotations

from typing import Any

import pytest

from mmreason.records import Answer, AnswerKind, Outcome, Unread
from mmreason.rewards.number import grade_number
from mmreason.rewards.numerals import parse_chinese
from mmreason.rewards.quantity import parse_number

READ = [
    ("5", 5.0),
    ("-5.20%", -0.052),
    ("1,234", 1234.0),
    ("($1,234.5)", -1234.5),
    ("(5)%", -0.05),
    ("-$5", -5.0),
    ("$-5m", -5e6),
    ("$5$", 5.0),
    ("US$ 5 billion", 5e9),
    ("12.5 percentage points", 0.125),
    ("about 7", 7.0),
    ("x=5", 5.0),
    ("revenue: 14.1", 14.1),
    ("3.5 million shares", 3.5e6),
    ("5.", 5.0),
    (r"\text{12.5}\%", 0.125),
    (r"1.2\times10^{9}", 1.2e9),
    ("5-year", 5.0),
    ("￥1,200", 1200.0),
    ("负百分之三", -0.03),
    ("1亿2000万", 1.2e8),
    ("约3.5亿元", 3.5e8),
    ("1,234.5万元", 12_345_000.0),
    ("三千五", 3500.0),
]
REFUSED = [
    *("", "nan", "inf", "-inf", "1e400", "infinity", "about", "%", "万"),  # no number
    *("5 or 6", "5-10", "10 to 14.1", "5 and 6", "5, 6", "5/6", "5 million or 6 million", "5±1"),  # several
    *("1,23", "12.3.4", "1,2345", r"\frac{1}{2}", "not 5", "<5", "2019年增长5%"),  # ill formed or hedged
]


@pytest.mark.parametrize(("text", "value"), READ)
def test_reads_one_number(text: str, value: float) -> None:
    shown = parse_number(text)
    assert shown is not None and shown.value == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize("text", REFUSED)
def test_refuses_what_is_not_one_number(text: str) -> None:
    assert parse_number(text) is None


NUMERALS = [
    ("三千五百万", 35e6, 1e6),
    ("二〇二四", 2024, 1),
    ("十二点五", 12.5, 0.1),
    ("一百二十三点四五万", 1_234_500, 100),
    ("一千零五", 1005, 1),
    ("两万亿", 2e12, 1e12),
    ("十", 10, 10),
    ("壹仟贰佰", 1200, 100),
    ("1亿2000万", 1.2e8, 1e4),
]


@pytest.mark.parametrize(("text", "value", "last"), NUMERALS)
def test_chinese_numerals_with_the_size_of_the_last_digit(text: str, value: float, last: float) -> None:
    found = parse_chinese(text)
    assert found is not None
    assert found == (pytest.approx(value), pytest.approx(last))


def test_numerals_refuse_other_words() -> None:
    assert [parse_chinese(text) for text in ("万", "元", "百分", "", "点")] == [None] * 5


BORDERS = [  # (read, gold, flags, right): 1e-3 relative, or half a shown digit within 1e-2
    ("100.09", "100", {}, True),
    ("100.11", "100", {}, False),
    ("93.5%", "0.93464", {}, True),
    ("93%", "0.93464", {}, True),  # half a unit is 0.005, error 0.0046 is within 1e-2
    ("94%", "0.93464", {}, False),  # 0.57 % off, more than half a unit
    ("1", "1.4", {}, False),  # within half a unit, but 29 % off
    ("0", "0.0", {}, True),
    ("0.0", "0.004", {}, False),  # the constant that lenient rules pay
    ("1e-8", "0", {}, False),
    ("93.464", "0.93464", {}, False),
    ("93.464", "0.93464", {"asks_percent": True}, True),
    ("93.464", "93.464%", {"asks_percent": True}, False),  # a side carries the sign
    ("9346.4", "0.93464", {"asks_percent": True}, False),
    ("1234.5", "1234.5", {"scale": "million"}, True),
    ("1,234.5 million", "1234.5", {"scale": "million"}, True),
    ("1.2345 billion", "1234.5", {"scale": "million"}, True),
    ("1234500000", "1234.5", {"scale": "million"}, True),  # X15: written out in full
    ("1234500", "1234.5", {"scale": "million"}, False),
    ("1234.5", "1234.5 million", {"scale": "million"}, True),
    ("1234.5", "1234.5 million", {}, False),
    ("1.2亿元", "1.2", {"scale": "亿元"}, True),
    ("22.12%", "22.12", {"scale": "percent"}, True),
    ("0.2212", "22.12", {"scale": "percent"}, True),  # X16
    ("22.1231", "22.12", {"scale": "percent"}, False),  # X17
]


@pytest.mark.parametrize(("read", "gold", "flags", "right"), BORDERS)
def test_borders(read: str, gold: str, flags: dict[str, Any], right: bool) -> None:
    verdict = grade_number(read, Answer(AnswerKind.NUMBER, gold, **flags))
    assert (verdict.outcome is Outcome.RIGHT) is right, verdict
    assert verdict.unread is None


def test_polarity_golds() -> None:
    yes = Answer(AnswerKind.NUMBER, "yes")
    assert grade_number("True", yes).outcome is Outcome.RIGHT
    assert grade_number("是", yes).outcome is Outcome.RIGHT
    assert grade_number("不是", yes).outcome is Outcome.WRONG
    for text in ("yes and no", "是否", "1", "", "know"):
        assert grade_number(text, yes).unread is Unread.PREDICTION


def test_unreadable_golds_are_named() -> None:
    for answer in (Answer(AnswerKind.NUMBER, "5 or 6"), Answer(AnswerKind.NUMBER, "5", scale="dozen")):
        verdict = grade_number("5", answer)
        assert verdict.unread is Unread.GOLD and ("5 or 6" in verdict.why or "dozen" in verdict.why)
