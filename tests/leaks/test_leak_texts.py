from __future__ import annotations

from leak_making import row, rows

from mmreason.leaks.compare import documents, questions
from mmreason.leaks.inside import matrix, repeats
from mmreason.leaks.media import Compared
from mmreason.leaks.text import NearTexts, SharedRuns, runs, stem_shingles

STEM = (
    "A 67-year-old man with transitional cell carcinoma of the bladder comes to the physician because of a two day "
    "history of ringing sensation in his ear and a hearing loss of 45 dB after one course of chemotherapy"
)


def test_near_texts_gives_exact_similarities_and_nothing_below() -> None:
    texts = [f"{STEM} number {k}" for k in range(40)] + ["why is the sky blue in the morning"]
    index = NearTexts(stem_shingles(text) for text in texts)
    found = dict(index.near(stem_shingles(STEM)))
    # 40 words (67-year-old is three) are 38 shingles, two more words two more: 38 of 40 are shared
    assert set(found) == set(range(40)) and set(found.values()) == {38 / 40}
    assert list(index.near(stem_shingles("why is the sea blue in the evening"))) == []


def test_runs_of_thirteen_words() -> None:
    assert len(runs("one two three four five six seven eight nine ten eleven twelve thirteen")) == 1
    assert runs("one two three four five six seven eight nine ten eleven twelve") == set()


def test_a_question_inside_a_longer_text_is_found_by_half_of_its_runs() -> None:
    words = STEM.split()
    search = SharedRuns([STEM, "too short to have a run"])
    assert search.too_short == 1
    assert list(search.shared(f"as a case : {STEM} . explain")) == [(0, 1.0)]
    # 40 words have 28 runs; the first 26 (24 between spaces) hold 14 of them, the first 25 hold 13
    assert list(search.shared(" ".join(words[:24]))) == [(0, 14 / 28)]
    assert list(search.shared(" ".join(words[:23]))) == []


def test_questions_are_grouped_so_that_templates_do_not_explode() -> None:
    train = [row(f"t{k}", "Is there a fracture?", "no") for k in range(300)]
    known = [row(f"e{k}", "is there a FRACTURE", "yes") for k in range(200)]
    facts = questions(rows("train", None, *train), rows("eval", None, *known))  # type: ignore[arg-type]
    assert (facts["same"]["train_rows"], facts["same"]["eval_rows"]) == (300, 200)
    assert len(facts["same"]["groups"]) == 1
    assert facts["runs"]["eval_too_short"] == 1


def test_near_questions_are_not_counted_as_the_same() -> None:
    facts = questions(
        rows("train", None, row("t", STEM + " now", "a")),  # type: ignore[arg-type]
        rows("eval", None, row("e", STEM, "a")),  # type: ignore[arg-type]
    )
    assert facts["same"]["train_rows"] == 0
    assert [group["similarity"] for group in facts["near"]["groups"]] == [round(38 / 39, 4)]


def test_documents_and_matrix() -> None:
    a = rows("a", None, *(row(f"a{k}", f"what of {k}", "x", document=f"report-{k // 2}") for k in range(6)))  # type: ignore[arg-type]
    b = rows("b", None, *(row(f"b{k}", f"how of {k}", "x", document=f"report-{k + 2}") for k in range(4)))  # type: ignore[arg-type]
    facts = documents(a, b)
    assert facts["ids"] == ["report-2"]
    assert {key: facts[key] for key in ("train", "eval", "shared", "train_rows", "eval_rows")} == {
        "train": 3,
        "eval": 4,
        "shared": 1,
        "train_rows": 2,
        "eval_rows": 1,
    }
    assert matrix([a, b], "documents") == [[6, 2], [1, 0]]
    assert matrix([a, b], "questions") == [[0, 0], [0, 0]]


def test_repeats_inside_a_set() -> None:
    one = rows(
        "a",
        None,  # type: ignore[arg-type]
        row("1", "Is it big?", "yes"),
        row("2", "is it big", "yes"),
        row("3", "Is it small?", "yes"),
        row("4", "Is it small?", "no"),
        row("5", "Is it red?", "no"),
    )
    facts = repeats(one, Compared([one], []))
    assert facts["same_row"]["ids"] == [["1", "2"], ["3", "4"]]
    assert facts["other_answer"] == 1
    assert facts["same_question"] == {"groups": 2, "rows": 4}
