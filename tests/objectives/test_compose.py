"""Names, phases, hooks and state of composed methods; the presets under them; the page that lists them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, ClassVar

import pytest
import yaml

from mmreason.config.algorithms import list_algorithms, read_algorithm, with_algorithm
from mmreason.config.grpo import GrpoSettings
from mmreason.config.parts import Optim
from mmreason.config.strict import Strict, validate
from mmreason.errors import UserError
from mmreason.objectives import catalogue
from mmreason.objectives.compose import PHASE, Active, Composition, compose, known_methods, load_methods, method_class
from mmreason.objectives.method import HOOKS, Method, Need, Trait, hooks_of

ROOT = Path(__file__).resolve().parents[2]


def grpo(**values: Any) -> GrpoSettings:
    return GrpoSettings(optim=Optim(lr=1e-6), steps=100, **values)


class Weigher(Method):
    needs: ClassVar[frozenset[Need]] = frozenset({Need.LOGP_OLD})
    traits: ClassVar[frozenset[Trait]] = frozenset({Trait.TOKEN_WEIGHT})

    def __init__(self, settings: Any = None) -> None:
        super().__init__(settings)
        self.seen = 0

    def state(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]

    def weigh(self, batch: Any, ctx: Any) -> Any:
        return None

    def transform(self, advantage: Any, batch: Any, ctx: Any) -> Any:
        return advantage


class OtherWeigher(Weigher):
    needs: ClassVar[frozenset[Need]] = frozenset({Need.ENTROPY_OLD})


class Replacing(Method):
    combine = "replace"

    def reward(self, batch: Any, ctx: Any) -> Any:
        return None


class ReplacingWrong(Replacing):
    gate = "if_wrong"


class ReplacingRight(Replacing):
    gate = "if_ok"


OWN = """
from mmreason.config.strict import Strict
from mmreason.errors import UserError
from mmreason.objectives.method import Method

class Brevity(Method):
    class Settings(Strict):
        target: int = 10

    def check(self, grpo):
        if grpo.group_size < 4:
            raise UserError("brevity wants groups of 4")

    def transform(self, advantage, batch, ctx):
        return advantage

