"""MedCCO's recipe: its stages, its auditor, the arms of its reproduction and what they are compared by."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from mmreason.config import Recipe, load_domain, load_recipe, with_task
from mmreason.config.stages import stage_recipe
from mmreason.data.distil import make_teacher, teach
from mmreason.data.pipeline import build_dataset, load_dataset
from mmreason.data.step import StepContext
from mmreason.errors import UserError
from mmreason.objectives.advantage import estimate
from mmreason.objectives.compose import compose
from mmreason.project import load_module
from mmreason.protocol import Protocol
from mmreason.records import AnswerKind
from mmreason.records.io import read_samples
from mmreason.run.folder import RunFolder

made = load_module(Path(__file__).parent / "armed_batches.py")
server = load_module(Path(__file__).parents[1] / "data" / "chat_server.py")
HERE = made.MEDICAL / "medcco"
rewards = load_module(HERE / "rewards.py")
measures = load_module(HERE / "measures.py")
reproduce = load_module(HERE / "reproduce.py")
compared = load_module(HERE / "reproduce_measures.py")
NO_ENCODER = rewards.settings.of(made.NO_ENCODER)


def recipe(profile: str = "cpu", *pairs: str) -> Recipe:
    return load_recipe(HERE / "recipe.yaml", profile, list(pairs))


def shares(own: Recipe) -> list[float]:
    """Share of closed prompts that each RL stage asks for."""
    stages = [stage_recipe(own, stage).grpo for stage in own.stages]
    methods = [compose(grpo, made.MEDICAL).active for grpo in stages if grpo is not None]
    return [active[0].method.settings.closed for active in methods]


@pytest.mark.parametrize("profile", ["cpu", "gpu1", "paper"])
def test_closed_questions_come_first_and_open_ones_after(profile: str) -> None:
    own = recipe(profile)
    assert [stage.name for stage in own.stages] == ["see", "cold"] * (profile == "cpu") + ["closed", "open"]
    assert shares(own) == [1.0, 0.0]
    assert (own.sft is None) == (profile != "cpu")
    assert rewards.settings.of(own.options).lam == 0.7


def test_prompts_show_what_a_question_offers() -> None:
    own = recipe("paper")
    protocol = Protocol.of(with_task(load_domain(made.MEDICAL), own.task))
    choice = made.question("B", AnswerKind.CHOICE, options={"A": "liver", "B": "lung"})
    asked = [protocol.apply(one).prompt[-1].text for one in (choice, made.question("yes", AnswerKind.JUDGEMENT))]
    assert asked[0].startswith("where ?\nA. liver\nB. lung\n") and asked[1].startswith("where ?\nyes or no\n")
    open_text = protocol.apply(made.question("lung")).prompt[-1].text
    assert "lung" not in open_text and open_text.count("<answer>") == 1


def built(work: Path, own: Recipe) -> list[Any]:
    """The embedded set under a stage's recipe."""
    domain = load_domain(made.MEDICAL)
    work.mkdir(parents=True, exist_ok=True)
    return read_samples(build_dataset(load_dataset("medcco_scans", domain), StepContext(own, domain, None, work)).kept)


def test_without_an_endpoint_nobody_audits(tmp_path: Path) -> None:
    kept = built(tmp_path, recipe("cpu", "options.medcco_scans.scans=8"))
    assert len(kept) == 8 and {one.metadata["audit"]["by"] for one in kept} == {"nobody"}


@pytest.mark.parametrize(("stage", "profile"), [("closed", "paper"), ("open", "paper")])
def test_a_stage_has_its_own_questions_audited(tmp_path: Path, stage: str, profile: str) -> None:
    with server.serve(server.say(json.dumps({"consistent": True, "reason": "fits"}))) as log:
        pairs = [f"data.teacher.endpoint.base_url={log.url}", "data.teacher.endpoint.model=auditor"]
        own = recipe(profile, *pairs, "options.medcco_scans.scans=6", "options.medcco_scans.options=false")
        [chosen] = [one for one in own.stages if one.name == stage]
        kept = built(tmp_path, stage_recipe(own, chosen))
        seen = {one.metadata["answer_type"] for one in kept if one.metadata["audit"]["by"] == "auditor"}
        assert seen == {stage} and len(log.bodies) == sum(one.metadata["answer_type"] == stage for one in kept)
        teacher = make_teacher(own, load_domain(made.MEDICAL), tmp_path, embedded=False)
        assert teach(kept[0], teacher).first is None and len(log.bodies) < len(kept)


