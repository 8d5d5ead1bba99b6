"""The world is closed, its true answers are fixed, and its documents depend on the seed."""

from __future__ import annotations

import random
import re

from training.miniature import words
from training.miniature.world import Noise, Question, families, questions, understand


def test_the_world_has_eleven_families_and_about_1_860_questions() -> None:
    assert len(families()) == 11
    assert 1_800 <= len(questions()) <= 1_900


def test_every_question_is_understood_in_every_template() -> None:
    for question in questions():
        for split in ("train", "validation", "test"):
            for template in question.family.templates(split):
                found = understand(question.ask(template))
                assert found == question, question.ask(template)


def test_no_template_is_in_two_splits() -> None:
    for family in families():
        templates = [*family.train, *family.validation, *family.test]
        assert len(set(templates)) == len(templates)
        assert len(family.train) >= 5
        assert len(family.test) == 2


def test_every_word_of_a_held_out_template_is_known_from_training() -> None:
    known = {word for family in families() for text in family.train for word in re.findall(r"\w+", text)}
    for family in families():
        for template in (*family.validation, *family.test):
            assert set(re.findall(r"\w+", template)) <= known


def test_text_outside_the_world_is_not_understood() -> None:
    assert understand("What is the capital of France?") is None
    assert understand("") is None


def test_no_subject_of_a_family_is_also_one_of_its_answers() -> None:
    for family in families():
        assert not set(family.facts) & set(family.answers), family.name


def test_plurals_are_spelt_as_in_english() -> None:
    spelt = {noun: words.plural(noun) for noun in ("robin", "cherry", "peach", "ray", "scarf", "louse", "mango")}
    assert spelt == {
        "robin": "robins",
        "cherry": "cherries",
        "peach": "peaches",
        "ray": "rays",
        "scarf": "scarves",
        "louse": "lice",
        "mango": "mangoes",
    }


def test_documents_give_the_truth_in_about_half_of_the_cases_and_prefer_one_wrong_answer() -> None:
    noise, rng = Noise(3), random.Random(0)
    question = questions()[0]
    drawn = [noise.answer(question, rng) for _ in range(4_000)]
    right, nothing = drawn.count(question.answer) / len(drawn), drawn.count(None) / len(drawn)
    wrong = [answer for answer in drawn if answer not in (question.answer, None)]
    favourite = max(set(wrong), key=wrong.count)
    assert 0.33 < right < 0.56
    assert 0.06 < nothing < 0.10
    assert 0.65 < wrong.count(favourite) / len(wrong) < 0.78
    assert set(wrong) <= set(question.family.answers)


def test_the_seed_decides_the_noise_and_never_the_truth() -> None:
    def said(seed: int) -> list[str | None]:
        rng, noise = random.Random(0), Noise(seed)
        return [noise.answer(question, rng) for question in questions()[:200]]

    assert said(1) == said(1)
    assert said(1) != said(2)
    opposite = next(family for family in families() if family.name == "opposite")
    assert Question(opposite, "hot").answer == "cold"
