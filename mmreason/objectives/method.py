"""The plug-in surface: a published change to GRPO is one `Method` in one file, which overrides the hooks it uses.

The hooks in the fixed order of a step (zoo, 3.3); `-` in front of those of which at most one method may have one:

| hook         | the zoo's name | when                | gives                                                        |
|--------------|----------------|---------------------|--------------------------------------------------------------|
| `choose` -   | Sampler        | 2  prompts          | indices into the pool                                        |
| `rewrite` -  | Rewriter       | 2  prompts          | the contexts that a prompt's rollouts are sampled from       |
| `first` -    | RolloutStage   | 2  sampling         | how many rollouts to begin with                              |
| `heat` -     | RolloutStage   | 2  sampling         | a factor on the temperature of each token                    |
| `limit` -    | Schedule       | 2  sampling         | the most tokens of a rollout                                 |
| `roll`       | RolloutStage   | 2  after sampling   | more, other or fewer rollouts of a group                     |
| `reward`     | RewardTerm     | 3  scoring          | one number a row, gated, added, multiplied or in place of r  |
| `draw`       | Replay         | 4  before filtering | rollouts to add                                              |
| `select`     | GroupPolicy    | 5  filtering        | which groups to keep                                         |
| `predict`    | Sidecar        | 6  old pass         | entries for `batch.aux`                                      |
| `estimate` - | AdvEstimator   | 7  advantage        | advantages                                                   |
| `transform`  | AdvTransform   | 7  advantage        | changed advantages, from quantities of the old policy        |
| `weigh` -    | Reducer        | 7  advantage        | weight of each token in the loss                             |
| `ratio` -    | RatioRule      | 8  update           | ratios and clip bounds                                       |
| `shape`      | TokenShaper    | 8  update           | advantage, weight and mask from quantities of the new policy |
| `surrogate` -| Surrogate      | 8  update           | loss of each token                                           |
| `external` - | RatioRule      | 8  update           | loss of each token of external rows                          |
| `regularise` | Regulariser    | 8  update           | something to add to the loss                                 |
| `fit`        | Sidecar        | 9  after the update | -                                                            |
| `remember`   | Replay         | 9  after the update | -                                                            |
| `observe`    | Sampler        | 9  after the update | -                                                            |

Axes: N rows, T widest answer, n rows of a micro-batch. `needs` asks for what costs a computation.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import torch

from mmreason.config.schedule import Coefficient, value
from mmreason.config.strict import Strict
from mmreason.objectives.batch import Batch
from mmreason.records import Rollout, Sample
from mmreason.rollout.engine import PLAIN, Asked

if TYPE_CHECKING:
    from mmreason.config.recipe import Sampling
    from mmreason.models.codec import Codec, Encoded
    from mmreason.models.encode import Example
    from mmreason.rewards.terms import Terms
    from mmreason.rollout.engine import TrainingEngine


class Need(StrEnum):
    """What a step computes only when somebody asks."""

    LOGP_OLD = "logp_old"
    """`batch.aux["logp_old"]`, log-probabilities before the update [N, T]."""
    ENTROPY_OLD = "entropy_old"
    """`batch.aux["entropy_old"]`, entropies before the update in nats [N, T]; LOGP_OLD with it."""
    ENTROPY_ROLL = "entropy_roll"
    """`Rollout.entropies` of sampled tokens."""
    SCORE = "score"
    """`Context.score`, at moments that differ between processes."""
    LOGP_REF = "logp_ref"
    """`batch.aux["logp_ref"]` under the reference policy [N, T]."""


class Trait(StrEnum):
    """What a method does that others may not stand (zoo, 3.6; `compose.py`)."""

    RESCUES = "rescues"
    """Mends groups that nobody solved; filters must come after it."""
    SHAPES_REWARD = "shapes_reward"
    """Adds a small term to the reward, which a division by the group's deviation would blow up."""
    LENGTH = "length"
    """Pushes the length."""
    SCORES_TRUNCATED = "scores_truncated"
    """Needs truncated rows in the loss with reward 0."""
    ENTROPY_UP = "entropy_up"
    ENTROPY_DOWN = "entropy_down"
    OTHER_CONTEXT = "other_context"
    """Samples from another context than it trains on."""
    EXTERNAL_ROWS = "external_rows"
    TOKEN_RATIO = "token_ratio"
    """Clip widths or mixtures of single tokens."""
    COVARIANCE = "covariance"
    """Batch means over loss tokens, and excludes tokens that the ratio rule clipped."""
    TOKEN_WEIGHT = "token_weight"
    TOKEN_MASK = "token_mask"
    TREE = "tree"
    """Makes rollouts with shared beginnings."""
    TURN_BASELINE = "turn_baseline"
    UNLABELLED = "unlabelled"
    """Reward without a reference answer; accuracy says nothing about its groups."""
    HEATS = "heats"
    """Changes the temperature of single tokens."""
    RECALIBRATES = "recalibrates"
    """Replayed rows with a baseline of their own."""
    OWN_GROUPS = "own_groups"
    """Baseline over something else than a prompt's rollouts."""
    TOKEN_MEANS = "token_means"
    """Group statistics over tokens."""


