"""A quantile, a covariance, and where tokens lie in the text."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
import torch

from mmreason.models.tokenizer import train_tokenizer
from mmreason.objectives.tokens import covariance, quantile, speller


@pytest.fixture(scope="module")
def codec() -> Any:
    return SimpleNamespace(tokenizer=train_tokenizer(["the sum of two sums is a sum"] * 4, 300))


@pytest.mark.parametrize("count", [1, 2, 7, 100])
@pytest.mark.parametrize("share", [0.0, 0.2, 0.5, 0.8, 1.0])
def test_the_quantile_is_that_of_torch(count: int, share: float) -> None:
    values = torch.rand(count, generator=torch.Generator().manual_seed(count), dtype=torch.float64)
    assert float(quantile(values, share)) == pytest.approx(float(torch.quantile(values, share)), abs=1e-15)


def test_no_value_reaches_the_quantile_of_none() -> None:
    assert float(quantile(torch.zeros(0), 0.8)) == float("inf")


def test_covariance_knows_masked_tokens_alone() -> None:
    # A = 3 3 3 -1 (mean 2), l = -1 -2 -4 -5 (mean -3); the rest is padding, one of it not a number
    advantage = torch.tensor([[3.0, 3.0, 3.0], [-1.0, 50.0, 50.0]])
    logp = torch.tensor([[-1.0, -2.0, -4.0], [-5.0, 9.0, float("nan")]], requires_grad=True)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    found = covariance(advantage, logp, mask)
    assert found.tolist() == [[2.0, 1.0, -1.0], [6.0, 0.0, 0.0]]
    assert not found.requires_grad
    assert not covariance(advantage, logp, torch.zeros_like(mask)).any()


def test_spans_tile_the_decoded_text(codec: Any) -> None:
    text = "<think>The sum, 12%</think> ok<|im_end|>"
    ids = codec.tokenizer.encode(text)
    spelt, spans = speller(codec)(ids)
    assert spelt == text
    assert [spelt[start:end] for start, end in spans] == [codec.tokenizer.decode([number]) for number in ids]
    assert speller(codec)([]) == ("", [])


def test_the_bytes_of_a_character_share_its_span(codec: Any) -> None:
    ids = codec.tokenizer.encode("a\u8bc1\u5238b", add_special_tokens=False)  # two characters of three bytes each
    assert len(ids) == 8
    text, spans = speller(codec)(ids)
    assert text == "a\u8bc1\u5238b"
    assert spans == [(0, 1), *[(1, 2)] * 3, *[(2, 3)] * 3, (3, 4)]


def test_broken_characters_hold_up_neither_the_rest_nor_the_end(codec: Any) -> None:
    whole = codec.tokenizer.encode("\u8bc1", add_special_tokens=False)
    for ids in (whole[:2] * 40, [*whole[:1], *codec.tokenizer.encode("sum")], whole[:1]):
        text, spans = speller(codec)(ids)
        assert len(spans) == len(ids) and spans[-1][1] == len(text)
    assert speller(codec)([*whole[:1], *codec.tokenizer.encode("sum")])[0].endswith("sum")
