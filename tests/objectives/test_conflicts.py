"""The seventeen conflicts, one test each: refused with reason and way out, or resolved, on numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from mmreason.config.grpo import GrpoSettings
from mmreason.config.parts import Optim, Sampling
from mmreason.errors import UserError
from mmreason.groups.tree import Branch, build_tree
from mmreason.objectives.advantage import estimate
from mmreason.objectives.batch import Batch, make_batch
from mmreason.objectives.compose import Active, Composition, compose
from mmreason.objectives.conflicts import CONFLICTS, refuse
from mmreason.objectives.credit import advantages, loss_weights
from mmreason.objectives.method import Context, Forward, Method, Shaped, Trait
from mmreason.objectives.shaping import keep_groups, shape_rewards
from mmreason.objectives.surrogate import cut_tokens
from mmreason.objectives.update import Grown, micro_loss
from mmreason.records import Answer, AnswerKind, Rollout, Sample, Segment, SegmentKind, Source, Stop

F64 = torch.float64
CONTEXT = Context(step=1, total=10, seed=0, group_size=2, sampling=Sampling(max_new_tokens=8))


def grpo(**values: Any) -> GrpoSettings:
    return GrpoSettings(optim=Optim(lr=1e-6), steps=100, kl_beta=0.0, **values)


def has(*traits: Trait, hooks: str = "", gate: str = "always") -> Method:
    """A method with these traits and hooks."""
    members: dict[str, Any] = {name: (lambda self, *rest: None) for name in hooks.split()}
    return type("Has", (Method,), {"traits": frozenset(traits), "gate": gate, **members})()


def check(settings: GrpoSettings, **methods: Method) -> None:
    refuse(Composition([Active(name, method) for name, method in methods.items()]), settings)


def refused(number: int, words: str, settings: GrpoSettings, **methods: Method) -> None:
    """The conflict `number` is refused in one line that has each of the pieces of `words`, parted by |."""
    with pytest.raises(UserError) as caught:
        check(settings, **methods)
    message = str(caught.value)
    assert message.startswith(f"conflict {number} (")
    assert "\n" not in message
    assert [word for word in words.split("|") if word not in message] == []


def rollout(length: int = 2, **values: Any) -> Rollout:
    roll = values.pop("roll", -1.0)
    return Rollout((1,), tuple(range(10, 10 + length)), (roll,) * length, "", values.pop("stop", Stop.EOS), **values)


def batch(rollouts: list[Rollout], group: list[int], reward: list[float], correct: list[float] | None = None) -> Batch:
    answer = Answer(AnswerKind.NUMBER, "1")
    samples = [Sample(f"q{number}", Source("d", "train", "x", ""), (), answer) for number in group]
    return make_batch(rollouts, samples, group, reward, correct or reward)


class Fixed(torch.nn.Module):
    """Stands in for the policy: log-probabilities [n, T] given in advance."""

    def __init__(self, logp: torch.Tensor) -> None:
        super().__init__()
        self.logp = torch.nn.Parameter(logp)

    def forward(self, trees: Any, heat: Any, extras: Any) -> dict[str, torch.Tensor]:
        return {"logp": self.logp, "entropy": torch.zeros_like(self.logp)}


def loss_of(
    rows: Batch, logp: torch.Tensor, advantage: torch.Tensor, settings: GrpoSettings, *methods: Method
) -> float:
    """Sum of the token losses of one micro-batch, each at weight 1."""
    branches = [Branch(row.prompt_ids, row.ids, (), row.trained) for row in rows.rollouts]
    grown = [Grown(build_tree(branches, (), 1), list(range(len(rows))))]
    composition = Composition([Active(f"m{place}", method) for place, method in enumerate(methods)])
    weights = rows.mask.double()
    return micro_loss(Fixed(logp), rows, grown, advantage, weights, settings, composition, CONTEXT)[0].item()


def test_the_table_is_whole() -> None:
    assert [conflict.number for conflict in CONFLICTS] == list(range(1, 18))


def test_1_filters_come_after_rescues_and_ask_accuracy() -> None:
    """Group 0: all right, rewards differ by a length bonus. Group 1: nobody was right before a teacher's row came."""
    rows = [rollout(1), rollout(3), rollout(2), rollout(2, external=True)]
    made = batch(rows, [0, 0, 1, 1], [1.0, 1.0, 0.0, 1.0])

    class Bonus(Method):
        def reward(self, batch: Batch, ctx: Context) -> torch.Tensor:
            return torch.tensor([0.02, 0.0, 1.0, 0.0], dtype=F64)

    composition = Composition([Active("bonus", Bonus())])
    shaped = shape_rewards(made, composition, grpo(), CONTEXT)
    assert shaped.reward.tolist() == [1.02, 1.0, 1.0, 1.0]
    assert keep_groups(shaped, composition, grpo(dynamic_sampling=1), CONTEXT) == [1]


