"""The judge mode of the reward, against a real endpoint on this machine."""

from __future__ import annotations

from pathlib import Path

from mmreason.config.recipe import Endpoint, RewardSettings
from mmreason.project import load_module
from mmreason.records import Answer, AnswerKind, Message, Outcome, Role, Sample, Source, Unread
from mmreason.rewards.judge import load_judge

server = load_module(Path(__file__).parents[1] / "data" / "chat_server.py")
SAMPLE = Sample(
    id="s",
    source=Source("d", "train", "MIT", "s"),
    messages=(Message.of(Role.USER, "why did sales fall?"),),
    answer=Answer(AnswerKind.FREE, "demand was weak"),
)


def settings(url: str) -> RewardSettings:
    return RewardSettings(judge=Endpoint(base_url=url, model="judge", retries=0))


def test_no_judge_is_asked_when_none_is_named(tmp_path: Path) -> None:
    assert load_judge(RewardSettings(), tmp_path) is None


def test_verdict_is_read_once_and_kept(tmp_path: Path) -> None:
    with server.serve(server.say('{"answer_match": true, "why": "same meaning"}')) as log:
        judge = load_judge(settings(log.url), tmp_path)
        assert judge is not None
        verdicts = [judge(SAMPLE, "weak demand"), judge(SAMPLE, "weak demand")]
        assert [verdict.outcome for verdict in verdicts] == [Outcome.RIGHT, Outcome.RIGHT]
        assert len(log.bodies) == 1  # the second came from the cache
        assert "demand was weak" in log.prompts()[0] and "weak demand" in log.prompts()[0]


def test_a_reply_that_cannot_be_read_is_unread_and_never_right(tmp_path: Path) -> None:
    with server.serve(server.say("I think it is fine")) as log:
        judge = load_judge(settings(log.url), tmp_path)
        assert judge is not None
        verdict = judge(SAMPLE, "weak demand")
        assert (verdict.outcome, verdict.unread) == (Outcome.UNREAD, Unread.PREDICTION)
        assert len(log.bodies) == 3  # three draws before it gives up
