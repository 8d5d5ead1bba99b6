"""The score in force: the score that counts if a judge and people have scored the same response.

To add a rule, write its function and add it to :data:`PICKS`; a config selects it by name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

#: Takes the scores of one response by the judge and by people, oldest first; an unparsed score is ``None``.
Pick = Callable[[Sequence[float | None], Sequence[float | None]], float | None]


def people_first(by_judge: Sequence[float | None], by_people: Sequence[float | None]) -> float | None:
    """Return the newest score by people, else the newest by the judge."""
    return (by_people or by_judge)[-1]


PEOPLE_FIRST: Final = "people_first"
PICKS: Final[Mapping[str, Pick]] = {PEOPLE_FIRST: people_first}


@dataclass(frozen=True, slots=True)
class ScoreRule:
    """The scores that an iteration's pairs are made from, stored with the iteration.

    ``source`` is "self" or "teacher". ``judge`` is the id of the judge's row, or ``None`` for the recorded scores of a
    data set. ``pick`` is the name of the rule that chooses between the judge and people.
    """

    source: str
    judge: int | None = None
    pick: str = PEOPLE_FIRST

    def as_data(self) -> dict[str, Any]:
        """Return JSON data for storage."""
        return asdict(self)

    @classmethod
    def from_data(cls, data: Mapping[str, Any]) -> ScoreRule:
        """Create the rule from stored data."""
        return cls(**data)


@dataclass(frozen=True, slots=True)
class GivenScore:
    """A score of a response by the rule's judge or by people, 0 to 5; ``None`` if unparsed."""

    response_id: int
    score: float | None
    by_people: bool = False


def in_force(rule: ScoreRule, given: Iterable[GivenScore]) -> dict[int, float | None]:
    """Return the score in force of each scored response, by response id. ``given`` is ordered oldest first."""
    by_judge: dict[int, list[float | None]] = defaultdict(list)
    by_people: dict[int, list[float | None]] = defaultdict(list)
    for one in given:
        (by_people if one.by_people else by_judge)[one.response_id].append(one.score)
    pick = PICKS[rule.pick]
    response_ids = dict.fromkeys([*by_judge, *by_people])
    return {response: pick(by_judge.get(response, ()), by_people.get(response, ())) for response in response_ids}