def test_2_the_group_deviation_against_shaped_rewards() -> None:
    bonus = has(Trait.SHAPES_REWARD, hooks="reward")
    refused(2, "brevity|deviation|set grpo.advantage to centred, batch or lite", grpo(), brevity=bonus)
    for advantage in ("centred", "batch", "lite"):
        check(grpo(advantage=advantage), brevity=bonus)
    check(grpo(), brevity=bonus, canon=has(hooks="estimate"))
    refused(2, "hapo divides", grpo(), brevity=bonus, hapo=has(Trait.TOKEN_MEANS, hooks="estimate"))


def test_3_gates_close_before_the_statistics() -> None:
    """The bonus of 9 for a wrong answer never reaches the mean: rewards 1.5, 1, 0, 0 of mean 0.625."""

    class Process(Method):
        gate = "if_ok"

        def reward(self, batch: Batch, ctx: Context) -> torch.Tensor:
            return torch.tensor([0.5, 0.0, 9.0, 9.0], dtype=F64)

    composition = Composition([Active("process", Process())])
    shaped = shape_rewards(batch([rollout(1)] * 4, [0] * 4, [1.0, 1.0, 0.0, 0.0]), composition, grpo(), CONTEXT)
    found = advantages(shaped, grpo(advantage="centred"), composition, CONTEXT)
    assert found.squeeze(1).tolist() == [0.875, 0.375, -0.625, -0.625]


def test_4_two_forces_on_the_length() -> None:
    length, truncated = has(Trait.LENGTH), has(Trait.SCORES_TRUNCATED)
    refused(4, "laser and pear|twice|keep one", grpo(), laser=length, pear=has(Trait.LENGTH))
    refused(4, "laser|overlong|set grpo.overlong_buffer=0", grpo(overlong_buffer=16), laser=length)
    refused(4, "siri|reward 0|set grpo.overlong=keep", grpo(overlong="mask"), siri=truncated)
    check(grpo(), laser=length, siri=truncated)


def test_5_entropy_up_against_entropy_down() -> None:
    up, down = has(Trait.ENTROPY_UP), has(Trait.ENTROPY_DOWN)
    refused(5, "siren raises|pear lowers|`from` and `until`", grpo(), siren=up, pear=down)
    refuse(Composition([Active("siren", up, 1, 50), Active("pear", down, 51)]), grpo())
    with pytest.raises(UserError, match="in step 50"):
        refuse(Composition([Active("siren", up, 1, 50), Active("pear", down, 50)]), grpo())
    refuse(Composition([Active("siren", up), Active("pear", down, 101)]), grpo())  # begins after the run's end


def test_6_rows_of_another_context_have_no_mismatch() -> None:
    """Old and new -1, engine -1.5: e^0.5 for the row sampled from its own prompt, 1 for that with a critique in it."""
    rows = batch([rollout(1, roll=-1.5), rollout(1, roll=-1.5, same_context=False)], [0, 0], [1.0, 0.0])
    logp = torch.full((2, 1), -1.0, dtype=F64)
    rows.aux["logp_old"] = logp.clone()
    settings = grpo(mismatch="truncate", mismatch_cap=2.0)
    assert loss_of(rows, logp, torch.tensor([[1.0], [0.0]]), settings) == pytest.approx(-math.exp(0.5))
    assert loss_of(rows, logp, torch.tensor([[0.0], [1.0]]), settings) == pytest.approx(-1.0)


