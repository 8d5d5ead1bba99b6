"""The tokenizer is lossless, keeps words whole, and encodes a judge prompt in few tokens."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from training import judges
from training.domain.transcripts import user_turn
from training.miniature.tokenizer import END, build_tokenizer, judge_lines
from training.miniature.world import questions

TOKENIZER = build_tokenizer()


def back(text: str) -> str:
    return TOKENIZER.decode(TOKENIZER(text)["input_ids"], clean_up_tokenization_spaces=False)


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=60).filter(lambda text: "<|" not in text and "\x00" not in text))
def test_encoding_is_lossless(text: str) -> None:
    assert back(text) == text


def test_every_word_of_the_world_is_one_token() -> None:
    for question in questions():
        for word in (question.subject, question.answer):
            assert len(TOKENIZER(f" {word}")["input_ids"]) == 1, word


def test_the_judge_prompt_is_short_and_its_text_is_the_papers() -> None:
    prompt = judges.get("additive_5").render(user_turn("What is the opposite of hot?"), "The opposite of hot is cold.")
    assert len(TOKENIZER(prompt)["input_ids"]) < 45
    assert back(prompt) == prompt
    fixed = judges.get("additive_5").prompt.replace("<INSTRUCTION_HERE>", "").replace("<RESPONSE_HERE>", "")
    assert "".join(judge_lines()) == fixed


def test_it_is_the_same_after_saving_and_loading(tmp_path: Path) -> None:
    TOKENIZER.save_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    text = judges.get("additive_5").render(user_turn("Héllo?"), "A line\n\nand  two spaces: 世界")
    assert loaded(text)["input_ids"] == TOKENIZER(text)["input_ids"]
    assert loaded.chat_template == TOKENIZER.chat_template
    assert (loaded.eos_token, loaded.pad_token_id) == (END, TOKENIZER.pad_token_id)


def test_the_chat_template_ends_every_turn_and_marks_what_the_assistant_said() -> None:
    turns = [
        {"role": "user", "content": "Name the plural of robin."},
        {"role": "assistant", "content": "It is robins."},
    ]
    text = TOKENIZER.apply_chat_template(turns, tokenize=False)
    assert text == "<|user|>Name the plural of robin.<|end|><|assistant|>It is robins.<|end|>"
    asked = TOKENIZER.apply_chat_template(turns[:1], tokenize=False, add_generation_prompt=True)
    assert text.startswith(asked)
    marked = TOKENIZER.apply_chat_template(turns, return_dict=True, return_assistant_tokens_mask=True)
    said = [i for i, mask in zip(marked["input_ids"], marked["assistant_masks"], strict=True) if mask]
    assert TOKENIZER.decode(said) == "It is robins.<|end|>"


def test_it_follows_from_the_world_alone() -> None:
    assert build_tokenizer().get_vocab() == TOKENIZER.get_vocab()
