"""Our model class for lm-eval: one engine behind its interface, so that any of its tasks can be asked.

It takes what lm-eval's own classes take, (context, generation arguments) with pictures in a third place, and beside
that our samples, whose media may be several pictures and clips. Answers are drawn in batches, prompts that begin alike
are prefilled once, and what was answered is kept on disk as it comes.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from mmreason.config.recipe import Sampling
from mmreason.errors import UserError
from mmreason.models.codec import Codec, Encoded
from mmreason.records import Answer, AnswerKind, Rollout, Sample, Source
from mmreason.records.rollout import talk_of
from mmreason.rollout.common_prefix import share
from mmreason.rollout.engine import Engine, Request
from mmreason.rollout.likelihood import continuation_logprobs
from mmreason.run.progress import progress
from mmreason.suites.answers import AnswerStore
from mmreason.suites.asks import Ask, Said, joined
from mmreason.suites.contexts import Contexts

GREEDY = Sampling(temperature=0.0)


@register_model("mmreason")
class MmreasonLM(LM):
    """See the module. `counts`: questions, prompts forwarded, prompt ids given, prompt ids forwarded."""

    MULTIMODAL = True

    def __init__(
        self,
        engine: Engine,
        codec: Codec,
        sampling: Sampling = GREEDY,
        batch: int = 128,
        seed: int = 0,
        share_prompts: bool = True,
        store: AnswerStore | None = None,
        title: str = "answers",
    ) -> None:
        super().__init__()
        self.engine, self.codec, self.sampling = engine, codec, sampling
        self.batch, self.seed, self.share_prompts = batch, seed, share_prompts
        self.store, self.title = store, title
        self.counts: Counter[str] = Counter()
        self.contexts = Contexts(codec)

    @property
    def tokenizer_name(self) -> str:
        """For lm-eval's request cache."""
        return str(self.codec.tokenizer.name_or_path)

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        """The tokenizer's own template."""
        text = self.codec.tokenizer.apply_chat_template(
            chat_history,
            tokenize=False,
            add_generation_prompt=add_generation_prompt,
            continue_final_message=not add_generation_prompt,
        )
        return str(text)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        """One answer (`Said`) a request; a request repeated n times in a row is one prompt with n answers."""
        asks = list(joined(requests, self.sampling))
        answers: list[str] = [""] * len(requests)
        with progress(self.title, len(requests)) as tick:
            for ask, said in self._answers(asks):
                for place, one in zip(ask.places, said, strict=True):
                    answers[place] = one
                tick(len(ask.places))
        return answers

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Summed log-probability of each continuation, with whether it is the greedy one."""
        pairs = [self._pair(request.args) for request in requests]
        return [
            found
            for start in range(0, len(pairs), self.batch)
            for found in self._likelihood(pairs[start:][: self.batch])
        ]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Log-probability of whole texts from the end-of-text token on."""
        start = Encoded([self.codec.eos_id])
        pairs = [
            (start, self.codec.tokenizer.encode(request.args[0], add_special_tokens=False)) for request in requests
        ]
        return [value for pair in pairs for value, _ in self._likelihood([pair])]

    def _likelihood(self, pairs: Sequence[tuple[Encoded, list[int]]]) -> list[tuple[float, bool]]:
        model = getattr(self.engine, "model", None)
        if model is None:
            raise UserError("log-likelihood tasks need a model in this process: evaluate with eval.engine=transformers")
        prompts, continuations = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
        return continuation_logprobs(model, prompts, continuations, self.codec.pad_id)

    def _pair(self, arguments: tuple[Any, ...]) -> tuple[Encoded, list[int]]:
        """Context and continuation tokenised together, so that the cut falls where the model would see it."""
        context, continuation = arguments[0], arguments[1]
        spaces = len(context) - len(context.rstrip())
        if spaces:
            context, continuation = context[:-spaces], context[-spaces:] + continuation
        prompt = self.contexts.encode(context, arguments[2] if len(arguments) > 2 else {})
        whole = self.contexts.encode(context + continuation, arguments[2] if len(arguments) > 2 else {})
        if not prompt.ids:
            prompt = Encoded([self.codec.eos_id])
            return prompt, whole.ids
        return prompt, whole.ids[len(prompt.ids) :]

    def _answers(self, asks: Sequence[Ask]) -> Iterator[tuple[Ask, list[Said]]]:
        """Questions about one thing side by side, in batches; a batch is seeded by its place."""
        for wanted in dict.fromkeys((ask.sampling.model_dump_json(), ask.stop, len(ask.places)) for ask in asks):
            alike = [ask for ask in asks if (ask.sampling.model_dump_json(), ask.stop, len(ask.places)) == wanted]
            about = [ask.about for ask in alike]
            first = {thing: place for place, thing in reversed(list(enumerate(about)))}
            order = [alike[place] for place in sorted(range(len(alike)), key=lambda place: first[about[place]])]
            for start in range(0, len(order), self.batch):
                chunk = order[start : start + self.batch]
                yield from zip(chunk, self._chunk(chunk, self.seed + start), strict=True)

    def _chunk(self, chunk: Sequence[Ask], seed: int) -> list[list[Said]]:
        names = [ask.sample.id if ask.sample is not None else "" for ask in chunk]
        if self.store is not None and all(name in self.store.answers for name in names):
            return [[Said(*one) for one in self.store.answers[name]] for name in names]
        requests = [self._request(ask) for ask in chunk]
        groups = self._extend(requests, chunk[0].sampling, len(chunk[0].places), seed)
        asked = zip(chunk, requests, groups, strict=True)
        said = [[self._said(ask, request, rollout) for rollout in group] for ask, request, group in asked]
        if self.store is not None:
            drawn = [[(str(one), one.stop, one.tokens, one.turns, one.visual) for one in group] for group in said]
            self.store.add(dict(zip(names, drawn, strict=True)))
        return said

    def _extend(self, requests: list[Request], sampling: Sampling, n: int, seed: int) -> list[list[Rollout]]:
        given = share(requests, self.codec) if self.share_prompts else requests
        distinct = {(tuple(r.prompt.ids), tuple(m.key for m in r.prompt.media)) for r in given}
        self.counts["questions"] += len(given)
        self.counts["prompts_forwarded"] += len(distinct)
        self.counts["ids_given"] += sum(len(r.prompt.ids) + len(r.begun) for r in given)
        self.counts["ids_forwarded"] += sum(len(ids) for ids, _ in distinct) + sum(len(r.begun) for r in given)
        return self.engine.extend(given, sampling, n, seed)

    def _request(self, ask: Ask) -> Request:
        if ask.sample is None:
            prompt = self.contexts.encode(ask.arguments[0], ask.arguments[2] if len(ask.arguments) > 2 else {})
            return Request(_anonymous(ask.arguments[0]), prompt)
        prompt = self.codec.encode(ask.sample)
        if ask.protocol is not None and ask.protocol.prefill:
            prefill = self.codec.tokenizer.encode(ask.protocol.prefill, add_special_tokens=False)
            prompt = replace(prompt, ids=[*prompt.ids, *prefill])
        return Request(ask.sample, prompt)

    def _said(self, ask: Ask, request: Request, rollout: Rollout) -> Said:
        text = rollout.text
        for mark in ask.stop:
            text = text.split(mark, 1)[0]
        back = ask.protocol.put_back if ask.protocol is not None else ""
        visual = sum(id_ in self.codec.visual_ids for id_ in (*request.prompt.ids, *request.begun, *rollout.ids))
        return Said(back + text, rollout.stop.value, rollout.num_model_tokens, talk_of(rollout) or None, visual)


def _anonymous(context: str) -> Sample:
    """A sample for a request that came as text; engines name samples in their messages."""
    return Sample(f"request {context[:40]!r}", Source("lm-eval", "", "", ""), (), Answer(AnswerKind.FREE, ""))