def test_7_external_rows_need_a_loss_of_their_own() -> None:
    bringing = has(Trait.EXTERNAL_ROWS, hooks="roll")
    refused(7, "traces brings|ratio and clip|hook `external`", grpo(), traces=bringing)
    check(grpo(), traces=bringing, ampo=has(hooks="external"))
    with pytest.raises(UserError, match="a and b both have the hook 'external'"):
        check(grpo(), a=has(hooks="external"), b=has(hooks="external"))


@pytest.mark.parametrize(
    "method", [has(hooks="transform"), has(hooks="shape"), has(Trait.TOKEN_RATIO), has(Trait.TURN_BASELINE)]
)
def test_8_one_ratio_an_answer_against_rules_for_tokens(method: Method) -> None:
    refused(8, "steer|one ratio|set grpo.ratio=sequence_token", grpo(ratio="sequence"), steer=method)
    check(grpo(ratio="sequence_token"), steer=method)
    check(grpo(ratio="sequence"), siren=has(hooks="regularise"))
    own = has(Trait.TOKEN_RATIO, hooks="ratio")
    refused(8, "hapo|of its own|set grpo.ratio=token", grpo(ratio="sequence_token"), hapo=own)


def test_9_masks_on_covariance_see_what_the_ratio_rule_clipped() -> None:
    """Ratios e^0, e^1, e^0, e^-1 at advantage 1: the second is cut at 1.2. A mask that drops all others leaves -1.2."""

    class Keeper(Method):
        def shape(self, advantage: torch.Tensor, micro: Batch, forward: Forward, ctx: Context) -> Shaped:
            rule = forward.ratio
            assert rule is not None
            return Shaped(advantage, keep=cut_tokens(rule.ratio, advantage, rule.low, rule.high))

    rows = batch([rollout(4)], [0], [1.0])
    rows.aux["logp_old"] = torch.full((1, 4), -2.0, dtype=F64)
    logp = torch.tensor([[-2.0, -1.0, -2.0, -3.0]], dtype=F64)
    assert loss_of(rows, logp, torch.ones(1, 4), grpo(), Keeper()) == pytest.approx(-1.2)


def test_10_one_weight_and_one_mask() -> None:
    weight, mask = has(Trait.TOKEN_WEIGHT), has(Trait.TOKEN_MASK)
    refused(10, "steer and hicra|multiply|drop one", grpo(), steer=weight, hicra=has(Trait.TOKEN_WEIGHT))
    refused(10, "masks of|drop one", grpo(), forking=mask, clip_cov=has(Trait.TOKEN_MASK))
    check(grpo(), steer=weight, forking=mask)


def test_11_shared_prefixes_are_trained_once() -> None:
    """Rows of 4 and 3 ids, the second leaves the first after 2: 1/7 a token, half of it in both where shared."""
    rows = batch([rollout(4), rollout(3, parent=0, fork=2)], [0, 0], [1.0, 0.0])
    found = loss_weights(rows, grpo(), Composition(), CONTEXT) * 7
    expected = torch.tensor([[0.5, 0.5, 1.0, 1.0], [0.5, 0.5, 1.0, 0.0]], dtype=F64)
    torch.testing.assert_close(found, expected)
    once = loss_weights(rows, grpo(shared_prefix="once"), Composition(), CONTEXT) * 7
    torch.testing.assert_close(once, torch.tensor([[1.0, 1.0, 1.0, 1.0], [0.0, 0.0, 1.0, 0.0]], dtype=F64))


