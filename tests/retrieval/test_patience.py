"""Bases that come and go."""

from __future__ import annotations

import pytest

from mmreason.retrieval.client import ServiceDown
from mmreason.retrieval.patience import Patience


def down() -> list[str]:
    raise ServiceDown("http://x failed")


def test_an_answer_in_between_begins_the_count_anew(capsys: pytest.CaptureFixture[str]) -> None:
    patience = Patience(turns=2)
    for _ in range(3):
        assert patience.ask("text", down) is None
        assert patience.ask("table", lambda: ["row"]) == ["row"]
        assert patience.ask("text", lambda: []) == []
    assert capsys.readouterr().err.count("knowledge base text") == 3
    assert patience.ask("text", down) is None
    with pytest.raises(ServiceDown):
        patience.ask("text", down)
