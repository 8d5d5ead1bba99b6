"""From a judge's reply to a score or a verdict.

Only text that the judge itself wrote may be given to these functions, never the judge's prompt: a response that
says "Score: 5" stands in the prompt, and so can never set its own score.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from training.domain.parsers import NumberParser, Reading, VerdictParser
from training.domain.rows import JudgementSample, Verdict

#: The scale on which a run compares, pairs and shows scores, whatever a judge's own is.
LOWEST_SCORE, HIGHEST_SCORE = 0.0, 5.0

ADDITIVE = NumberParser("Score", LOWEST_SCORE, HIGHEST_SCORE)
VERDICT = VerdictParser()


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
    return ADDITIVE.read(completion).score


def rationale(completion: str, reading: Reading | None = None) -> str:
    """What the judge wrote before its conclusion: the justification shown to people.

    ``reading`` is what the judge's own parser read; left out, the additive format is taken.
    """
    place = (reading or ADDITIVE.read(completion)).place
    text = completion[: place[0]] if place and place[0] > 0 else completion
    return re.sub(r"[\s*_`#]*(?:total|final|overall)?[\s*_`#]*$", "", text, flags=re.IGNORECASE).strip()


def parse_verdict(completion: str) -> Verdict:
    """The position that a pairwise judge preferred, or "unparsed". Never raises.

    Read is "Verdict:" followed by one of the words first, second and tie (any case, markup allowed); of several the
    last stands. A list of the choices is passed over. Anything else is "unparsed": a name, a number or an explanation
    without that line decides nothing.

    >>> parse_verdict("The first is vague. Verdict: second")
    'second'
    """
    value = VERDICT.read(completion).value
    return value if value in ("first", "second", "tie") else "unparsed"


def average(samples: Sequence[JudgementSample]) -> tuple[float | None, float | None]:
    """Mean and population standard deviation over the samples that parsed; ``(None, None)`` where none did.

    001 section 3.1.3: judgements are sampled three times and averaged. An unparsed sample takes no part.
    """
    scores = [sample.score for sample in samples if sample.score is not None]
    if not scores:
        return None, None
    mean = sum(scores) / len(scores)
    return mean, (sum((score - mean) ** 2 for score in scores) / len(scores)) ** 0.5