def test_12_tool_tokens_are_nowhere() -> None:
    """Five ids, two of them a tool's: length 3, a third of the loss each, no advantage on the tool's."""
    segments = (Segment(0, 1), Segment(1, 3, SegmentKind.TOOL), Segment(3, 5, turn=1))
    rows = batch([rollout(5, segments=segments), rollout(0)], [0, 0], [1.0, 0.0])
    weights = loss_weights(rows, grpo(), Composition(), CONTEXT)
    torch.testing.assert_close(weights[0] * 3, torch.tensor([1.0, 0.0, 0.0, 1.0, 1.0], dtype=F64))
    assert rows.length.tolist() == [3, 0]
    assert advantages(rows, grpo(advantage="centred"), Composition(), CONTEXT)[0].tolist() == [0.5, 0.0, 0.0, 0.5, 0.5]
    with pytest.raises(UserError, match="a and b both have the hook 'estimate'"):
        check(grpo(), a=has(Trait.TURN_BASELINE, hooks="estimate"), b=has(hooks="estimate"))


def test_13_rewards_without_labels_against_what_goes_by_accuracy() -> None:
    vote = has(Trait.UNLABELLED, hooks="reward select")
    refused(13, "empo|filters by accuracy|set grpo.dynamic_sampling=0", grpo(dynamic_sampling=5), empo=vote)
    for other in (has(Trait.RESCUES), has(hooks="select"), has(hooks="choose"), has(hooks="reward", gate="if_ok")):
        refused(13, "empo|other goes by accuracy|drop one", grpo(), empo=vote, other=other)
    check(grpo(), empo=vote, pear=has(hooks="reward"))


def test_14_sampling_that_the_trainer_cannot_repeat() -> None:
    cut = Sampling(top_p=0.9)
    refused(14, "top_p=0.9|mismatch=mask|set top_p=1.0", grpo(sampling=cut, mismatch="mask"))
    check(grpo(sampling=cut))
    refused(
        14, "hapo|engine=vllm|set grpo.engine=transformers", grpo(engine="vllm"), hapo=has(Trait.HEATS, hooks="heat")
    )
    check(grpo(), hapo=has(Trait.HEATS, hooks="heat"))


def test_15_replayed_rows_leave_the_statistics_of_their_group() -> None:
    """Own rewards 1 and 0 of mean 0.5; the replayed row's 5 would have made it 2."""
    rows = batch([rollout(1), rollout(1), rollout(1, extras={"advantage": 2.0})], [0, 0, 0], [1.0, 0.0, 5.0])
    found = advantages(rows, grpo(advantage="centred"), Composition(), CONTEXT)
    assert found.squeeze(1).tolist() == [0.5, -0.5, 2.0]


def test_16_groups_are_data() -> None:
    """Rows of two groups in turn: (1 + 0) / 2 and (4 + 2) / 2, not the means of neighbours."""
    rows = batch([rollout(1)] * 4, [3, 8, 3, 8], [1.0, 4.0, 0.0, 2.0])
    assert estimate(rows, "centred", torch.ones(4, dtype=torch.bool)).tolist() == [0.5, 1.0, -0.5, -1.0]
    assert rows.by_group(rows.reward).tolist() == [0.5, 3.0, 0.5, 3.0]


def test_17_one_estimator() -> None:
    own = has(Trait.TOKEN_MEANS, hooks="estimate")
    refused(17, "hapo|grpo.advantage=loo|leave grpo.advantage at group", grpo(advantage="loo"), hapo=own)
    check(grpo(), hapo=own)


@pytest.mark.parametrize(
    ("number", "values"),
    [
        (2, {"methods": ["laser_d"]}),
        (4, {"methods": ["dler"], "overlong_buffer": 64}),
        (5, {"methods": ["siren", "pear"], "advantage": "centred"}),
        (8, {"methods": ["forking_tokens"], "ratio": "sequence"}),
        (10, {"methods": ["steer", "hicra"]}),
        (13, {"methods": ["empo"], "dynamic_sampling": 4}),
        (14, {"methods": ["hapo"], "engine": "vllm"}),
        (17, {"methods": ["canon"], "advantage": "loo"}),
    ],
)
def test_methods_that_come_along_are_refused_alike(number: int, values: dict[str, Any]) -> None:
    with pytest.raises(UserError, match=f"^conflict {number} "):
        compose(grpo(**values))


def test_methods_that_go_together() -> None:
    methods = ["forking_tokens", "steer", "siren", "ghpo"]
    assert len(compose(grpo(methods=methods, dynamic_sampling=4)).active) == 4
