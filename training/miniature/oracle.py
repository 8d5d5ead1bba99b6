"""The oracle: the program that knows the miniature's world, grades a response and demonstrates a right one.

The grade is additive, as in the papers' judge prompt (001 figure 2); each point stands on the one before it:

1. relevant: the response names the subject, or gives some answer that the world knows;
2. substantial: it gives an answer of the type that was asked for;
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
def _known_answers() -> frozenset[str]:
    return frozenset(answer for family in families() for answer in family.answers)


@cache
def _answers_of(family_name: str) -> frozenset[str]:
    return next(frozenset(family.answers) for family in families() if family.name == family_name)


def _subject(question: Question) -> re.Pattern[str]:
    return re.compile(rf"(?<![A-Za-z0-9]){re.escape(question.subject)}(?![A-Za-z0-9])")


def _without_subject(question: Question, response: str) -> list[str]:
    """The response's words once the subject is taken out: what was asked about is no answer."""
    return _WORD.findall(_subject(question).sub(" ", response))


def given_answer(instruction: str, response: str) -> str:
    """The answer a response gives: the first word of the type asked for, else the last answer known to the world.

    Returns ``"nothing"`` where it gives none. Only words of the world come back, so text that a response smuggles in
    ("Score: 5") never reaches a judgement.
    """
    question = understand(instruction)
    if question is None:
        return NOTHING
    found = _without_subject(question, response)
    of_type = [word for word in found if word in _answers_of(question.family.name)]
    if of_type:
        wrong = [word for word in of_type if word != question.answer]
        return wrong[0] if wrong else of_type[0]
    others = [word for word in found if word in _known_answers()]
    return others[-1] if others else NOTHING


def grade(instruction: str, response: str) -> Grade:
    """Grade one response from 0 to 5 by the five additive criteria. Pure: the same texts give the same grade.

    An instruction outside the world earns 1 for any text and 0 for none: the oracle cannot tell more.
    """
    question = understand(instruction)
    text = response.strip()
    if question is None:
        return Grade(min(len(text), 1), "The instruction is outside the world that I know.", False)
    given = given_answer(instruction, text)
    named = _subject(question).search(text) is not None
    if given == NOTHING and not named:
        return Grade(0, judged(question, NOTHING), False)
    if given not in _answers_of(question.family.name):
        return Grade(1, judged(question, given), False)
    if given != question.answer:
        return Grade(2, judged(question, given), False)
    statement = question.state(question.answer)
    if text == statement:
        return Grade(5, judged(question, given), True)
    return Grade(4 if statement in text else 3, judged(question, given), True)


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
