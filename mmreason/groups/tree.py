"""The token tree of one group: what its rows share is stored once.

Legend: U unique tokens of the tree, rows are prompt + rollout ids, a slot is the place of a row's token among the U.

Tokens lie in depth-first order, so a node's descendants follow it without a gap: token k is visible to token q exactly
if k <= q < (end of the subtree of k's node). Attention, positions and the head need no more than that.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from mmreason.errors import UserError
from mmreason.models.medium import Medium, distinct


@dataclass(frozen=True, slots=True)
class Node:
    """A run of tokens without a fork inside."""

    start: int
    end: int
    tree_end: int
    """End of the last descendant; `end` for a leaf."""
    parent: int = -1


@dataclass(frozen=True, slots=True)
class Branch:
    """One row of a group: a prompt and what follows it."""

    prompt: Sequence[int]
    ids: Sequence[int]
    media: tuple[Medium, ...] = ()
    """Of prompt and answer together, in order of their placeholders."""
    scored: Sequence[bool] | None = None
    """Which of `ids` the head is applied to; None: all."""


@dataclass(frozen=True, slots=True)
class Tree:
    """Unique tokens of a group and the way back to its rows."""

    ids: np.ndarray
    """int64 [U]."""
    feature: np.ndarray
    """int64 [U]: index among the visual tokens of `media` laid end to end, -1 for text."""
    media: tuple[Medium, ...]
    """Distinct media in order of first appearance."""
    nodes: tuple[Node, ...]
    """Depth first; the first holds the prompt."""
    slots: tuple[np.ndarray, ...]
    """Per row, int64 [prompt + answer]: the slot of each token."""
    branches: tuple[Branch, ...]
    sizes: tuple[int, ...]
    """Visual tokens of each medium of `media`."""

    @property
    def num_naive_tokens(self) -> int:
        """Tokens of the rows without sharing."""
        return sum(len(slot) for slot in self.slots)


def build_tree(
    branches: Sequence[Branch], visual_ids: Sequence[int], merge: int, min_shared: int = 1, name: str = ""
) -> Tree:
    """Merge rows by content: equal beginnings (ids and pictures) of `min_shared` tokens or more are stored once.

    All rows must have the same prompt. Raises UserError naming the group where placeholders and media disagree.
    """
    if not branches:
        raise UserError(f"group {name} has no rollouts")
    media = tuple(distinct([medium for branch in branches for medium in branch.media]))
    sizes = tuple(medium.num_tokens(merge) for medium in media)
    places = {medium.key: sum(sizes[:index]) for index, medium in enumerate(media)}
    rows = [_keys(branch, visual_ids, merge, places, f"{name} rollout {n}") for n, branch in enumerate(branches)]
    _same_prompt(branches, rows, name)
    nodes, runs, slots = _grow(rows, min_shared)
    keys = np.concatenate(runs)
    ids = np.concatenate([np.asarray([*branch.prompt, *branch.ids]) for branch in branches])
    flat = np.empty(len(keys), dtype=np.int64)
    flat[np.concatenate(slots)] = ids
    return Tree(flat, np.where(keys < 0, -keys - 1, -1), media, tuple(nodes), tuple(slots), tuple(branches), sizes)


def _keys(branch: Branch, visual_ids: Sequence[int], merge: int, places: dict[str, int], name: str) -> np.ndarray:
    """The row's ids, with -(1 + feature index) in the place of each visual token, so that equal means equal content."""
    row = np.asarray([*branch.prompt, *branch.ids], dtype=np.int64)
    visual = np.isin(row, np.asarray(visual_ids, dtype=np.int64))
    counts = [medium.num_tokens(merge) for medium in branch.media]
    if int(visual.sum()) != sum(counts):
        raise UserError(
            f"{name}: {int(visual.sum())} visual tokens among its ids, {sum(counts)} features of its "
            f"{len(counts)} pictures and clips; was a picture cut off by truncation?"
        )
    if counts:
        features = [np.arange(n) + places[m.key] for m, n in zip(branch.media, counts, strict=True)]
        row[visual] = -1 - np.concatenate(features)
    return row


def _same_prompt(branches: Sequence[Branch], rows: Sequence[np.ndarray], name: str) -> None:
    width = len(branches[0].prompt)
    for number, (branch, row) in enumerate(zip(branches, rows, strict=True)):
        if len(branch.prompt) != width or not np.array_equal(row[:width], rows[0][:width]):
            raise UserError(f"group {name}: rollout {number} has another prompt than rollout 0")


def _grow(rows: Sequence[np.ndarray], min_shared: int) -> tuple[list[Node], list[np.ndarray], list[np.ndarray]]:
    """Nodes depth first, their runs of keys, and the slots of each row."""
    starts: list[tuple[int, int, int]] = []  # (start slot, end slot, parent)
    runs: list[np.ndarray] = []
    slots = [np.empty(len(row), dtype=np.int64) for row in rows]
    used = 0
    stack = [(list(range(len(rows))), 0, -1)]
    while stack:
        members, begin, parent = stack.pop()
        end = begin + _shared(rows, members, begin)
        node = len(starts)
        starts.append((used, used + end - begin, parent))
        runs.append(rows[members[0]][begin:end])
        for member in members:
            slots[member][begin:end] = np.arange(used, used + end - begin)
        used += end - begin
        parts: dict[int, list[int]] = {}
        for member in members:
            if len(rows[member]) > end:
                parts.setdefault(int(rows[member][end]), []).append(member)
        for part in reversed(list(parts.values())):
            apart = len(part) > 1 and _shared(rows, part, end) < min_shared
            stack += [([member], end, node) for member in reversed(part)] if apart else [(part, end, node)]
    ends = [end for _, end, _ in starts]
    for index in range(len(starts) - 1, 0, -1):
        parent = starts[index][2]
        ends[parent] = max(ends[parent], ends[index])
    nodes = [Node(s, e, tree_end, parent) for (s, e, parent), tree_end in zip(starts, ends, strict=True)]
    return nodes, runs, slots


def _shared(rows: Sequence[np.ndarray], members: Sequence[int], begin: int) -> int:
    """Length of the common run of `members` from `begin`."""
    lead = rows[members[0]][begin:]
    for member in members[1:]:
        other = rows[member][begin : begin + len(lead)]
        lead = lead[: len(other)]
        different = np.flatnonzero(lead != other)
        lead = lead[: different[0]] if len(different) else lead
    return len(lead)
