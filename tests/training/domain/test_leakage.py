"""Leakage of evaluation prompts into training rows."""

from __future__ import annotations

import json
import random
import time
from itertools import accumulate
from pathlib import Path

from training.domain.leakage import EvaluationText, Leak, Leakage, TrainingText, find_leakage, same_prompt

LONG = "the quick brown fox jumps over the lazy dog while the old grey cat sleeps in the warm afternoon sun"


def kinds(leakage: Leakage) -> dict[int, str]:
    return {leak.prompt_id: leak.kind for leak in leakage.examples}


def test_a_prompt_with_the_same_words_leaks_whatever_its_case_and_punctuation() -> None:
    found = find_leakage(
        [EvaluationText(1, "What is the capital of France?"), EvaluationText(2, "Name a river.")],
        [TrainingText("what is the capital of FRANCE"), TrainingText("Name a mountain in Asia, please.")],
    )
    assert (found.prompts, found.rows, found.same, found.near, found.passage, found.contained) == (2, 2, 1, 0, 0, 1)
    assert found.examples == (Leak(1, "same", "What is the capital of France?", "what is the capital of FRANCE", 1.0),)


def test_a_prompt_of_another_script_is_compared_by_its_words() -> None:
    assert same_prompt("Столица Франции?") == "столица франции"
    assert same_prompt("フランスの首都は?") == same_prompt("フランスの首都は？")
    assert same_prompt("?!") == "?!"


def test_a_near_prompt_leaks_by_rouge_l() -> None:
    found = find_leakage(
        [EvaluationText(1, "Write a short poem about the sea in autumn"), EvaluationText(2, "Explain photosynthesis")],
        [TrainingText("Write a short poem about the sea in winter"), TrainingText("Explain how an engine works")],
    )
    assert kinds(found) == {1: "near"}
    assert found.examples[0].rouge_l == round(8 / 9, 4)


def test_a_passage_of_a_prompt_or_its_answer_in_a_training_response_leaks() -> None:
    words = LONG.split()
    training = [TrainingText("Tell me a story", (f"Once, {' '.join(words[3:16]).upper()}! The end.", "Another one."))]
    evaluation = [
        EvaluationText(1, LONG),
        EvaluationText(2, "What did they do?", (f"It is said that {LONG}.",)),
        EvaluationText(3, " ".join(words[:12])),  # too short to have a passage
        EvaluationText(4, " ".join(reversed(words))),
    ]
    found = find_leakage(evaluation, training)
    assert kinds(found) == {1: "passage", 2: "passage"}
    assert found.examples[0].match == " ".join(words[3:16])


def test_a_prompt_with_a_passage_counts_as_such_also_if_it_is_near() -> None:
    words = LONG.split()
    near = " ".join([*words[:-1], "again"])
    found = find_leakage([EvaluationText(1, LONG)], [TrainingText(near, (f"They say: {LONG}",))])
    assert (found.passage, found.near, found.contained) == (1, 0, 1)
    assert find_leakage([EvaluationText(1, LONG)], [TrainingText(near)]).contained == 0


def test_a_passage_does_not_span_two_responses() -> None:
    words = LONG.split()
    training = [TrainingText("x", (" ".join(words[:7]), " ".join(words[7:])[:40]))]
    assert find_leakage([EvaluationText(1, LONG)], training).contained == 0


def test_every_prompt_counts_once_and_examples_are_limited() -> None:
    prompts = [EvaluationText(number, f"Question number {number} about {LONG}") for number in range(30)]
    found = find_leakage(prompts, [TrainingText(one.prompt, (one.prompt,)) for one in prompts])
    assert (found.same, found.near, found.passage) == (30, 0, 0)
    assert len(found.examples) == 20
    assert Leakage.from_data(json.loads(json.dumps(found.as_data()))) == found


def test_an_empty_side_leaks_nothing() -> None:
    assert find_leakage([], [TrainingText("a")]) == Leakage(0, 1)
    assert find_leakage([EvaluationText(1, "a")], []) == Leakage(1, 0)


def test_known_sets_share_no_prompt_and_planted_ones_are_found(real_data: Path) -> None:
    def prompts(name: str) -> list[str]:
        lines = (real_data / name).read_text(encoding="utf-8").splitlines()
        return [row.get("prompt") or row["turns"][0] for row in map(json.loads, lines)]

    evaluation = [EvaluationText(place, text) for place, text in enumerate(prompts("vicuna_bench.jsonl"))]
    training = [TrainingText(text) for text in prompts("alpaca_ift_3200.jsonl")]
    clean = find_leakage(evaluation, training)
    assert clean.same == 0
    planted = [*training, TrainingText(evaluation[7].prompt.upper())]
    assert find_leakage(evaluation, planted).same == 1


def test_thousands_of_rows_are_compared_in_about_a_second() -> None:
    draw = random.Random(1)
    vocabulary = [f"w{number}" for number in range(3000)]
    weights = list(accumulate(1 / (rank + 1) for rank in range(3000)))

    def text(length: int) -> str:
        return " ".join(draw.choices(vocabulary, cum_weights=weights, k=length))

    evaluation = [EvaluationText(number, text(25)) for number in range(200)]
    training = [TrainingText(text(20), (text(60),)) for _ in range(5000)]
    began = time.process_time()
    found = find_leakage(evaluation, training)
    assert time.process_time() - began < 10
    assert found.same == 0
