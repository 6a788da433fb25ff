"""The compliance workflow of CCC: condition nodes in the handbook's order, a final auditor, one merged chain.

DianJin-R1 runs each node as a model call (about 8 calls a dialogue) and lets a model merge the logs into one
first-person chain, so that the trained model needs one call. The data and the handbook are not public; nodes,
wording and the rule form are ours (reconstructed from the paper's figure).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import Any

from mmreason.data.ambiguity import judge_chat
from mmreason.data.endpoint import Chat, Reply
from mmreason.data.judge import ask_object
from mmreason.data.step import Drop, StepContext
from mmreason.data.workers import map_stream
from mmreason.errors import UserError
from mmreason.records import AnswerKind, Sample


@dataclass(frozen=True, slots=True)
class Condition:
    """One node of the handbook: what to look for in the dialogue, and the words that show it in the rule form."""

    name: str
    question: str
    cues: tuple[str, ...]


CONDITIONS = (
    Condition(
        "监管投诉",
        "客户是否威胁或表示要向监管机构投诉？",
        ("监管", "银保监", "金融监管总局", "人民银行", "12378", "12363"),
    ),
    Condition("媒体曝光", "客户是否威胁或表示要在社交媒体或新闻媒体曝光？", ("媒体", "微博", "抖音", "曝光", "记者")),
    Condition("法律风险", "客户是否已咨询律师或表示要起诉？", ("律师", "起诉", "法院", "诉讼")),
)
ESCALATION_CUES = ("升级工单", "升级处理", "提交工单", "上报主管", "转交专员", "加急工单")
_NOT_DONE = ("不用升级", "无需升级", "不需要升级", "没有升级", "未升级", "不能升级", "无法升级")


@dataclass(frozen=True, slots=True)
class NodeLog:
    """What one node said."""

    node: str
    hit: bool
    rationale: str


@dataclass(frozen=True, slots=True)
class Workflow:
    """The logs in order, the auditor last, whose `hit` means violation; `calls` counts model calls."""

    logs: tuple[NodeLog, ...]
    violation: bool
    calls: int


def dialogue_of(sample: Sample) -> str:
    """The dialogue text: as the reader noted it in the evidence, else the whole question."""
    noted = sample.evidence.get("dialogue")
    if isinstance(noted, list):
        return "\n".join(turn if isinstance(turn, str) else f"{turn['role']}：{turn['text']}" for turn in noted)
    return noted if isinstance(noted, str) else sample.question


def by_log(sample: Sample) -> Workflow | None:
    """The workflow that the data bring (`evidence.workflow`, with the escalation last); None without rationales."""
    noted = sample.evidence.get("workflow")
    if not isinstance(noted, list) or not noted or not all(node.get("rationale") for node in noted):
        return None
    *alarms, escalation = (NodeLog(node["node"], node["hit"], node["rationale"]) for node in noted)
    return _audit(alarms, escalation.rationale if escalation.hit else "")


def is_violation(sample: Sample) -> bool:
    """The gold label. Raises UserError where it is neither of the two."""
    gold = sample.answer.gold
    if sample.answer.kind is not AnswerKind.JUDGEMENT or gold not in ("违规", "合规"):
        raise UserError(f"sample {sample.id}: gold {gold!r} is not 违规 or 合规, which the workflow step expects")
    return gold == "违规"


def by_rule(dialogue: str) -> Workflow:
    """Nodes as keyword rules, for dialogues made by rule. No model is called."""
    lines = dialogue.splitlines()
    logs = []
    for condition in CONDITIONS:
        line = next((line for line in lines if any(cue in line for cue in condition.cues)), "")
        reason = f"对话中有“{line.strip()}”" if line else "对话中没有这类表述"
        logs.append(NodeLog(condition.name, bool(line), reason))
    escalated = next(
        (line for line in lines if any(c in line for c in ESCALATION_CUES) and not any(n in line for n in _NOT_DONE)),
        "",
    )
    return _audit(logs, escalated.strip())


def _audit(logs: Sequence[NodeLog], escalated: str) -> Workflow:
    alarmed = any(log.hit for log in logs)
    violation = alarmed and not escalated
    if not alarmed:
        reason = "没有触发任何预警，不要求升级工单"
    else:
        reason = f"触发了预警，且客服已升级：“{escalated}”" if escalated else "触发了预警，但客服没有升级工单"
    return Workflow((*logs, NodeLog("审核", violation, reason)), violation, calls=0)


_NODE = """你是客服合规检查流程中的一个节点。只回复一个JSON对象：{"hit": true或false, "rationale": "一句话理由"}"""
_AUDITOR = """你是客服合规检查流程的最终审核节点。
规则：任一预警节点命中时，客服必须升级工单，否则违规；没有预警则不违规。
只回复一个JSON对象：{"hit": true或false, "rationale": "一句话理由"}，hit 为 true 表示违规。"""
_MERGE = """把下面各节点的记录合并成一段第一人称的思考过程，按节点顺序逐一检查，最后得出结论。
不要提到节点、流程或其他人，不要增加记录里没有的事实。只输出这段文字。"""


def by_model(dialogue: str, chat: Chat) -> Workflow | None:
    """Nodes as model calls, in order, each with one JSON verdict; None when one of them cannot be read."""
    logs: list[NodeLog] = []
    for condition in CONDITIONS:
        said = _node(chat, _NODE, f"检查：{condition.question}\n\n对话：\n{dialogue}")
        if said is None:
            return None
        logs.append(NodeLog(condition.name, said["hit"], said["rationale"]))
    record = "\n".join(f"{log.node}：{'命中' if log.hit else '未命中'}。{log.rationale}" for log in logs)
    said = _node(chat, _AUDITOR, f"各节点记录：\n{record}\n\n对话：\n{dialogue}")
    if said is None:
        return None
    logs.append(NodeLog("审核", said["hit"], said["rationale"]))
    return Workflow(tuple(logs), said["hit"], calls=len(logs))


def _node(chat: Chat, task: str, text: str) -> dict[str, Any] | None:
    messages = [{"role": "system", "content": task}, {"role": "user", "content": text}]
    return ask_object(chat, messages, {"hit": bool, "rationale": str})


def merge_by_rule(workflow: Workflow) -> str:
    """The logs as one first-person chain in order."""
    questions = {condition.name: condition.question for condition in CONDITIONS}
    parts = [
        f"我先看{questions.get(log.node, log.node).rstrip('？')}：{log.rationale}，所以{'是' if log.hit else '否'}。"
        for log in workflow.logs[:-1]
    ]
    auditor = workflow.logs[-1]
    parts.append(f"最后我看是否需要升级工单：{auditor.rationale}，所以{'违规' if workflow.violation else '合规'}。")
    return "\n".join(parts)


def merge_by_model(workflow: Workflow, chat: Chat) -> str | None:
    """The same by a model; None when its reply is cut or empty."""
    record = "\n".join(f"{log.node}（{'命中' if log.hit else '未命中'}）：{log.rationale}" for log in workflow.logs)
    reply: Reply = chat.ask([{"role": "system", "content": _MERGE}, {"role": "user", "content": record}])
    return reply.content.strip() if reply.finish == "stop" and reply.content.strip() else None


def _run(sample: Sample, chat: Chat | None) -> Sample | Drop:
    """The sample with the merged chain as evidence where the workflow reaches the gold label.

    A workflow that errs, or cannot be read, leaves the sample without a chain: the RL pool, as in the paper.
    """
    gold, dialogue = is_violation(sample), dialogue_of(sample)
    workflow = by_log(sample) or (by_rule(dialogue) if chat is None else by_model(dialogue, chat))
    if workflow is None:
        return sample.with_meta(workflow="unread")
    logs = [asdict(log) for log in workflow.logs]
    if workflow.violation != gold:
        return sample.with_meta(workflow="wrong", workflow_calls=workflow.calls, workflow_logs=logs)
    chain = merge_by_rule(workflow) if chat is None else merge_by_model(workflow, chat)
    calls = workflow.calls + (chat is not None)
    if chain is None:
        return sample.with_meta(workflow="merge_unread", workflow_calls=calls, workflow_logs=logs)
    told = replace(sample, evidence={**sample.evidence, "chain": chain})
    return told.with_meta(workflow="right", workflow_calls=calls, workflow_logs=logs)


def workflow(stream: Iterable[Sample | Drop], context: StepContext, by: str = "auto") -> Iterator[Sample | Drop]:
    """Run the workflow on each dialogue. `by`: "rule", "endpoint" (the judge endpoint), or "auto"."""
    if by not in ("auto", "rule", "endpoint"):
        raise UserError(f"workflow: by is {by!r}, expected 'auto', 'rule' or 'endpoint'")
    teacher = context.recipe.data.teacher
    has_judge = teacher is not None and teacher.judge is not None
    if by == "rule" or (by == "auto" and not has_judge):
        return map_stream(stream, partial(_run, chat=None), 1)
    chat = judge_chat(context)
    return map_stream(stream, partial(_run, chat=chat), chat.endpoint.concurrency)
