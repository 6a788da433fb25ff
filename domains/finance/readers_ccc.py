"""Compliance checks of customer-service dialogues: your own rows, and made-up ones with the same rule tree.

The set of DianJin-R1 is not public; rows, rule and wording here are ours (reconstructed). One JSON object a line:
{"id": "d1", "dialogue": [{"role": "客户", "text": "..."}, {"role": "客服", "text": "..."}], "label": "违规",
 "workflow": [{"node": "监管投诉", "hit": true, "rationale": "..."}]}
`label` is any wording of 违规 or 合规; `workflow` (the nodes' log) may be absent.

The rule has two stages: does the customer show an alert intent (complaint to the regulator, exposure in the media,
legal steps), and if so, did the agent escalate the ticket? An alert without escalation is a violation.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from mmreason.data.lines import Row, read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import ReadRequest
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source
from mmreason.rewards.judgement import FAMILIES, read_label

LABELS = FAMILIES[2]
"""合规 and 违规 with their accepted wordings."""
ROLES = ("客户", "客服")
TASK = "规则：客户表示要向监管机构投诉、向媒体曝光或采取法律手段时，客服必须升级工单，否则违规。客服是否违规？"

ALERTS = {
    "监管投诉": ("再不处理我就打12378投诉。", "我要向金融监管总局投诉你们。", "我准备向银保监反映这件事。"),
    "媒体曝光": ("我要把这事发到微博上曝光。", "我已经联系了记者，等着上新闻吧。", "我会在抖音上曝光你们的做法。"),
    "法律风险": ("我已经咨询律师了，准备起诉。", "不解决我们就法院见。", "我的律师会给你们发诉讼材料。"),
}
MENTIONS = ("我在律师事务所上班，白天不方便接电话。", "我是在微博上看到这个活动的。", "我家就在法院旁边的网点办的卡。")
"""Name what an alert names, without its intent."""
CALM = ("好的，我再等等。", "麻烦你们尽快看一下。", "我只是想问清楚。", "可以，那我明天再打。", "明白了，谢谢。")
ISSUES = (
    "我的信用卡{number}号账单多收了{amount}元年费。",
    "尾号{number}的卡上有一笔{amount}元的扣款我不认识。",
    "我提前还了{amount}元贷款，合同尾号{number}，为什么还有利息？",
    "我在网点买的理财{number}号亏了{amount}元，当时没说有风险。",
    "我申请的{amount}元退款到现在没到账，流水号{number}。",
)
OPENINGS = ("您好，请问有什么可以帮您？", "您好，这里是客户服务中心。", "您好，很高兴为您服务。")
REPLIES = ("我先为您核实一下记录。", "请您稍等，我查一下。", "已经看到您的记录了。", "给您带来不便非常抱歉。")
ESCALATES = (
    "我现在为您升级工单，专人会联系您。",
    "我已上报主管，今天内给您答复。",
    "我马上为您提交工单，加急工单优先处理。",
)
STALLS = (
    "这个问题按规定只能等待。",
    "这件事不需要升级工单，请您耐心等待。",
    "我会记录下来，请您留意短信。",
    "目前没有别的办法。",
)
CLOSINGS = ("请问还有其他问题吗？", "感谢您的来电，再见。", "祝您生活愉快。")


def _text(turns: list[dict[str, str]]) -> str:
    return "\n".join(f"{turn['role']}：{turn['text']}" for turn in turns)


def _sample(
    request: ReadRequest, identity: str, turns: list[dict[str, str]], label: str, evidence: dict[str, Any], **extra: Any
) -> Sample:
    text = _text(turns)
    return Sample(
        id=f"{request.name}-{identity}",
        source=Source(request.name, request.split, request.entry.licence, identity, f"{request.name}-{identity}"),
        messages=(Message.of(Role.USER, f"{text}\n{TASK}"),),
        answer=Answer(AnswerKind.JUDGEMENT, label, aliases=LABELS, lang="zh"),
        evidence={"dialogue": turns, **evidence},
        metadata={"question": text, "label": label, **extra},
    )


def _turns(row: Row) -> list[dict[str, str]]:
    turns = [{"role": turn.need("role", str), "text": turn.need("text", str)} for turn in row.inners("dialogue")]
    if not turns:
        row.fail("field 'dialogue' has no turns")
    for turn in turns:
        if turn["role"] not in ROLES:
            row.fail(f"dialogue role {turn['role']!r} is none of {', '.join(ROLES)}")
    return turns


def _log(row: Row) -> dict[str, Any]:
    """The nodes' log under `workflow`, checked; nothing where there is none."""
    if row.values.get("workflow") is None:
        return {}
    nodes = row.inners("workflow")
    keys = (("node", str), ("hit", bool), ("rationale", str))
    return {"workflow": [{key: node.need(key, kind) for key, kind in keys} for node in nodes]}


def ccc(request: ReadRequest) -> Iterator[Sample]:
    """Your own dialogues."""
    take_options(request)
    for path in request.files:
        for row in read_rows(path):
            label = read_label(row.need("label", str), LABELS)
            if label is None:
                row.fail(f"label {row.values['label']!r} is none of the wordings of {' and '.join(LABELS)}")
            yield _sample(request, row.need("id", str), _turns(row), label, _log(row))


def _customer(rng: random.Random, alerts: list[str]) -> list[str]:
    """What the customer says after the issue: alert intents and calm words, in any order."""
    said = [rng.choice(ALERTS[alert]) for alert in alerts] + rng.sample(CALM, rng.choice((1, 2)))
    if rng.random() < 0.2:
        said.append(rng.choice(MENTIONS))
    rng.shuffle(said)
    return said


def _dialogue(rng: random.Random, alerts: list[str], escalated: bool) -> list[dict[str, str]]:
    issue = rng.choice(ISSUES).format(number=rng.randrange(1000, 10000), amount=rng.randrange(10, 9000))
    customer = [issue, *_customer(rng, alerts)]
    answers = [rng.choice(REPLIES) for _ in customer[1:]]
    final = rng.choice(ESCALATES if escalated else STALLS)
    agent = [rng.choice(OPENINGS), *answers, final]
    turns = [
        {"role": role, "text": text}
        for said, asked in zip(agent, customer, strict=False)
        for role, text in zip(ROLES[::-1], (said, asked), strict=True)
    ]
    return [*turns, {"role": "客服", "text": agent[-1]}, {"role": "客服", "text": rng.choice(CLOSINGS)}]


def _case(rng: random.Random) -> tuple[str, list[str], bool]:
    """(label, alerts, escalated): both labels equally often; compliance has an alert in half of its cases."""
    label = rng.choice(("违规", "合规"))
    alerted = label == "违规" or rng.random() < 0.5
    alerts = rng.sample(sorted(ALERTS), rng.choice((1, 1, 2))) if alerted else []
    escalated = label == "合规" and (alerted or rng.random() < 0.2)
    return label, alerts, escalated


def synthetic(request: ReadRequest) -> Iterator[Sample]:
    """Made-up dialogues; deterministic in (split, seed, index). Option: items (how many)."""
    for index in range(take_options(request, items=500)["items"]):
        rng = random.Random(f"ccc:{request.split}:{request.seed}:{index}")
        label, alerts, escalated = _case(rng)
        log = [{"node": node, "hit": node in alerts, "rationale": ""} for node in ALERTS]
        evidence = {"workflow": [*log, {"node": "升级工单", "hit": escalated, "rationale": ""}]}
        turns = _dialogue(rng, alerts, escalated)
        yield _sample(request, f"{request.split}-{index:05d}", turns, label, evidence, alerts=len(alerts))