number = 3
"""


@pytest.fixture
def domain(tmp_path: Path) -> Path:
    (tmp_path / "own.py").write_text(OWN, encoding="utf-8")
    return tmp_path


def test_names_settings_and_phases(domain: Path) -> None:
    made = load_methods(
        [
            "forking_tokens",
            {"own.py:Brevity": {"target": 3, "from": 2, "until": 5}},
            {"forking_tokens": {"share": 0.5, "from": 6}},
        ],
        domain,
    )
    assert [(each.name, each.first, each.last) for each in made] == [
        ("forking_tokens", 1, None),
        ("own", 2, 5),
        ("forking_tokens#2", 6, None),
    ]
    assert (made[0].method.settings.share, made[1].method.settings.target, made[2].method.settings.share) == (
        0.2,
        3,
        0.5,
    )
    assert [each.method.name for each in made] == [each.name for each in made]
    assert [made[1].at(step) for step in (1, 2, 5, 6)] == [False, True, True, False]


def test_the_example_of_the_page(domain: Path) -> None:
    [example] = re.findall(r"```yaml\n(.*?)```", catalogue.PAGE, flags=re.DOTALL)
    methods = yaml.safe_load(example.replace("rewards.py", "own.py"))["grpo"]["methods"]
    made = [(each.name, each.first, each.last) for each in load_methods(methods, domain)]
    assert made == [("forking_tokens", 1, None), ("hicra", 20, 200), ("own", 1, None)]


def test_a_name_without_settings_may_have_a_colon() -> None:
    assert load_methods([{"forking_tokens": None}])[0].method.settings.share == 0.2


@pytest.mark.parametrize(
    ("entry", "words"),
    [
        ("forking_token", ["no method 'forking_token'", "did you mean 'forking_tokens'"]),
        ("../secrets", ["no method '../secrets'"]),
        ({"forking_tokens": {"shares": 0.1}}, ["grpo.methods, forking_tokens", "'shares'", "'share'"]),
        ({"forking_tokens": {"share": "many"}}, ["forking_tokens", "share", "many"]),
        ({"forking_tokens": {"from": 0}}, ["forking_tokens", "from=0", "count from 1"]),
        ({"forking_tokens": {"until": 2.5}}, ["until=2.5"]),
        ({"forking_tokens": {"from": 9, "until": 3}}, ["ends at step 3", "begins at 9"]),
        ({"forking_tokens": {}, "siren": {}}, ["one name"]),
        ({"forking_tokens": 0.2}, ["one name"]),
        (7, ["grpo.methods holds 7"]),
        ("own.py:Shorter", ["own.py", "'Shorter'", "Brevity"]),
        ("other.py:Brevity", ["no file", "other.py"]),
        ("own.py:number", ["'own.py:number'", "no subclass"]),
    ],
)
def test_mistakes_are_refused_by_name(domain: Path, entry: Any, words: list[str]) -> None:
    with pytest.raises(UserError) as refused:
        load_methods([entry], domain)
    assert [word for word in words if word not in str(refused.value)] == []


def test_a_file_needs_a_domain() -> None:
    with pytest.raises(UserError, match="no domain folder"):
        load_methods(["own.py:Brevity"])


def test_compose_asks_each_method(domain: Path) -> None:
    assert compose(grpo(methods=["own.py:Brevity"]), domain).on(1)
    with pytest.raises(UserError, match="groups of 4"):
        compose(grpo(methods=["own.py:Brevity"], group_size=2), domain)


def test_who_answers_a_hook() -> None:
    first, second = Weigher(), OtherWeigher()
    composition = Composition([Active("a", first, 1, 3), Active("b", second, 4)])
    assert [composition.one("weigh", step) for step in (1, 3, 4, 99)] == [first, first, second, second]
    assert composition.one("ratio", 1) is None
    assert composition.all("transform", 4) == [second]
    assert composition.all("shape", 4) == []
    assert composition.needs(3) == {Need.LOGP_OLD}
    assert composition.needs(4) == {Need.ENTROPY_OLD}
    assert composition.traits(2) == {Trait.TOKEN_WEIGHT}
    assert composition.turns() == [1, 4]
    assert Composition().on(1) == []
    assert Composition().needs(1) == frozenset()


def test_the_recipe_order_is_kept() -> None:
    class Plain(Method):
        def transform(self, advantage: Any, batch: Any, ctx: Any) -> Any:
            return advantage

    last, first = Weigher(), Plain()
    assert Composition([Active("b", last), Active("a", first)]).all("transform", 1) == [last, first]


@pytest.mark.parametrize(
    ("methods", "words"),
    [
        ((Weigher(), OtherWeigher()), ["a and b", "'weigh'", "`from` and `until`"]),
        ((Replacing(), ReplacingRight()), ["a and b", "in place of the recipe's"]),
        ((Replacing(), Replacing()), ["a and b"]),
    ],
)
def test_two_owners_of_a_single_hook(methods: tuple[Method, Method], words: list[str]) -> None:
    with pytest.raises(UserError) as refused:
        Composition([Active("a", methods[0], 1, 5), Active("b", methods[1], 5)])
    assert [word for word in (*words, "step 5") if word not in str(refused.value)] == []
    Composition([Active("a", methods[0], 1, 4), Active("b", methods[1], 5)])


def test_one_method_twice() -> None:
    with pytest.raises(UserError, match="forking_tokens and forking_tokens#2 both are one method twice in step 3"):
        Composition(load_methods(["forking_tokens", {"forking_tokens": {"share": 0.1, "from": 3}}]))


def test_replacing_right_and_wrong_rows_go_together() -> None:
    Composition([Active("a", ReplacingRight()), Active("b", ReplacingWrong())])


def test_state_goes_by_name() -> None:
    def two() -> Composition:
        return Composition([Active("a", Weigher(), 1, 3), Active("b", OtherWeigher(), 4)])

    before, after = two(), two()
    before.active[0].method.seen, before.active[1].method.seen = 3, 8
    after.load(before.state())
    assert [each.method.seen for each in after.active] == [3, 8]
    with pytest.raises(UserError, match=r"\['a', 'b'\].*\['a'\]"):
        Composition([Active("a", Weigher())]).load(before.state())


@pytest.mark.parametrize("name", known_methods())
def test_every_method_says_what_it_is(name: str) -> None:
    kind = method_class(name)
    fields = kind.Settings.model_fields
    assert hooks_of(kind)
    assert kind.source
    assert issubclass(kind.Settings, Strict)
    assert not set(PHASE) & set(fields), "these two bound the phase"
    numbers = [name for name, field in fields.items() if isinstance(field.default, (int, float))]
    silent = [
        name
        for name in numbers
        if "[published" not in fields[name].description and "[reconstructed" not in fields[name].description
    ]
    assert silent == [], "each constant says [published] or [reconstructed: why]"


@pytest.mark.parametrize("name", list_algorithms())
def test_every_algorithm_validates(name: str) -> None:
    made = validate(
        GrpoSettings, with_algorithm({"grpo": {"algorithm": name, "optim": {"lr": 1}, "steps": 1}})["grpo"], name
    )
    assert {key: getattr(made, key) for key in read_algorithm(name)} == read_algorithm(name)
    lines = list_algorithms()[name].read_text(encoding="utf-8").splitlines()[1:]
    assert [line for line in lines if "# [published]" not in line and "# [recall]" not in line] == []


def test_the_settled_base_is_complete() -> None:
    assert set(list_algorithms()) == {
        *("grpo", "dr_grpo", "dapo", "gspo", "cispo", "rloo", "reinforce_pp", "lite_ppo"),
    }


def test_plain_grpo_is_what_a_recipe_has_by_itself() -> None:
    plain = grpo()
    assert {key: getattr(plain, key) for key in read_algorithm("grpo")} == read_algorithm("grpo")


def test_explicit_keys_win_over_the_algorithm() -> None:
    values = {"system": "x", "grpo": {"algorithm": "dapo", "overlong_buffer": 64, "steps": 3}}
    merged = with_algorithm(values)
    assert merged["system"] == "x"
    assert (merged["grpo"]["overlong_buffer"], merged["grpo"]["clip_high"], merged["grpo"]["steps"]) == (64, 0.28, 3)
    assert "clip_high" not in values["grpo"]
    assert with_algorithm({"system": "x"}) == {"system": "x"}
    with pytest.raises(UserError, match=r"no algorithm 'dappo'.*'dapo'"):
        with_algorithm({"grpo": {"algorithm": "dappo"}})


def test_lists_name_hooks_needs_and_provenance() -> None:
    [line] = [line for line in catalogue.lines() if line.startswith("  forking_tokens  ")]
    assert [word for word in ("transform", "entropy_old", "published", "arXiv 2506.01939") if word not in line] == []
    assert set(catalogue.absent()).isdisjoint(known_methods())
    assert {"t_ppo", "deepsearch"} <= set(catalogue.absent())
    assert len(set(catalogue.published().values())) == 66
    assert set(known_methods()) - catalogue.BESIDE <= set(catalogue.published()), "name it in catalogue.PUBLISHED"
    assert len(HOOKS) == len(set(HOOKS))


def test_the_page_is_printed_from_the_code() -> None:
    page = (ROOT / "docs" / "methods.md").read_text(encoding="utf-8")
    assert page == catalogue.page(), "python -m mmreason.objectives.catalogue > docs/methods.md"
