"""Tokenized preference pairs: cut responses, p⊕x, and prompts that the chat template refuses."""

from __future__ import annotations

import copy
from pathlib import Path

from tests.support.students import CHAT
from tests.support.tokenizers import tokenizer_of
from training.config import PreferenceConfig
from training.domain.templates import augment_query
from training.trainers.encoding import encode_pairs
from training.trainers.loading import load_tokenizer


def test_a_response_that_generation_cut_gets_no_end_token(little_model: Path) -> None:
    tokenizer = load_tokenizer(str(little_model))
    pair = {
        "prompt": [{"role": "user", "content": "Why?"}],
        "chosen": [{"role": "assistant", "content": "So."}],
        "rejected": [{"role": "assistant", "content": "Beca"}],
        "rejected_cut": True,
    }
    (tokens,), _ = encode_pairs(tokenizer, [pair], max_length=64, augment=False)
    assert tokens.chosen_ids[-1] == tokenizer.eos_token_id
    assert tokenizer.decode(tokens.rejected_ids) == "Beca"


def test_the_refinement_prompt_of_the_config_precedes_the_query() -> None:
    tokenizer = tokenizer_of("byte-level, no template")
    pair = {
        "prompt": [{"role": "user", "content": "Why?"}],
        "chosen": [{"role": "assistant", "content": "Because."}],
        "rejected": [{"role": "assistant", "content": "No."}],
    }
    (tokens,), _ = encode_pairs(
        tokenizer, [pair], max_length=200, augment=True, refinement_prompt="Answer as well as you can: "
    )
    assert "User: Answer as well as you can: Why?" in tokenizer.decode(tokens.augmented_ids)
    assert augment_query("Why?", PreferenceConfig().refinement_prompt) == augment_query("Why?")


def test_the_augmented_prompt_ends_where_the_prompt_of_generation_ends() -> None:
    tokenizer = tokenizer_of("byte-level, no template")
    pair = {
        "prompt": [{"role": "user", "content": "Why?"}],
        "chosen": [{"role": "assistant", "content": "Because."}],
        "rejected": [{"role": "assistant", "content": "No."}],
    }
    (tokens,), _ = encode_pairs(copy.deepcopy(tokenizer), [pair], max_length=200, augment=True)
    assert tokenizer.decode(tokens.augmented_ids + tokens.chosen_ids).endswith(
        "Why?\n\nAssistant: Because.<|endoftext|>"
    )


def test_a_pair_whose_prompt_the_template_refuses_is_skipped_and_named(little_model: Path) -> None:
    tokenizer = load_tokenizer(str(little_model))
    tokenizer.chat_template = (
        "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system turn') }}{% endif %}" + CHAT
    )
    answers = {side: [{"role": "assistant", "content": side}] for side in ("chosen", "rejected")}
    asked = [{"role": "user", "content": "Why?"}]
    rows = [{"prompt": asked, **answers}, {"prompt": [{"role": "system", "content": "Be brief."}, *asked], **answers}]
    kept, notes = encode_pairs(tokenizer, rows, max_length=64, augment=True)
    assert len(kept) == 1
    (note,) = notes
    assert "1 of 2 pairs were skipped" in note
    assert "of system, user: no system turn" in note
