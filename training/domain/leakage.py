"""Leakage of evaluation prompts into training rows, by content: equal prompts, near ones, and shared passages.

A figure on prompts that were trained on says nothing about other prompts. Three tests, of which the first that holds
counts for an evaluation prompt:

- *same*: a training prompt has the same words, without case and punctuation;
- *passage*: a training response contains :data:`PASSAGE_WORDS` consecutive words of the prompt or of its known answer
  (Brown et al. 2020, "Language Models are Few-Shot Learners", appendix C: 13-grams);
- *near*: ROUGE-L with a training prompt is at least :data:`NEAR`, the threshold at which Wang et al. (2023,
  "Self-Instruct", section 3.1), and Yuan et al. (2024) after them, call a prompt a repetition.

The first two are repetitions of words. Short prompts of one form can be near without asking the same, so only the first
two cause a warning.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final, Literal

import numpy as np

from training.domain.rouge import RougePool, rouge_tokens

NEAR: Final = 0.7
PASSAGE_WORDS: Final = 13
#: Words of a prompt that ROUGE-L compares: the beginning decides, and the time grows with the square of the length.
COMPARED_WORDS: Final = 400
EXAMPLES: Final = 20

Kind = Literal["same", "passage", "near"]

_WORD = re.compile(r"[^\W_]+")


@dataclass(frozen=True, slots=True)
class EvaluationText:
    """An evaluation prompt by its id, with the known answers of its data set, if any."""

    id: int
    prompt: str
    answers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class TrainingText:
    """A training prompt with its responses."""

    prompt: str
    responses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Leak:
    """An evaluation prompt that leaks, and what it shares: the training prompt, or the words of the passage.

    ``rouge_l`` is 1 for the same prompt and ``None`` for a passage.
    """

    prompt_id: int
    kind: Kind
    prompt: str
    match: str
    rouge_l: float | None = None


@dataclass(frozen=True, slots=True)
class Leakage:
    """The leakage of an evaluation set into training rows: numbers of evaluation prompts, and examples."""

    prompts: int
    rows: int
    same: int = 0
    passage: int = 0
    near: int = 0
    examples: tuple[Leak, ...] = field(default=())

    @property
    def contained(self) -> int:
        """Evaluation prompts whose words occur in the training rows: the same ones, and those with a passage."""
        return self.same + self.passage

    def as_data(self) -> dict[str, Any]:
        """Return JSON data for storage."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: dict[str, Any]) -> Leakage:
        """Create the result from stored data."""
        return cls(**{**data, "examples": tuple(Leak(**one) for one in data.get("examples", ()))})


def words_of(text: str) -> list[str]:
    """Split a text into words of any script, without case and punctuation."""
    return _WORD.findall(text.casefold())


def same_prompt(text: str) -> str:
    """Return the form in which two prompts are compared: the words joined; a text without words as it is."""
    return " ".join(words_of(text)) or text.strip()


def find_leakage(evaluation: Sequence[EvaluationText], training: Iterable[TrainingText]) -> Leakage:
    """Compare an evaluation set with training rows, each of which is read once.

    The time is about linear in the number of words, apart from near prompts: each evaluation prompt is compared with
    the training prompts that share enough of its words.
    """
    known: dict[str, str] = {}
    passages = _Passages(evaluation)
    in_responses: dict[int, str] = {}
    rows = 0
    for row in training:
        rows += 1
        known.setdefault(same_prompt(row.prompt), row.prompt)
        for response in row.responses:
            passages.add(response, in_responses)
    passages.flush(in_responses)
    pool = RougePool()
    texts = list(known.values())
    for text in texts:
        pool.add(rouge_tokens(text)[:COMPARED_WORDS])
    leaks = [
        leak for one in evaluation if (leak := _leak(one, known, pool, texts, in_responses.get(one.id))) is not None
    ]
    counts = Counter(leak.kind for leak in leaks)
    leaks.sort(key=lambda leak: leak.kind == "near")  # a stable order: repetitions first
    return Leakage(len(evaluation), rows, counts["same"], counts["passage"], counts["near"], tuple(leaks[:EXAMPLES]))


def _leak(
    one: EvaluationText, known: dict[str, str], pool: RougePool, texts: Sequence[str], passage: str | None
) -> Leak | None:
    if (match := known.get(same_prompt(one.prompt))) is not None:
        return Leak(one.id, "same", one.prompt, match, 1.0)
    if passage is not None:
        return Leak(one.id, "passage", one.prompt, passage)
    nearest = pool.nearest(rouge_tokens(one.prompt)[:COMPARED_WORDS], floor=NEAR)
    return None if nearest is None else Leak(one.id, "near", one.prompt, texts[nearest[0]], round(nearest[1], 4))


class _Passages:
    """Finds the evaluation prompts of which a text contains a passage.

    Words are numbered by the evaluation set's vocabulary; a passage is a polynomial hash of its numbers, modulo 2⁶⁴.
    Texts are hashed many at a time. A hash that matches is confirmed word by word.
    """

    _BASE = np.uint64(0x9E3779B97F4A7C15)
    _BATCH_WORDS = 200_000

    def __init__(self, evaluation: Sequence[EvaluationText]) -> None:
        self._numbers: dict[str, int] = {}
        self._owners: dict[tuple[str, ...], list[int]] = {}
        for one in evaluation:
            for text in (one.prompt, *one.answers):
                for passage in _passages(words_of(text)):
                    owners = self._owners.setdefault(passage, [])
                    if not owners or owners[-1] != one.id:
                        owners.append(one.id)
                    for word in passage:
                        self._numbers.setdefault(word, len(self._numbers) + 1)
        self._words: list[str] = []
        known = list(self._owners)
        flat = np.array([self._numbers[word] for passage in known for word in passage], np.uint64)
        self._hashes = np.unique(_hashes(flat, self._BASE)[::PASSAGE_WORDS]) if known else np.zeros(0, np.uint64)

    def add(self, text: str, found: dict[int, str]) -> None:
        """Queue a text, and search the queued ones from time to time."""
        if len(self._hashes):
            self._words += [*words_of(text), ""]  # the empty word ends a text: no passage contains it
            if len(self._words) > self._BATCH_WORDS:
                self.flush(found)

    def flush(self, found: dict[int, str]) -> None:
        """Search the queued texts. ``found`` gets the first passage of each evaluation prompt."""
        words, self._words = self._words, []
        if len(words) < PASSAGE_WORDS:
            return
        numbers = np.array([self._numbers.get(word, 0) for word in words], np.uint64)
        hashes = _hashes(numbers, self._BASE)
        for start in np.flatnonzero(np.isin(hashes, self._hashes)).tolist():
            passage = tuple(words[start : start + PASSAGE_WORDS])
            for owner in self._owners.get(passage, ()):
                found.setdefault(owner, " ".join(passage))


def _passages(words: Sequence[str]) -> Iterator[tuple[str, ...]]:
    for start in range(len(words) - PASSAGE_WORDS + 1):
        yield tuple(words[start : start + PASSAGE_WORDS])


def _hashes(numbers: np.ndarray, base: np.uint64) -> np.ndarray:
    """Return the hash of the passage that begins at each word. Shape (words - PASSAGE_WORDS + 1,)."""
    count = len(numbers) - PASSAGE_WORDS + 1
    hashes = np.zeros(count, np.uint64)
    with np.errstate(over="ignore"):
        for place in range(PASSAGE_WORDS):
            hashes = hashes * base + numbers[place : place + count]
    return hashes
