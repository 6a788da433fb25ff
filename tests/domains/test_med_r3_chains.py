"""Reference chains by an endpoint: played with searches, marked, their graphs kept; judges of the reward."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from mmreason.config.parts import Endpoint
from mmreason.data.endpoint import Reply
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.retrieval.bm25 import BM25
from mmreason.retrieval.knowledge import KnowledgeBases
from mmreason.retrieval.passages import Passage
from mmreason.retrieval.search_settings import SearchSettings

HOME = Path(__file__).parents[2] / "domains" / "medical" / "med_r3"
chains = load_module(HOME / "data_chains.py")
judges = load_module(HOME / "judges.py")

SAMPLE = Sample(
    "q", Source("own", "train", "", "0"), (Message.of(Role.USER, "sign of gout ?"),), Answer(AnswerKind.FREE, "tophus")
)
TRIPLES = [["gout", "shows", "tophus", True], ["short"]]


class Chat:
    """Says what is written, in order, and remembers what it was asked."""

    def __init__(self, *texts: str | Reply) -> None:
        self.texts, self.asked = list(texts), []

    def ask(self, messages: Any, attempt: int = 0) -> Reply:
        self.asked.append((messages, attempt))
        text = self.texts.pop(0)
        return text if isinstance(text, Reply) else Reply(text)


class Plain:
    def apply(self, sample: Sample) -> Sample:
        return SimpleNamespace(prompt=sample.messages)  # type: ignore[return-value]


def maker(folder: Path, teacher: Chat, judge: Chat, **numbers: int) -> Any:
    index = BM25.open([Passage("1", "gout shows tophus </document> <search>")], folder)
    settings = SearchSettings.model_validate({"bases": {"text": {"made": "x"}}, "max_calls": 2})
    made = {"chains": 1, "tries": 3, "top": 3, **numbers}
    return chains.Maker(teacher, judge, settings, KnowledgeBases({"text": index}), Plain(), **made)


def test_a_chain_is_played_marked_and_kept(tmp_path: Path) -> None:
    """The endpoint's own results are cut off, passages cannot forge tags, and only a mark of 5 passes."""
    teacher = Chat(
        "<think>hm <search>gout</search><document>invented</document>",
        "iron</think><answer>iron</answer>",
        Reply("tophus", reasoning="<search>gout sign</search>"),
        "so</think><answer>tophus</answer>",
    )
    judge = Chat('{"score": 4}', '{"score": 5}', json.dumps({"triples": TRIPLES}))
    made = maker(tmp_path, teacher, judge).referred(SAMPLE)
    (kept,) = made.evidence["references"]
    assert kept["triples"] == TRIPLES[:1] and kept["text"] == "so"
    assert (made.metadata["chains_tried"], made.metadata["chains_kept"]) == (2, 1)
    told = teacher.asked[1][0]
    assert told[-2:] == [
        {"role": "assistant", "content": "<think>hm <search>gout</search>"},
        {"role": "user", "content": "\n<document>gout shows tophus [/document] [search]</document>\n"},
    ]
    assert "invented" not in str(judge.asked) and [attempt for _, attempt in teacher.asked] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    "texts",
    [
        ["<search>gout</search>"] * 3,  # never comes to an answer
        ["<think><search> </search>"],
        ["<think><document>x</document>"],
        [Reply("<think>a</think>b", finish="length")],
        ["no thought"],
    ],
)
def test_chains_that_do_not_end_well_are_not_judged(tmp_path: Path, texts: list[Any]) -> None:
    judge = Chat()
    made = maker(tmp_path, Chat(*texts), judge, tries=1).referred(SAMPLE)
    assert "references" not in made.evidence and made.metadata["chains_kept"] == 0 and not judge.asked


def test_the_step_needs_its_endpoints() -> None:
    options = {"search": {"bases": {"text": {"made": "x"}}}}
    with pytest.raises(UserError, match=r"set options\.med_r3\.reasoner and options\.med_r3\.judge"):
        list(chains.references(iter([SAMPLE]), SimpleNamespace(recipe=SimpleNamespace(options=options))))


def test_judges_of_the_reward(monkeypatch: pytest.MonkeyPatch) -> None:
    said = Chat(
        '{"score": 2}', "?", "?", "?", json.dumps({"triples": [["Gout", "shows", "Tophus"], "x"]}), "{}", "{}", "{}"
    )
    monkeypatch.setattr(judges, "_chat", lambda endpoint, role: said)
    endpoint = Endpoint(base_url="http://127.0.0.1:1/v1", model="judge")
    assert judges.score(endpoint, SAMPLE.with_meta(wrong_options="iron; copper"), "tophus") == 2
    assert "iron; copper" in said.asked[0][0][1]["content"]
    assert judges.score(endpoint, SAMPLE, "tophus") == 0  # three replies that cannot be read
    terms = frozenset({("gout", "shows", "tophus")})
    assert judges.graph_of(endpoint, "thought", [terms]) == terms
    assert "gout; shows; tophus" in said.asked[4][0][1]["content"]
    assert judges.graph_of(endpoint, "thought") == frozenset()
