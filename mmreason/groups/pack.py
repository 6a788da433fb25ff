"""Trees as one sequence of tensors: ids, positions, features, and where each row's tokens and their predecessors lie.

Legend: U packed tokens of all trees, N rows of all trees in order, T widest answer, A position axes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from transformers import PreTrainedModel

from mmreason.groups.tree import Node, Tree
from mmreason.models.families import family_of
from mmreason.models.medium import Medium, distinct


@dataclass(frozen=True, slots=True)
class Packed:
    """One micro-batch of whole groups."""

    ids: torch.Tensor  # int64 [U]
    positions: torch.Tensor  # int64 [A, U]
    feature: torch.Tensor  # int64 [V]: index among the visual tokens of `media` for each visual token in order
    media: tuple[Medium, ...]
    nodes: tuple[Node, ...]
    slots: torch.Tensor  # int64 [N, T]: slot of each answer token, 0 in padding
    before: torch.Tensor  # int64 [N, T]: slot of the token before it
    mask: torch.Tensor  # bool [N, T]: tokens that the head scores

    def to(self, device: torch.device) -> Packed:
        """All tensors but the media on `device`."""
        names = ("ids", "positions", "feature", "slots", "before", "mask")
        return replace(self, **{name: getattr(self, name).to(device) for name in names})


def pack(model: PreTrainedModel, trees: Sequence[Tree]) -> Packed:
    """Lay the trees end to end."""
    sizes = {medium.key: size for tree in trees for medium, size in zip(tree.media, tree.sizes, strict=True)}
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]), strict=False))
    media = tuple(distinct([medium for tree in trees for medium in tree.media]))
    offset, nodes, features, slots, before = 0, [], [], [], []
    for tree in trees:
        nodes += [Node(n.start + offset, n.end + offset, n.tree_end + offset, n.parent) for n in tree.nodes]
        where = [np.arange(size) + starts[m.key] for m, size in zip(tree.media, tree.sizes, strict=True)]
        features.append(np.concatenate([*where, np.empty(0, dtype=np.int64)])[tree.feature[tree.feature >= 0]])
        for branch, slot in zip(tree.branches, tree.slots, strict=True):
            width = len(branch.prompt)
            slots.append(slot[width:] + offset)
            before.append(slot[width - 1 : -1] + offset)
        offset += len(tree.ids)
    mask = [
        np.ones(len(branch.ids), dtype=bool) if branch.scored is None else np.asarray(branch.scored, dtype=bool)
        for tree in trees
        for branch in tree.branches
    ]
    return Packed(
        torch.from_numpy(np.concatenate([tree.ids for tree in trees])),
        torch.cat([tree_positions(model, tree) for tree in trees], dim=-1),
        torch.from_numpy(np.concatenate(features).astype(np.int64)),
        media,
        tuple(nodes),
        padded(slots),
        padded(before),
        padded(mask),
    ).to(model.device)


def padded(rows: Sequence[np.ndarray]) -> torch.Tensor:
    """[N, T] with zeros on the right."""
    return torch.nn.utils.rnn.pad_sequence([torch.from_numpy(row) for row in rows], batch_first=True)


def tree_positions(model: PreTrainedModel, tree: Tree) -> torch.Tensor:
    """Positions [A, U], each as if the token's row had been run alone.

    An answer of text goes on from the prompt's largest position; a row with pictures in its answer is counted whole.
    """
    lead = tree.branches[0]
    width = len(lead.prompt)
    prompt = _row_positions(model, lead.prompt, prompt_media(tree))
    out = torch.zeros(len(prompt), len(tree.ids), dtype=torch.long)
    for branch, slot in zip(tree.branches, tree.slots, strict=True):
        if (tree.feature[slot[width:]] >= 0).any():
            out[:, slot] = _row_positions(model, [*branch.prompt, *branch.ids], branch.media)
        else:
            onward = int(prompt.max()) + 1 + torch.arange(len(branch.ids))
            out[:, slot] = torch.cat([prompt, onward.expand(len(prompt), -1)], dim=1)
    return out


def prompt_media(tree: Tree) -> list[Medium]:
    """The media whose placeholders lie in the prompt, which all rows share."""
    slots = tree.slots[0][: len(tree.branches[0].prompt)]
    left = int((tree.feature[slots] >= 0).sum())
    sizes = {medium.key: size for medium, size in zip(tree.media, tree.sizes, strict=True)}
    media: list[Medium] = []
    for medium in tree.branches[0].media:
        if left == 0:
            break
        media.append(medium)
        left -= sizes[medium.key]
    return media


def _row_positions(model: PreTrainedModel, ids: Sequence[int], media: Sequence[Medium]) -> torch.Tensor:
    """[A, L] of one row alone."""
    row = torch.tensor([list(ids)])
    positions = family_of(model).positions(model, row, torch.ones_like(row, dtype=torch.bool), media)
    return positions.reshape(-1, row.shape[1])
