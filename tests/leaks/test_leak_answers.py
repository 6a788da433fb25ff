from __future__ import annotations

from dataclasses import replace

from leak_making import row

from mmreason.leaks.answers import Given, asked, by_medium, given, lookup
from mmreason.records import AnswerKind, Sample


def on(picture: str, id: str, question: str, gold: str, **more: object) -> Sample:
    made = row(id, question, gold, picture, **more)  # type: ignore[arg-type]
    return replace(made, media=(replace(made.media[0], sha256=picture),))


TRAIN = [
    on("xray", "t1", "Where is/are the mass located?", "Pancreas"),
    on("xray", "t2", "Is/Are there fat stranding?", "No"),
    on("xray", "t3", "Is the aorta dilated?", "no"),
    on("xray", "t4", "What plane is this?", "axial"),
    on("other", "t5", "Is there a fracture?", "yes"),
]


def kinds(*evaluation: Sample) -> dict[str, tuple[Given, str]]:
    return {pair.eval: (pair.kind, pair.train) for pair in given(by_medium(TRAIN), evaluation)}


def test_each_kind() -> None:
    found = kinds(
        on("xray", "e1", "where is are the mass located", "pancreas"),
        on("xray", "e2", "Where is the mass?", "pancreas"),
        on("xray", "e3", "Is there fat stranding?", "No"),
        on("xray", "e4", "Does the patient have a pacemaker?", "No"),
        on("xray", "e5", "What plane is this?", "coronal"),
        on("xray", "e6", "How was this taken?", "CT"),
        on("third", "e7", "Is there a fracture?", "yes"),
    )
    assert found == {
        "e1": (Given.SAME_ITEM, "t1"),
        "e2": (Given.REWORDED_ITEM, "t1"),
        "e3": (Given.REWORDED_ITEM, "t2"),
        "e4": (Given.SAME_ANSWER, "t3"),
        "e5": (Given.OTHER_ANSWER, "t4"),
    }


def test_choices_answer_with_their_text() -> None:
    a = on("p", "a", "Which?", "B", kind=AnswerKind.CHOICE, options={"A": "lung", "B": "liver"})
    b = on("p", "b", "Which?", "A", kind=AnswerKind.CHOICE, options={"A": "liver", "B": "lung"})
    assert asked(a).answer == asked(b).answer == "liver"
    assert given(by_medium([a]), [b])[0].kind is Given.SAME_ITEM


def test_lookup_copies_the_answer_of_the_most_alike_question() -> None:
    evaluation = [
        on("xray", "e1", "Where is the mass located?", "pancreas"),  # t1: right
        on("xray", "e2", "Is the aorta normal?", "yes"),  # t3: wrong
        on("third", "e3", "Is there a fracture?", "yes"),  # unknown picture: not asked
    ]
    assert lookup(by_medium(TRAIN), evaluation) == (1, 2)
