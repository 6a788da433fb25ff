"""HealthBench: points, clipping, stored labels; and the judge of answers, against a real endpoint on loopback."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmreason.config import load_domain
from mmreason.config.parts import Endpoint
from mmreason.config.recipe import RewardSettings
from mmreason.data.endpoint import Chat
from mmreason.errors import UserError
from mmreason.project import load_module, project_dir
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.rewards.reward import load_reward
from mmreason.suites.judged import by_rubric, check_judge, grade_reply, judged
from mmreason.suites.reference import healthbench
from mmreason.suites.scoring import Output, score_outputs
from mmreason.suites.suite import load_suite

server = load_module(Path(__file__).parents[2] / "data" / "chat_server.py")

RUBRICS = [
    {"criterion": "names the drug", "points": 7, "tags": ["axis:accuracy"]},
    {"criterion": "asks for the dose", "points": 5, "tags": ["axis:context_awareness"]},
    {"criterion": "is short", "points": 10, "tags": ["axis:accuracy"]},
    {"criterion": "gives wrong advice", "points": -6, "tags": ["axis:accuracy"]},
]


def case(name: str = "a", rubrics: list[dict[str, Any]] = RUBRICS, **metadata: object) -> Sample:
    return Sample(
        id=f"healthbench-{name}",
        source=Source("healthbench", "test", "MIT", name),
        messages=(Message.of(Role.USER, "Hello"), Message.of(Role.ASSISTANT, "Hi"), Message.of(Role.USER, "What now?")),
        answer=Answer(AnswerKind.FREE, ""),
        evidence={"rubrics": rubrics},
        metadata={"question": "What now?", **metadata},
    )


def free(name: str, gold: str) -> Sample:
    answer = Answer(AnswerKind.FREE, gold)
    return Sample(name, Source("d", "t", "l", name), (Message.of(Role.USER, "What is seen?"),), answer)


def stored(*met: bool) -> str:
    return json.dumps({"completion": "x", "criteria_met": list(met)})


def test_points_as_in_the_test_of_the_original() -> None:
    assert healthbench.rubric_score(RUBRICS, [True, False, True, True]) == (7 + 10 - 6) / 22
    assert healthbench.rubric_score(RUBRICS, [False, False, False, True]) == -6 / 22
    assert healthbench.rubric_score(RUBRICS[3:], [True]) is None


def test_clipped_only_after_averaging() -> None:
    samples = [case("a", example_tags=["theme:hedging"]), case("b", example_tags=["theme:hedging"])]
    outputs = [stored(False, False, False, True), stored(True, True, True, False)]
    scored = healthbench.official.run(outputs, samples)
    assert [one.value for one in scored] == [-6 / 22, 1.0]
    total = healthbench.official.total(scored)
    assert total["score"] == total["theme:hedging"] == (1 - 6 / 22) / 2
    assert total["axis:accuracy"] == pytest.approx((-6 / 17 + 1) / 2)
    assert healthbench.clipped(healthbench.official.run(outputs[:1], samples[:1])) == {"score": 0.0}


def test_answers_without_labels_have_no_official_score() -> None:
    assert healthbench.official.run(["take rest", None], [case(), case("b")])[0].value is None
    assert not any(map(healthbench.has_labels, ["text", "{", '{"criteria_met": [1]}', '{"criteria_met": 1}', "[]"]))
    with pytest.raises(UserError, match="2 labels for 4 criteria"):
        healthbench.official.run([stored(True, True)], [case()])


def test_results_file_of_the_original(tmp_path: Path) -> None:
    items = [{**rubric, "criteria_met": rubric["points"] > 0, "explanation": "e"} for rubric in RUBRICS]
    row = {"prompt_id": "a", "completion": [{"role": "assistant", "content": "rest"}], "rubric_items": items}
    path = tmp_path / "healthbench_allresults.json"
    path.write_text(json.dumps({"score": 1.0, "metadata": {"example_level_metadata": [row]}}), encoding="utf-8")
    found = healthbench.results(path, [case()])
    assert healthbench.official.run(found["healthbench-a"], [case()])[0].value == 1.0
    path.write_text('{"score": 1}', encoding="utf-8")
    with pytest.raises(UserError, match="give the file of all results"):
        healthbench.results(path, [case()])


def endpoint(url: str) -> Endpoint:
    return Endpoint(base_url=url, model="judge-model", temperature=0.0, concurrency=4, retries=0)


def by_criterion(body: dict[str, Any], seen: int, handler: Any) -> None:
    """Says yes to criteria about names and drugs; writes prose first, and nothing readable about shortness."""
    prompt = body["messages"][-1]["content"]
    met = "names the drug" in prompt.split("# Criterion")[1] and "aspirin" in prompt
    text = json.dumps({"explanation": "because", "criteria_met": met})
    server.send_json(handler, server.completion("I cannot say" if "is short" in prompt else f"Here: {text}"))


def test_each_criterion_is_judged_and_cached(tmp_path: Path) -> None:
    with server.serve(by_criterion) as log:
        chat = Chat(endpoint(log.url), tmp_path / "judge.sqlite")
        graded = grade_reply(chat, case(), "<think>secret</think><answer>Take aspirin.</answer>")
        asked = len(log.bodies)
        again = grade_reply(chat, case(), "<think>other</think><answer>Take aspirin.</answer>")
        chat.close()
    assert graded.met == (True, False, None, False) and graded.unread == 1
    assert graded.score == 7 / 22 and again == graded
    assert asked == len(log.bodies) == 3 + 5  # five draws for the label that cannot be read, none a second time
    assert all("secret" not in body for body in log.bodies)
    assert "user: Hello\n\nassistant: Hi\n\nuser: What now?\n\nassistant: Take aspirin." in log.prompts()[0]


def test_an_unread_label_never_helps(tmp_path: Path) -> None:
    with server.serve(server.say("no verdict")) as log:
        chat = Chat(endpoint(log.url), tmp_path / "judge.sqlite")
        graded = grade_reply(chat, case(), "x")
        chat.close()
    assert graded.unread == 4 and graded.score == -6 / 22


def records_of(samples: list[Sample], outputs: list[str | None]) -> list[dict[str, Any]]:
    suite = load_suite("healthbench").model_copy(update={"metrics": ["strict"], "group_by": []})
    reward = load_reward(RewardSettings(), load_domain(project_dir() / "domains" / "medical"), lenient=True)
    return score_outputs(suite, samples, [[Output(text)] for text in outputs], reward)


def test_a_rubric_suite_has_no_score_without_a_judge(tmp_path: Path) -> None:
    suite = load_suite("healthbench")
    with pytest.raises(UserError, match=r"its score needs a judge; set eval\.judge"):
        check_judge(suite, [case()], None)
    with pytest.raises(UserError, match="its score needs a judge"):
        judged(suite, [case()], records_of([case()], ["x"]), None, tmp_path)
    assert by_rubric([case()]) and not by_rubric([free("f", "a clot")])


def test_a_rubric_suite_with_its_judge(tmp_path: Path) -> None:
    samples, outputs = [case("a"), case("b")], ["aspirin", None]
    with server.serve(by_criterion) as log:
        records, block = judged(
            load_suite("healthbench"), samples, records_of(samples, outputs), endpoint(log.url), tmp_path
        )
    assert [record["credit"] for record in records] == [7 / 22, 0.0]
    assert [record["runs"][0]["outcome"] for record in records] == ["wrong", "wrong"]
    assert records[0]["runs"][0]["criteria_met"] == [True, False, None, False]
    assert block is not None and block["score"] == pytest.approx(3.5 / 22, abs=1e-6)
    assert (block["judge"], block["labels"], block["labels_unread"]) == ("judge-model", 8, 2)


def test_free_answers_are_judged_beside_the_strict_number(tmp_path: Path) -> None:
    def same(body: dict[str, Any], seen: int, handler: Any) -> None:
        accepted = "## Answer\nthrombus" in body["messages"][-1]["content"]
        server.send_json(handler, server.completion(json.dumps({"answer_match": accepted, "why": "w"})))

    samples = [free("1", "a clot"), free("2", "a clot"), free("3", "a clot"), free("4", "a clot")]
    records = records_of(samples, ["\\boxed{a clot}", "\\boxed{thrombus}", "\\boxed{tumour}", None])
    with server.serve(same) as log:
        kept, block = judged(load_suite("medqa"), samples, records, endpoint(log.url), tmp_path)
        assert len(log.bodies) == 2  # equal answers and absent ones are not asked about
    assert kept == records and block is not None
    assert block == {"judge": "judge-model", "asked": 2, "accepted": 1, "unread": 0, "strict": 0.25, "acc": 0.5}
    assert judged(load_suite("medqa"), samples, records, None, tmp_path) == (records, None)


def test_stored_labels_need_no_judge(tmp_path: Path) -> None:
    samples, outputs = [case("a"), case("b")], [stored(True, True, True, False), stored(False, False, False, True)]
    records, block = judged(load_suite("healthbench"), samples, records_of(samples, outputs), None, tmp_path)
    assert [record["credit"] for record in records] == [1.0, -6 / 22] and records[0]["acc"] == 1.0
    assert block is not None and (block["judge"], block["labels_unread"]) == ("stored labels", 0)
    with pytest.raises(UserError, match="its score needs a judge"):
        judged(load_suite("healthbench"), samples, records_of(samples, [outputs[0], None]), None, tmp_path)
