"""Log-likelihood of given continuations, as lm-eval's multiple-choice tasks ask for it."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from transformers import PreTrainedModel

from mmreason.models.codec import Encoded
from mmreason.models.families import plain
from mmreason.models.rows import make_rows, response_hidden


@torch.no_grad()
def continuation_logprobs(
    model: PreTrainedModel, prompts: Sequence[Encoded], continuations: Sequence[Sequence[int]], pad_id: int
) -> list[tuple[float, bool]]:
    """For each pair the summed log-probability in nats, and whether greedy decoding would write the continuation."""
    rows = make_rows(prompts, continuations, pad_id, model.device)
    hidden, targets, mask = response_hidden(model, rows)
    logp = torch.log_softmax(plain(model).get_output_embeddings()(hidden).float(), dim=-1)  # [N, T, V]
    taken = logp.gather(-1, targets.unsqueeze(-1)).squeeze(-1).masked_fill(~mask, 0.0).sum(-1)
    greedy = ((logp.argmax(-1) == targets) | ~mask).all(-1)
    return list(zip(taken.tolist(), greedy.tolist(), strict=True))
