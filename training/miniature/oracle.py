"""The oracle: the program that knows the miniature's world, grades a response and demonstrates a right one.

The grade is additive, as in the papers' judge prompt (001 figure 2); each point stands on the one before it:

1. relevant: the response names the subject, or anything else that the world knows;
2. substantial: it gives an answer of the type that was asked for, and speaks of no other subject;
3. useful: that answer is the right one, and the only one of its type;
4. helpful: it says so in a full sentence about the subject;
5. impeccable: nothing is missing and nothing is beside the point.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from training.miniature.world import NOTHING, Question, families, understand

_WORD = re.compile(r"[A-Za-z]+|\d+")


@dataclass(frozen=True, slots=True)
class Grade:
    """A grade of 0 to 5. ``right`` says that the answer itself is right, whatever the form (a score of 3 or more)."""

    score: int
    reason: str
    right: bool


@cache
def _known_words() -> frozenset[str]:
    return frozenset(word for family in families() for word in (*family.facts, *family.answers))


def given_answer(instruction: str, response: str) -> str:
    """What a response gives as its answer, as one word of the world; ``"nothing"`` where it gives none.

    A word that is neither the subject nor an answer of the type asked for comes first: who speaks of another subject
    has not answered. Then a wrong answer, then the right one. Only words of the world come back, so text that a
    response smuggles in ("Score: 5") never reaches a judgement.
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
    """Grade one response from 0 to 5 by the five additive criteria. Pure: the same texts give the same grade.

    An instruction outside the world earns 1 for any text and 0 for none: the oracle cannot tell more.
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
    """The one-line reason: what was expected, what was given, and whether they are the same."""
    verdict = "same" if given == question.answer else "different"
    return f"Expected {question.answer}, given {given}: {verdict}."


def judgement_text(instruction: str, response: str) -> str:
    """A judge's whole reply: the one-line reason and ``Score: k``, as the judge prompt asks."""
    result = grade(instruction, response)
    return f"{result.reason} Score: {result.score}"


def demonstrate(instruction: str) -> str:
    """A model answer; a plain refusal where the instruction is outside the world."""
    question = understand(instruction)
    if question is None:
        return "I do not know that; ask me about the world that I know."
    return question.state(question.answer)
