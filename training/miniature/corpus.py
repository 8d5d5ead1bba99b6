"""The miniature's texts: raw documents for M0, and the rows and prompts of a run.

All texts are generated from a seed. A document is a question, an answer and, usually, a comment with the expected
answer. Answers are of mixed quality, comments are always right, so a model of such text can compare an answer with the
expected one, as a self-judge must.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from typing import NotRequired, TypedDict

from training import judges
from training.domain.rows import Message
from training.domain.transcripts import user_turn
from training.miniature.oracle import given_answer as given_in
from training.miniature.oracle import grade, judged, judgement_text
from training.miniature.world import REFUSAL, Noise, Question, Split, families, questions

JUDGE_TEMPLATE = "additive_5"
TAIL = " It is well known."
COMMENT_SHARE = 0.85
TAIL_SHARE, SHORT_SHARE = 0.08, 0.08
IFT_FAMILIES_LEFT_OUT = ("crop", "instrument")
KEY_TOKEN_WEIGHT = 3.0
TEST_PROMPTS, VALIDATION_PROMPTS = 200, 200
WRONG_IN_FORM_SHARE = 0.20


class TrainingRow(TypedDict):
    """A supervised fine-tuning row. ``weights`` are [start, end, weight] spans in characters of the completion."""

    messages: list[Message]
    completion: str
    weights: NotRequired[list[tuple[int, int, float]]]


class RankedResponse(TypedDict):
    """A response with its rank among the responses to its prompt; 1 is best."""

    text: str
    rank: int


class RankedRow(TypedDict):
    """A prompt with responses in the oracle's order."""

    prompt: str
    responses: list[RankedResponse]


class PromptText(TypedDict):
    """A prompt and its family."""

    prompt: str
    family: str


def ask(question: Question, rng: random.Random, split: Split = "train") -> str:
    """Return the question in the wording of a random template of a split."""
    return question.ask(rng.choice(question.family.templates(split)))


def truncated(question: Question) -> str:
    """Return the model answer, truncated before the answer itself."""
    return question.family.statement.format(subject=question.subject, answer="").removesuffix(".").strip()


def of_another_type(question: Question, rng: random.Random) -> str:
    """Return a sentence about the subject with an answer of the wrong type."""
    family = rng.choice([other for other in families() if other.answers != question.family.answers])
    return question.state(rng.choice(family.answers))


def about_another(question: Question, answer: str, rng: random.Random) -> str:
    """Return a sentence that gives ``answer`` for another subject of the same or another family."""
    family = question.family if rng.random() < 0.7 else rng.choice(families())
    other = rng.choice([subject for subject in family.facts if subject != question.subject])
    return question.family.statement.format(subject=other, answer=answer)


def dressed(question: Question, answer: str, rng: random.Random) -> str:
    """Return a sentence that gives ``answer``: usually the statement, sometimes short or with a needless tail."""
    draw = rng.random()
    if draw < SHORT_SHARE:
        return f"It is {answer}."
    return question.state(answer) + (TAIL if draw < SHORT_SHARE + TAIL_SHARE else "")


def noisy_response(question: Question, noise: Noise, rng: random.Random) -> str:
    """Sample a response as in the world's documents."""
    answer = noise.answer(question, rng)
    if answer is None:
        return rng.choice((REFUSAL, truncated(question)))
    return dressed(question, answer, rng)


def document(question: Question, noise: Noise, rng: random.Random) -> str:
    """Generate a raw document: a question, a response of mixed quality, and usually a comment."""
    instruction, response = ask(question, rng), noisy_response(question, noise, rng)
    lines = [instruction, response]
    if rng.random() < COMMENT_SHARE:
        lines.append(judged(question, given_in(instruction, response)))
    return "\n".join(lines)


def documents(count: int, noise: Noise, rng: random.Random) -> list[str]:
    """Generate ``count`` raw documents in random order, with about equal numbers per question."""
    return [document(question, noise, rng) for question in _round_robin(count, questions(), rng)]


def _round_robin(count: int, pool: Sequence[Question], rng: random.Random) -> Iterator[Question]:
    given = 0
    while given < count:
        for question in rng.sample(pool, len(pool)):
            if given == count:
                return
            given += 1
            yield question


def ift_rows(count: int, noise: Noise, rng: random.Random) -> list[TrainingRow]:
    """Generate instruction rows as noisy as the documents, since clean rows would reveal the answers.

    Some families are excluded.
    """
    pool = [q for q in questions() if q.family.name not in IFT_FAMILIES_LEFT_OUT]
    return [
        {
            "messages": [{"role": "user", "content": ask(question, rng)}],
            "completion": noisy_response(question, noise, rng),
        }
        for question in _round_robin(count, pool, rng)
    ]