@dataclass
class Ratio:
    """What a ratio rule gives, each [n, T]; `low` and `high` may be numbers."""

    ratio: torch.Tensor
    low: torch.Tensor | float
    """Lower bound of the clip, for example 0.8."""
    high: torch.Tensor | float


@dataclass
class Forward:
    """New-policy quantities of a micro-batch, each [n, T]."""

    logp: torch.Tensor
    """With gradient."""
    old: torch.Tensor
    """Log-probabilities before the update, without."""
    entropy: torch.Tensor
    """Nats, without gradient."""
    extras: dict[str, torch.Tensor] = field(default_factory=dict)
    """What `head` functions gave, with gradient."""
    ratio: Ratio | None = None
    """Set once the ratio rule has run."""


@dataclass
class Shaped:
    """What a token shaper gives, each [n, T]; masks only ever shrink."""

    advantage: torch.Tensor
    weight: torch.Tensor | None = None
    keep: torch.Tensor | None = None


@dataclass
class Variant:
    """One context of a prompt: `sampled` is what rollouts are sampled from, `trained` what the update conditions on."""

    sampled: Encoded
    trained: Encoded
    begun: tuple[int, ...] = ()
    """Ids put at the start of the answer."""
    sub_group: int = -1


@dataclass
class Group:
    """One prompt on its way through the rollout stages."""

    sample: Sample
    prompt: Encoded
    rollouts: list[Rollout]
    number: int
    """Place in the step, unique over its groups."""


@dataclass
class Context:
    """What every hook is handed. Numbers logged here reach metrics.jsonl as method/<name>/<key>."""

    step: int
    total: int
    seed: int
    group_size: int
    sampling: Sampling
    """With the step's temperature and limit."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Of the step before; empty at the first."""
    engine: TrainingEngine | None = None
    codec: Codec | None = None
    judge: Callable[[Rollout, Sample], Terms] | None = None
    """The run's reward of one rollout; results are kept, so asking twice costs nothing."""
    asked: Asked = PLAIN
    """What is asked of every rollout of this step: entropies, temperatures of single tokens."""
    score: Callable[[Sequence[tuple[Encoded, Sequence[int]]]], list[torch.Tensor]] | None = None
    """Teacher-forced log-probabilities [T] of ids after a prompt under the present policy, without gradient."""
    logged: dict[str, float] = field(default_factory=dict)

    def log(self, name: str, number: float) -> None:
        """Add to a counter of this step."""
        self.logged[name] = self.logged.get(name, 0.0) + float(number)

    def generator(self, purpose: int = 0) -> torch.Generator:
        """A seeded source of chance for this step."""
        return torch.Generator().manual_seed(self.seed * 31 + purpose)


