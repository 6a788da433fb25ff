"""Attention over parts of the keys, and the parts together, against attention over all of them."""

from __future__ import annotations

import pytest
import torch

from mmreason.groups import attention
from mmreason.groups.attention import attention_with_lse, merged


def parts(heads: int, key_heads: int, queries: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    shapes = (3, heads, queries, 8), (3, key_heads, 12, 8), (3, key_heads, 12, 8)
    query, key, value = (torch.randn(shape, generator=generator, dtype=torch.float64) for shape in shapes)
    return query, key, value


@pytest.mark.parametrize(("heads", "key_heads"), [(4, 4), (4, 2), (4, 1)])
@pytest.mark.parametrize("causal", [False, True])
def test_written_out_is_what_the_kernel_computes(heads: int, key_heads: int, causal: bool) -> None:
    """The way of devices without a kernel that hands the log-sum-exp on."""
    query, key, value = parts(heads, key_heads, 12)
    mask = None if causal else torch.zeros(3, 1, 1, 12, dtype=torch.float64)
    if mask is not None:
        mask[0, ..., :7] = -torch.inf
    out, lse = attention_with_lse(
        query, key, value, 0.3, None if mask is None else mask.expand(-1, -1, 12, -1), causal=causal
    )
    plain = attention._written_out(query, key, value, 0.3, mask, causal)
    torch.testing.assert_close(plain[0], out, rtol=0, atol=1e-12)
    torch.testing.assert_close(plain[1], lse, rtol=0, atol=1e-12)


def test_two_parts_make_the_whole() -> None:
    query, key, value = parts(4, 2, 5)
    first = attention_with_lse(query, key[:, :, :4], value[:, :, :4], 0.3)
    rest = attention_with_lse(query, key[:, :, 4:], value[:, :, 4:], 0.3)
    whole = attention_with_lse(query, key, value, 0.3)
    for made, expected in zip(merged(first, rest), whole, strict=True):
        torch.testing.assert_close(made, expected, rtol=0, atol=1e-12)
