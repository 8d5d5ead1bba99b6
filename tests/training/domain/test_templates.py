"""The prompts are the papers', and what is put into them cannot change them."""

from __future__ import annotations

from training.domain.templates import (
    REFINEMENT_PROMPT,
    augment_query,
    render_self_instruct,
    render_short_answer,
)


def test_the_augmented_query_is_the_papers_prompt_before_the_query() -> None:
    assert augment_query("Why?") == REFINEMENT_PROMPT + "Why?"
    assert REFINEMENT_PROMPT.startswith("Please generate a response with a usefulness rating of 100 out of 100")


def test_the_short_answer_frame_takes_the_prompt() -> None:
    assert render_short_answer("Why {prompt}?").endswith("Stick to the requested format: Why {prompt}?.")


def test_self_instruct_leaves_the_next_number_open() -> None:
    assert render_self_instruct(["One\ntask.", "Two."]).endswith("1. One task.\n2. Two.\n3.")
