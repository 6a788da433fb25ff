"""A suite as a task of lm-eval: our questions and scores inside its evaluator."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.task import Task
from lm_eval.config.task import TaskConfig
from lm_eval.filters import build_filter_ensemble

from mmreason.protocol import Protocol
from mmreason.records import Sample
from mmreason.rewards.reward import Reward
from mmreason.suites.results import LOWER_IS_BETTER, scored_metrics
from mmreason.suites.rules import applicable
from mmreason.suites.scoring import Output, score_outputs
from mmreason.suites.suite import Suite
from mmreason.suites.summary import summarise

# Task.__init__ makes a first configuration without generation arguments, and says so of each suite.
logging.getLogger("lm_eval.config.task").addFilter(lambda record: "No `generation_kwargs`" not in str(record.msg))

Answered = tuple[int, list[Output]]
"""Place of a question in the suite, and its answers."""
Judge = Callable[[Suite, Sequence[Sample], list[dict[str, Any]]], tuple[list[dict[str, Any]], "dict[str, Any] | None"]]
"""What a model adds to the records, and what to report of it (`mmreason.suites.judged`)."""


class SuiteTask(Task):
    """One suite with its questions. After an evaluation `records` and `summary` hold what it found.

    Published scorers may need all answers in order (random fall-backs, sums over groups), so each question hands its
    answers on and the sums are made once, when lm-eval aggregates the first metric.
    """

    OUTPUT_TYPE = "generate_until"

    def __init__(
        self,
        suite: Suite,
        samples: Sequence[Sample],
        protocol: Protocol,
        reward: Reward,
        generation: Mapping[str, Any],
        runs: int = 1,
        train_documents: Mapping[str, int] | None = None,
        judge: Judge | None = None,
    ) -> None:
        super().__init__()
        self._config = TaskConfig(
            task=suite.name,
            output_type=self.OUTPUT_TYPE,
            repeats=runs,
            num_fewshot=0,
            generation_kwargs={**generation},
        )
        self._filters = [build_filter_ensemble("none", [])]  # all answers of a question, not the first alone
        self.VERSION = suite.version
        self.MULTIMODAL = any(sample.media for sample in samples)
        self.suite, self.samples, self.protocol, self.reward = suite, list(samples), protocol, reward
        self.generation, self.runs, self.train_documents = dict(generation), runs, train_documents
        self.judge = judge
        # Fixed here: `_score` drops scorers that no answer fits, and lm-eval asks for the functions again after it.
        self.metric_names = ["acc", *(name for name in suite.metrics if name != "strict"), "reward", "format"]
        self.metric_names += LOWER_IS_BETTER
        self.records: list[dict[str, Any]] = []
        self.summary: dict[str, Any] = {}

    def download(self, *_: Any, **__: Any) -> None:
        """Nothing to fetch: the questions are given."""

    def has_training_docs(self) -> bool:
        return False

    def has_validation_docs(self) -> bool:
        return False

    def has_test_docs(self) -> bool:
        return True

    def test_docs(self) -> list[dict[str, Any]]:
        """Places of the questions; the questions themselves travel with the requests."""
        return [{"place": place, "id": sample.id} for place, sample in enumerate(self.samples)]

    def doc_to_text(self, doc: dict[str, Any]) -> str:
        return "\n".join(message.text for message in self.samples[doc["place"]].prompt)

    def doc_to_target(self, doc: dict[str, Any]) -> str:
        return str(self.samples[doc["place"]].answer.gold)

    def build_all_requests(self, **_: Any) -> None:
        """One request a question; few-shot contexts and chat templates belong to the protocol and the codec."""
        self._instances = [self.construct_requests(doc, self.doc_to_text(doc)) for doc in self.test_docs()]

    def construct_requests(self, doc: dict[str, Any], ctx: str, **_: Any) -> Instance:
        """The prompt's text with our sample behind it."""
        carried = {"sample": self.samples[doc["place"]], "protocol": self.protocol}
        return Instance(
            request_type="generate_until",
            doc=doc,
            arguments=(ctx, dict(self.generation), carried),
            idx=0,
            metadata=(self.suite.name, doc["place"], self.runs),
        )

    def process_results(self, doc: dict[str, Any], results: Sequence[Sequence[Any]]) -> dict[str, Answered]:
        """Every metric gets the question's answers."""
        outputs = [Output(str(said), said.stop, said.tokens, said.turns, said.visual) for said in results[0]]
        return dict.fromkeys(self.metric_names, (doc["place"], outputs))

    def aggregation(self) -> dict[str, Callable[[list[Answered]], float]]:
        """Metric -> function over the answers of all questions."""
        return {name: partial(self._aggregate, name) for name in self.metric_names}

    def higher_is_better(self) -> dict[str, bool]:
        """Metric -> whether more is better."""
        return {name: name not in LOWER_IS_BETTER for name in self.metric_names}

    def _aggregate(self, name: str, answered: list[Answered]) -> float:
        if not self.records:
            self._score(answered)
        return scored_metrics(self.suite, self.summary, self.records).get(name, 0.0)

    def _score(self, answered: list[Answered]) -> None:
        outputs = [given for _, given in sorted(answered, key=lambda one: one[0])]
        self.suite = applicable(self.suite, (output.text for given in outputs for output in given))
        records = score_outputs(self.suite, self.samples, outputs, self.reward, self.train_documents)
        self.records, said = self.judge(self.suite, self.samples, records) if self.judge else (records, None)
        self.summary = {**summarise(self.suite, self.samples, self.records), "judged": said}
