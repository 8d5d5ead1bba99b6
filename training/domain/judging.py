"""Parsing of a judge's reply into a score or a verdict.

Pass only text that the judge wrote, never its prompt: the prompt contains the response, and a response that says
"Score: 5" must not set its own score.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from training.domain.parsers import NumberParser, Parser, Reading, VerdictParser
from training.domain.rows import JudgementSample, Verdict

#: The run's scale. Scores of judges with another scale are converted to it.
LOWEST_SCORE, HIGHEST_SCORE = 0.0, 5.0

ADDITIVE = NumberParser("Score", LOWEST_SCORE, HIGHEST_SCORE)
VERDICT = VerdictParser()


def parse_score(completion: str) -> float | None:
    """Return the score of an additive judge's reply, or ``None`` if it is unparsed. Never raises.

    Rules:

    1. ``completion`` is only the judge's own text, not its prompt.
    2. A score is the word "score" (any case, alone or as in "Total score") followed by a number. Allowed in between:
       markup (``**Score:** 4``), a colon, an equals sign, a dash followed by a space ("score - 3.5"), "is", "of",
       "was", and a note on the scale ("Score (out of 5): 4").
    3. The number has the digits 0-9 and optionally a decimal point.
    4. The number must be from 0 to 5. A negative number, a percentage, a decimal comma and a range ("3-4") are
       invalid.
    5. "/5", "out of 5" and "of 5" may follow; another scale ("4/10") is invalid.
    6. The last statement counts, because the prompt asks for the score at the end. If it is invalid by rules 4 and 5,
       the reply is unparsed; an earlier number is not used instead.
    7. Words, stars, "nan", "infinity", an ordinal ("4th"), "5-point" and "<total points>" are not numbers. Such a
       statement is ignored, and an earlier score counts.
    8. A number that does not follow the word "score" is ignored.

    >>> parse_score("Useful and clear. Score: 4")
    4.0
    >>> parse_score("Total score: 3 out of 5")
    3.0
    >>> parse_score("Score: <total points>") is None
    True
    """
    return ADDITIVE.read(completion).score


_THINK, _THOUGHT = "<think>", "</think>"


def without_thoughts(reply: str) -> str:
    """Return the text after the last ``</think>``; the reply itself if it has none.

    >>> without_thoughts("<think>Score: 1?</think>Good. Score: 4")
    'Good. Score: 4'
    """
    return reply.rpartition(_THOUGHT)[2]


def read_conclusion(parser: Parser, reply: str, *, cut: bool = False) -> Reading:
    """Parse the conclusion of a reply with ``parser``. Never raises.

    A reply that was ``cut`` at the token limit, or that ends within its thoughts, has no conclusion: a number in it
    may be a step of the argument ("so it has score: 1"). ``place`` refers to the whole reply.
    """
    if cut:
        return Reading(None, None, "the reply was cut at the token limit, before its conclusion")
    if _THOUGHT not in reply and reply.lstrip().startswith(_THINK):
        return Reading(None, None, "the reply ends within its thoughts")
    text = without_thoughts(reply)
    reading, start = parser.read(text), len(reply) - len(text)
    if reading.place is None or not start:
        return reading
    return Reading(reading.value, (reading.place[0] + start, reading.place[1] + start), reading.why)


def rationale(completion: str, reading: Reading | None = None) -> str:
    """Return the text before the conclusion: the justification that people see.

    ``reading`` is the result of the judge's own parser; without it, the additive format is assumed.
    """
    place = (reading or ADDITIVE.read(completion)).place
    text = completion[: place[0]] if place and place[0] > 0 else completion
    return re.sub(r"[\s*_`#]*(?:total|final|overall)?[\s*_`#]*$", "", text, flags=re.IGNORECASE).strip()


def parse_verdict(completion: str) -> Verdict:
    """Return the position that a pairwise judge prefers, or "unparsed". Never raises.

    A verdict is "Verdict:" followed by first, second or tie (any case, markup allowed); the last one counts. A list of
    the choices is ignored. A reply without such a line is "unparsed".

    >>> parse_verdict("The first is vague. Verdict: second")
    'second'
    """
    value = VERDICT.read(completion).value
    return value if value in ("first", "second", "tie") else "unparsed"


def average(samples: Sequence[JudgementSample]) -> tuple[float | None, float | None]:
    """Return mean and population standard deviation over the parsed samples; ``(None, None)`` if none parsed.

    Yuan et al. (2024), section 3.1.3, sample three judgements and average them.
    """
    scores = [sample.score for sample in samples if sample.score is not None]
    if not scores:
        return None, None
    mean = sum(scores) / len(scores)
    return mean, (sum((score - mean) ** 2 for score in scores) / len(scores)) ** 0.5
