"""One token a row: greedy, tempered and nucleus draws against distributions worked out by hand."""

from __future__ import annotations

import math

import pytest
import torch

from mmreason.config.recipe import Sampling
from mmreason.rollout.draw import draw

PROBS = torch.tensor([0.5, 0.25, 0.15, 0.1], dtype=torch.float64)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def shares(sampling: Sampling, count: int = 20_000) -> list[float]:
    logits = PROBS.log().expand(count, -1)
    token = draw(logits, sampling, generator()).token
    return (torch.bincount(token, minlength=4) / count).tolist()


def test_greedy_takes_the_largest_and_tells_its_plain_logprob() -> None:
    logits = torch.tensor([[1.0, 3.0, 2.0], [0.0, 0.0, -1.0]], dtype=torch.float64)
    drawn = draw(logits, Sampling(temperature=0.0), generator())
    token, logp = drawn.token, drawn.logp
    assert token.tolist() == [1, 0]
    assert logp[0].item() == pytest.approx(-math.log(1 + math.exp(-2) + math.exp(-1)))
    assert logp[1].item() == pytest.approx(-math.log(2 + math.exp(-1)))


@pytest.mark.parametrize(
    ("temperature", "expected"),
    [
        (1.0, [0.5, 0.25, 0.15, 0.1]),
        (0.5, [0.25 / 0.345, 0.0625 / 0.345, 0.0225 / 0.345, 0.01 / 0.345]),  # squares over their sum
    ],
)
def test_shares_of_many_draws(temperature: float, expected: list[float]) -> None:
    assert shares(Sampling(temperature=temperature)) == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize(
    ("top_p", "expected"),
    [
        (0.5, [1.0, 0.0, 0.0, 0.0]),  # the first alone reaches 0.5
        (0.51, [2 / 3, 1 / 3, 0.0, 0.0]),
        (0.76, [0.5 / 0.9, 0.25 / 0.9, 0.15 / 0.9, 0.0]),
        (0.01, [1.0, 0.0, 0.0, 0.0]),  # the most likely token always stays
    ],
)
def test_nucleus_by_hand(top_p: float, expected: list[float]) -> None:
    assert shares(Sampling(top_p=top_p)) == pytest.approx(expected, abs=0.012)


@pytest.mark.parametrize("top_p", [1.0, 0.5])
def test_the_logprob_is_tempered_and_from_before_the_cut(top_p: float) -> None:
    drawn = draw(PROBS.log().expand(64, -1), Sampling(temperature=0.5, top_p=top_p), generator())
    expected = (PROBS.square() / PROBS.square().sum()).log()[drawn.token]
    torch.testing.assert_close(drawn.logp, expected)


def test_a_banned_token_is_never_drawn() -> None:
    logits = PROBS.log().clone()
    logits[0] = -torch.inf
    drawn = draw(logits.expand(2000, -1), Sampling(), generator())
    assert 0 not in drawn.token.tolist()
    assert torch.isfinite(drawn.logp).all()
    assert torch.isfinite(drawn.entropy).all()
    assert draw(logits.expand(1, -1), Sampling(temperature=0.0), generator()).token.item() == 1


def test_the_generator_decides() -> None:
    one, same, other = (draw(PROBS.log().expand(50, -1), Sampling(), generator(seed)).token for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_entropy_by_hand() -> None:
    """Of halves and quarters: 1.5 bits; at temperature 0.5 their squares, 2/3 and two sixths."""
    logits = torch.tensor([[0.5, 0.25, 0.25]], dtype=torch.float64).log()
    assert draw(logits, Sampling(), generator()).entropy.item() == pytest.approx(1.5 * math.log(2))
    cold = draw(logits, Sampling(temperature=0.5), generator()).entropy.item()
    assert cold == pytest.approx(2 / 3 * math.log(1.5) + 1 / 3 * math.log(6))


def test_heat_works_row_by_row_on_what_the_sampling_temperature_made() -> None:
    """Rows at 0.5 x 1 and 0.5 x 2: squares of the probabilities, and the probabilities themselves."""
    seen: list[torch.Tensor] = []

    def heat(logp: torch.Tensor) -> torch.Tensor:
        seen.append(logp)
        return torch.tensor([1.0, 2.0])

    drawn = draw(PROBS.log().expand(2, -1), Sampling(temperature=0.5), generator(), heat)
    torch.testing.assert_close(seen[0], (PROBS.square() / PROBS.square().sum()).log().expand(2, -1))
    assert drawn.temperature.tolist() == [0.5, 1.0]
    torch.testing.assert_close(drawn.distribution[0], seen[0][0])
    torch.testing.assert_close(drawn.distribution[1], PROBS.log())
    torch.testing.assert_close(drawn.logp[1], PROBS.log()[drawn.token[1]])


def test_heat_sees_finite_numbers_where_a_token_is_banned() -> None:
    logits = torch.tensor([[0.0, -torch.inf, 0.0]], dtype=torch.float64)

    def by_entropy(logp: torch.Tensor) -> torch.Tensor:
        return -(logp.exp() * logp).sum(-1)

    drawn = draw(logits, Sampling(), generator(), by_entropy)
    assert drawn.temperature.item() == pytest.approx(math.log(2))
