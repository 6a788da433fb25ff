"""What a recipe may say about Med-R3's reward under `options: {med_r3: {...}}` (arXiv 2507.23541).

Marks: [code] read in 8023looker/Med-R3 (commits 65c1aea, 861a8b6, 6971ba5, 12c6ab1), [abstract], [reconstructed]. The
body of the paper could not be read, and the released code holds no retrieval reward of stages 2 and 3: these are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import Any

from pydantic import Field

from mmreason.config.parts import Endpoint
from mmreason.config.strict import Strict, validate

EVIDENCE = {
    "guideline": 1.0,
    "systematic review": 1.0,
    "textbooks": 0.9,
    "statpearls": 0.9,
    "trial": 0.8,
    "pubmed": 0.6,
    "medquad": 0.9,
    "wikipedia": 0.5,
    "encyclopaedia": 0.5,
}
"""Weight of a passage by the beginning of its source [reconstructed: the usual pyramid of evidence; MedQuAD's answers
are texts of the NIH's institutes, between guideline and textbook]."""


class Stage(StrEnum):
    """What is rewarded."""

    OUTCOME = "outcome"
    """The answer alone [reconstructed: the control]."""
    RELEASED = "released"
    """The released class of stage 1: reasoning credit whether or not the answer is right [code]."""
    REASONING = "reasoning"
    """Stage 1: the answer, and the reasoning of right answers; search is there and unrewarded [reconstructed]."""
    RETRIEVAL = "retrieval"
    """Stage 2: the answer, the evidence that was found, the calls that it took [reconstructed]."""
    JOINT = "joint"
    """Stage 3: the answer, reasoning and evidence of right answers [reconstructed]."""


class MedR3Settings(Strict):
    """Constants of the rewards."""

    stage: Stage = Stage.JOINT
    right: float = 1.0
    """Of an answer judged 2 [code]."""
    partly: float = 0.4
    """Of one judged 1 [code]."""
    wrong: float = 0.0
    """Of any other; the release pays 0.1 [reconstructed: a wrong answer must not earn]."""
    reason_first: float = Field(0.4, ge=0)
    """Weight of the reasoning in stage 1 [reconstructed: half the release's 0.8, as it now stands behind a gate]."""
    evidence_second: float = Field(0.4, ge=0)
    """Weight of Q in stage 2 [reconstructed: as the reasoning in stage 1]."""
    bridge_second: float = Field(0.2, ge=0)
    """Weight of B in stage 2 [reconstructed]."""
    call_cost: float = Field(0.02, ge=0)
    """Of each call beyond `free_calls` in stage 2 [reconstructed]."""
    free_calls: int = Field(2, ge=0)
    reason_last: float = Field(0.2, ge=0)
    """Weight of the reasoning in stage 3 [reconstructed: half of stage 1's]."""
    evidence_last: float = Field(0.2, ge=0)
    """Weight of Q in stage 3 [reconstructed: half of stage 2's]."""
    reason_released: float = 0.8
    """Weight of the reasoning in the released class [code]."""
    wrong_released: float = 0.1
    """Of a wrong answer there [code]."""
    penalty: float = Field(0.1, ge=0)
    """Of a missing format, a short thought, another language in thought or answer, each [code]."""
    forged: float = -0.1
    """The whole reward of an answer with a result tag of its own or a malformed search [code]."""
    long_from: int = Field(11264, ge=1)
    """Tokens above which an answer is charged [code]."""
    long_over: int = Field(3072, ge=1)
    """So many above it cost 1 [code]."""
    count_results: bool = False
    """Whether results count as length, as in the release; they then work against searching [reconstructed: no]."""
    hops: int = Field(3, ge=1)
    """Longest path of a graph that is compared [reconstructed]."""
    encoder: str = "none"
    """Of the likeness of two thoughts: see armed/similarity.py; "none" leaves that third of the reasoning out. The
    release takes BAAI/bge-m3 [code]."""
    relevance: str = "words"
    """Of a passage for a question: "words", or a cross-encoder that lies on this machine [reconstructed]."""
    evidence: dict[str, float] = EVIDENCE
    """Source -> weight of a passage; the longest name that its source begins with counts."""
    evidence_other: float = Field(0.6, ge=0, le=1)
    """Weight of sources that are not named."""
    judge: Endpoint | None = None
    """Scores answers 0, 1 or 2 [code]; None: our graders, 2 or 0."""
    reasoner: Endpoint | None = None
    """Writes the reference chains of `data_chains.py`; the authors asked DeepSeek-R1 at temperature 0.9 [code]."""
    extractor: Endpoint | None = None
    """Reads the graph of a thought [code]; None: statements of the form "relation one other ." are read."""
    show_references: bool = False
    """Whether the extractor is shown the references' terms, as in the release, which leaks what is wanted
    [reconstructed: no]."""
    results_trained: bool = False
    """Control: results are trained as if the policy had written them."""

    def weight(self, source: str) -> float:
        """Evidence weight of a passage's source."""
        names = [name for name in self.evidence if source.lower().startswith(name.lower())]
        return self.evidence[max(names, key=len)] if names else self.evidence_other


def of(options: Mapping[str, Any]) -> MedR3Settings:
    """The settings in a recipe's options. Raises UserError naming every key that is wrong."""
    return validate(MedR3Settings, options.get("med_r3", {}), "options.med_r3")
