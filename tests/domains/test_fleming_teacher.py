"""The rule-based teacher, and what endpoints do for the data: wordings, checks, audits, rationales, exclusions."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mmreason.config import load_domain
from mmreason.data.distil import Teacher, distil
from mmreason.data.judge import judge_locally
from mmreason.data.pipeline import build_dataset, load_dataset
from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Message, Outcome, Role, Sample, Source
from mmreason.records.io import read_samples
from mmreason.rewards.grade import grade

ROOT = Path(__file__).parents[2]
rows = load_module(Path(__file__).parent / "fleming_rows.py")
server = load_module(ROOT / "tests" / "data" / "chat_server.py")
making = load_module(ROOT / "tests" / "data" / "making.py")
teacher = load_module(rows.FLEMING / "teacher.py")
asking = load_module(rows.FLEMING / "data_teacher.py")
rationale = load_module(rows.FLEMING / "data_rationale.py")
filters = load_module(rows.FLEMING / "data_filters.py")
tiers = load_module(rows.FLEMING / "tiers.py")
MEDICAL = load_domain(rows.MEDICAL)


def choice(name: str = "q1", question: str = "A disease shows Fever. Which disease is it?", **meta: Any) -> Sample:
    answer = Answer(AnswerKind.CHOICE, "B", {"A": "gout", "B": "influenza", "C": "measles"})
    facts = {"question": question, "clues": [["Fever"]], "masked_nodes": ["x"], "tier": "easy", **meta}
    source = Source("made", "train", "Apache-2.0", name)
    return Sample(name, source, (Message.of(Role.USER, question),), answer, metadata=facts)


def served(tmp_path: Path, step: Any, samples: list[Sample], reply: Any, **options: Any) -> tuple[list[Any], Any]:
    """What a data step gives when the endpoint answers `reply(body, how often this request came before)`."""
    with server.serve(
        lambda body, seen, handler: server.send_json(handler, server.completion(reply(body, seen)))
    ) as log:
        made = {"endpoint": making.endpoint(log.url), "judge": making.endpoint(log.url)}
        return list(step(samples, making.context(tmp_path, made), **options)), log


def told(body: dict[str, Any]) -> str:
    return str(body["messages"][-1]["content"])


def test_a_thought_repeats_the_asked_word_beside_each_option() -> None:
    found, _ = rows.read(rows.rods.world, items=30, form="words", clues_most=3)
    sample = next(one for one in found if one.metadata["hops"] == 3)
    words, right = teacher.thought(sample), teacher.gold_place(sample)
    asked = sample.metadata["clues"][0]
    entries = words.split(" ; ")
    assert len(entries) == 5
    assert entries[right].endswith(" ".join(f"{word} {word}" for word in asked))
    assert all("none" in entry for place, entry in enumerate(entries[:4]) if place != right)
    assert entries[4] == f"so {' '.join(sample.metadata['masked_nodes'])}"


def test_the_way_alone_and_long_ways_left_out_more_often() -> None:
    found, _ = rows.read(rows.rods.world, items=600, form="words")
    respond = teacher.solver({"style": "path", "slip": 0.0, "skip": 0.1, "skip_hop": 0.25})
    said = {one.id: respond(one, 0) for one in found}
    for hops in (1, 2, 3):
        own = [one for one in found if one.metadata["hops"] == hops]
        whole = [one for one in own if teacher.GUESSED not in said[one.id]]
        assert abs(1 - len(whole) / len(own) - (0.1 + 0.25 * (hops - 1))) < 0.09
        for one in whole:
            way = one.metadata["masked_nodes"]
            assert said[one.id] == f"<think> {' '.join(way)}</think><answer> {way[-1]}</answer>"
    (lettered, *_), _ = rows.read(rows.rods.world, items=1)
    assert teacher.thought(lettered, teacher.Style.PATH).split() == [
        *lettered.metadata["masked_nodes"],
        lettered.answer.gold,
    ]


@pytest.mark.parametrize("form", ["letters", "words"])
def test_the_careful_teacher_is_always_right_and_the_careless_one_at_its_rates(form: str) -> None:
    found, _ = rows.read(rows.rods.world, items=300, form=form)
    careful, careless = teacher.solver({"slip": 0.0, "skip": 0.0}), teacher.solver({"slip": 0.3, "skip": 0.2})
    assert all(judge_locally(one, careful(one, 0)).accepted for one in found)
    said = [careless(one, 0) for one in found]
    right = sum(grade(text, one.answer).outcome is Outcome.RIGHT for text, one in zip(said, found, strict=True))
    skipped = sum(f"<think>{teacher.GUESSED}<" in text for text in said)
    assert abs(skipped / 300 - 0.2) < 0.07
    assert abs(right / 300 - (0.8 * 0.7 + 0.2 * 0.25)) < 0.09  # a guess among four is right now and then
    assert said == [careless(one, 0) for one in found] != [careless(one, 1) for one in found]
    stubborn = teacher.solver({"slip": 0.0, "skip": 0.0, "error": 1.0})
    assert not any(judge_locally(one, stubborn(one, 0)).accepted for one in found[:20])


def test_the_teacher_of_facts_and_of_real_items() -> None:
    (fact, *_), _ = rows.read(rows.rods.world_facts, items=3)
    assert teacher.solver({})(fact, 0) == fact.evidence["trace"]
    with pytest.raises(UserError, match=r"data\.teacher\.options"):
        teacher.solver({"slips": 0.1})
    option = {"node": "x", "names": ["influenza"], "shared": 1, "holds": [[True]]}
    other = {"node": "y", "names": ["gout"], "shared": 0, "holds": [[False]]}
    sample = choice(made_up=False, options=[other, option])
    assert teacher.thought(sample) == (
        "A. gout: Fever does not fit. B. influenza: Fever fits. Only influenza fits everything."
    )


@pytest.mark.parametrize(
    ("said", "fault"),
    [
        ("A man of 40 has Fever. What is the disease?", ""),
        ("A man has fever.", "no_question"),
        ("A man with influenza has fever. Which?", "names_answer"),
        ("A man is hot. Which disease?", "clue_lost"),
        ("Fever: gout or else?", "names_option"),
        ("Fever. A. or B. fits?", "names_option"),
    ],
)
def test_wordings_are_guarded(tmp_path: Path, said: str, fault: str) -> None:
    (made,), _ = served(tmp_path, asking.reworded, [choice()], lambda body, seen: json.dumps({"question": said}))
    assert made.metadata.get("wording_fault", "") == fault
    assert made.question == (choice().question if fault else said)
    assert made.metadata["worded_by"] == ("template" if fault else "test-model")


def test_only_choices_of_which_one_option_fits_stay(tmp_path: Path) -> None:
    replies = {"q1": ["B"], "q2": ["A", "B"], "q3": ["C"], "q4": [], "q5": None}
    samples = [choice(name, f"{name} Fever ?") for name in replies]

    def reply(body: dict[str, Any], seen: int) -> str:
        value = replies[told(body)[:2]]
        return "well" if value is None else json.dumps({"fitting": value})

    made, _ = served(tmp_path, asking.one_fits, samples, reply)
    assert [one.reason if isinstance(one, Drop) else "kept" for one in made] == [
        "kept",
        "several_fit",
        "another_fits",
        "none_fits",
        "check_unread",
    ]


def test_the_audit_counts_independent_answers() -> None:
    assert asking.audit(list("BBABC"), "B") == asking.LabelAudit(3, 5, False, "")
    assert asking.audit(list("AAAAA"), "B") == asking.LabelAudit(0, 5, True, "A")
    assert asking.audit(list("AACCA"), "B").instead == "A" and asking.audit(list("AACCD"), "B").instead == ""
    assert not asking.audit(["A", None, "A", "A", "A"], "B").flagged  # an unread answer proves nothing
    assert asking.audit([None] * 5, "B") == asking.LabelAudit(0, 5, False, "")


def test_the_audit_asks_five_times_and_flags_without_dropping(tmp_path: Path) -> None:
    samples = [choice("q1", "q1 Fever ?"), choice("q2", "q2 Fever ?")]
    made, log = served(
        tmp_path,
        asking.audited,
        samples,
        lambda body, seen: json.dumps({"answer": "A" if told(body)[:2] == "q1" else "AB"[seen % 2]}),
    )
    assert len(log.bodies) == 10
    assert made[0].metadata["label_audit"] == {
        "n_correct": 0,
        "of": 5,
        "flagged": True,
        "instead": "A",
        "by": "test-model",
    }
    assert made[1].metadata["label_audit"]["n_correct"] == 2
    assert [one["id"] for one in asking.suspects(made)] == ["q1"]


def test_a_model_gives_tiers_and_an_unknown_one_is_a_drop(tmp_path: Path) -> None:
    samples = [choice("q1", "q1 ?"), choice("q2", "q2 ?")]
    made, _ = served(
        tmp_path,
        tiers.by_model,
        samples,
        lambda body, seen: json.dumps({"tier": "Difficult" if "q1" in told(body) else "odd"}),
    )
    assert (made[0].metadata["tier"], made[0].metadata["tier_rule"]) == ("difficult", "easy")
    assert made[1].reason == "tier_unread"


def test_a_difficult_item_is_revised_until_a_blind_reader_agrees(tmp_path: Path) -> None:
    drafts = ["As the given answer says, flu.", "It is hot, so gout.", "Fever without a rash or a sore toe."]

    def reply(body: dict[str, Any], seen: int) -> str:
        text = told(body)
        if "Right answer" not in text:
            return json.dumps({"answer": "A" if "gout." in text else "B"})
        place = 0 if "Draft" not in text else int(text.split("Draft ")[1][0])
        return json.dumps({"rationale": drafts[place]})

    (made,), _ = served(tmp_path, rationale.rationales, [choice(tier="difficult")], reply)
    assert made.metadata["rationale"]["faults"] == ["betrays_the_gold", "leads_elsewhere"]
    assert made.evidence["trace"] == f"<think>{drafts[2]}</think><answer>\\boxed{{B}}</answer>"
    lessons = distil([made], Teacher("none", lambda sample, attempt: None, judge_locally, 1, 1))
    assert lessons.sft[0].response == made.evidence["trace"] and not lessons.rl
    (easy,), _ = served(tmp_path / "..", rationale.rationales, [choice("q9")], reply)
    assert "trace" not in easy.evidence and easy.metadata["rationale"]["faults"] == ["betrays_the_gold"]


def test_steps_without_their_endpoint_say_so(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"data\.teacher\.endpoint"):
        list(asking.reworded([choice()], making.context(tmp_path)))
    with pytest.raises(UserError, match=r"data\.teacher\.judge"):
        list(asking.audited([choice()], making.context(tmp_path)))


def test_malformed_rows_leave_with_a_reason(tmp_path: Path) -> None:
    def with_answer(gold: str, **options: str) -> Sample:
        return replace(choice(gold + "".join(options)), answer=Answer(AnswerKind.CHOICE, gold, options))

    samples = [
        choice("fine"),
        with_answer("A", A="gout", B=" Gout."),
        with_answer("A", A="gout", B=""),
        with_answer("C", A="gout", B="flu"),
        with_answer("A", A="gout", B="caf\u00c3\u00a9"),
        with_answer("A", A="gout", B="3 \u00b5g"),
        choice("empty", "  "),
    ]
    made = list(filters.well_formed(samples, making.context(tmp_path)))
    assert [one.reason if isinstance(one, Drop) else "kept" for one in made] == [
        "kept",
        "options",
        "options",
        "gold",
        "encoding",
        "kept",
        "empty",
    ]


def test_personal_text_is_masked_and_clinical_values_stay(tmp_path: Path) -> None:
    text = "Mr. John Smith, 64, MRN: 00123-A, call 555-123-4567 or a.b@clinic.org; BP 120/80, sodium 140, since 2019"
    (made,) = filters.anonymise([choice(question=text)], making.context(tmp_path))
    assert made.question == "[name], 64, [number], call [telephone] or [e-mail]; BP 120/80, sodium 140, since 2019"
    assert made.metadata["question"] == made.question and made.metadata["anonymised"] == 4
    assert "anonymised" not in next(filters.anonymise([choice()], making.context(tmp_path))).metadata


def pubmed(tmp_path: Path) -> StepContext:
    """PubMedQA's test part of two articles under the real medical domain."""
    folder = tmp_path / "data" / "pubmedqa"
    folder.mkdir(parents=True)
    article = {"QUESTION": "Does rest help in influenza?", "CONTEXTS": ["A trial."], "final_decision": "yes"}
    articles = {"11": article, "12": {**article, "QUESTION": "Is gout a disease of kings?"}}
    (folder / "ori_pqal.json").write_text(json.dumps(articles), encoding="utf-8")
    (folder / "test_ground_truth.json").write_text(json.dumps({"11": "yes"}), encoding="utf-8")
    base = making.context(tmp_path)
    return StepContext(base.recipe, MEDICAL, tmp_path / "data", base.work_dir)