class Method:
    """A change to GRPO. Subclasses say what changes, with formula and source, in their docstring.

    Hooks not overridden are not called. State that must survive a kill goes through `state` and `load`.
    """

    source: ClassVar[str] = ""
    """Paper and its arXiv number; "reconstructed" where no formula was seen."""
    provenance: ClassVar[Literal["published", "reconstructed", "mixed"]] = "published"
    needs: ClassVar[frozenset[Need]] = frozenset()
    traits: ClassVar[frozenset[Trait]] = frozenset()
    gate: ClassVar[Literal["always", "if_ok", "if_wrong"]] = "always"
    """Rows whose reward term counts; for others an added term is 0 and a factor 1."""
    combine: ClassVar[Literal["add", "mul", "replace"]] = "add"
    """How the reward term joins: all `replace`, then factors, then weighted sums."""
    shared: ClassVar[bool] = False
    """Whether `state` is made of gathered values alone, so that it is the same in every process."""
    name: str = ""
    """What the composition calls it; its counters carry it."""

    class Settings(Strict):
        """Constants; each field says [published] or [reconstructed: why]."""

    def __init__(self, settings: Any = None) -> None:
        self.settings: Any = settings if settings is not None else self.Settings()

    def at(self, coefficient: Coefficient, ctx: Context) -> float:
        """A coefficient's value at this step."""
        return value(coefficient, ctx.step, ctx.total)

    def log(self, ctx: Context, key: str, number: float) -> None:
        """Add to this method's counter."""
        ctx.log(f"method/{self.name or type(self).__module__.rpartition('.')[2]}/{key}", number)

    def state(self) -> dict[str, Any]:
        """JSON-ready state across steps."""
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """Inverse of `state`."""

    def check(self, grpo: Any) -> None:
        """Raise UserError where the recipe's `grpo` section contradicts the method."""

    # Prompts and rollouts

    def choose(self, pool: Sequence[Example], count: int, ctx: Context) -> list[int]:
        """`count` indices into the pool of RL prompts."""
        raise NotImplementedError

    def rewrite(self, example: Example, count: int, ctx: Context) -> list[Variant]:
        """`count` contexts for the rollouts of one prompt."""
        raise NotImplementedError

    def first(self, ctx: Context) -> int:
        """Rollouts of a prompt before the stages."""
        raise NotImplementedError

    def heat(self, logp: torch.Tensor) -> torch.Tensor:
        """Factor on the temperature [N] from log-probabilities [N, V] at the sampling temperature."""
        raise NotImplementedError

    def limit(self, ctx: Context) -> int:
        """The most tokens of a rollout in this step."""
        raise NotImplementedError

    def roll(self, groups: list[Group], ctx: Context) -> list[Group]:
        """The groups with other rollouts; sampling goes through `ctx.engine`, scoring through `ctx.judge`."""
        raise NotImplementedError

    def reward(self, batch: Batch, ctx: Context) -> torch.Tensor:
        """float64 [N], before `weight`. NaN for a row stops the run with its sample's id."""
        raise NotImplementedError

    def weight(self, ctx: Context) -> float:
        """Weight of an added reward term."""
        return 1.0

    def draw(self, ctx: Context) -> list[Group]:
        """Replayed groups with their stored rewards in `Rollout.extras["reward"]` and `["advantage"]`."""
        raise NotImplementedError

    def select(self, batch: Batch, ctx: Context) -> list[int]:
        """Numbers of the groups to keep."""
        raise NotImplementedError

    def attempts(self) -> int:
        """Draws of prompts, at most, to fill a step with the groups that `select` keeps; 1 takes what is left."""
        return 1

    # Advantage

    def predict(self, batch: Batch, ctx: Context) -> dict[str, torch.Tensor]:
        """Entries for `batch.aux`, from any other model."""
        raise NotImplementedError

    def estimate(self, batch: Batch, ctx: Context) -> torch.Tensor:
        """float64 [N] or [N, T] in place of the recipe's estimator."""
        raise NotImplementedError

    def transform(self, advantage: torch.Tensor, batch: Batch, ctx: Context) -> torch.Tensor:
        """float64 [N, T] from the same."""
        raise NotImplementedError

    def weigh(self, batch: Batch, ctx: Context) -> torch.Tensor:
        """float64 [N, T]: the loss is the sum of weight x token loss; 0 outside `batch.mask`."""
        raise NotImplementedError

    # Update

    def head(self) -> dict[str, Callable[[torch.Tensor], torch.Tensor]]:
        """Functions of the log-probabilities [m, V] at m positions, each [m] with gradient, for `Forward.extras`."""
        return {}

    def ratio(self, micro: Batch, forward: Forward, ctx: Context) -> Ratio:
        """Ratios and clip bounds of own rows."""
        raise NotImplementedError

    def shape(self, advantage: torch.Tensor, micro: Batch, forward: Forward, ctx: Context) -> Shaped:
        """Advantage, weight and mask of tokens; nothing here carries gradient. Runs after the ratio rule."""
        raise NotImplementedError

    def surrogate(self, advantage: torch.Tensor, micro: Batch, forward: Forward, ctx: Context) -> torch.Tensor:
        """Loss of each token [n, T], before weights."""
        raise NotImplementedError

    def external(self, advantage: torch.Tensor, micro: Batch, forward: Forward, ctx: Context) -> torch.Tensor:
        """Loss of each token of external rows [n, T], which know neither ratio nor clip."""
        raise NotImplementedError

    def regularise(
        self, micro: Batch, forward: Forward, ctx: Context
    ) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """(loss of each token [n, T], reduced as the surrogate is; scalar, divided by the number of micro-batches)."""
        raise NotImplementedError

    # After the update

    def fit(self, batch: Batch, ctx: Context) -> None:
        """Train whatever model the method keeps beside."""
        raise NotImplementedError

    def remember(self, batch: Batch, advantage: torch.Tensor, ctx: Context) -> None:
        """Store rows for `draw`."""
        raise NotImplementedError

    def observe(self, batch: Batch, ctx: Context) -> None:
        """See the finished step."""
        raise NotImplementedError


HOOKS = tuple(
    "choose rewrite first heat limit roll reward draw select predict estimate transform weigh ratio shape surrogate "
    "external regularise fit remember observe".split()
)
SINGLE = frozenset("choose rewrite first heat limit estimate weigh ratio surrogate external".split())


def hooks_of(method: Method | type[Method]) -> tuple[str, ...]:
    """Names of the hooks that a method overrides, in the order of a step."""
    kind = method if isinstance(method, type) else type(method)
    return tuple(name for name in HOOKS if getattr(kind, name) is not getattr(Method, name))
