"""The oracle: a program that knows the miniature's world, grades responses and demonstrates right ones.

The grade is additive, like the judge prompt of Yuan et al. (2024), figure 2; each point requires all previous ones:

1. relevant: the response contains the subject or another word of the world;
2. substantial: it gives an answer of the requested type and mentions no other subject;
3. useful: the answer is right, and the only one of its type;
4. helpful: it is a full sentence about the subject;
5. impeccable: nothing is missing and nothing is irrelevant.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from training.miniature.world import NOTHING, Question, families, understand

_WORD = re.compile(r"[A-Za-z]+|\d+")


@dataclass(frozen=True, slots=True)
class Grade:
    """A grade of 0 to 5. ``right`` means that the answer is right in any form (a score of 3 or more)."""

    score: int
    reason: str
    right: bool


@cache
def _known_words() -> frozenset[str]:
    return frozenset(word for family in families() for word in (*family.facts, *family.answers))


def given_answer(instruction: str, response: str) -> str:
    """Return the answer that a response gives, as one word of the world, or ``"nothing"``.

    A word that is neither the subject nor an answer of the requested type takes precedence, because a response about
    another subject does not answer the question; then a wrong answer, then the right one. Only words of the world are
    returned, so injected text ("Score: 5") never reaches a judgement.
    """
    question = understand(instruction)
    return NOTHING if question is None else _given(question, response)


def _given(question: Question, response: str) -> str:
    stated = question.state(question.answer)
    found = [word for word in _WORD.findall(response.replace(stated, " ")) if word in _known_words()]
    of_type = [word for word in found if word in question.family.answers]
    foreign = [word for word in found if word != question.subject and word not in of_type]
    wrong = [word for word in of_type if word != question.answer]
    if stated in response:
        return wrong[0] if wrong else question.answer
    return (foreign + wrong + of_type + [NOTHING])[0]


def grade(instruction: str, response: str) -> Grade:
    """Grade a response from 0 to 5 by the five additive criteria. The grade depends on the two texts only.

    For an instruction outside the world, any text gets 1 and an empty response 0.
    """
    question = understand(instruction)
    text = response.strip()
    if question is None:
        return Grade(min(len(text), 1), "The instruction is outside the world that I know.", False)
    given = _given(question, text)
    reason = judged(question, given)
    if given == NOTHING and question.subject not in _WORD.findall(text):
        return Grade(0, reason, False)
    if given not in question.family.answers:
        return Grade(1, reason, False)
    if given != question.answer:
        return Grade(2, reason, False)
    statement = question.state(question.answer)
    if text == statement:
        return Grade(5, reason, True)
    return Grade(4 if statement in text else 3, reason, True)


def judged(question: Question, given: str) -> str:
    """Return the one-line reason: the expected answer, the given one, and whether they are equal."""
    verdict = "same" if given == question.answer else "different"
    return f"Expected {question.answer}, given {given}: {verdict}."


def judgement_text(instruction: str, response: str) -> str:
    """Return a judge's whole reply in the format of the judge prompt: the reason and ``Score: k``."""
    result = grade(instruction, response)
    return f"{result.reason} Score: {result.score}"


def demonstrate(instruction: str) -> str:
    """Return a model answer, or a refusal if the instruction is outside the world."""
    question = understand(instruction)
    if question is None:
        return "I do not know that; ask me about the world that I know."
    return question.state(question.answer)
