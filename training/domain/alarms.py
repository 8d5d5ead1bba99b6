"""Checks of a judge's health: statistics of its replies, and the thresholds that raise an alarm.

A statistic is ``None`` where there is too little data. The thresholds:

- :data:`ONE_SCORE`: share of the most common score. From it on, the judge may not discriminate between responses. If
  its scores of the same responses as answers to other prompts are lower (:class:`Control`), it does, and there is no
  alarm.
- :data:`FOLLOWS_LENGTH`: absolute rank correlation of score and length within a prompt, averaged over prompts. It is
  taken within a prompt because pairs compare responses to one prompt.
- :data:`CHANGES_MIND`: share of comparisons whose verdict changes with the order of the answers (position bias).
- :data:`UNPARSED`: share of replies without a score or verdict.

Fewer than :data:`ENOUGH` items never raise an alarm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from training.domain.intervals import paired_difference
from training.domain.metrics import mean, spearman
from training.domain.rows import Verdict
from training.domain.scores import comparable

ONE_SCORE: Final = 0.9
FOLLOWS_LENGTH: Final = 0.4
CHANGES_MIND: Final = 0.3
UNPARSED: Final = 0.1
ENOUGH: Final = 30

AlarmKind = Literal["one_score", "follows_length", "changes_mind", "unparsed"]
ALARM_KINDS: Final[tuple[AlarmKind, ...]] = ("one_score", "follows_length", "changes_mind", "unparsed")


@dataclass(frozen=True, slots=True)
class Control:
    """The scores of some responses, and the judge's scores of the same responses as answers to other prompts.

    ``drop`` is the mean difference in points, ``low`` and ``high`` its 95 % interval (paired bootstrap over responses).
    Each row has the response's id, the other prompt's id, the response's score, and its score under the other prompt.
    """

    drop: float
    low: float | None
    high: float | None
    rows: tuple[tuple[int, int, float, float], ...]

    @property
    def discriminates(self) -> bool:
        """Whether the drop is above zero beyond its interval."""
        return self.low is not None and self.low > 0


@dataclass(frozen=True, slots=True)
class Health:
    """Statistics of a judge that scores. Shares are 0 to 1.

    ``length_rho`` is Spearman's correlation of score and length within a prompt, averaged over the
    ``length_prompts`` prompts in which both vary. ``control`` is measured only if almost all scores are the same.
    """

    replies: int
    parsed: int
    common_score: float | None
    common_share: float | None
    length_rho: float | None
    length_prompts: int
    control: Control | None = None


@dataclass(frozen=True, slots=True)
class OrderHealth:
    """Statistics of a judge that compares two answers, each pair in both orders.

    ``asked`` counts all comparisons, ``n`` those with two verdicts, ``changed`` those whose verdict changed with the
    order, and ``first`` those among them that preferred the answer shown first.
    """

    asked: int
    n: int
    changed: int
    first: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """A threshold that was crossed: the value, the threshold (``line``), the number of items, and the message."""

    kind: AlarmKind
    value: float
    line: float
    n: int
    text: str


def health(
    reply_scores: Iterable[float | None], scored_lengths: Iterable[Sequence[tuple[float | None, int]]] = ()
) -> Health:
    """Compute the statistics of a judge that scores.

    Args:
        reply_scores: the score of every reply; ``None`` for an unparsed one.
        scored_lengths: for each prompt, (mean score or ``None``, length in characters) of its responses.
    """
    replies = list(reply_scores)
    scores = [comparable(score) for score in replies if score is not None]
    common, count = Counter(scores).most_common(1)[0] if scores else (None, 0)
    rhos = []
    for group in scored_lengths:
        known = [(comparable(score), length) for score, length in group if score is not None]
        rho = spearman([score for score, _ in known], [length for _, length in known])
        if rho is not None:
            rhos.append(rho)
    return Health(len(replies), len(scores), common, count / len(scores) if scores else None, mean(rhos), len(rhos))


def control(rows: Sequence[tuple[int, int, float, float]]) -> Control | None:
    """Compute the control from rows as in :class:`Control`; ``None`` without any."""
    drop = paired_difference([other for *_, other in rows], [own for *_, own, _ in rows])
    return None if drop.value is None else Control(drop.value, drop.low, drop.high, tuple(rows))


def gave_one_score(figures: Health) -> bool:
    """Return whether almost all of enough scores are the same."""
    share = figures.common_share
    return figures.parsed >= ENOUGH and share is not None and share >= ONE_SCORE


def order_health(verdicts: Iterable[tuple[Verdict, Verdict]]) -> OrderHealth:
    """Compute the statistics of a judge that compares in both orders. Each verdict names the preferred *position*.

    Consistent verdicts name opposite positions or are both ties; a tie in only one order counts as a change.
    """
    asked = n = changed = first = 0
    for one, other in verdicts:
        asked += 1
        if "unparsed" in (one, other):
            continue
        n += 1
        if (one, other) not in (("first", "second"), ("second", "first"), ("tie", "tie")):
            changed += 1
            first += one == other == "first"
    return OrderHealth(asked, n, changed, first)


def alarms(figures: Health | OrderHealth) -> list[Alarm]:
    """Return an alarm for each threshold that is crossed, the most serious first."""
    checks = _order_alarms(figures) if isinstance(figures, OrderHealth) else _score_alarms(figures)
    return [alarm for alarm in checks if alarm is not None]


def _score_alarms(figures: Health) -> list[Alarm | None]:
    return [
        _unparsed(figures.replies, figures.parsed, "replies", "score"),
        _one_score(figures),
        _follows_length(figures),
    ]


def _order_alarms(figures: OrderHealth) -> list[Alarm | None]:
    return [_unparsed(figures.asked, figures.n, "comparisons", "verdict in both orders"), _changes_mind(figures)]


def _unparsed(asked: int, parsed: int, noun: str, what: str) -> Alarm | None:
    if asked < ENOUGH or asked - parsed <= UNPARSED * asked:
        return None
    share = (asked - parsed) / asked
    text = f"{asked - parsed:,} of {asked:,} {noun} held no {what} ({share:.0%}). They are not counted."
    return Alarm("unparsed", share, UNPARSED, asked, text)


def _one_score(figures: Health) -> Alarm | None:
    share, control = figures.common_share, figures.control
    if not gave_one_score(figures) or share is None or (control is not None and control.discriminates):
        return None
    text = (
        f"The judge gave one score, {figures.common_score:g}, in {share:.0%} of {figures.parsed:,} replies: "
        "it hardly discriminates between responses, so few pairs are informative."
    )
    if control is not None:
        text += f" It gave no lower scores to {len(control.rows)} of them as answers to other prompts."
    return Alarm("one_score", share, ONE_SCORE, figures.parsed, text)


def _follows_length(figures: Health) -> Alarm | None:
    rho, n = figures.length_rho, figures.length_prompts
    if rho is None or n < ENOUGH or abs(rho) < FOLLOWS_LENGTH:
        return None
    text = (
        f"Scores follow length: the rank correlation within a prompt is {rho:+.2f}, averaged over {n:,} prompts. "
        f"Training on the pairs would favor {'longer' if rho > 0 else 'shorter'} responses."
    ).replace("-", "−")
    return Alarm("follows_length", rho, FOLLOWS_LENGTH, n, text)


def _changes_mind(figures: OrderHealth) -> Alarm | None:
    if figures.n < ENOUGH or figures.changed < CHANGES_MIND * figures.n:
        return None
    share = figures.changed / figures.n
    text = (
        f"The verdict changed with the order of the answers in {figures.changed:,} of {figures.n:,} comparisons "
        f"({share:.0%}); {figures.first:,} of them preferred the first answer. Each counts as a tie."
    )
    return Alarm("changes_mind", share, CHANGES_MIND, figures.n, text)
