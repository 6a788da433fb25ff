"""MedQuAD as free questions: what institutes of the NIH answer. As passages for retrieval it is read by corpora.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from mmreason.data.lines import read_rows
from mmreason.data.sources import take_options
from mmreason.data.step import Drop, ReadRequest
from mmreason.records import Answer, AnswerKind, Message, Role, Sample, Source


def medquad(request: ReadRequest) -> Iterator[Sample | Drop]:
    """One row a pair {doc_id, qid, focus, qtype, source, question, answer}. The focus (a disease or entity) is the
    document: all that is asked about it stays on one side of a split.

    42 rows share doc_id and qid with others; the later ones get /2, /3 and so on, as in corpora.py.
    """
    take_options(request)
    seen: Counter[str] = Counter()
    for path in request.files:
        for row in read_rows(path):
            name = f"{row.need('doc_id', str)}/{row.need('qid', str)}"
            seen[name] += 1
            identity = name if seen[name] == 1 else f"{name}/{seen[name]}"
            question, answer = row.need("question", str).strip(), row.fill("answer", str, "").strip()
            if not answer:
                yield Drop(f"{request.name}-{identity}", "read", "empty_answer", "no answer is released", row.values)
                continue
            yield Sample(
                id=f"{request.name}-{identity}",
                source=Source(request.name, request.split, request.entry.licence, identity, row.need("focus", str)),
                messages=(Message.of(Role.USER, question),),
                answer=Answer(AnswerKind.FREE, answer),
                metadata={"question": question, **{key: row.fill(key, str, "") for key in ("qtype", "source")}},
            )
