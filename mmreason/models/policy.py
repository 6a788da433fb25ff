"""A model as training sees it: groups or rows in, log-probabilities out.

A module of its own so that whatever wraps it (DeepSpeed, FSDP) sees one forward. Legend as in `groups/pack.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

import torch
from transformers import PreTrainedModel

from mmreason.errors import UserError
from mmreason.groups.attention import Layout, Way, use_tree_attention, way_for
from mmreason.groups.cache import cached_hidden
from mmreason.groups.head import Extra, score
from mmreason.groups.pack import Packed, pack
from mmreason.groups.tree import Branch, Tree, build_tree
from mmreason.models.codec import Codec, Encoded
from mmreason.models.families import Features, family_of, plain
from mmreason.models.medium import Medium, distinct
from mmreason.models.rows import Rows, make_rows, response_hidden

Path = Literal["packed", "cache", "naive"]
MIN_SHARED = {"packed": 8, "cache": 64, "naive": 1}
"""Shortest run that is worth a node of its own: each node costs a kernel call, each level of the cache a forward."""


class Policy(torch.nn.Module):
    """Scores answers under `model`.

    `counts[grad]`, with and without gradient: groups, media, vision_passes (media through the tower),
    prompt_forwards, unique_tokens, naive_tokens.
    """

    def __init__(self, model: PreTrainedModel, codec: Codec, path: Path = "packed", way: Way | None = None) -> None:
        super().__init__()
        if path == "cache" and model.is_gradient_checkpointing:
            raise UserError(
                "model.gradient_checkpointing drops the caches that grpo.path=cache needs: use grpo.path=packed"
            )
        use_tree_attention(model)
        self.model = model
        self.codec = codec
        self.path: Path = path
        self.way = way
        self.counts: dict[bool, Counter[str]] = {True: Counter(), False: Counter()}
        self._features: dict[str, Features] = {}

    @property
    def device(self) -> torch.device:
        return self.model.device

    def tree(self, branches: Sequence[Branch], name: str = "") -> Tree:
        """The tree of one group for this policy's path."""
        return build_tree(branches, self.codec.visual_ids, self.codec.merge, MIN_SHARED[self.path], name)

    def forward(
        self,
        batch: Sequence[Tree] | Rows,
        temperature: float | torch.Tensor = 1.0,
        extras: Mapping[str, Extra] | None = None,
    ) -> dict[str, torch.Tensor]:
        """`logp` and each of `extras`, all [N, T], zeros where the head was not asked.

        `temperature` is one number, or one a token [N, T or more].
        """
        if isinstance(batch, Rows):
            hidden, targets, mask = response_hidden(self.model, batch)
            return self._score(hidden[mask], targets[mask], mask, None, temperature, extras)
        self._count(batch)
        if self.path == "naive":
            return self._naive(batch, temperature, extras)
        packed = pack(self.model, batch)
        features = Features.cat(self.features(packed.media)) if packed.media else None
        hidden = cached_hidden(self.model, packed, features) if self.path == "cache" else self._packed(packed, features)
        scored, back = packed.slots[packed.mask].unique(return_inverse=True)
        before = torch.empty_like(scored)
        before[back] = packed.before[packed.mask]  # a token has one predecessor, whichever row it is seen from
        if isinstance(temperature, torch.Tensor):
            own = temperature[:, : packed.mask.shape[1]].to(hidden.device)[packed.mask]
            temperature = torch.ones(len(scored), dtype=own.dtype, device=own.device).index_put((back,), own)
        return self._score(hidden[before], packed.ids[scored], packed.mask, back, temperature, extras)

    def features(self, media: Sequence[Medium]) -> list[Features]:
        """Features of each medium: one tower pass a content until `forget`, unless the tower needs a gradient."""
        family = family_of(self.model)
        if torch.is_grad_enabled() and self.tower_learns():
            self.counts[True]["vision_passes"] += len(media)
            return family.features(self.model, media)
        missing = [medium for medium in distinct(media) if medium.key not in self._features]
        if missing:
            self.counts[torch.is_grad_enabled()]["vision_passes"] += len(missing)
            with torch.no_grad():
                made = family.features(self.model, missing)
            self._features |= dict(zip((medium.key for medium in missing), made, strict=True))
        return [self._features[medium.key] for medium in media]

    def share_features(self, other: Policy) -> None:
        """Use and fill the store of `other`, whose frozen tower has the same weights; it is cleared there."""
        self._features = other._features

    @contextmanager
    def apart(self) -> Iterator[None]:
        """Inside the block a tower that learns is asked anew, for example with its adapters switched off."""
        kept = self._features
        if self.tower_learns():
            self._features = {}
        try:
            yield
        finally:
            self._features = kept

    def begin_step(self) -> None:
        """Forget the last step's features and counts."""
        self._features.clear()
        for count in self.counts.values():
            count.clear()

    def counters(self) -> dict[str, float]:
        """What this step's update computed, for each group and against rows forwarded one by one.

        `vision_passes_per_group` counts media through the tower per distinct medium of a group, all passes of the step
        together where the tower is frozen; 0 where no group has media.
        """
        train, other = self.counts[True], self.counts[False]
        groups = max(train["groups"], 1)
        passes = train["vision_passes"] + (0 if self.tower_learns() else other["vision_passes"])
        return {
            "prompt_forwards_per_group": train["prompt_forwards"] / groups,
            "vision_passes_per_group": passes / max(train["media"], 1),
            "unique_token_share": train["unique_tokens"] / max(train["naive_tokens"], 1),
        }

    def forget(self, *, updated: bool = False) -> None:
        """Drop stored features. `updated`: only if the tower's weights have changed since."""
        if not updated or self.tower_learns():
            self._features.clear()

    def tower_learns(self) -> bool:
        """Whether there is a vision tower and some of it is trained."""
        tower = getattr(plain(self.model).model, "visual", None)
        return tower is not None and any(parameter.requires_grad for parameter in tower.parameters())

    def _packed(self, packed: Packed, features: Features | None) -> torch.Tensor:
        """Last hidden states [U, D] in one forward under the tree's mask."""
        family = family_of(self.model)
        layout = Layout(packed.nodes, len(packed.ids), self.way or way_for(self.device))
        inputs = family.embed(
            self.model, packed.ids[None], features.take(packed.feature) if features is not None else None
        )
        positions = packed.positions[:, None]
        made = family.decoder(self.model)(
            **inputs,
            position_ids=positions[0] if len(positions) == 1 else positions,
            attention_mask=torch.zeros(1, 1, 1, 1, device=self.device),  # four axes: taken as it is, then ignored
            use_cache=False,
            tree=layout,
        )
        hidden: torch.Tensor = made.last_hidden_state[0]
        return hidden

    def _naive(
        self, trees: Sequence[Tree], temperature: float | torch.Tensor, extras: Mapping[str, Extra] | None
    ) -> dict[str, torch.Tensor]:
        """The slow twin: every row alone from its first token, every picture through the tower for each row."""
        branches = [branch for tree in trees for branch in tree.branches]
        prompts = [Encoded(list(branch.prompt), branch.media) for branch in branches]
        rows = make_rows(prompts, [branch.ids for branch in branches], self.codec.pad_id, self.device)
        self.counts[torch.is_grad_enabled()]["vision_passes"] += len(rows.media)
        hidden, targets, mask = response_hidden(self.model, rows)
        for row, branch in enumerate(branches):
            if branch.scored is not None:
                mask[row, : len(branch.ids)] &= torch.tensor(branch.scored, device=mask.device)
        if isinstance(temperature, torch.Tensor):
            temperature = temperature[:, : mask.shape[1]].to(mask.device)[mask]
        return self._score(hidden[mask], targets[mask], mask, None, temperature, extras)

    def _score(
        self,
        hidden: torch.Tensor,
        targets: torch.Tensor,
        mask: torch.Tensor,
        back: torch.Tensor | None,
        temperature: float | torch.Tensor,
        extras: Mapping[str, Extra] | None,
    ) -> dict[str, torch.Tensor]:
        """Head on hidden [n, D], spread over the rows: the i-th True of `mask` takes result `back`[i], or i."""
        head = plain(self.model).get_output_embeddings()
        flat = score(head, hidden, targets, temperature, self.codec.visual_ids, extras)
        index = mask.nonzero(as_tuple=True)
        return {
            name: values.new_zeros(mask.shape).index_put(index, values if back is None else values[back])
            for name, values in flat.items()
        }

    def _count(self, trees: Sequence[Tree]) -> None:
        count, rows = self.counts[torch.is_grad_enabled()], sum(len(tree.branches) for tree in trees)
        naive = sum(tree.num_naive_tokens for tree in trees)
        count["groups"] += len(trees)
        count["media"] += len(distinct([medium for tree in trees for medium in tree.media]))
        count["prompt_forwards"] += rows if self.path == "naive" else len(trees)
        count["naive_tokens"] += naive
        count["unique_tokens"] += naive if self.path == "naive" else sum(len(tree.ids) for tree in trees)


def by_tokens(trees: Sequence[Tree], budget: int) -> list[list[int]]:
    """Indices of whole trees in micro-batches of at most `budget` unique tokens; a larger tree stands alone."""
    out: list[list[int]] = []
    held = 0
    for index, tree in enumerate(trees):
        if not out or held + len(tree.ids) > budget:
            out.append([])
            held = 0
        out[-1].append(index)
        held += len(tree.ids)
    return out
