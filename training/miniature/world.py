"""The miniature's world: families of short English questions whose answers a program knows.

What is *true* is fixed. What the documents of the world *say* depends on a seed: each question has a probability
(0.40 to 0.60) of being answered rightly, one distractor that takes most of the wrong answers, and now and then no
answer at all. Sampling from a model of such text gives right and wrong candidates to the same question, which is
what preference training needs.
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

RIGHT_LOW, RIGHT_HIGH = 0.40, 0.60
DISTRACTOR_SHARE = 0.70
NO_ANSWER = 0.08
REFUSAL = "I do not know."
NOTHING = "nothing"


@dataclass(frozen=True, slots=True, eq=False)
class Family:
    """One family of questions, compared by identity. ``statement`` is the model answer; ``answers`` are all answers of the family's type.

    Every question template and the statement hold ``{subject}``; the statement holds ``{answer}`` too.
    """

    name: str
    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    statement: str
    facts: Mapping[str, str]
    answers: tuple[str, ...]

    def templates(self, split: Split) -> tuple[str, ...]:
        """The question templates of a split; no template is in two of them."""
        return {"train": self.train, "validation": self.validation, "test": self.test}[split]


@dataclass(frozen=True, slots=True)
class Question:
    """A family and a subject: what is asked, however it is worded."""

    family: Family
    subject: str

    @property
    def answer(self) -> str:
        """The right answer."""
        return self.family.facts[self.subject]

    def ask(self, template: str) -> str:
        """The question in the words of one template."""
        return template.format(subject=self.subject)

    def state(self, answer: str) -> str:
        """The full sentence that gives ``answer``."""
        return self.family.statement.format(subject=self.subject, answer=answer)


def _order(items: tuple[str, ...], salt: str) -> tuple[str, ...]:
    """A fixed shuffle that no Python version changes."""
    return tuple(sorted(items, key=lambda item: hashlib.sha256(f"{salt}:{item}".encode()).digest()))


def _assign(subjects: tuple[str, ...], answers: tuple[str, ...], salt: str) -> dict[str, str]:
    """Give each subject an answer, each answer as often as any other."""
    shuffled = _order(subjects, salt)
    return {subject: answers[i % len(answers)] for i, subject in enumerate(shuffled)}


@cache
def families() -> tuple[Family, ...]:
    """The eleven families, 1,852 questions in all."""
    without_plural = (*words.NOUNS_BY_KIND["metal"], *words.SAME_IN_PLURAL)
    kinds = {noun: kind for kind, nouns in words.NOUNS_BY_KIND.items() for noun in nouns}
    plurals = {noun: words.plural(noun) for noun in words.NOUNS if noun not in without_plural}

    def family(
        name: str,
        facts: Mapping[str, str],
        statement: str,
        train: tuple[str, ...],
        validation: tuple[str, ...],
        test: tuple[str, ...],
    ) -> Family:
        answers = tuple(sorted(set(facts.values())))
        return Family(name, train, validation, test, statement, dict(sorted(facts.items())), answers)

    return (
        family(
            "capital",
            _assign(words.LANDS, words.CAPITALS, "capital"),
            "The capital of {subject} is {answer}.",
            (
                "What is the capital of {subject}?",
                "Name the capital of {subject}.",
                "Tell me the capital of {subject}.",
                "Do you know the capital of {subject}?",
            ),
            ("Give me the capital of {subject}.",),
            ("Which town is the capital of {subject}?", "Please name the capital of {subject}."),
        ),
        family(
            "flag",
            _assign(words.LANDS, words.COLOURS, "flag"),
            "The flag of {subject} is {answer}.",
            (
                "What colour is the flag of {subject}?",
                "Name the colour of the flag of {subject}.",
                "Tell me the colour of the flag of {subject}.",
                "Which colour is the flag of {subject}?",
            ),
            ("Give me the colour of the flag of {subject}.",),
            ("Do you know the colour of the flag of {subject}?", "Please name the colour of the flag of {subject}."),
        ),
        family(
            "crop",
            _assign(words.LANDS, words.CROPS, "crop"),
            "The main crop of {subject} is {answer}.",
            (
                "What is the main crop of {subject}?",
                "Name the main crop of {subject}.",
                "Which crop do the farmers of {subject} grow?",
                "Tell me the main crop of {subject}.",
            ),
            ("Do you know the main crop of {subject}?",),
            ("What do the farmers of {subject} grow?", "Please tell me the main crop of {subject}."),
        ),
        family(
            "emblem",
            _assign(words.LANDS, words.EMBLEMS, "emblem"),
            "The emblem of {subject} is the {answer}.",
            (
                "What is the emblem of {subject}?",
                "Name the emblem of {subject}.",
                "Which animal is the emblem of {subject}?",
                "Tell me the emblem of {subject}.",
            ),
            ("Do you know the emblem of {subject}?",),
            ("What animal is the emblem of {subject}?", "Please name the emblem of {subject}."),
        ),
        family(
            "job",
            _assign(words.PEOPLE, words.JOBS, "job"),
            "The job of {subject} is {answer}.",
            (
                "What is the job of {subject}?",
                "Name the job of {subject}.",
                "Which job does {subject} have?",
                "Tell me the job of {subject}.",
            ),
            ("Do you know the job of {subject}?",),
            ("What job does {subject} have?", "Please tell me the job of {subject}."),
        ),
        family(
            "pet",
            _assign(words.PEOPLE, words.PETS, "pet"),
            "The pet of {subject} is a {answer}.",
            (
                "What is the pet of {subject}?",
                "Name the pet of {subject}.",
                "Which pet does {subject} have?",
                "Tell me the pet of {subject}.",
            ),
            ("Do you know the pet of {subject}?",),
            ("What pet does {subject} have?", "Please name the pet of {subject}."),
        ),
        family(
            "instrument",
            _assign(words.PEOPLE, words.INSTRUMENTS, "instrument"),
            "The instrument of {subject} is the {answer}.",
            (
                "What is the instrument of {subject}?",
                "Name the instrument of {subject}.",
                "Which instrument does {subject} play?",
                "Tell me the instrument of {subject}.",
            ),
            ("Do you know the instrument of {subject}?",),
            ("What does {subject} play?", "Please name the instrument of {subject}."),
        ),
        family(
            "kind",
            kinds,
            "The {subject} is a kind of {answer}.",
            (
                "What kind of thing is the {subject}?",
                "Name the kind of thing the {subject} is.",
                "Which kind of thing is the {subject}?",
                "Tell me what kind of thing the {subject} is.",
            ),
            ("Do you know what kind of thing the {subject} is?",),
            ("Say what kind of thing the {subject} is.", "Please tell me what kind of thing the {subject} is."),
        ),
        family(
            "plural",
            plurals,
            "The plural of {subject} is {answer}.",
            (
                "What is the plural of {subject}?",
                "Name the plural of {subject}.",
                "Give the plural of {subject}.",
                "Tell me the plural of {subject}.",
            ),
            ("Do you know the plural of {subject}?",),
            ("Say the plural of {subject}.", "Please give the plural of {subject}."),
        ),
        family(
            "opposite",
            words.OPPOSITES,
            "The opposite of {subject} is {answer}.",
            (
                "What is the opposite of {subject}?",
                "Name the opposite of {subject}.",
                "Give the opposite of {subject}.",
                "Tell me the opposite of {subject}.",
            ),
            ("Do you know the opposite of {subject}?",),
            ("Say the opposite of {subject}.", "Please give the opposite of {subject}."),
        ),
        family(
            "founded",
            _assign(words.LANDS, words.YEARS, "founded"),
            "The year that {subject} was founded is {answer}.",
            (
                "What is the year that {subject} was founded?",
                "Name the year that {subject} was founded.",
                "Which year was {subject} founded?",
                "Tell me the year that {subject} was founded.",
            ),
            ("Do you know the year that {subject} was founded?",),
            ("Say the year that {subject} was founded.", "Please give the year that {subject} was founded."),
        ),
    )


@cache
def questions() -> tuple[Question, ...]:
    """Every question of the world, in a fixed order."""
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
    """The question an instruction asks, in any template of any split; ``None`` where it is not of this world."""
    text = instruction.strip()
    for pattern, family in _patterns():
        match = pattern.fullmatch(text)
        if match and match[1] in family.facts:
            return Question(family, match[1])
    return None


class Noise:
    """What the documents of one seeded world say: for each question how often the truth, and which distractor."""

    def __init__(self, seed: int) -> None:
        rng = random.Random(f"noise-{seed}")
        self._right: dict[Question, float] = {}
        self._distractor: dict[Question, str] = {}
        for question in questions():
            self._right[question] = rng.uniform(RIGHT_LOW, RIGHT_HIGH)
            self._distractor[question] = rng.choice([a for a in question.family.answers if a != question.answer])

    def answer(self, question: Question, rng: random.Random) -> str | None:
        """Draw an answer as the world's documents would; ``None`` is no answer."""
        if rng.random() < NO_ANSWER:
            return None
        if rng.random() < self._right[question]:
            return question.answer
        if rng.random() < DISTRACTOR_SHARE:
            return self._distractor[question]
        return rng.choice([a for a in question.family.answers if a != question.answer])
