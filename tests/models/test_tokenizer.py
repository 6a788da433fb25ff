"""The tokenizer of tiny runs: digits, tags and special tokens, and texts that come back as they went in."""

from __future__ import annotations

import pytest
from transformers import PreTrainedTokenizerFast

from mmreason.errors import UserError
from mmreason.models.tokenizer import SPECIAL, TAGS, train_tokenizer

TEXTS = ["rent 12345 wages 67890 fuel 12345; 12345 + 67890 = 80235", "what is the change in rent ?"] * 50


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return train_tokenizer(TEXTS, 400)


def test_digits_stay_single(tokenizer: PreTrainedTokenizerFast) -> None:
    """12345 occurs a hundred times and still makes no merge, so that sums can be learnt digit by digit."""
    assert tokenizer.tokenize("12345") == list("12345")
    assert len(tokenizer.tokenize("rent 12345")) == len(tokenizer.tokenize("rent")) + 5
    merged = [token for token in tokenizer.get_vocab() if sum(sign.isdigit() for sign in token) > 1]
    assert merged == []


def test_tags_are_one_token_and_stay_in_the_text(tokenizer: PreTrainedTokenizerFast) -> None:
    for tag in TAGS:
        assert len(tokenizer.encode(tag, add_special_tokens=False)) == 1
    ids = tokenizer.encode("<think>12</think><answer>3</answer><|im_end|>", add_special_tokens=False)
    assert tokenizer.decode(ids, skip_special_tokens=True) == "<think>12</think><answer>3</answer>"


def test_special_tokens_are_one_token(tokenizer: PreTrainedTokenizerFast) -> None:
    for token in SPECIAL:
        assert tokenizer.encode(token, add_special_tokens=False) == [tokenizer.convert_tokens_to_ids(token)]
    assert tokenizer.eos_token == "<|im_end|>"
    assert tokenizer.pad_token == "<|endoftext|>"


@pytest.mark.parametrize(
    "text",
    [
        "rent 4 2; wages 1 3\nwhat is the change in rent ?",
        "公司2023年净利润增长12.5%，是否合规？\n",
        "tabs\tand  two spaces\r\n  indented \\boxed{-1.2e3}",
        "don't <think>x</think> caf\u00e9 \U0001f600",
        "",
    ],
    ids=["ledger", "Chinese", "spaces", "marks", "empty"],
)
def test_texts_come_back(tokenizer: PreTrainedTokenizerFast, text: str) -> None:
    ids = tokenizer.encode(text, add_special_tokens=False)
    assert tokenizer.decode(ids) == text


def test_the_size_is_kept(tokenizer: PreTrainedTokenizerFast) -> None:
    assert len(tokenizer) <= 400
    assert len(train_tokenizer(["one"], 300)) <= 300


def test_too_small_a_vocabulary_is_refused() -> None:
    smallest = 256 + len(SPECIAL) + len(TAGS)
    with pytest.raises(UserError, match=rf"model.tiny.vocab is {smallest - 1}; .* need {smallest}"):
        train_tokenizer(["one"], smallest - 1)
    assert len(train_tokenizer(["one"], smallest)) == smallest


def test_the_chat_template(tokenizer: PreTrainedTokenizerFast) -> None:
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "which?"}]}]
    text = tokenizer.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    picture = "<|vision_start|><|image_pad|><|vision_end|>"
    assert text == f"<|im_start|>user\n{picture}which?<|im_end|>\n<|im_start|>assistant\n"
