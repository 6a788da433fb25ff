"""Pieces joined, cut and grown from forks: ids, segments, media and the place in the tree, by hand."""

from __future__ import annotations

import pytest
import torch

from mmreason.config.recipe import TinyModel
from mmreason.errors import UserError
from mmreason.models.codec import Codec, Encoded
from mmreason.models.medium import Medium
from mmreason.models.tiny import build_tiny
from mmreason.models.tokenizer import train_tokenizer
from mmreason.records import Answer, AnswerKind, Message, Role, Rollout, Sample, Segment, SegmentKind, Source, Stop
from mmreason.rollout.engine import Request
from mmreason.rollout.pieces import branch, cut, fork, join, media_spans, put_in, written

SIZES = TinyModel(hidden=32, layers=1, heads=2, kv_heads=1, ffn=32, vocab=300, vision_hidden=32, family="qwen2_5_vl")
PICTURE = Medium(torch.zeros(16, 1176), (1, 4, 4))  # four placeholders
MODEL, TOOL = SegmentKind.MODEL, SegmentKind.TOOL


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> Codec:
    path = tmp_path_factory.mktemp("tiny") / "model"
    build_tiny(SIZES, train_tokenizer(["one and two"], SIZES.vocab), 0, path)
    return Codec.load(path)


def piece(codec: Codec, text: str, stop: Stop = Stop.CUT, logp: float = -1.0) -> Rollout:
    ids = codec.tokenizer.encode(text, add_special_tokens=False)
    return Rollout((1, 2), tuple(ids), (logp,) * len(ids), text, stop)


def shown(codec: Codec) -> Rollout:
    """Three turns: "one", a picture from a tool, "two"."""
    pad = codec.visual_ids[0]
    tool = put_in([3, pad, pad, pad, pad, 4], TOOL, media=[PICTURE])
    spoken = join(join(piece(codec, "one"), tool), piece(codec, "two", Stop.EOS, -2.0))
    return spoken


def test_pieces_behind_one_another(codec: Codec) -> None:
    one, two = piece(codec, "one"), piece(codec, "two", Stop.EOS, -2.0)
    whole, before, after = shown(codec), len(one.ids), len(one.ids) + 6
    assert whole.ids == (*one.ids, 3, *codec.visual_ids[:1] * 4, 4, *two.ids)
    assert whole.logprobs == (-1.0,) * before + (0.0,) * 6 + (-2.0,) * len(two.ids)
    assert whole.segments == (
        Segment(0, before, MODEL),
        Segment(before, after, TOOL),
        Segment(after, len(whole.ids), MODEL),
    )
    assert (whole.prompt_ids, whole.stop, whole.media, whole.text) == ((1, 2), Stop.EOS, (PICTURE,), "onetwo")
    assert whole.trained == [True] * before + [False] * 6 + [True] * len(two.ids)


def test_neighbours_of_one_kind_become_one_segment_and_turns_count_on(codec: Codec) -> None:
    one = piece(codec, "one")
    same = join(one, one)
    assert same.segments == (Segment(0, 2 * len(one.ids), MODEL),)
    later = Rollout((1, 2), (7, 8), (-1.0, -1.0), "", Stop.EOS, (Segment(0, 2, MODEL, 1),))
    assert [segment.turn for segment in join(join(one, later), later).segments] == [0, 1, 2]
    assert join(Rollout((1, 2), (), (), "", Stop.CUT), one).segments == (Segment(0, len(one.ids), MODEL),)


def test_values_a_token_are_kept_where_both_have_them() -> None:
    hot = Rollout((), (3,), (-1.0,), "", Stop.CUT, entropies=(0.5,), extras={"temperatures": [2.0], "a": 1})
    plain = Rollout((), (4,), (-1.0,), "", Stop.EOS, extras={"b": 2})
    assert join(hot, plain).entropies == ()
    assert join(hot, plain).extras == {"temperatures": [2.0, 0.0], "a": 1, "b": 2}
    assert join(hot, put_in([9, 9], TOOL)).entropies == (0.5, 0.0, 0.0)


def test_a_character_cut_in_two_is_whole_again(codec: Codec) -> None:
    ids = codec.tokenizer.encode("答", add_special_tokens=False)
    assert len(ids) == 3  # one token a byte
    first, more = (
        Rollout((), tuple(part), (-1.0,) * len(part), codec.decode(part), Stop.CUT) for part in (ids[:1], ids[1:])
    )
    assert join(first, more, codec).text == "答" != join(first, more).text


def test_what_a_tool_wrote_is_not_read_as_the_answer(codec: Codec) -> None:
    tool = put_in(codec.tokenizer.encode("<answer>7</answer>"), TOOL)
    whole = join(join(piece(codec, "one"), tool, codec), piece(codec, "two"), codec)
    assert whole.text == written(whole, codec) == "one\ntwo"


@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_cut_keeps_what_lies_before_it(codec: Codec, at: int) -> None:
    """Before the tool, behind its picture, inside the last turn."""
    whole = shown(codec)
    tool = whole.segments[1]
    where = (tool.start, tool.end, tool.end + 1)[at]
    kept = cut(whole, where, codec)
    assert (kept.ids, kept.logprobs, kept.stop) == (whole.ids[:where], whole.logprobs[:where], Stop.CUT)
    assert kept.segments == (*whole.segments[: at + 1],) if at < 2 else kept.segments[-1].end == where
    assert kept.media == ((PICTURE,) if at else ())
    assert kept.text == written(kept, codec)


def test_a_cut_inside_a_picture_or_outside_the_rollout(codec: Codec) -> None:
    whole = shown(codec)
    start = whole.segments[1].start
    for at in range(start + 2, start + 5):
        with pytest.raises(ValueError, match=f"a cut at {at} inside the picture at {start + 1}..{start + 5}"):
            cut(whole, at, codec)
    with pytest.raises(ValueError, match="a cut at 99"):
        cut(whole, 99, codec)


def test_a_fork_asks_for_the_prefix_and_a_branch_remembers_it(codec: Codec) -> None:
    whole = shown(codec)
    at = whole.segments[1].end
    sample = Sample("s", Source("own", "train", "", "0"), (Message.of(Role.USER, "?"),), Answer(AnswerKind.NUMBER, "1"))
    asked = fork(Request(sample, Encoded([1, 2])), whole, at, codec)
    assert (asked.sample, asked.prompt.ids, asked.begun, asked.media) == (sample, [1, 2], whole.ids[:at], (PICTURE,))
    grown = branch(whole, 3, at, piece(codec, "and", Stop.EOS, -3.0), codec)
    assert (grown.parent, grown.fork, grown.stop) == (3, at, Stop.EOS)
    assert grown.ids[:at] == whole.ids[:at] and grown.logprobs[at:] == (-3.0,) * (len(grown.ids) - at)
    assert [segment.kind for segment in grown.segments] == [MODEL, TOOL, MODEL]
    assert grown.text == "one\nand"


def test_a_clip_may_stand_in_several_runs(codec: Codec) -> None:
    pad, clip = codec.visual_ids[1], Medium(torch.zeros(32, 1176), (2, 4, 4), "video")
    ids = [9, *[pad] * 4, 9, *[pad] * 4, 9, *codec.visual_ids[:1] * 4]
    assert media_spans(ids, [clip, PICTURE], codec, "s") == [(1, 10), (11, 15)]
    with pytest.raises(
        UserError, match=r"sample s: 11 visual tokens .* its 2 pictures and clips make 12; a picture was cut"
    ):
        media_spans(ids[:-1], [clip, PICTURE], codec, "s")