def test_every_arm_is_a_recipe_with_as_many_answers() -> None:
    arms = {arm: reproduce.arm_recipe(recipe(), arm, seed=2) for arm in reproduce.ARMS}
    assert {(arm.grpo.steps, arm.grpo.prompts, arm.grpo.group_size) for arm in arms.values() if arm.grpo} == {
        (recipe().grpo.steps, recipe().grpo.prompts, recipe().grpo.group_size)  # type: ignore[union-attr]
    }
    assert not any(arm.stages for arm in arms.values()) and arms["sft"].sft.max_steps == 2 * arms["sft"].grpo.steps
    closed = {arm: [compose(arms[each].grpo, made.MEDICAL) for each in (first, arm)] for arm, (first, _) in halves()}
    found = {arm: [half.active[0].method.settings.closed for half in both] for arm, both in closed.items()}
    assert found["closed_open"] == [1.0, 0.0] and found["open_closed"] == [0.0, 1.0] and found["joint"] == [0.5, 0.5]
    assert found["closed_only"] == [1.0, 1.0] and found["open_only"] == [0.0, 0.0] and found["replay"] == [1.0, 0.1]
    for arm, both in closed.items():
        assert [half.active[1].method.settings.scale for half in both] == [arm == "weighted"] * 2
        assert len({half.active[0].method.settings.seed for half in both}) == 2  # no prompts twice in one order
    deviation = {arm for arm in arms if arms[arm].grpo and arms[arm].grpo.advantage == "group"}
    assert {arm for arm, _ in halves() if arm in deviation} == {"closed_open_std", "joint_std"}
    assert arms["exact"].options["medcco"]["open_reward"] == "exact" and arms["lambda3"].options["medcco"]["lam"] == 0.3


def halves() -> Any:
    return reproduce.SECOND.items()


def test_first_halves_have_the_settings_of_those_that_follow() -> None:
    for arm, (first, _) in halves():
        both = [reproduce.arm_recipe(recipe(), one, 0).grpo.advantage for one in (first, arm)]
        assert both[0] == both[1] and reproduce.AFTER[arm] == [first] and reproduce.AFTER[first] == ["cold"]


def test_claims_name_arms_and_measures() -> None:
    shown = set(reproduce.ARMS) - set(reproduce.UNJUDGED)
    assert {arm for claim in compared.CLAIMS for arm in (claim.better, claim.worse)} == shown
    assert set(reproduce.NOTES) == shown | {reproduce.SEE}
    assert {claim.measure for claim in compared.CLAIMS} <= set(compared.by_question({suite: [] for suite in SUITES}))


def test_under_the_deviation_reweighting_would_do_nothing() -> None:
    """Why there is no such arm: one question a group, so a factor cancels."""
    batch = made.scored([0.0] * 4, group=[0, 0, 1, 1])
    counted = torch.ones(4, dtype=torch.bool)
    advantages = []
    for factor in (1.0, 10.0):
        batch.reward = torch.tensor([0.0, 1.0, 0.3 * factor, 0.4 * factor], dtype=torch.float64)
        advantages.append({kind: estimate(batch, kind, counted) for kind in ("group", "centred")})
    assert torch.allclose(advantages[0]["group"], advantages[1]["group"], atol=1e-4)
    assert not torch.allclose(advantages[0]["centred"], advantages[1]["centred"], atol=1e-4)


SUITES = ("scans_closed", "scans_open", "scans_ood")


def record(name: str, gold: str, said: str, right: bool, form: str = "open", kind: str = "span") -> dict[str, Any]:
    output = f"<think>x</think><answer>{said}</answer>"
    run = {"output": output, "outcome": "right" if right else "wrong"}
    return {"id": name, "kind": kind, "target": gold, "runs": [run], "doc": {"metadata": {"answer_type": form}}}


