"""What a step carries between rollout and update: one row a rollout.

Axes: N rows of all groups, T widest answer. Tensors lie on the CPU until a micro-batch moves them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import torch

from mmreason.models.medium import Medium
from mmreason.records import Rollout, Sample, Stop


@dataclass
class Batch:
    """Rows of whole groups. Reward and advantage live in float64, log-probabilities as the model gives them."""

    rollouts: list[Rollout]
    samples: list[Sample]
    """The sample of each row."""
    group: torch.Tensor  # int64 [N]; rows with one number share a baseline, whatever their order
    mask: torch.Tensor  # bool [N, T]: tokens that carry loss
    turn: torch.Tensor  # int64 [N, T]
    reward: torch.Tensor  # float64 [N]: what the advantage is made of
    correct: torch.Tensor  # float64 [N]: the verifier's verdict, 0 or 1; never shaped
    terms: dict[str, torch.Tensor]  # float64 [N] each, before weighting
    media: list[tuple[Medium, ...]] = field(default_factory=list)
    """Pictures and clips of each row, of prompt and answer in order; empty: no row has any."""
    aux: dict[str, torch.Tensor] = field(default_factory=dict)
    """What was asked for by `needs`: logp_old, logp_ref, entropy_old [N, T]; and what methods put there."""

    def __len__(self) -> int:
        return len(self.rollouts)

    @property
    def length(self) -> torch.Tensor:
        """int64 [N]: tokens that the model wrote."""
        return torch.tensor([rollout.num_model_tokens for rollout in self.rollouts], dtype=torch.long)

    @property
    def truncated(self) -> torch.Tensor:
        """bool [N]: cut by the token limit; not those ended by an environment or on purpose."""
        return torch.tensor([rollout.stop is Stop.LENGTH for rollout in self.rollouts], dtype=torch.bool)

    @property
    def external(self) -> torch.Tensor:
        """bool [N]: rows that the policy did not sample."""
        return torch.tensor([rollout.external for rollout in self.rollouts], dtype=torch.bool)

    @property
    def sub_group(self) -> torch.Tensor:
        """int64 [N], -1 for none."""
        return torch.tensor([rollout.sub_group for rollout in self.rollouts], dtype=torch.long)

    def temperatures(self, usual: float) -> float | torch.Tensor:
        """`usual`, or float64 [N, T] where the engine changed the temperature of single tokens."""
        held = [rollout.extras.get("temperatures") for rollout in self.rollouts]
        if not any(held):
            return usual
        rows = [value or [usual] * len(r.ids) for value, r in zip(held, self.rollouts, strict=True)]
        made = pad([torch.tensor(row, dtype=torch.float64) for row in rows])
        return torch.where(made == 0.0, usual, made)

    @property
    def logp_roll(self) -> torch.Tensor:
        """float64 [N, T]: the engine's log-probabilities; 0 where it wrote nothing."""
        made = pad([torch.tensor(rollout.logprobs, dtype=torch.float64) for rollout in self.rollouts])
        return torch.nn.functional.pad(made, (0, self.mask.shape[1] - made.shape[1]))

    def numbers(self) -> list[int]:
        """Group numbers in order of first appearance."""
        return list(dict.fromkeys(self.group.tolist()))

    def rows_of(self, number: int) -> torch.Tensor:
        """Indices of a group's rows."""
        return (self.group == number).nonzero().squeeze(-1)

    def by_group(self, values: torch.Tensor, how: str = "mean") -> torch.Tensor:
        """[N]: for each row the mean, min, max, std (of the population) or sum of `values` [N] over its group."""
        out = torch.empty_like(values)
        for number in self.numbers():
            rows = self.rows_of(number)
            own = values[rows]
            out[rows] = own.std(correction=0) if how == "std" else getattr(own, how)()
        return out

    def to(self, device: torch.device) -> Batch:
        """The tensors that the update reads on `device`."""
        moved = {name: value.to(device) for name, value in self.aux.items()}
        return replace(self, mask=self.mask.to(device), turn=self.turn.to(device), aux=moved)

    def take(self, rows: torch.Tensor | Sequence[int]) -> Batch:
        """The rows `rows`, same width T."""
        index = torch.as_tensor(rows, dtype=torch.long)
        chosen = index.tolist()
        return replace(
            self,
            rollouts=[self.rollouts[row] for row in chosen],
            samples=[self.samples[row] for row in chosen],
            group=self.group[index],
            mask=self.mask[index],
            turn=self.turn[index],
            reward=self.reward[index],
            correct=self.correct[index],
            terms={name: value[index] for name, value in self.terms.items()},
            media=[self.media[row] for row in chosen] if self.media else [],
            aux={name: value[index] for name, value in self.aux.items()},
        )


def pad(rows: Sequence[torch.Tensor]) -> torch.Tensor:
    """[N, T] with zeros on the right."""
    return torch.nn.utils.rnn.pad_sequence(list(rows), batch_first=True)


def make_batch(
    rollouts: Sequence[Rollout],
    samples: Sequence[Sample],
    group: Sequence[int],
    reward: Sequence[float],
    correct: Sequence[float],
    terms: dict[str, Sequence[float]] | None = None,
    media: Sequence[tuple[Medium, ...]] = (),
) -> Batch:
    """Rows in the order given."""
    turns = [[piece.turn for piece in r.pieces for _ in range(piece.start, piece.end)] for r in rollouts]
    return Batch(
        list(rollouts),
        list(samples),
        torch.tensor(list(group)),
        pad([torch.tensor(rollout.trained, dtype=torch.bool) for rollout in rollouts]),
        pad([torch.tensor(turn, dtype=torch.long) for turn in turns]),
        torch.tensor(list(reward), dtype=torch.float64),
        torch.tensor(list(correct), dtype=torch.float64),
        {name: torch.tensor(list(values), dtype=torch.float64) for name, values in (terms or {}).items()},
        list(media),
    )
