"""Every suite that claims a published scorer says in docs/parity what it was checked against."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mmreason.suites.suite import list_suites, load_suite

PAGES = sorted((Path(__file__).parents[2] / "docs" / "parity").glob("*.md"))
TEXT = "\n".join(page.read_text(encoding="utf-8") for page in PAGES)
SCORED = [name for name in list_suites() if load_suite(name).metrics != ["strict"]]


@pytest.mark.parametrize("name", SCORED)
def test_a_scored_suite_or_its_scorer_is_named(name: str) -> None:
    words = [name, load_suite(name).title.partition(",")[0], re.sub(r"_(2fps|32|dev|test|turns)$", "", name)]
    words += [metric.partition("@")[0].partition(".")[0] for metric in load_suite(name).metrics[1:]]
    assert any(re.search(rf"(?<![a-z]){re.escape(word)}", TEXT) for word in words), f"{name} is in none of docs/parity"


def test_suites_without_an_outside_check_are_listed() -> None:
    index = (Path(__file__).parents[2] / "docs" / "parity.md").read_text(encoding="utf-8")
    missing = [name for name in list_suites() if load_suite(name).reader_only and f"`{name}`" not in index]
    assert missing == []
