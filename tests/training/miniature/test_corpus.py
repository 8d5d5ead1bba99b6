"""The contents of the miniature's documents, rows and prompts."""

from __future__ import annotations

import random
from collections import Counter

from training import judges
from training.domain.judging import parse_score
from training.domain.transcripts import user_turn
from training.miniature import corpus
from training.miniature.oracle import grade
from training.miniature.world import Noise, questions, understand


def test_documents_are_of_mixed_quality_and_their_comments_are_right() -> None:
    noise, rng = Noise(1), random.Random(1)
    documents = [text.split("\n") for text in corpus.documents(2_000, noise, rng)]
    grades = [grade(lines[0], lines[1]) for lines in documents]
    assert 0.35 < sum(found.right for found in grades) / len(grades) < 0.60
    assert set(Counter(found.score for found in grades)) >= {0, 1, 2, 3, 4, 5}
    commented = [(found, lines[2]) for found, lines in zip(grades, documents, strict=True) if len(lines) == 3]
    assert 0.75 < len(commented) / len(documents) < 0.92
    assert all(found.reason == comment for found, comment in commented)


def test_every_question_is_in_the_documents_about_as_often_as_any_other() -> None:
    documents = corpus.documents(2 * len(questions()), Noise(1), random.Random(1))
    counts = Counter(understand(text.split("\n")[0]) for text in documents)
    assert set(counts.values()) == {2}


def test_instruction_rows_are_noisy_and_leave_families_out() -> None:
    rows = corpus.ift_rows(600, Noise(1), random.Random(1))
    asked = [(row["messages"][0]["content"], row["completion"]) for row in rows]
    right = sum(grade(instruction, response).right for instruction, response in asked) / len(asked)
    assert 0.35 < right < 0.60
    families = {question.family.name for question in (understand(a) for a, _ in asked) if question}
    assert len(families) == 9
    assert not families & set(corpus.IFT_FAMILIES_LEFT_OUT)


def test_an_evaluation_row_is_the_judge_prompt_and_the_oracles_judgement_with_weighted_words() -> None:
    asked, response = "What is the opposite of hot?", "The opposite of hot is small."
    row = corpus.judge_row(asked, response)
    assert row["messages"][0]["content"] == judges.get("additive_5").render(user_turn(asked), response)
    assert row["completion"] == "Expected cold, given small: different. Score: 2"
    spans = [row["completion"][start:end] for start, end, _ in row["weights"]]
    assert spans == [" cold", " different", " 2"]
    assert {weight for *_, weight in row["weights"]} == {3.0}


def test_evaluation_rows_are_half_right_and_hold_every_kind_of_wrong() -> None:
    noise, rng = Noise(1), random.Random(1)
    asked = corpus.eft_questions(2_000, rng)
    sampled = [corpus.noisy_response(question, noise, rng) for question, _ in asked[:1_000]]
    rows = corpus.eft_rows(asked, sampled, noise, rng)
    scores = Counter(parse_score(row["completion"]) for row in rows)
    assert len(rows) == 2_000
    assert abs(sum(scores[score] for score in (3, 4, 5)) - 1_000) <= 1
    assert all(scores[score] > 20 for score in range(6))


def test_most_sampled_responses_of_the_scarcer_kind_are_kept() -> None:
    noise, rng = Noise(1), random.Random(1)
    asked = corpus.eft_questions(1_000, rng)
    sampled = [corpus.noisy_response(question, noise, rng) for question, _ in asked]
    prompts = {row["messages"][0]["content"] for row in corpus.eft_rows(asked, sampled, noise, rng)}
    kept = sum(
        judges.get("additive_5").render(user_turn(words), response) in prompts
        for (_, words), response in zip(asked, sampled, strict=True)
    )
    assert kept > 500


def test_prompts_for_training_ask_each_question_once_and_the_held_out_ones_are_worded_as_nowhere_else() -> None:
    train = corpus.prompt_texts("train", random.Random(1))
    test = corpus.prompt_texts("test", random.Random(1), 200)
    assert {understand(row["prompt"]) for row in train} == set(questions())
    assert len({row["prompt"] for row in test}) == len(test) == 200
    assert max(Counter(row["family"] for row in test).values()) <= 19
    documents = "\n".join(corpus.documents(4_000, Noise(1), random.Random(1)))
    assert not {row["prompt"] for row in test} & ({row["prompt"] for row in train} | set(documents.split("\n")))


def test_ranked_responses_stand_in_the_order_of_their_grades() -> None:
    for row in corpus.ranked_rows(60, Noise(0), random.Random(0)):
        ranked = sorted(row["responses"], key=lambda response: response["rank"])
        grades = [grade(row["prompt"], response["text"]).score for response in ranked]
        assert [response["rank"] for response in ranked] == list(range(1, len(ranked) + 1))
        assert len(ranked) in (3, 4)
        assert grades == sorted(set(grades), reverse=True)
