"""The entropy bonus of the released script: loss <- loss - weight x entropy of the policy at each token.

EasyR1's coefficient as the script sets it [repo examples/run_qwen2_5_vl_3b_tvg.sh]. The entropy is in nats under the
policy being trained, at the sampling temperature, and carries gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from mmreason.config.schedule import Coefficient
from mmreason.config.strict import Strict
from mmreason.objectives.batch import Batch
from mmreason.objectives.external import entropy_with_gradient
from mmreason.objectives.method import Context, Forward, Method

_EXTRA = "temporal_r1_entropy"


class EntropyBonus(Method):
    """Regulariser."""

    source = "Temporal-R1, appletea233/Temporal-R1 f364f6c"

    class Settings(Strict):
        """Its weight."""

        weight: Coefficient = 0.001
        """[repo]"""

    def head(self) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
        return {_EXTRA: entropy_with_gradient}

    def regularise(
        self, micro: Batch, forward: Forward, ctx: Context
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        return -self.at(self.settings.weight, ctx) * forward.extras[_EXTRA], None
