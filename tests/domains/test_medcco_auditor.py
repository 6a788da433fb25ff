"""The auditor against an endpoint on loopback: verdicts, rewrites, second looks, broken replies, the cache."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmreason.config import load_domain
from mmreason.data.endpoint import EndpointStopped
from mmreason.data.step import Drop, StepContext
from mmreason.errors import UserError
from mmreason.project import load_module
from mmreason.records import AnswerKind, Sample

made = load_module(Path(__file__).parent / "armed_batches.py")
making = load_module(Path(__file__).parents[1] / "data" / "making.py")
server = load_module(Path(__file__).parents[1] / "data" / "chat_server.py")
auditor = load_module(made.MEDICAL / "medcco" / "auditor.py")
FINE = {"consistent": True, "reason": "fits"}
MASS = made.question("mass of the left lung", asked="What is it, as seen before?")


def rewrite(**more: str) -> dict[str, Any]:
    return {"consistent": False, "reason": "refers to what is not there", **more}


def context(work: Path, url: str | None = None, offline: bool = False, **more: Any) -> StepContext:
    teacher = None if url is None else {"endpoint": making.endpoint(url, **more)}
    return StepContext(making.recipe(teacher), load_domain(made.MEDICAL), None, work, offline)


def audited(work: Path, sample: Sample, *replies: Any) -> tuple[Any, list[str]]:
    """What becomes of the sample when the endpoint says `replies` in turn, and the prompts it saw."""
    left = iter(replies)

    def script(body: dict[str, Any], seen: int, handler: Any) -> None:
        said = next(left)
        server.send_json(handler, server.completion(said if isinstance(said, str) else json.dumps(said)))

    with server.serve(script) as log:
        [item] = auditor.audit([sample], context(work, log.url))
    return item, log.prompts()


def test_a_consistent_pair_stays_with_its_record(tmp_path: Path) -> None:
    item, prompts = audited(tmp_path, MASS.with_meta(caption="A CT."), FINE)
    assert item.answer == MASS.answer and item.messages == MASS.messages
    assert item.metadata["audit"] == {"outcome": "kept", "by": "test-model", "reason": "fits"}
    assert "as seen before" in prompts[0] and "mass of the left lung" in prompts[0] and "A CT." in prompts[0]


def test_a_rewrite_passes_the_second_look_and_keeps_the_original(tmp_path: Path) -> None:
    reply = rewrite(new_question="What is seen?", new_answer="left lung mass")
    item, prompts = audited(tmp_path, MASS, reply, FINE)
    assert item.question == item.metadata["question"] == "What is seen?" and item.answer.gold == "left lung mass"
    record = item.metadata["audit"]
    assert record["outcome"] == "rewritten"
    assert record["original"] == {"question": "What is it, as seen before?", "answer": "mass of the left lung"}
    assert len(prompts) == 2 and "What is seen?" in prompts[1]


@pytest.mark.parametrize(
    ("replies", "reason"),
    [
        ([rewrite()], "inconsistent"),
        ([rewrite(new_question="What is seen?"), rewrite()], "rewrite_refused"),
        ([rewrite(new_answer="left lung effusion")], "rewrite_refused"),
        ([rewrite(new_answer="mass of the right lung")], "rewrite_refused"),
        ([rewrite(new_answer="no mass of the left lung")], "rewrite_refused"),
        (["no json", "{}", '{"consistent": "yes"}'], "audit_unread"),
    ],
)
def test_what_leaves_leaves_with_its_record(tmp_path: Path, replies: list[Any], reason: str) -> None:
    item, prompts = audited(tmp_path, MASS, *replies)
    assert isinstance(item, Drop) and (item.step, item.reason) == ("audit", reason) and len(prompts) == len(replies)
    assert item.row is not None and item.row["answer"]["gold"] == "mass of the left lung"
    assert item.row["metadata"]["audit"]["outcome"] == "dropped"


def test_options_and_yes_and_no_are_not_rewritten(tmp_path: Path) -> None:
    choice = made.question("A", AnswerKind.CHOICE, options={"A": "lung", "B": "liver"})
    assert isinstance(audited(tmp_path / "a", choice, rewrite(new_answer="liver"))[0], Drop)
    item, prompts = audited(tmp_path / "b", choice, rewrite(new_question="Where is it?"), FINE)
    assert item.answer == choice.answer and "A. lung" in prompts[0]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("a mass of the left lung", "large masses", False),
        ("nodules in both lungs", "one nodule", True),
        ("large mass", "mass on the left", True),
        ("pneumonia", "pneumonia", True),
        ("pneumonia", "effusion", False),
    ],
)
def test_head_nouns(one: str, other: str, same: bool) -> None:
    assert (auditor.head_noun(one) == auditor.head_noun(other)) is same


def serving(faults: list[Callable[[Any], None]]) -> Any:
    """Each request fails in the next of the given ways; then all are consistent."""
    left = iter(faults)

    def script(body: dict[str, Any], seen: int, handler: Any) -> None:
        fault = next(left, None)
        if fault is None:
            server.send_json(handler, server.completion(json.dumps(FINE)))
        else:
            fault(handler)

    return server.serve(script)


def test_faults_heal_and_what_came_is_cached(tmp_path: Path) -> None:
    busy: Callable[[Any], None] = lambda handler: server.send_json(handler, {}, 503)  # noqa: E731
    broken: Callable[[Any], None] = lambda handler: server.send_bytes(handler, b"<html>")  # noqa: E731
    with serving([busy, broken]) as log:
        [item] = auditor.audit([MASS], context(tmp_path, log.url))
        assert item.metadata["audit"]["outcome"] == "kept" and len(log.bodies) == 3
        [again] = auditor.audit([MASS], context(tmp_path, log.url))
        assert again == item and len(log.bodies) == 3
    [offline] = auditor.audit([MASS], context(tmp_path, log.url, offline=True))
    assert offline == item


def test_an_endpoint_that_is_down_stops_with_one_line(tmp_path: Path) -> None:
    with pytest.raises(EndpointStopped, match=r"auditor test-model at http://127\.0\.0\.1:9/v1 failed 1 times") as told:
        list(auditor.audit([MASS], context(tmp_path, "http://127.0.0.1:9/v1", retries=0)))
    assert "\n" not in str(told.value)


def test_without_an_endpoint_the_record_says_that_nobody_looked(tmp_path: Path) -> None:
    [item, drop] = auditor.audit([MASS, Drop("d", "s", "r")], context(tmp_path))
    assert item.metadata["audit"] == {"outcome": "kept", "by": "nobody", "reason": "no teacher endpoint"}
    assert drop == Drop("d", "s", "r")
    with pytest.raises(UserError, match=r"set data\.teacher\.endpoint"):
        list(auditor.audit([MASS], context(tmp_path), required=True))


def test_test_parts_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="test parts are never audited"):
        list(auditor.audit([made.question("x", split="test")], context(tmp_path)))