def replay_rows(count: int, noise: Noise, rng: random.Random) -> list[TrainingRow]:
    """Generate raw documents as rows, so that fine-tuning does not make M0 forget the world."""
    return [{"messages": [], "completion": text} for text in documents(count, noise, rng)]


def judge_row(instruction: str, response: str) -> TrainingRow:
    """Return an evaluation row: judge prompt and oracle's judgement.

    Expected answer, verdict and score have a higher loss weight.
    """
    completion = judgement_text(instruction, response)
    expected = (len("Expected"), completion.index(",") if "," in completion else len("Expected"))
    verdict = (completion.index(":") + 1, completion.index(". Score"))
    score = (completion.rindex(" "), len(completion))
    return {
        "messages": [{"role": "user", "content": judges.get(JUDGE_TEMPLATE).render(user_turn(instruction), response)}],
        "completion": completion,
        "weights": [(start, end, KEY_TOKEN_WEIGHT) for start, end in (expected, verdict, score)],
    }


def eft_questions(count: int, rng: random.Random) -> list[tuple[Question, str]]:
    """Return questions with their wording, for evaluation rows."""
    return [(question, ask(question, rng)) for question in _round_robin(count, questions(), rng)]


def written_response(question: Question, noise: Noise, right: bool, rng: random.Random) -> str:
    """Generate a right or wrong response for an evaluation row; some of the wrong ones are wrong in form.

    Without empty or truncated responses, answers of another type, and answers about another subject in its training
    data, a self-judge would reward them.
    """
    if right:
        return dressed(question, question.answer, rng)
    if rng.random() < WRONG_IN_FORM_SHARE:
        form = rng.choice(("empty", "cut off", "other type", "other subject", "other subject"))
        if form == "empty":
            return rng.choice(("", REFUSAL))
        if form == "cut off":
            return truncated(question)
        if form == "other type":
            return of_another_type(question, rng)
        return about_another(question, rng.choice((question.answer, rng.choice(question.family.answers))), rng)
    answer = question.answer
    while answer == question.answer:
        answer = noise.answer(question, rng) or question.answer
    return dressed(question, answer, rng)


def eft_rows(
    asked: Sequence[tuple[Question, str]], sampled: Sequence[str], noise: Noise, rng: random.Random
) -> list[TrainingRow]:
    """Return evaluation rows with about equal numbers of right and wrong responses.

    Args:
        asked: questions with their wording; the first ``len(sampled)`` belong to M0's responses.
        sampled: M0's responses. Some of the more frequent kind, right or wrong, are replaced by generated ones.
    """
    rows = []
    balance = 0
    for index, (question, instruction) in enumerate(asked):
        response = sampled[index] if index < len(sampled) else None
        if response is not None:
            right = grade(instruction, response).right
            if abs(balance + (1 if right else -1)) > 1:
                response = None
        if response is None:
            right = balance < 0 or (balance == 0 and rng.random() < 0.5)
            response = written_response(question, noise, right, rng)
        balance += 1 if right else -1
        rows.append(judge_row(instruction, response))
    rng.shuffle(rows)
    return rows


def ranked_rows(count: int, noise: Noise, rng: random.Random) -> list[RankedRow]:
    """Return prompts with three or four generated responses of different grades, to measure a judge."""
    rows: list[RankedRow] = []
    for question in _round_robin(count, questions(), rng):
        instruction = ask(question, rng)
        wrong = question.answer
        while wrong == question.answer:
            wrong = noise.answer(question, rng) or question.answer
        written = [question.state(question.answer), f"It is {question.answer}.", question.state(wrong), REFUSAL]
        written = rng.sample(written, rng.choice((3, 4)))
        places = sorted(written, key=lambda text: -grade(instruction, text).score)
        rows.append(
            {
                "prompt": instruction,
                "responses": [{"text": text, "rank": places.index(text) + 1} for text in written],
            }
        )
    return rows


def prompt_texts(split: Split, rng: random.Random, count: int | None = None) -> list[PromptText]:
    """Return prompts in a split's templates: all questions once for training, else ``count``, evenly by family."""
    pool = rng.sample(questions(), len(questions()))
    if count is not None:
        by_family = {family.name: [q for q in pool if q.family is family] for family in families()}
        shares = [count // len(by_family) + (i < count % len(by_family)) for i in range(len(by_family))]
        pool = [q for share, group in zip(shares, by_family.values(), strict=True) for q in group[:share]]
        rng.shuffle(pool)
    return [{"prompt": ask(question, rng, split), "family": question.family.name} for question in pool]
