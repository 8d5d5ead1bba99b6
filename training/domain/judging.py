"""From a judge's reply to a score or a verdict.

Only text that the judge itself wrote may be given to these functions, never the judge's prompt: a response that
says "Score: 5" stands in the prompt, and so can never set its own score.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from training.domain.rows import JudgementSample, Verdict

HIGHEST_SCORE = 5.0

_MARKUP = r"[*_`\"'\[\]<>($]"
_LABEL = re.compile(
    r"(?<![a-z0-9])score(?![a-z0-9])"  # the word itself: not "scoring", "scores" or "underscore"
    rf"{_MARKUP}{{0,4}}"
    r"(?:\s{0,3}\(\s?(?:out of\s|of\s|max\.?\s|0\s?(?:-|–|to)\s?)5\s?(?:points)?\))?"
    rf"\s{{0,3}}{_MARKUP}{{0,4}}"
    r"(?:\s{0,3}(?:[:：=–—]|-(?=\s)|(?:is|of|was)\b))?"  # a hyphen separates only before a space; else it is a minus
    rf"{_MARKUP}{{0,4}}\s{{0,3}}{_MARKUP}{{0,4}}",
    re.IGNORECASE,
)
_NUMBER = re.compile(r"(?P<sign>[-−+]?)(?P<digits>[0-9]+(?:\.[0-9]+)?|\.[0-9]+)(?![0-9])")
_SCALE = re.compile(
    rf"{_MARKUP}{{0,4}}\s{{0,3}}(?:/|out\s+of\b|of\b)\s{{0,3}}{_MARKUP}{{0,4}}([0-9]+(?:\.[0-9]+)?)", re.IGNORECASE
)
_NOT_A_NUMBER = re.compile(r"[A-Za-z]|-[A-Za-z]|\.[0-9]")  # 4th, 1e0, 5-point, 4.5.2
_NOT_A_SCORE = re.compile(r"\s?%|,[0-9]|\s?(?:[-–—−]|to\b)\s?[0-9]", re.IGNORECASE)  # 80%, 4,5 and 3-4

_VERDICT = re.compile(
    r"(?<![a-z0-9])verdict(?![a-z0-9])[*_`\"'\s]{0,4}[:：=][*_`\"'\[(<\s]{0,6}(?P<word>first|second|tie)(?![a-z0-9])"
    r"(?!\s*[,|/]?\s*(?:or\s+)?(?:first|second|tie)\b)",  # a list of the choices is the prompt said back
    re.IGNORECASE,
)


def _conclusion(completion: str) -> tuple[int, float | None] | None:
    """Where the last statement of a score begins, and its value (``None``: a number that is no score of 0 to 5)."""
    last: tuple[int, float | None] | None = None
    for label in _LABEL.finditer(completion):
        number = _NUMBER.match(completion, label.end())
        if number is None or _NOT_A_NUMBER.match(completion, number.end()):
            continue
        value = float(number["digits"])
        scale = _SCALE.match(completion, number.end())
        counts = (
            number["sign"] not in ("-", "−")
            and value <= HIGHEST_SCORE
            and not _NOT_A_SCORE.match(completion, number.end())
            and (scale is None or float(scale[1]) == HIGHEST_SCORE)
        )
        last = (label.start(), value if counts else None)
    return last


def parse_score(completion: str) -> float | None:
    """The score that a judge concluded with, or ``None``: *unparsed*. Never raises, whatever the text.

    The rules:

    1. Only the judge's own completion is read; the caller never passes the prompt.
    2. A score is the word "score" (any case, alone or as in "Total score") followed by a number. Between the two may
       stand markup (``**Score:** 4``), a colon, an equals sign, a dash with a space after it ("score - 3.5"), "is",
       "of" or "was", and a note on the scale ("Score (out of 5): 4").
    3. The number is written in the digits 0-9, with a decimal point where it has a fraction.
    4. Only 0 to 5 counts. A number outside, a negative number, a percentage, a decimal comma and a range ("3-4") are
       no score.
    5. "/5", "out of 5" and "of 5" may follow; any other scale ("4/10") is no score.
    6. Of several such statements the last stands, as the prompt asks to conclude with the score. Where the last one
       is no score by rules 4 and 5, the reply is unparsed: an earlier number is not what the judge concluded.
    7. A score in words, stars, "nan", "infinity", an ordinal ("4th"), "5-point" and a template's "<total points>" are
       not numbers: such a mention is passed over, and an earlier score stands.
    8. A number without the word "score" before it is no score.

    >>> parse_score("Useful and clear. Score: 4")
    4.0
    >>> parse_score("Total score: 3 out of 5")
    3.0
    >>> parse_score("Score: <total points>") is None
    True
    """
    found = _conclusion(completion)
    return found[1] if found else None


def rationale(completion: str) -> str:
    """What the judge wrote before its concluding score: the justification shown to people."""
    found = _conclusion(completion)
    text = completion[: found[0]] if found and found[0] > 0 else completion
    return re.sub(r"[\s*_`#]*(?:total|final|overall)?[\s*_`#]*$", "", text, flags=re.IGNORECASE).strip()


def parse_verdict(completion: str) -> Verdict:
    """The position that a pairwise judge preferred, or "unparsed". Never raises.

    Read is "Verdict:" followed by one of the words first, second and tie (any case, markup allowed); of several the
    last stands. A list of the choices is passed over. Anything else is "unparsed": a name, a number or an explanation
    without that line decides nothing.

    >>> parse_verdict("The first is vague. Verdict: second")
    'second'
    """
    found = [match["word"].lower() for match in _VERDICT.finditer(completion)]
    if not found:
        return "unparsed"
    verdicts: dict[str, Verdict] = {"first": "first", "second": "second", "tie": "tie"}
    return verdicts[found[-1]]


def average(samples: Sequence[JudgementSample]) -> tuple[float | None, float | None]:
    """Mean and population standard deviation over the samples that parsed; ``(None, None)`` where none did.

    001 section 3.1.3: judgements are sampled three times and averaged. An unparsed sample takes no part.
    """
    scores = [sample.score for sample in samples if sample.score is not None]
    if not scores:
        return None, None
    mean = sum(scores) / len(scores)
    return mean, (sum((score - mean) ** 2 for score in scores) / len(scores)) ** 0.5
