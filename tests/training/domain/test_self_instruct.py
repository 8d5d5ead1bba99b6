"""Self-instruct: parsing of lists, and filters with their reports."""

from __future__ import annotations

import pytest

from training.domain.rows import PromptDraft, RejectedDraft
from training.domain.seeds import MAX_SEED, derive_seed
from training.domain.self_instruct import (
    PromptFilter,
    choose_demonstrations,
    main_script,
    read_instructions,
    repeats,
)


def test_the_open_item_and_the_following_items_are_parsed() -> None:
    assert read_instructions(" Name a bird.\n10. Add 3.5\n and 2.\n11) Sing.\n") == [
        "Name a bird.",
        "Add 3.5 and 2.",
        "Sing.",
    ]


def test_each_filter_counts_what_it_removed_and_shows_examples() -> None:
    keep = PromptFilter(["Name three birds that can swim.", "¿Por qué canta el mirlo?"])
    candidates = {
        "name three  birds that can swim.": "duplicate",
        "Too short": "shorter than 3 words",
        "word " * 151: "longer than 150 words",
        "Draw a picture of a wren.": "keyword that a text model cannot serve",
        "- Name three fish.": "begins with a sign",
        "Назови трёх птиц леса.": "in another script than the seeds",
        "Dear helper, please name a bird that sings. Thank you very much indeed.": "only repeats a demonstration",
        "Name three birds that can swim well.": "ROUGE-L of 0.7 or more with a known prompt",
    }
    found = [keep.admit(text, ["Name a bird that sings!", "Count to ten."]) for text in candidates]
    assert [draft.reason for draft in found if isinstance(draft, RejectedDraft)] == list(candidates.values())
    assert [draft.detail for draft in found if isinstance(draft, RejectedDraft)][3:] == [
        "Draw", "-", "CYRILLIC", "Name a bird that sings!", "Name three birds that can swim.",
    ]  # fmt: skip
    assert keep.report.removed == dict.fromkeys(candidates.values(), 1)
    assert keep.report.examples["shorter than 3 words"] == ["Too short"]


def test_keywords_match_whole_words_only() -> None:
    assert isinstance(PromptFilter([]).admit("Write a profile of a baker."), PromptDraft)


def test_a_prompt_can_have_any_script_of_the_seeds() -> None:
    assert main_script("Translate Привет into English") == "LATIN"
    assert main_script("これは日本語のテストです") == main_script("这是一个测试") == "CJK"
    assert main_script("1 + 2 = ?") == ""
    keep = PromptFilter(["Name a bird.", "Назови одну птицу леса."])
    assert keep.scripts == {"LATIN", "CYRILLIC"}
    assert isinstance(keep.admit("Почему небо бывает синим днём?"), PromptDraft)
    assert isinstance(keep.admit("¿Por qué canta el mirlo?"), PromptDraft)
    assert isinstance(keep.admit("为什么 天空 是 蓝色 的"), RejectedDraft)


def test_a_prompt_that_contains_a_demonstration_repeats_it() -> None:
    assert repeats("Task: Name a bird that SWIMS, please", "name a bird, that swims.")
    assert repeats("Name a bird", "Name a bird that swims")
    assert not repeats("Name a bird that flies", "Name a bird that swims")
    assert not repeats("Rename a bird that swims", "Name a bird that swims")
    assert not repeats("...", "Name a bird")


def test_text_before_the_list_is_ignored_without_an_open_number() -> None:
    assert read_instructions("Sure! Here they are:\n1. Name a bird.\n2. Sing.", continues=False) == [
        "Name a bird.",
        "Sing.",
    ]
    assert read_instructions("Name a bird.\n\nSing a song.", continues=False) == ["Name a bird.", "Sing a song."]


def test_an_admitted_prompt_joins_the_pool() -> None:
    keep = PromptFilter([])
    first = keep.admit("Explain why the sky is blue.")
    assert isinstance(first, PromptDraft)
    assert first.text == "Explain why the sky is blue."
    second = keep.admit("Explain why the sky is blue today.")
    assert isinstance(second, RejectedDraft)
    assert (second.detail, second.rouge_l) == ("Explain why the sky is blue.", 0.9231)
    assert keep.report.kept == 1


def test_an_admitted_prompt_has_its_nearest_neighbor() -> None:
    draft = PromptFilter(["Name a bird that swims.", "Say why the sky is blue."]).admit("Say why the sea is salty.")
    assert isinstance(draft, PromptDraft)
    assert draft.meta == {"nearest": "Say why the sky is blue.", "rouge_l": 0.6667}


def test_an_empty_candidate_is_too_short() -> None:
    found = PromptFilter([]).admit("  ")
    assert isinstance(found, RejectedDraft)
    assert found.reason.startswith("shorter")


def test_demonstrations_are_six_seeds_and_two_generated_and_reproducible() -> None:
    seeds, generated = [f"seed {n}" for n in range(20)], [f"new {n}" for n in range(5)]
    chosen = choose_demonstrations(seeds, generated, run_seed=1, index=3)
    assert chosen == choose_demonstrations(seeds, generated, run_seed=1, index=3)
    assert chosen != choose_demonstrations(seeds, generated, run_seed=1, index=4)
    assert sum(text.startswith("seed") for text in chosen) == 6
    assert len(set(chosen)) == 8


def test_seeds_replace_missing_generated_tasks() -> None:
    assert len(choose_demonstrations([f"seed {n}" for n in range(20)], [], run_seed=1, index=0)) == 8
    with pytest.raises(ValueError, match="seed tasks"):
        choose_demonstrations([], [], run_seed=1, index=0)


def test_derived_seeds_are_reproducible() -> None:
    assert derive_seed(0, "response", 1, 2) == 395571415
    assert derive_seed(0, "ab", "c") != derive_seed(0, "a", "bc")
    assert derive_seed(0, 1) != derive_seed(0, "1")
    assert all(0 <= derive_seed(7, "x", n) < MAX_SEED for n in range(1000))
    assert len({derive_seed(7, "x", n) for n in range(1000)}) == 1000


def test_neither_an_evaluation_prompt_nor_a_near_one_is_admitted() -> None:
    held_out = ["Name three birds that can swim.", "How does a diesel engine work in winter?"]
    keep = PromptFilter(["Write a poem about the sea."], held_out=held_out)
    same, near = keep.admit("name three birds that can swim"), keep.admit("How does a diesel engine work in summer?")
    assert isinstance(same, RejectedDraft)
    assert (same.reason, same.detail, same.rouge_l) == ("is an evaluation prompt", held_out[0], 1.0)
    assert isinstance(near, RejectedDraft)
    assert (near.detail, near.rouge_l) == (held_out[1], round(7 / 8, 4))
    assert isinstance(keep.admit("How do bees find their way home?"), PromptDraft)
