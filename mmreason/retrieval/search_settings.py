"""What a recipe may say about a search environment under `options: {search: {...}}`.

Limits follow Med-R3's release (8023looker/Med-R3, vllm_rollout_retrieval_spmd.py and search_utils.py) where it has one;
the final turn without a search is Search-R1's (arXiv 2503.09516).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import Field, model_validator

from mmreason.config.strict import Strict, validate
from mmreason.retrieval.make import RetrievalSettings


class BaseSettings(Strict):
    """One knowledge base. Its passages are read from files of the data folder, unless a service has them."""

    called: str = ""
    """What the model calls it; empty: its key. Upper and lower case are the same."""
    reader: str = ""
    """'file.py:function', relative to the domain's folder, that makes a `Corpus` of files."""
    files: list[str] = Field(default_factory=list)
    """Files or folders of JSON lines in the data folder."""
    made: str = ""
    """File of made-up passages that a data step wrote into the run's folder; read where none of `files` is there."""
    tag: str = ""
    """Around its passages, in place of the environment's `result`."""
    retrieval: RetrievalSettings = RetrievalSettings()

    @model_validator(mode="after")
    def _some_passages(self) -> BaseSettings:
        if self.retrieval.service is None and not self.made and not (self.reader and self.files):
            raise ValueError("give a reader with files, a made-up file (made), or a service")
        return self


class SearchSettings(Strict):
    """Tags, limits and knowledge bases of a search environment."""

    bases: dict[str, BaseSettings] = Field(min_length=1)
    """Name -> base. With several, `base` names the tag in which the model chooses one."""
    query: str = "search"
    """Tag around a query."""
    base: str = ""
    """Tag around the name of the base, behind the query; it then ends the turn. Empty: the first base is asked."""
    none: str = ""
    """Name that stands for no base, with which the model asks for the final turn; empty: there is none."""
    result: str = "document"
    """Tag around each passage."""
    reserved: tuple[str, ...] = ("think", "answer")
    """Further tags that passages must not hold."""
    max_calls: int = Field(4, ge=0)
    """Searches that are answered, failed ones included [Med-R3's code]; the next one is answered by `forced`. The
    task's `max_turns` is two more: for the search too many, and for the answer."""
    top: int = Field(5, ge=1)
    """Passages a search brings [Med-R3's code]."""
    passage_tokens: int = Field(256, ge=1)
    """A longer passage is cut on its right [reconstructed: chunks of the MedRAG corpora have 1,000 characters]."""
    before: str = "\n"
    """Before the passages of a search."""
    after: str = "\n"
    """Behind them."""
    between: str = "\n"
    """Between two of them."""
    forced: str = "\nNo search is left.\n</think>\n<answer>"
    """Put into the answer where no search is left; graders read it as part of the answer, so it may open the tag."""
    empty: str = "no passage found"
    """In place of passages where nothing is found."""
    failed: str = "search failed: {reason}"
    """In place of passages where the search fails, with the hole {reason}."""
    bad: Literal["end", "tell"] = "end"
    """What follows a call that is malformed: the end of the answer [Med-R3's code], or `failed` as its result. A result
    tag written by the model always ends the answer."""
    down_after: int = Field(3, ge=0)
    """So many turns in a row in which a base's service is down stop the run with its line; 0: never."""
    disabled: bool = False
    """For evaluation: no search is answered; the first one brings the final turn."""

    @model_validator(mode="after")
    def _together(self) -> SearchSettings:
        if self.base == "" and (len(self.bases) > 1 or self.none):
            raise ValueError("several bases, or a name for none, need `base`, the tag in which the model names one")
        tags = self.tags
        bad = [tag for tag in tags if not tag.replace("-", "").replace("_", "").isalnum()]
        if bad or len({tag.lower() for tag in tags}) < len(tags):
            raise ValueError(f"the tags {', '.join(tags)} must be unlike one another, of letters, digits, - and _")
        names = [name.lower() for name in self.called]
        if len(set(names)) < len(names) or self.none.lower() in names:
            raise ValueError(f"two bases are called alike: {', '.join(self.called)} (and {self.none!r} for none)")
        try:
            self.failed.format(reason="")
        except (KeyError, IndexError, ValueError) as error:
            raise ValueError(f"failed {self.failed!r} has a hole beside {{reason}} ({error!r})") from None
        return self

    @property
    def results(self) -> tuple[str, ...]:
        """Tags around passages."""
        return tuple(dict.fromkeys([base.tag or self.result for base in self.bases.values()] + [self.result]))

    @property
    def tags(self) -> tuple[str, ...]:
        """Every tag that means something."""
        own = (self.query, self.base) if self.base else (self.query,)
        return (*own, *self.results, *self.reserved)

    @property
    def called(self) -> dict[str, str]:
        """What the model calls a base -> its key."""
        return {base.called or key: key for key, base in self.bases.items()}

    @property
    def calls(self) -> int:
        """Searches that are answered."""
        return 0 if self.disabled else self.max_calls

    @property
    def stop(self) -> tuple[str, ...]:
        """Texts that end a turn: a call, and a result tag that the model writes itself."""
        forged = [text for tag in self.results for text in (f"<{tag}>", f"</{tag}>")]
        return (f"</{self.base or self.query}>", *forged)


def of(options: Mapping[str, Any], key: str = "search") -> SearchSettings:
    """The settings in a recipe's options. Raises UserError naming every key that is wrong."""
    return validate(SearchSettings, options.get(key, {}), f"options.{key}")