def test_open_answers_are_seen_from_four_sides() -> None:
    """Without an encoder S is 0.7 Lex: 1 of 2 words right gives Lex 0.5."""
    rows = [
        record("a", "upper left", "upper left", True),
        record("b", "upper left", "upper right", False),
        record("c", "large ring", "big ring", True),
        record("d", "yes", "no", False, "closed", "judgement"),
    ]
    given = measures.answers(rows, NO_ENCODER)
    assert [one.get("s") for one in given] == pytest.approx([1.0, 0.35, 0.35, None])
    assert [one.get("side") for one in given] == [0.0, 1.0, None, None]
    assert measures.summarise(given) == pytest.approx(
        {"closed": 0.0, "open": 2 / 3, "exact": 1 / 3, "s": (1.0 + 0.35 + 0.35) / 3, "side": 0.5}
    )


def written(home: RunFolder, stage: str, **right: list[bool]) -> None:
    """An evaluation of closed and open questions with these verdicts, and RL metrics of two steps."""
    folder = home.eval / stage
    folder.mkdir(parents=True)
    for suite in SUITES:
        form = "closed" if suite == "scans_closed" else "open"
        rows = [record(f"{suite}{n}", "left", "left" if ok else "right", ok, form) for n, ok in enumerate(right[form])]
        (folder / f"{suite}.samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    counts = {f"method/per_kind/{name}": value for name, value in (("open_sd", 0.2), ("closed_pull", 0.25))}
    steps = [{"stage": stage, "step": n + 1, "grad_norm": norm, **counts} for n, norm in enumerate((1.0, 3.0))]
    home.metrics.write_text("".join(json.dumps(row) + "\n" for row in steps))


def test_arms_are_compared_question_by_question(tmp_path: Path) -> None:
    homes = {arm: [RunFolder(tmp_path / arm)] for arm in ("cold", "closed_open", "joint", "first")}
    for arm, right in {"cold": [False, False], "closed_open": [True, True], "joint": [True, False]}.items():
        written(homes[arm][0], "sft" if arm == "cold" else "grpo", closed=[True], open=right)
    written(homes["first"][0], "grpo", closed=[], open=[])
    firsts = {arm: homes["first"] for arm in ("closed_open", "joint")}
    judged = {arm: homes[arm] for arm in ("cold", "closed_open", "joint")}
    found, text = compared.compare(judged, firsts, reproduce.NOTES, NO_ENCODER)
    [column] = found["scores"]["closed_open"]
    assert (column["closed"], column["open"], column["side"], column["all"]) == (1.0, 1.0, 0.0, 1.0)
    assert column[compared.SPIKE] == 1.5 and column["open sd"] == 0.2 and column["pull of closed"] == 0.25
    assert "closed sd" not in column
    assert compared.SPIKE not in found["scores"]["cold"][0]
    by_claim = {claim["claim"]: claim for claim in found["claims"]}
    gain = by_claim["closed, then open beats both at once, on open questions"]
    assert gain["difference"]["mean"] == 0.5 and gain["verdict"] == "not decided"
    assert by_claim["and on closed ones"]["difference"]["mean"] == 0.0
    assert "it beats the reverse order" not in by_claim and "10 seeds are asked for" in text


def test_a_run_is_shown_by_stage_and_suite(tmp_path: Path) -> None:
    home = RunFolder(tmp_path / "3_open")
    written(home, "grpo", closed=[True, False], open=[True])
    home.manifest.write_text(json.dumps({"settings": {"recipe": {"options": made.NO_ENCODER}}}))
    lines = measures.table(tmp_path).splitlines()
    assert "| 3_open grpo | scans_closed | 50.0 |  |  |  |  |" in lines
    assert "| 3_open grpo | scans_open |  | 100.0 | 100.0 | 100.0 | 0.0 |" in lines
    with pytest.raises(UserError, match="holds no evaluation"):
        measures.table(tmp_path / "3_open" / "eval" / "grpo")
