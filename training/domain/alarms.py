"""What is wrong with a judge, as far as its own scores tell: figures of its replies, and the lines they must not cross.

Pure functions. A figure is ``None`` where there is too little to say anything. The lines are stated here once:

- :data:`ONE_SCORE`: of the scores, so many are one and the same: the judge does not tell responses apart.
- :data:`FOLLOWS_LENGTH`: the mean rank correlation of score and length within a prompt, in either direction. Within a
  prompt, because that is what pairs compare: long answers to hard questions say nothing of the judge.
- :data:`CHANGES_MIND`: of the comparisons with a verdict in both orders, so many turn with the order.
- :data:`UNPARSED`: of the replies, so many hold no conclusion.

Below :data:`ENOUGH` items nothing is alarmed about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, Literal

from training.domain.metrics import mean, spearman
from training.domain.rows import Verdict

ONE_SCORE: Final = 0.9
FOLLOWS_LENGTH: Final = 0.4
CHANGES_MIND: Final = 0.3
UNPARSED: Final = 0.1
ENOUGH: Final = 30

AlarmKind = Literal["one_score", "follows_length", "changes_mind", "unparsed"]
ALARM_KINDS: Final[tuple[AlarmKind, ...]] = ("one_score", "follows_length", "changes_mind", "unparsed")


@dataclass(frozen=True, slots=True)
class Health:
    """Figures of a judge that scores. Shares are 0 to 1; ``length_rho`` is Spearman's, within a prompt, then averaged.

    ``length_prompts`` counts the prompts among whose responses both score and length vary.
    """

    replies: int
    parsed: int
    common_score: float | None
    common_share: float | None
    length_rho: float | None
    length_prompts: int


@dataclass(frozen=True, slots=True)
class OrderHealth:
    """Figures of a judge that compares: of ``n`` comparisons with two verdicts, how many turned with the order.

    ``first``: how many of those that turned preferred whichever answer was shown first. ``asked`` counts all.
    """

    asked: int
    n: int
    changed: int
    first: int


@dataclass(frozen=True, slots=True)
class Alarm:
    """A line that was crossed: the figure, the line, of how many items, and what that means, in a sentence."""

    kind: AlarmKind
    value: float
    line: float
    n: int
    text: str


def health(
    reply_scores: Iterable[float | None], scored_lengths: Iterable[Sequence[tuple[float | None, int]]] = ()
) -> Health:
    """Figures of a judge that scores.

    Args:
        reply_scores: the score of every single reply; ``None``: unparsed.
        scored_lengths: for each prompt, (mean score or ``None``, length in characters) of its responses.
    """
    replies = list(reply_scores)
    scores = [score for score in replies if score is not None]
    common, count = Counter(scores).most_common(1)[0] if scores else (None, 0)
    rhos = []
    for group in scored_lengths:
        known = [(score, length) for score, length in group if score is not None]
        rho = spearman([score for score, _ in known], [length for _, length in known])
        if rho is not None:
            rhos.append(rho)
    return Health(len(replies), len(scores), common, count / len(scores) if scores else None, mean(rhos), len(rhos))


def order_health(verdicts: Iterable[tuple[Verdict, Verdict]]) -> OrderHealth:
    """Figures of a judge that was asked in both orders; each verdict names the *position* preferred.

    A judge that keeps its mind names opposite positions, or ties twice. A tie in one order alone is a change.
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
    """The lines that these figures cross, the gravest first."""
    found = _of_orders(figures) if isinstance(figures, OrderHealth) else _of_scores(figures)
    return [alarm for alarm in found if alarm is not None]


def _of_scores(figures: Health) -> list[Alarm | None]:
    return [
        _unparsed(figures.replies, figures.parsed, "replies", "score"),
        _one_score(figures),
        _follows_length(figures),
    ]


def _of_orders(figures: OrderHealth) -> list[Alarm | None]:
    return [_unparsed(figures.asked, figures.n, "comparisons", "verdict in both orders"), _changes_mind(figures)]


def _unparsed(asked: int, parsed: int, noun: str, what: str) -> Alarm | None:
    if asked < ENOUGH or asked - parsed <= UNPARSED * asked:
        return None
    share = (asked - parsed) / asked
    held = f"{asked - parsed:,} of {asked:,} {noun} held no {what} ({share:.0%})"
    text = f"{held}. They count for nothing."
    return Alarm("unparsed", share, UNPARSED, asked, text)


def _one_score(figures: Health) -> Alarm | None:
    share = figures.common_share
    if figures.parsed < ENOUGH or share is None or share < ONE_SCORE:
        return None
    text = (
        f"The judge gave one score, {figures.common_score:g}, in {share:.0%} of {figures.parsed:,} replies: "
        "it hardly tells responses apart, and few pairs mean anything."
    )
    return Alarm("one_score", share, ONE_SCORE, figures.parsed, text)


def _follows_length(figures: Health) -> Alarm | None:
    rho, n = figures.length_rho, figures.length_prompts
    if rho is None or n < ENOUGH or abs(rho) < FOLLOWS_LENGTH:
        return None
    text = (
        f"Scores follow length: within a prompt their rank correlation is {rho:+.2f} on average over {n:,} prompts. "
        f"Pairs would teach the model to write {'longer' if rho > 0 else 'shorter'} responses."
    ).replace("-", "−")
    return Alarm("follows_length", rho, FOLLOWS_LENGTH, n, text)


def _changes_mind(figures: OrderHealth) -> Alarm | None:
    if figures.n < ENOUGH or figures.changed < CHANGES_MIND * figures.n:
        return None
    share = figures.changed / figures.n
    text = (
        f"The judge changed its mind with the order in {figures.changed:,} of {figures.n:,} comparisons ({share:.0%}), "
        f"{figures.first:,} times for whichever answer stood first. Each counts as a tie, so the win rate says little."
    )
    return Alarm("changes_mind", share, CHANGES_MIND, figures.n, text)


def as_data(figures: Health | OrderHealth) -> dict[str, Any]:
    """Plain data that :func:`from_data` reads back."""
    return {"orders": isinstance(figures, OrderHealth), **asdict(figures)}


def from_data(data: Mapping[str, Any]) -> Health | OrderHealth:
    """The figures that :func:`as_data` wrote."""
    values = {name: value for name, value in data.items() if name != "orders"}
    return OrderHealth(**values) if data["orders"] else Health(**values)
