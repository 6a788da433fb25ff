"""A row's log-probabilities do not depend on its neighbours, on padding, or on our way of computing them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import torch

from mmreason.models.codec import Encoded
from mmreason.models.families import family_of
from mmreason.models.rows import Rows, make_rows, response_logprobs

if TYPE_CHECKING:
    from conftest import Setup

RESPONSES = [[40, 41, 42, 43, 44, 45], [50], [60, 61, 62], [70, 71, 72, 73]]


def encoded(setup: Setup) -> list[Encoded]:
    return [setup.codec.encode(sample) for sample in setup.samples]


def plain(setup: Setup, prompt: Encoded, response: list[int], temperature: float = 1.0) -> torch.Tensor:
    """The textbook way: one unpadded row through the model's own forward, every logit, then pick."""
    ids = torch.tensor([[*prompt.ids, *response]])
    media: dict[str, Any] = {}
    if prompt.media:
        kinds = (ids == setup.model.config.image_token_id).int()
        grids = torch.tensor([medium.grid for medium in prompt.media])
        pixels = torch.cat([medium.pixels for medium in prompt.media])
        media = {"pixel_values": pixels, "image_grid_thw": grids, "mm_token_type_ids": kinds}
    with torch.no_grad():
        logits = setup.model(input_ids=ids, **media).logits[0, len(prompt.ids) - 1 : -1] / temperature
    return torch.log_softmax(logits, -1).gather(-1, torch.tensor(response).unsqueeze(-1)).squeeze(-1)


@torch.no_grad()
def ours(setup: Setup, rows: Rows, temperature: float = 1.0) -> torch.Tensor:
    return response_logprobs(setup.model, rows, temperature)[0]


@pytest.mark.parametrize("temperature", [1.0, 0.6])
def test_alone_and_in_a_batch_and_plain(setup: Setup, temperature: float) -> None:
    prompts, responses = encoded(setup), RESPONSES[: len(setup.samples)]
    assert len({len(prompt.ids) for prompt in prompts}) > 1  # so that the batch is padded on both sides
    device = setup.model.device
    together = ours(setup, make_rows(prompts, responses, setup.codec.pad_id, device), temperature)
    for index, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        alone = ours(setup, make_rows([prompt], [response], setup.codec.pad_id, device), temperature)[0]
        expected = plain(setup, prompt, response, temperature)
        torch.testing.assert_close(alone, expected, rtol=0, atol=1e-11)
        torch.testing.assert_close(together[index, : len(response)], expected, rtol=0, atol=1e-11)
        assert together[index, len(response) :].abs().sum().item() == 0.0


def right_padded(prompt: Encoded, response: list[int], pad_id: int, extra: int) -> Rows:
    """The row with `extra` pads behind its response."""
    row = make_rows([prompt], [response], pad_id, torch.device("cpu"))
    pads, off = torch.full((1, extra), pad_id), torch.zeros(1, extra, dtype=torch.bool)
    return Rows(
        torch.cat([row.ids, pads], 1),
        torch.cat([row.attention, off], 1),
        torch.cat([row.responses, pads], 1),
        torch.cat([row.mask, off], 1),
        row.media,
    )


def test_padding_on_the_right(setup: Setup) -> None:
    for prompt, response in zip(encoded(setup), RESPONSES, strict=False):
        alone = ours(setup, make_rows([prompt], [response], setup.codec.pad_id, setup.model.device))
        padded = ours(setup, right_padded(prompt, response, setup.codec.pad_id, extra=5))
        torch.testing.assert_close(padded[:, : len(response)], alone, rtol=0, atol=1e-11)
        assert padded[:, len(response) :].abs().sum().item() == 0.0


def test_what_stands_in_the_padding_does_not_matter(setup: Setup) -> None:
    prompts, responses = encoded(setup), RESPONSES[: len(setup.samples)]
    one, other = (make_rows(prompts, responses, pad, setup.model.device) for pad in (setup.codec.pad_id, 77))
    torch.testing.assert_close(ours(setup, one), ours(setup, other), rtol=0, atol=1e-11)


def test_positions_restart_in_every_row(setup: Setup) -> None:
    """The first real token of a left-padded row has position 0 on every axis, as if it stood alone."""
    prompts = encoded(setup)
    rows = make_rows(prompts, RESPONSES[: len(prompts)], setup.codec.pad_id, setup.model.device)
    positions = family_of(setup.model).positions(setup.model, rows.ids, rows.attention, rows.media)
    width = rows.ids.shape[1] - rows.responses.shape[1]
    for index, prompt in enumerate(prompts):
        assert positions[..., index, width - len(prompt.ids)].abs().sum().item() == 0


def test_banned_ids_have_no_probability(setup: Setup) -> None:
    """With some ids banned, the others share their mass: log p - log(1 - p of the banned)."""
    prompt, response, banned = encoded(setup)[0], [40, 41, 42], [5, 6]
    rows = make_rows([prompt], [response], setup.codec.pad_id, setup.model.device)
    with torch.no_grad():
        free, _ = response_logprobs(setup.model, rows)
        held, entropy = response_logprobs(setup.model, rows, banned=banned)
    mass = [plain(setup, prompt, [*response[:place], ban])[place].exp() for place in range(3) for ban in banned]
    rest = torch.stack([1 - mass[2 * place] - mass[2 * place + 1] for place in range(3)])
    torch.testing.assert_close(held[0], free[0] - rest.log(), rtol=0, atol=1e-11)
    assert (entropy > 0).all()
