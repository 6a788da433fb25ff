"""The chunked head: the same numbers and gradients whatever the chunk, and which way attention goes on a device."""

from __future__ import annotations

import pytest
import torch

from mmreason.groups import head as module
from mmreason.groups.attention import way_for
from mmreason.groups.head import entropy, score

POSITIONS, HIDDEN, VOCABULARY = 11, 6, 13


def run(seed: int = 0) -> tuple[dict[str, torch.Tensor], list[torch.Tensor]]:
    torch.manual_seed(seed)
    linear = torch.nn.Linear(HIDDEN, VOCABULARY, bias=False).double()
    hidden = torch.randn(POSITIONS, HIDDEN, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(2, VOCABULARY, (POSITIONS,))
    heat = torch.linspace(0.5, 1.5, POSITIONS, dtype=torch.float64)
    made = score(linear, hidden, targets, heat, banned=[0, 1], extras={"entropy": entropy})
    (made["logp"].sum() + 0.3 * made["entropy"].square().sum()).backward()
    assert hidden.grad is not None and linear.weight.grad is not None
    return {name: value.detach() for name, value in made.items()}, [hidden.grad, linear.weight.grad]


def test_by_hand() -> None:
    """Banned ids have no mass: log p = logit / T - log of the sum over the others."""
    torch.manual_seed(0)
    linear = torch.nn.Linear(HIDDEN, VOCABULARY, bias=False).double()
    hidden = torch.randn(POSITIONS, HIDDEN, dtype=torch.float64)
    logits = (linear(hidden) / 0.5)[:, 2:]
    made = score(linear, hidden, torch.full((POSITIONS,), 4), 0.5, banned=[0, 1], extras={"entropy": entropy})
    expected = logits[:, 2] - logits.logsumexp(-1)
    torch.testing.assert_close(made["logp"], expected, rtol=0, atol=1e-12)
    p = logits.softmax(-1)
    torch.testing.assert_close(made["entropy"], -(p * p.log()).sum(-1), rtol=0, atol=1e-12)


@pytest.mark.parametrize("positions", [1, 4, 11])
def test_chunks_change_nothing(positions: int, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, gradients = run()
    calls = []
    monkeypatch.setattr(module, "CHUNK_LOGITS", positions * VOCABULARY)
    kept = module.checkpoint
    monkeypatch.setattr(module, "checkpoint", lambda *a, **k: calls.append(1) or kept(*a, **k))
    parts, same = run()
    assert len(calls) == (0 if positions == POSITIONS else -(-POSITIONS // positions))
    for name, value in whole.items():
        torch.testing.assert_close(parts[name], value, rtol=0, atol=1e-12)
    for one, other in zip(same, gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=1e-12)


def test_ways() -> None:
    assert [way_for(torch.device(name)) for name in ("cpu", "cuda", "mps")] == ["split", "flex", "dense"]
