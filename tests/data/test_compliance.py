from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from chat_server import completion, send_json, serve
from making import context, endpoint, sample

from mmreason.data.compliance import CONDITIONS, by_rule, merge_by_rule, workflow
from mmreason.errors import UserError
from mmreason.records import AnswerKind, Sample

LABELS = {"违规": ["违规", "不合规"], "合规": ["合规", "无违规"]}


def dialogue(*turns: str) -> str:
    return "\n".join(turns)


ANGRY = "客户：再不处理我就打12378投诉。"
RULES = [
    (("客户：余额怎么查？", "客服：请看首页。"), [False, False, False], False, "no alarm"),
    ((ANGRY, "客服：好的。"), [True, False, False], True, "alarm without escalation"),
    ((ANGRY, "客服：已为您提交工单。"), [True, False, False], False, "alarm with escalation"),
    ((ANGRY, "客服：这个不用升级工单。"), [True, False, False], True, "escalation refused in words that contain it"),
    (("客户：我找了律师，还要发微博。", "客服：随您。"), [False, True, True], True, "two alarms"),
    (("客户：谢谢。", "客服：已提交工单。"), [False, False, False], False, "escalated without need"),
]


@pytest.mark.parametrize(("turns", "hits", "violation", "origin"), RULES)
def test_rule_nodes(turns: tuple[str, ...], hits: list[bool], violation: bool, origin: str) -> None:
    made = by_rule(dialogue(*turns))
    assert [log.hit for log in made.logs[:-1]] == hits and made.violation is violation, origin
    assert [log.node for log in made.logs] == [*(condition.name for condition in CONDITIONS), "审核"]
    assert made.calls == 0


def test_the_chain_walks_the_nodes_in_order_and_ends_in_the_verdict() -> None:
    lines = merge_by_rule(by_rule(dialogue(ANGRY, "客服：好的。"))).splitlines()
    assert len(lines) == 4 and all(line.startswith("我先看") for line in lines[:3])
    assert "监管" in lines[0] and "媒体" in lines[1] and "律师" in lines[2] and lines[3].endswith("所以违规。")


def row(gold: str, *turns: str) -> Sample:
    return sample("d", dialogue(*turns), gold, AnswerKind.JUDGEMENT, aliases=LABELS, lang="zh")


def run_one(one: Sample, folder: Path, teacher: dict[str, Any] | None = None) -> Sample:
    (made,) = workflow([one], context(folder, teacher))
    assert isinstance(made, Sample)
    return made


def test_a_right_workflow_gives_the_chain_and_a_wrong_one_gives_none(tmp_path: Path) -> None:
    right = run_one(row("违规", ANGRY, "客服：好的。"), tmp_path)
    assert right.evidence["chain"].endswith("所以违规。") and right.metadata["workflow"] == "right"
    wrong = run_one(row("合规", ANGRY, "客服：好的。"), tmp_path)
    assert "chain" not in wrong.evidence and wrong.metadata["workflow"] == "wrong" and wrong.answer.gold == "合规"


def test_a_log_that_the_data_bring_is_used(tmp_path: Path) -> None:
    nodes = [("监管投诉", True, "客户说要找监管"), ("升级工单", False, "没有升级")]
    log = [{"node": node, "hit": hit, "rationale": why} for node, hit, why in nodes]
    own = sample("d", "客户：好。", "违规", AnswerKind.JUDGEMENT, aliases=LABELS, evidence={"workflow": log})
    made = run_one(own, tmp_path)
    assert "客户说要找监管" in made.evidence["chain"] and made.evidence["chain"].endswith("所以违规。")


def test_a_mention_that_is_no_threat_is_an_error_that_verification_removes(tmp_path: Path) -> None:
    made = run_one(row("合规", "客户：我家就在法院旁边。", "客服：好的。"), tmp_path)
    assert made.metadata["workflow"] == "wrong" and "chain" not in made.evidence


def test_foreign_labels_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="gold 'bad' is not 违规 or 合规"):
        list(workflow([row("bad", ANGRY)], context(tmp_path)))


def node_script(hits: dict[str, bool], merged: str = "我逐一检查，所以违规。") -> Any:
    def script(body: dict[str, Any], seen: int, handler: Any) -> None:
        system, user = (message["content"] for message in body["messages"])
        if "合并成一段" in system:
            send_json(handler, completion(merged))
            return
        name = "审核" if "最终审核" in system else next(c.name for c in CONDITIONS if c.question in user)
        send_json(
            handler, completion(json.dumps({"hit": hits[name], "rationale": f"{name}的理由"}, ensure_ascii=False))
        )

    return script


def test_model_nodes_run_in_order_and_calls_are_counted(tmp_path: Path) -> None:
    hits = {"监管投诉": True, "媒体曝光": False, "法律风险": False, "审核": True}
    with serve(node_script(hits)) as log:
        made = run_one(row("违规", ANGRY, "客服：好的。"), tmp_path, {"judge": endpoint(log.url)})
        prompts = log.prompts()
    assert made.evidence["chain"] == "我逐一检查，所以违规。" and made.metadata["workflow_calls"] == 5
    assert [condition.question in prompt for condition, prompt in zip(CONDITIONS, prompts, strict=False)] == [True] * 3
    assert "监管投诉：命中。监管投诉的理由" in prompts[3], "the auditor reads the nodes' records"
    assert [entry["node"] for entry in made.metadata["workflow_logs"]] == [*(c.name for c in CONDITIONS), "审核"]


def test_an_unreadable_node_leaves_the_row_without_a_chain(tmp_path: Path) -> None:
    with serve(lambda b, s, h: send_json(h, completion("hm"))) as log:
        made = run_one(row("违规", ANGRY), tmp_path, {"judge": endpoint(log.url)})
    assert made.metadata["workflow"] == "unread" and "chain" not in made.evidence
