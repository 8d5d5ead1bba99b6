"""Prompts equal those of the papers, and inserted text cannot change them."""

from __future__ import annotations

from training.domain.templates import (
    REFINEMENT_PROMPT,
    augment_query,
    render_self_instruct,
    render_short_answer,
)


def test_the_augmented_query_starts_with_the_papers_prompt() -> None:
    assert augment_query("Why?") == REFINEMENT_PROMPT + "Why?"
    assert REFINEMENT_PROMPT.startswith("Please generate a response with a usefulness rating of 100 out of 100")


def test_the_short_answer_instruction_contains_the_prompt() -> None:
    assert render_short_answer("Why {prompt}?").endswith("Stick to the requested format: Why {prompt}?.")


def test_self_instruct_ends_with_the_next_number() -> None:
    assert render_self_instruct(["One\ntask.", "Two."]).endswith("1. One task.\n2. Two.\n3.")
