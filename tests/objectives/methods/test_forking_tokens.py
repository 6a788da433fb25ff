"""Gradient on the tokens of highest entropy alone."""

from __future__ import annotations

import pytest
import torch
from small_batches import context, tokens

from mmreason.objectives.methods.forking_tokens import ForkingTokens

# Entropies of the 6 loss tokens, sorted: 0.1 0.2 0.3 0.4 0.5 0.9; the last place of row 2 is padding.
ENTROPY = torch.tensor([[0.1, 0.9, 0.2, 0.3], [0.5, 0.4, 7.0, 7.0]])
ADVANTAGE = torch.tensor([[1.0], [-2.0]], dtype=torch.float64).expand(2, 4)


def test_the_share_of_highest_entropy_keeps_its_advantage() -> None:
    # share 0.4: the 0.6-quantile of 6 values lies at place 3, 0.4; kept are 0.9, 0.5 and 0.4
    method, ctx = ForkingTokens(ForkingTokens.Settings(share=0.4)), context()
    out = method.transform(ADVANTAGE, tokens(4, 2, entropy_old=ENTROPY), ctx)
    assert out.tolist() == [[0.0, 1.0, 0.0, 0.0], [-2.0, -2.0, 0.0, 0.0]]
    assert ctx.logged == {"method/forking_tokens/kept_share": 0.5}


def test_the_published_share_keeps_a_fifth() -> None:
    # 0.8-quantile: place 0.8 x 5 = 4, which is 0.5
    out = ForkingTokens().transform(ADVANTAGE, tokens(4, 2, entropy_old=ENTROPY), context())
    assert out.tolist() == [[0.0, 1.0, 0.0, 0.0], [-2.0, 0.0, 0.0, 0.0]]


@pytest.mark.parametrize("lengths", [(4, 2), (1, 0)])
def test_equal_entropies_keep_all(lengths: tuple[int, ...]) -> None:
    batch = tokens(*lengths)
    batch.aux["entropy_old"] = torch.full(batch.mask.shape, 0.7)
    advantage = torch.ones(batch.mask.shape, dtype=torch.float64)
    assert torch.equal(ForkingTokens().transform(advantage, batch, context()), batch.mask.double())


def test_without_loss_tokens_nothing_is_kept() -> None:
    batch, ctx = tokens(2), context()
    batch.mask[:] = False
    batch.aux["entropy_old"] = torch.ones(1, 2)
    out = ForkingTokens().transform(torch.ones(1, 2, dtype=torch.float64), batch, ctx)
    assert out.tolist() == [[0.0, 0.0]]
    assert ctx.logged == {"method/forking_tokens/kept_share": 0.0}