def test_pubmedqa_test_articles_and_questions_are_left_out(tmp_path: Path) -> None:
    context = pubmed(tmp_path)
    one = choice("a", "A trial.\nQuestion: Is bed rest a cure?")
    samples = [
        replace(one, id="same_pmid", source=replace(one.source, document="pmid-11")),
        choice("same_text", "A trial.\nQuestion: Does rest help in influenza?"),
        replace(one, id="other", source=replace(one.source, document="pmid-12")),
    ]
    samples[1] = replace(samples[1], answer=Answer(AnswerKind.JUDGEMENT, "yes"))
    made = list(filters.unknown_to(samples, context, sets=["pubmedqa@test"]))
    assert Counter(one.reason if isinstance(one, Drop) else "kept" for one in made) == {
        "same_document": 1,
        "same_text": 1,
        "kept": 1,
    }


def test_absent_evaluation_files_are_an_error_or_noted(tmp_path: Path) -> None:
    context = pubmed(tmp_path)
    with pytest.raises(UserError, match=r"mirage/benchmark\.json missing"):
        list(filters.unknown_to([choice()], context, sets=["mirage@pubmedqa"]))
    (made,) = filters.unknown_to([choice()], context, sets=["mirage@pubmedqa", "pubmedqa@test"], absent="note")
    assert made.metadata["not_compared"] == ["mirage@pubmedqa"]


@pytest.mark.parametrize(
    "name", ["fleming_world", "fleming_taught", "fleming_facts", "fleming_hetionet", "fleming_pubmedqa"]
)
def test_the_pipelines_run(tmp_path: Path, name: str, request: pytest.FixtureRequest) -> None:
    real = name in ("fleming_hetionet", "fleming_pubmedqa")
    data = request.getfixturevalue("real_data") if real else None
    if data is not None and not all((data / part).is_dir() for part in ("hetionet_subset", "pubmedqa")):
        pytest.skip(f"no Hetionet subset or PubMedQA in {data}")
    domain = MEDICAL
    base = making.context(tmp_path)
    dataset = load_dataset(name, domain)
    if "items" in dataset.options:
        dataset = dataset.model_copy(update={"options": {**dataset.options, "items": 60}})
    built = build_dataset(dataset, StepContext(base.recipe, domain, data, base.work_dir))
    print(name, built.facts["read"], built.facts["kept"], built.facts["dropped"])
    assert built.facts["kept"] >= 55
    if name in ("fleming_hetionet", "fleming_facts"):  # without an endpoint these have a cold start all the same
        kept = read_samples(built.kept)
        assert all(judge_locally(one, one.evidence["trace"]).accepted for one in kept)
