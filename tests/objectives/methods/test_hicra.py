"""Planning tokens, found in the text of exact ids, get more credit and less blame."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from pydantic import ValidationError
from small_batches import codec, context, rollout, rows

from mmreason.objectives.batch import Batch
from mmreason.objectives.methods.hicra import Hicra, matcher, touched
from mmreason.records import Segment, SegmentKind


@pytest.fixture(scope="module")
def small() -> Any:
    return codec("we add the two and let us carry", "another way to see the sum")


def spelt(batch: Batch, planning: torch.Tensor, small: Any) -> list[str]:
    """Text of the planning tokens of each row."""
    ids = [rollout.ids for rollout in batch.rollouts]
    return [
        small.tokenizer.decode([n for n, own in zip(row, kept, strict=False) if own])
        for row, kept in zip(ids, planning.tolist(), strict=True)
    ]


def test_planning_tokens_gain_alpha_of_their_size(small: Any) -> None:
    texts = ("so 2+2. Let me  try\nanother sum", "the sum is 4", "Another way to see, let me try another")
    batch = rows([rollout(small.tokenizer.encode(text)) for text in texts])
    ctx = context(codec=small)
    advantage = torch.tensor([[1.0], [-3.0], [-1.0]], dtype=torch.float64).expand(batch.mask.shape)
    planning = Hicra().planning(batch, ctx)
    found = [" ".join(text.split()) for text in spelt(batch, planning, small)]
    assert found[:2] == ["Let me try another", ""]
    assert found[2].replace(",", "") == "Another way to see let me try another"
    out = Hicra().transform(advantage, batch, ctx)
    assert torch.equal(out[0], 1.0 + 0.2 * planning[0].double())
    assert torch.equal(out[1], advantage[1])
    assert torch.equal(out[2], 0.2 * planning[2].double() - 1.0)
    share = float(planning.sum()) / float(batch.mask.sum())
    assert ctx.logged == {"method/hicra/planning_share": pytest.approx(share)}
    assert 0.0 < share < 1.0


def test_tokens_without_loss_are_left_alone(small: Any) -> None:
    ids = small.tokenizer.encode("let me try another")
    parts = (Segment(0, len(ids), SegmentKind.TOOL), Segment(len(ids), 2 * len(ids)))
    batch = rows([rollout(ids * 2, segments=parts)])
    planning = Hicra(Hicra.Settings(phrases=("try another",))).planning(batch, context(codec=small))
    assert not planning[0, : len(ids)].any() and planning[0, len(ids) :].any()


def test_phrases_are_words_and_overlap() -> None:
    find = matcher(("let me try", "me try another", "let me try another way", "a b.c"))
    text = "Outlet me try; let me try another wayside a b.c a bxc"
    # neither within "Outlet", nor up to "way" of "wayside"; from one place the longest, from several all
    assert [match.group(1) for match in find.finditer(text)] == ["let me try", "me try another", "a b.c"]


def test_phrases_of_scripts_without_spaces(small: Any) -> None:
    phrase, text = "\u6362\u4e00\u79cd\u601d\u8def", "\u6211\u4eec\u6362\u4e00\u79cd\u601d\u8def\u8bd5\u8bd5"
    batch = rows([rollout(small.tokenizer.encode(text))])
    assert batch.mask.shape[1] == 3 * len(text)  # every character is three byte tokens
    planning = Hicra(Hicra.Settings(phrases=(phrase,))).planning(batch, context(codec=small))
    assert planning[0].nonzero().flatten().tolist() == list(range(6, 21))


def test_a_token_that_shares_one_character_belongs() -> None:
    spans = [(0, 3), (3, 5), (5, 5), (5, 9)]
    assert touched(spans, [(2, 5)]) == [True, True, False, False]
    assert touched(spans, []) == [False] * 4
    assert touched([], []) == []


def test_empty_answers(small: Any) -> None:
    ctx = context(codec=small)
    batch = rows([rollout(()), rollout(())])
    out = Hicra().transform(torch.zeros(2, 0, dtype=torch.float64), batch, ctx)
    assert out.shape == (2, 0)
    assert ctx.logged == {"method/hicra/planning_share": 0.0}


@pytest.mark.parametrize("phrases", [(), ("let me see", " ")])
def test_no_phrases_and_empty_ones_are_refused(phrases: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        Hicra.Settings(phrases=phrases)
