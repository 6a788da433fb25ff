"""Prompt and response rows as tensors, and the log-probabilities of the responses.

Axes: N rows, P padded prompt width, T padded response width, V vocabulary. Prompts are padded on the left and
responses on the right, so the responses of all rows stand in the same T columns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from transformers import PreTrainedModel

from mmreason.groups.head import BANNED
from mmreason.models.codec import Encoded
from mmreason.models.encode import Example
from mmreason.models.families import family_of, plain
from mmreason.models.medium import Medium


@dataclass(frozen=True, slots=True)
class Rows:
    """A micro-batch."""

    ids: torch.Tensor  # int64 [N, P+T]
    attention: torch.Tensor  # bool [N, P+T]
    responses: torch.Tensor  # int64 [N, T]
    mask: torch.Tensor  # bool [N, T]: real response tokens, the end token included
    media: tuple[Medium, ...]  # in row order


def make_rows(
    prompts: Sequence[Encoded], responses: Sequence[Sequence[int]], pad_id: int, device: torch.device
) -> Rows:
    """Pad and stack; pictures follow in row order."""
    prompt_width = max(len(prompt.ids) for prompt in prompts)
    width = max((len(response) for response in responses), default=0)
    ids = torch.full((len(prompts), prompt_width + width), pad_id)
    attention = torch.zeros((len(prompts), prompt_width + width), dtype=torch.bool)
    for row, (prompt, response) in enumerate(zip(prompts, responses, strict=True)):
        start, end = prompt_width - len(prompt.ids), prompt_width + len(response)
        ids[row, start:end] = torch.tensor([*prompt.ids, *response])
        attention[row, start:end] = True
    return Rows(
        ids.to(device),
        attention.to(device),
        ids[:, prompt_width:].to(device),
        attention[:, prompt_width:].to(device),
        tuple(medium for prompt in prompts for medium in prompt.media),
    )


def example_rows(examples: Sequence[Example], pad_id: int, device: torch.device) -> Rows:
    """Prompts and responses of a cold start; what an environment wrote inside a response is not in the mask."""
    prompts = [Encoded(example.prompt.ids, (*example.prompt.media, *example.media)) for example in examples]
    rows = make_rows(prompts, [example.response for example in examples], pad_id, device)
    mask = rows.mask.clone()  # it may be a view of the attention, which must see what is not trained
    for row, example in enumerate(examples):
        if example.trained:
            mask[row, : len(example.trained)] &= torch.tensor(example.trained, device=device)
    return replace(rows, mask=mask)


def response_hidden(model: PreTrainedModel, rows: Rows) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """What the head needs: hidden [N, T, D] before each response token, the tokens and their mask, both [N, T].

    The whole model's own forward with its head set aside: each row from its first token, media once a row.
    """
    family = family_of(model)
    width = rows.responses.shape[1]
    positions = family.positions(model, rows.ids, rows.attention, rows.media)
    hidden = plain(model).model(
        input_ids=rows.ids,
        attention_mask=rows.attention,
        position_ids=positions,
        use_cache=False,
        **family.media(rows.media, rows.ids.device),
    )[0][:, -width - 1 : -1]
    return hidden, rows.responses, rows.mask.clone()


def response_logprobs(
    model: PreTrainedModel, rows: Rows, temperature: float = 1.0, banned: Sequence[int] = ()
) -> tuple[torch.Tensor, torch.Tensor]:
    """Log-probability of each response token and entropy there, both float32 [N, T]; padding holds 0.

    The head runs on the response columns alone. Logits are divided by `temperature` first. `banned` ids, which
    the engine never samples, have no probability here either, so that both see one distribution.
    """
    family = family_of(model)
    width = rows.responses.shape[1]
    positions = family.positions(model, rows.ids, rows.attention, rows.media)
    logits = model(
        input_ids=rows.ids,
        attention_mask=rows.attention,
        position_ids=positions,
        logits_to_keep=width + 1,
        use_cache=False,
        **family.media(rows.media, rows.ids.device),
    ).logits[:, :-1]  # [N, T, V]: column t predicts response token t
    logits = logits.float() if logits.dtype == torch.bfloat16 else logits
    logits = logits / temperature
    if banned:
        logits = logits.index_fill(-1, torch.tensor(banned, device=logits.device), BANNED)
    logp = torch.log_softmax(logits, dim=-1)
    taken = logp.gather(-1, rows.responses.unsqueeze(-1)).squeeze(-1)
    with torch.no_grad():
        entropy = -(logp.exp() * logp).sum(-1)
    zero = taken.new_zeros(())
    return torch.where(rows.mask, taken, zero), torch.where(rows.mask, entropy, zero)
