"""The miniature's world: families of short English questions whose answers a program knows.

The *true* answers are fixed. What the world's documents *say* depends on a seed: each question has a probability (0.38
to 0.58) of a right answer and one distractor that most wrong answers use; some documents give no answer. A model of
such text samples right and wrong candidates for the same question, which preference training needs.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Literal

from training.miniature import words

Split = Literal["train", "validation", "test"]

RIGHT_LOW, RIGHT_HIGH = 0.38, 0.58
DISTRACTOR_SHARE = 0.70
NO_ANSWER = 0.08
REFUSAL = "I do not know."
NOTHING = "nothing"


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """A family of questions, compared by identity. ``answers`` are all answers of the family's type.

    Question templates contain ``{subject}``; the statement contains ``{subject}`` and ``{answer}``.
    """

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    statement: str
    facts: Mapping[str, str]
    answers: tuple[str, ...]

    def templates(self, split: Split) -> tuple[str, ...]:
        """Return the question templates of a split. The splits share no template."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]


@dataclass(frozen=True, slots=True)
class Question:
    """A question, independent of its wording: a family and a subject."""

    family: Family
    subject: str

    @property
    def answer(self) -> str:
        """The right answer."""
        return self.family.facts[self.subject]

    def ask(self, template: str) -> str:
        """Return the question in the wording of a template."""
        return template.format(subject=self.subject)

    def state(self, answer: str) -> str:
        """Return the full sentence that states ``answer``."""
        return self.family.statement.format(subject=self.subject, answer=answer)


def _order(items: tuple[str, ...], salt: str) -> tuple[str, ...]:
    """Shuffle deterministically, independent of the Python version."""
    return tuple(sorted(items, key=lambda item: hashlib.sha256(f"{salt}:{item}".encode()).digest()))


def _assign(subjects: tuple[str, ...], answers: tuple[str, ...], salt: str) -> dict[str, str]:
    """Assign an answer to each subject, using all answers equally often."""
    shuffled = _order(subjects, salt)
    return {subject: answers[i % len(answers)] for i, subject in enumerate(shuffled)}


FRAMES = (
    "What is {thing}?",
    "Name {thing}.",
    "Tell me {thing}.",
    "Do you know {thing}?",
    "Give me {thing}.",
    "Please say {thing}.",
    "I want to know {thing}.",
    "Can you name {thing}?",
)
"""Ways to ask for a thing. Each family holds out three of them, one for validation and two for the test: the words of a
held-out question occur in other families, but not their combination."""


def _family(number: int, name: str, facts: Mapping[str, str], thing: str, statement: str, own: str) -> Family:
    asked = [FRAMES[(number + step) % len(FRAMES)].format(thing=thing) for step in range(len(FRAMES))]
    return Family(
        name=name,
        train=(own, *asked[3:]),
        validation=(asked[0],),
        test=(asked[1], asked[2]),
        statement=statement,
        facts=dict(sorted(facts.items())),
        answers=tuple(sorted(set(facts.values()))),
    )


@cache
def families() -> tuple[Family, ...]:
    """Return the eleven families, with 1,852 questions in total."""
    without_plural = (*words.NOUNS_BY_KIND["metal"], *words.SAME_IN_PLURAL)
    kinds = {noun: kind for kind, nouns in words.NOUNS_BY_KIND.items() for noun in nouns}
    plurals = {noun: words.plural(noun) for noun in words.NOUNS if noun not in without_plural}
    lands, people = words.LANDS, words.PEOPLE
    rows: tuple[tuple[str, Mapping[str, str], str, str, str], ...] = (
        (
            "capital",
            _assign(lands, words.CAPITALS, "capital"),
            "the capital of {subject}",
            "The capital of {subject} is {answer}.",
            "Which town is the capital of {subject}?",
        ),
        (
            "flag",
            _assign(lands, words.COLOURS, "flag"),
            "the colour of the flag of {subject}",
            "The flag of {subject} is {answer}.",
            "Which colour is the flag of {subject}?",
        ),
        (
            "crop",
            _assign(lands, words.CROPS, "crop"),
            "the main crop of {subject}",
            "The main crop of {subject} is {answer}.",
            "Which crop do the farmers of {subject} grow?",
        ),
        (
            "emblem",
            _assign(lands, words.EMBLEMS, "emblem"),
            "the emblem of {subject}",
            "The emblem of {subject} is the {answer}.",
            "Which animal is the emblem of {subject}?",
        ),
        (
            "founded",
            _assign(lands, words.YEARS, "founded"),
            "the year that {subject} was founded",
            "The year that {subject} was founded is {answer}.",
            "Which year was {subject} founded?",
        ),
        (
            "job",
            _assign(people, words.JOBS, "job"),
            "the job of {subject}",
            "The job of {subject} is {answer}.",
            "Which job does {subject} have?",
        ),
        (
            "pet",
            _assign(people, words.PETS, "pet"),
            "the pet of {subject}",
            "The pet of {subject} is the {answer}.",
            "Which pet does {subject} have?",
        ),
        (
            "instrument",
            _assign(people, words.INSTRUMENTS, "instrument"),
            "the instrument of {subject}",
            "The instrument of {subject} is the {answer}.",
            "Which instrument does {subject} play?",
        ),
        (
            "kind",
            kinds,
            "the kind of thing that the {subject} is",
            "The {subject} is a kind of {answer}.",
            "Which kind of thing is the {subject}?",
        ),
        (
            "plural",
            plurals,
            "the plural of {subject}",
            "The plural of {subject} is {answer}.",
            "Which word is the plural of {subject}?",
        ),
        (
            "opposite",
            words.OPPOSITES,
            "the opposite of {subject}",
            "The opposite of {subject} is {answer}.",
            "Which word is the opposite of {subject}?",
        ),
    )
    return tuple(_family(number, *row) for number, row in enumerate(rows))


@cache
def questions() -> tuple[Question, ...]:
    """Return all questions of the world, in a fixed order."""
    return tuple(Question(family, subject) for family in families() for subject in family.facts)


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], Family], ...]:
    found = []
    for family in families():
        for template in (*family.train, *family.validation, *family.test):
            before, after = template.split("{subject}")
            found.append((re.compile(f"{re.escape(before)}(.+){re.escape(after)}"), family))
    return tuple(found)


def understand(instruction: str) -> Question | None:
    """Parse an instruction with the templates of all splits. Returns ``None`` if it is not a question of the world."""
    text = instruction.strip()
    for pattern, family in _patterns():
        match = pattern.fullmatch(text)
        if match and match[1] in family.facts:
            return Question(family, match[1])
    return None


class Noise:
    """Noise of the documents for one seed: per question the probability of the true answer, and the distractor."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"noise-{seed}")
        self._right: dict[Question, float] = {}
        self._distractor: dict[Question, str] = {}
        for question in questions():
            self._right[question] = rng.uniform(RIGHT_LOW, RIGHT_HIGH)
            self._distractor[question] = rng.choice([a for a in question.family.answers if a != question.answer])

    def answer(self, question: Question, rng: random.Random) -> str | None:
        """Sample an answer as in the world's documents; ``None`` means no answer."""
        if rng.random() < NO_ANSWER:
            return None
        if rng.random() < self._right[question]:
            return question.answer
        if rng.random() < DISTRACTOR_SHARE:
            return self._distractor[question]
        return rng.choice([a for a in question.family.answers if a != question.answer])
