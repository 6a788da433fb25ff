"""The protocol: which template is used, what is filled into it, and a hash that moves with every word."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import pytest

from mmreason.config import MediaRule, load_domain
from mmreason.errors import UserError
from mmreason.protocol import READER_VERSION, Protocol
from mmreason.records import Answer, AnswerKind, MediaRef, Message, Role, Sample, Source
from mmreason.suites.suite import AskedAs

SOURCE = Source("own", "train", "Apache-2.0", "0")


def sample(
    kind: AnswerKind = AnswerKind.NUMBER, question: str = "How many?", images: int = 0, **answer: object
) -> Sample:
    media = tuple(MediaRef("0" * 64, "image", f"{n}.png", 0) for n in range(images))
    gold = Answer(kind, "A", **answer)  # type: ignore[arg-type]
    return Sample("q1", SOURCE, (Message.of(Role.USER, question, images),), gold, media=media)


def protocol(**templates: str) -> Protocol:
    named = {key.replace("__", "-").replace("_", "."): text for key, text in templates.items()}
    return Protocol(None, named)


ALL = {
    "choice__multi_zh": "1 {question}",
    "choice_zh": "2 {question}",
    "zh": "3 {question}",
    "choice": "4 {question}",
    "default": "5 {question}",
}


@pytest.mark.parametrize(
    ("kind", "lang", "multi", "expected"),
    [
        (AnswerKind.CHOICE, "zh", True, "1"),
        (AnswerKind.CHOICE, "zh", False, "2"),
        (AnswerKind.NUMBER, "zh", False, "3"),
        (AnswerKind.CHOICE, "en", True, "4"),
        (AnswerKind.NUMBER, "en", False, "5"),
    ],
)
def test_the_most_specific_template(kind: AnswerKind, lang: str, multi: bool, expected: str) -> None:
    assert protocol(**ALL).template(sample(kind, lang=lang, multi=multi)).startswith(expected)


def test_no_template_is_one_line() -> None:
    with pytest.raises(UserError, match=r"sample q1: no prompt for number.en; declare"):
        protocol(zh="{question}").apply(sample())


def test_filling() -> None:
    made = protocol(default="Q: {question}\n{options}\nReason.").apply(
        sample(AnswerKind.CHOICE, options={"A": "one", "B": "two"})
    )
    assert made.question == "Q: How many?\nA. one\nB. two\nReason."


def test_options_without_a_hole_come_last() -> None:
    made = protocol(default="{question}").apply(sample(AnswerKind.CHOICE, options={"A": "one"}))
    assert made.question == "How many?\nA. one"


@pytest.mark.parametrize("question", ["set {options} of {question}", "{0} {x!r} {{}}", "\\1 \\g<0> 100%"])
def test_braces_in_a_question_are_text(question: str) -> None:
    made = protocol(default="Q {question} {options}").apply(
        sample(AnswerKind.CHOICE, question, options={"A": "{question}"})
    )
    assert made.question == f"Q {question} A. {{question}}"


def test_pictures_stay_before_the_text() -> None:
    made = protocol(default="Look. {question}").apply(sample(images=2))
    assert [(part.type, part.media) for part in made.messages[0].parts] == [("image", 0), ("image", 1), ("text", -1)]
    assert made.messages[0].text == "Look. How many?"


def test_the_system_prompt_is_put_first_once() -> None:
    one = replace(protocol(default="{question}"), system_prompt="Be brief.")
    made = one.apply(sample())
    assert [message.role for message in made.messages] == [Role.SYSTEM, Role.USER]
    given = replace(sample(), messages=(Message.of(Role.SYSTEM, "Own."), *sample().messages))
    assert [message.text for message in one.apply(given).messages] == ["Own.", "How many?"]


def test_a_prompt_is_put_once() -> None:
    one = protocol(default="Q: {question}")
    made = one.apply(sample())
    assert made.metadata["prompted"] == one.hash
    with pytest.raises(ValueError, match="already carries the prompt"):
        one.apply(made)


def test_the_last_user_turn_is_the_question() -> None:
    talk = (Message.of(Role.USER, "First?"), Message.of(Role.ASSISTANT, "Yes."), Message.of(Role.USER, "Then?"))
    made = protocol(default="Q: {question}").apply(replace(sample(), messages=talk))
    assert [message.text for message in made.messages] == ["First?", "Yes.", "Q: Then?"]


def test_the_hash_moves_with_every_field() -> None:
    one = Protocol("Be brief.", {"default": "{question}"})
    other = {
        "system_prompt": None,
        "templates": {"default": "{question} "},
        "option": "({letter}) {text}",
        "prefill": "Best option:(",
        "put_back": "(",
        "stop": ("\n",),
        "max_new_tokens": 16,
        "media": {"frame_rule": "uniform:8"},
        "ladder": True,
        "reader_version": READER_VERSION + 1,
    }
    assert set(other) == {field.name for field in fields(Protocol)}
    changed = [replace(one, **{key: value}) for key, value in other.items()]  # type: ignore[arg-type]
    assert len({one.hash, *(made.hash for made in changed)}) == len(other) + 1
    assert one.hash == Protocol("Be brief.", {"default": "{question}"}).hash == one.to_dict()["hash"]
    assert len(one.hash) == 16


def test_the_authors_way_to_ask() -> None:
    asked = AskedAs(template="Q: {question}\n{options}", system="Look.", options="({letter}) {text}", prefill="(")
    made = protocol(default="{question}").as_asked(asked)
    put = made.apply(sample(AnswerKind.CHOICE, options={"A": "red", "B": "blue"}))
    assert put.question == "Q: How many?\n(A) red\n(B) blue" and put.messages[0].text == "Look."
    assert made.ladder and made.prefill == "(" and not protocol(default="{question}").ladder
    with pytest.raises(UserError, match=r"the authors' template: the template has no"):
        made.as_asked(AskedAs(template="no hole"))


def test_pictures_stand_where_the_text_says() -> None:
    media = tuple(MediaRef("0" * 64, "image", f"{n}.png", 0) for n in range(3))
    message = Message.of(Role.USER, "see <image 2> here")
    answer = Answer(AnswerKind.CHOICE, "A", options={"A": "<image 1>", "B": "none"})
    one = Sample("q1", SOURCE, (message,), answer, media=media, metadata={"inline_images": True})
    parts = protocol(default="{question}\n{options}").apply(one).messages[-1].parts
    assert [(part.type, part.media) for part in parts] == [
        *(("image", 2), ("text", -1), ("image", 1), ("text", -1), ("image", 0), ("text", -1)),
    ], "a picture that the text does not place comes first; none is lost"
    assert parts[-1].text == "\nB. none"
    with pytest.raises(UserError, match=r"<image 4> in the text, but 3 media"):
        protocol(default="{question}").apply(replace(one, messages=(Message.of(Role.USER, "<image 4>"),)))


def test_media_take_the_rule_that_they_do_not_state() -> None:
    rule = MediaRule(frame_rule="uniform:8", max_pixels=100, total_pixels=900)
    clip, picture = MediaRef("0", "video", "a.mp4", 0, max_pixels=50), MediaRef("1", "image", "a.png", 0)
    one = Sample(
        "q1", SOURCE, (Message.about("?", (clip, picture)),), Answer(AnswerKind.FREE, "x"), media=(clip, picture)
    )
    first, second = protocol(default="{question}").having({}, rule).apply(one).media
    assert (first.frame_rule, first.max_pixels, first.total_pixels) == ("uniform:8", 50, 900)
    assert (second.frame_rule, second.max_pixels, second.total_pixels) == ("", 100, 0)
    captioned = rule.model_copy(update={"caption": "{number} "})
    first, second = protocol(default="{question}").having({}, captioned).apply(one).media
    assert (first.caption, second.caption) == ("{number} ", "")


def test_a_rule_without_caption_has_the_hash_it_had_before_captions() -> None:
    rule = MediaRule(max_pixels=100)
    made = protocol(default="{question}").having({}, rule)
    assert made.media == {"frame_rule": "", "min_pixels": 0, "max_pixels": 100, "total_pixels": 0}
    captioned = protocol(default="{question}").having({}, rule.model_copy(update={"caption": "{number} "}))
    assert captioned.hash != made.hash


def test_of_a_domain_folder(own_domain: Path) -> None:
    made = Protocol.of(load_domain(own_domain))
    assert made.templates["default"].endswith("</answer>.")  # the closing newline of the file is not part of it
    (own_domain / "prompt.txt").write_text("No hole.", encoding="utf-8")
    with pytest.raises(UserError, match=r"prompt.txt: the template has no \{question\}"):
        Protocol.of(load_domain(own_domain))
