"""The judge mode of the reward: a model behind an endpoint decides on free answers that are not equal to the gold."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from mmreason.config.recipe import RewardSettings
from mmreason.data.endpoint import Chat
from mmreason.data.judge import ask_object
from mmreason.records import Sample, Unread, Verdict

SampleJudge = Callable[[Sample, str], Verdict]
"""(sample, answer as read from the output) -> verdict."""

_TASK = """You compare an answer with the reference answer of the same question. Reply with one JSON object and nothing
else: {"answer_match": true or false, "why": "one sentence"}. They match when they mean the same; wording is free."""


def load_judge(settings: RewardSettings, cache: Path) -> SampleJudge | None:
    """The judge that `reward.judge` names, its replies kept in the folder `cache`; None when it names none."""
    if settings.judge is None:
        return None
    return answer_judge(Chat(settings.judge, cache / "reward_judge.sqlite", role="reward judge"))


def answer_judge(chat: Chat) -> SampleJudge:
    """Ask for a structured verdict. A reply that cannot be read leaves the answer unread, never right."""

    def judge(sample: Sample, read: str) -> Verdict:
        fields = (("Question", sample.question), ("Reference answer", sample.answer.gold), ("Answer", read))
        text = "\n\n".join(f"## {title}\n{value}" for title, value in fields)
        said = ask_object(
            chat, [{"role": "system", "content": _TASK}, {"role": "user", "content": text}], {"answer_match": bool}
        )
        if said is None:
            return Verdict.no_read(Unread.PREDICTION, "the judge's reply could not be read", read)
        return Verdict.of(said["answer_match"], read, f"judge: {str(said.get('why', ''))[:200]}")

    return judge
